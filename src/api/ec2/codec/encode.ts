/**
 * Typed output → the XML of EC2, by the model. A member that the model does not know, or a value of another type, is a
 * bug of ours: assertions, which the caller sees as `InternalError`.
 */
import { assert } from '../../../lib/errors.ts'
import { element, escapeXml, textElement, xmlDeclaration } from '../../xml-writer.ts'
import type { Operation, Shape, Structure } from '../model/model.ts'
import { printScalar } from './scalars.ts'

export const ec2Namespace = 'http://ec2.amazonaws.com/doc/2016-11-15/'

/** A whole answer. Absent members are left out; an empty list prints as an empty element, as EC2 does it. */
export function encodeOutput(operation: Operation, output: object, requestId: string): string {
  const members = operation.output
    ? encodeMembers(operation.output, output, operation.name)
    : // Operations without an output of their own say so with this element.
      textElement('return', 'true')
  const root = `${operation.name}Response`
  return `${xmlDeclaration}<${root} xmlns="${ec2Namespace}">${textElement('requestId', requestId)}${members}</${root}>`
}

export function encodeError(error: { code: string; message: string }, requestId: string): string {
  const detail = element('Error', textElement('Code', error.code), textElement('Message', error.message))
  return xmlDeclaration + element('Response', element('Errors', detail), textElement('RequestID', requestId))
}

/** The members of one value, without an element around them. */
export function encodeMembers(structure: Structure, value: object, path: string): string {
  let xml = ''
  for (const [name, content] of Object.entries(value)) {
    if (content === undefined || content === null) continue
    const member = structure.member(name)
    assert(member, `${path} has a member that ${structure.name} does not know: ${name}`)
    xml += encodeValue(member.shape, member.xmlName, content, `${path}.${name}`)
  }
  return xml
}

function encodeValue(shape: Shape, xmlName: string, value: unknown, path: string): string {
  switch (shape.kind) {
    case 'structure':
      assert(typeof value === 'object' && value !== null && !Array.isArray(value), `${path} is not a structure`)
      return element(xmlName, encodeMembers(shape.structure, value, path))
    case 'list':
      assert(Array.isArray(value), `${path} is not a list`)
      return element(
        xmlName,
        ...value.map((item, index) => encodeValue(shape.item, shape.itemName, item, `${path}[${index}]`)),
      )
    case 'map':
      assert(typeof value === 'object' && value !== null, `${path} is not a map`)
      return element(
        xmlName,
        ...Object.entries(value).map(([key, entry]) => encodeEntry(shape.value, key, entry, path)),
      )
    default: {
      const text = printScalar(shape.kind, value)
      assert(text !== undefined, `${path} is not of the type ${shape.kind}`)
      return element(xmlName, escapeXml(text))
    }
  }
}

function encodeEntry(shape: Shape, key: string, value: unknown, path: string): string {
  return element('entry', textElement('key', key), encodeValue(shape, 'value', value, `${path}.${key}`))
}
