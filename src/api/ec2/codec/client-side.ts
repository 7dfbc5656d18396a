/**
 * The same codec from the other side, for Kiln's own command: typed input → query form, XML → typed output. It stands on
 * the same model, and the round-trip tests hold it to the official client's behaviour.
 */
import { XMLParser } from 'fast-xml-parser'
import { assert } from '../../../lib/errors.ts'
import type { Operation, Shape, Structure } from '../model/model.ts'
import type { Typed } from './decode.ts'
import { printForm } from './form.ts'
import { printScalar, readScalar } from './scalars.ts'

/** The body of a POST request. Throws on members that the model does not know. */
export function encodeInput(operation: Operation, input: object, apiVersion: string): string {
  const parameters: [string, string][] = [
    ['Action', operation.name],
    ['Version', apiVersion],
  ]
  flattenMembers(operation.input, input, '', parameters)
  return printForm(parameters)
}

function flattenMembers(structure: Structure, value: object, prefix: string, into: [string, string][]): void {
  for (const [name, content] of Object.entries(value)) {
    if (content === undefined || content === null) continue
    const member = structure.member(name)
    assert(member, `${structure.name} has no member ${name}`)
    flattenValue(member.shape, content, prefix + member.queryName, into)
  }
}

function flattenValue(shape: Shape, value: unknown, path: string, into: [string, string][]): void {
  switch (shape.kind) {
    case 'structure':
      assert(typeof value === 'object' && value !== null, `${path} is not a structure`)
      flattenMembers(shape.structure, value, `${path}.`, into)
      return
    case 'list':
      assert(Array.isArray(value), `${path} is not a list`)
      value.forEach((item, index) => {
        flattenValue(shape.item, item, `${path}.${index + 1}`, into)
      })
      return
    case 'map':
      throw new Error(`${path} is a map, of which EC2 has none`)
    default: {
      const text = printScalar(shape.kind, value)
      assert(text !== undefined, `${path} is not of the type ${shape.kind}`)
      into.push([path, text])
    }
  }
}

/** An error answer of EC2. */
export interface ErrorAnswer {
  code: string
  message: string
  requestId: string
}

// Values stay text: the model alone says what is a number. `htmlEntities` stands for numeric references as well, and a
// carriage return comes as one.
const parser = new XMLParser({
  ignoreAttributes: true,
  ignoreDeclaration: true,
  parseTagValue: false,
  trimValues: false,
  processEntities: true,
  htmlEntities: true,
  numberParseOptions: { hex: false, leadingZeros: false },
})

/** Reads an answer with status 200. Elements that the model does not know are passed over, as AWS's clients do. */
export function decodeOutput(operation: Operation, xml: string): Typed {
  const root = rootOf(xml)
  return operation.output ? readMembers(operation.output, root) : {}
}

/** Undefined when the text is no error answer of EC2. */
export function decodeError(xml: string): ErrorAnswer | undefined {
  const root = rootOf(xml)
  const error = asObject(asObject(root.Errors).Error)
  if (typeof error.Code !== 'string') return undefined
  const text = (value: unknown) => (typeof value === 'string' ? value : '')
  return { code: error.Code, message: text(error.Message), requestId: text(root.RequestID) }
}

type ParsedElement = Readonly<Record<string, unknown>>

function rootOf(xml: string): ParsedElement {
  const document = asObject(parser.parse(xml))
  return asObject(Object.values(document)[0])
}

/** An element with children; an empty one, or one that holds only white space, has none. */
function asObject(value: unknown): ParsedElement {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as ParsedElement) : {}
}

function readMembers(structure: Structure, from: ParsedElement): Typed {
  const result: Typed = {}
  for (const member of structure.members) {
    if (!Object.hasOwn(from, member.xmlName)) continue
    const value = readValue(member.shape, from[member.xmlName])
    if (value !== undefined) result[member.name] = value
  }
  return result
}

function readValue(shape: Shape, value: unknown): unknown {
  switch (shape.kind) {
    case 'structure':
      return readMembers(shape.structure, asObject(value))
    case 'list': {
      const items = asObject(value)[shape.itemName]
      if (items === undefined) return []
      return (Array.isArray(items) ? items : [items]).map((item) => readValue(shape.item, item))
    }
    case 'map':
      return undefined
    default:
      return typeof value === 'string' ? readScalar(shape.kind, value) : undefined
  }
}
