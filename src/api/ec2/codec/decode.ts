/**
 * Query form → typed input, by the model and strictly: what the model does not know is refused, and every refusal names
 * the parameter as the caller wrote it. Handlers never see a raw parameter.
 */
import { KilnError } from '../../../lib/errors.ts'
import { limits } from '../../../lib/limits.ts'
import { isXmlText } from '../../xml-writer.ts'
import type { Member, Operation, ScalarKind, Shape, Structure } from '../model/model.ts'
import { clipped } from './form.ts'
import { type Parameter, parameterTree } from './parameters.ts'
import { expectations, readScalar, type ScalarValue } from './scalars.ts'

export type Typed = { [member: string]: unknown }

/** Longest list of allowed values that a message repeats. */
const enumValuesShown = 20

/**
 * Throws `UnknownParameter`, `MissingParameter`, `InvalidParameterValue` or, for names that are no names,
 * `MalformedQueryString`. `Action`, `Version` and what belongs to a presigned URL are passed over.
 */
export function decodeInput(operation: Operation, form: ReadonlyMap<string, string>): Typed {
  return decodeStructure(operation.input, parameterTree(form))
}

function decodeStructure(structure: Structure, from: Parameter): Typed {
  if (from.value !== undefined) throw invalid(from, from.value, 'It has members.')
  const result: Typed = {}
  for (const [name, parameter] of from.children) {
    const member = structure.memberByQueryName(name)
    if (!member) {
      throw new KilnError('UnknownParameter', `The parameter ${clipped(parameter.path)} is not recognized`)
    }
    result[member.name] = decodeValue(member.shape, parameter, member)
  }
  for (const member of structure.members) {
    if (member.required && result[member.name] === undefined) {
      const path = from.path === '' ? member.queryName : `${from.path}.${member.queryName}`
      throw new KilnError('MissingParameter', `The request must contain the parameter ${path}`)
    }
  }
  return result
}

function decodeValue(shape: Shape, from: Parameter, member: Member): unknown {
  switch (shape.kind) {
    case 'structure':
      return decodeStructure(shape.structure, from)
    case 'list':
      return decodeList(shape.item, shape.isWrapped ? unwrapped(from, shape.itemName) : from, member)
    case 'map':
      throw new Error(`no operation that is served takes a map: ${from.path}`)
    default:
      return decodeScalar(shape.kind, from, member)
  }
}

/** What is below the items' name; an empty text is an empty list. */
function unwrapped(from: Parameter, itemName: string): Parameter {
  const [first, ...rest] = from.children
  if (first === undefined && from.value === '') return { ...from, value: undefined }
  if (from.value !== undefined || first?.[0] !== itemName || rest.length > 0) {
    throw invalid(from, from.value ?? '…', `It is a list: its items are ${clipped(from.path)}.${itemName}.1 and so on.`)
  }
  return first[1]
}

/** Items are numbered from 1. Numbers may be left out, as EC2 allows: the order counts. */
function decodeList(item: Shape, from: Parameter, member: Member): unknown[] {
  if (from.value !== undefined) throw invalid(from, from.value, 'It is a list: its items are numbered from 1.')
  if (from.children.size > limits.listItems) {
    throw new KilnError(
      'InvalidParameterValue',
      `The parameter ${from.path} has ${from.children.size} items; at most ${limits.listItems} are allowed.`,
    )
  }
  const numbered = [...from.children].map(([index, parameter]) => {
    if (!/^[1-9]\d{0,5}$/.test(index)) {
      throw new KilnError(
        'InvalidParameterValue',
        `The parameter ${clipped(parameter.path)} is invalid. Items of a list are numbered from 1.`,
      )
    }
    return { index: Number(index), parameter }
  })
  return numbered.sort((a, b) => a.index - b.index).map(({ parameter }) => decodeValue(item, parameter, member))
}

function decodeScalar(kind: ScalarKind, from: Parameter, member: Member): ScalarValue {
  if (from.value === undefined || from.children.size > 0) {
    throw new KilnError(
      'InvalidParameterValue',
      `The parameter ${clipped(from.path)} is invalid. It is a single value and has no members.`,
    )
  }
  // Such a text could be kept, but no answer could tell it: it would come back as another one.
  if (!isXmlText(from.value)) throw invalid(from, from.value, 'It has a character that XML cannot carry.')
  const value = readScalar(kind, from.value)
  // What should have been base64 may be a secret that was pasted by mistake: never repeat it.
  if (value === undefined) throw invalid(from, kind === 'blob' ? '…' : from.value, expectations[kind])
  if (member.enumValues && !member.enumValues.includes(String(value))) {
    const shown = member.enumValues.length <= enumValuesShown
    throw invalid(from, from.value, shown ? `Expected one of: ${member.enumValues.join(', ')}.` : '')
  }
  return value
}

function invalid(parameter: Parameter, value: string, hint: string): KilnError {
  const text = `Value (${clipped(value)}) for parameter ${clipped(parameter.path)} is invalid. ${hint}`
  return new KilnError('InvalidParameterValue', text.trimEnd())
}
