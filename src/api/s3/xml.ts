/** S3's request bodies and answers in XML. */
import { XMLParser } from 'fast-xml-parser'
import { KilnError } from '../../lib/errors.ts'
import { type HttpAnswer, xmlContentType } from '../service.ts'
import { escapeXml, xmlDeclaration } from '../xml-writer.ts'

export const s3Namespace = 'http://s3.amazonaws.com/doc/2006-03-01/'

/** An element's children by name, without namespaces; text stands under `#text`. */
export type XmlTree = { readonly [name: string]: XmlValue | XmlValue[] }
type XmlValue = string | XmlTree

const nestedMax = 16

/** Texts stay as they are. Entities of the document's own are not read: it is refused when it has any. */
const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  removeNSPrefix: true,
  parseTagValue: false,
  parseAttributeValue: false,
  trimValues: false,
  htmlEntities: true,
  ignoreDeclaration: true,
  ignorePiTags: true,
  maxNestedTags: nestedMax,
})

/** The children of the root element, which must have one of these names. Throws `MalformedXML`. */
export function parseXml(body: Buffer, ...roots: readonly string[]): XmlTree {
  const text = readUtf8(body)
  if (/<!(DOCTYPE|ENTITY)/i.test(text)) throw malformedXml('it declares a document type')
  let tree: Record<string, unknown>
  try {
    tree = parser.parse(text, true)
  } catch (cause) {
    throw malformedXml('it is not well-formed', cause)
  }
  const root = roots.find((name) => Object.hasOwn(tree, name))
  if (root === undefined) throw malformedXml(`it is no ${roots.join(' or ')}`)
  const value = tree[root]
  if (Array.isArray(value)) throw malformedXml('it has two roots')
  return typeof value === 'object' ? (value as XmlTree) : {}
}

/** All children of that name that are elements with children. */
export function childrenOf(tree: XmlTree, name: string): XmlTree[] {
  return listOf(tree, name).filter((value) => typeof value === 'object')
}

/** The text of the first child of that name; undefined when there is none. */
export function textOf(tree: XmlTree, name: string): string | undefined {
  const [value] = listOf(tree, name)
  if (value === undefined || typeof value === 'string') return value
  return textOf(value, '#text') ?? ''
}

function listOf(tree: XmlTree, name: string): XmlValue[] {
  const value = Object.hasOwn(tree, name) ? tree[name]! : []
  return Array.isArray(value) ? value : [value as XmlValue]
}

export function malformedXml(why: string, cause?: unknown): KilnError {
  return new KilnError(
    'MalformedXML',
    `The XML you provided was not well-formed or did not validate against our published schema: ${why}.`,
    { cause },
  )
}

function readUtf8(body: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body)
  } catch (cause) {
    throw malformedXml('it is not UTF-8', cause)
  }
}

/** 200 with that root element around that markup. */
export function xmlAnswer(
  root: string,
  content: readonly string[],
  headers: Readonly<Record<string, string>> = {},
): HttpAnswer {
  const body = `${xmlDeclaration}<${root} xmlns="${escapeXml(s3Namespace)}">${content.join('')}</${root}>`
  return { status: 200, contentType: xmlContentType, headers, body }
}

export const isoTime = (ms: number): string => new Date(ms).toISOString()
