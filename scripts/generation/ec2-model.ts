/**
 * Turns the runtime schemas of an official client into Kiln's compact model: EC2's, and those of IAM and STS. The shapes, names and required
 * members come from the schemas; which member is restricted to which enumeration stands only in the client's type
 * declarations. What neither says is data in `patches.json`.
 */

import type { CompactModel } from '../../src/api/ec2/model/model.ts'
import { capitalised, uncapitalised } from '../../src/api/ec2/model/names.ts'
import { assert } from '../../src/lib/errors.ts'
import type { MemberEnums } from './type-declarations.ts'

/** Corrections that are made by hand, each with its reason in the file. */
export interface Patches {
  /** `Structure.Member` of numbers that may have a fraction; the schemas know only "a number". */
  doubles: { why: string; members: readonly string[] }
  /** Enumerations whose values Kiln does not hold against the caller in the codec. */
  openEnums: Readonly<Record<string, { why: string }>>
}

// The client's schema notation: https://github.com/smithy-lang/smithy-typescript, package core, submodule schema.
type Traits = number | { xmlName?: string; ec2QueryName?: string }
type SchemaRef = unknown
type OperationSchema = readonly [9, string, string, Traits, SchemaRef, SchemaRef]
type StructureSchema = readonly [3, string, string, Traits, readonly string[], readonly SchemaRef[], number?]
type ListSchema = readonly [1, string, string, Traits, SchemaRef]
type MapSchema = readonly [2, string, string, Traits, SchemaRef, SchemaRef]
type SimpleSchema = readonly [0, string, string, Traits, number]

const scalars: Readonly<Record<number, string>> = {
  0: 'string',
  1: 'integer',
  2: 'boolean',
  4: 'timestamp',
  21: 'blob',
}
const listModifier = 64
const mapModifier = 128

/** The name of list items in XML when the schema names none. */
const defaultItemName = 'member'

export interface ModelSource {
  /** Name and version of the package that the schemas are from. */
  source: string
  apiVersion: string
  operations: readonly OperationSchema[]
  memberEnums: MemberEnums
  enumValues: (name: string) => readonly string[] | undefined
  patches: Patches
  /** For a service that speaks AWS Query: the operations whose shapes are needed. Of the others only the names are kept. */
  query?: { served: ReadonlySet<string> }
}

export const noPatches: Patches = { doubles: { why: '', members: [] }, openEnums: {} }

export function operationSchemas(client: Record<string, unknown>): OperationSchema[] {
  const isOperation = (value: unknown): value is OperationSchema => Array.isArray(value) && value[0] === 9
  return Object.values(client)
    .filter(isOperation)
    .sort((a, b) => (a[2] < b[2] ? -1 : 1))
}

export function compactModel(from: ModelSource): CompactModel {
  const inputs = new Map<string, StructureSchema>()
  const outputs = new Map<string, StructureSchema>()
  const operations: Record<string, string> = {}
  const others: string[] = []
  for (const [, , name, , input, output] of from.operations) {
    if (from.query && !from.query.served.has(name)) {
      others.push(name)
      continue
    }
    operations[name] = `${collect(input, inputs) ?? '-'} ${collect(output, outputs) ?? '-'}`
  }

  const enums: Record<string, readonly string[]> = {}
  const enumOf = (structure: string, member: string): string | undefined => {
    const name = from.memberEnums.get(structure)?.get(member)
    if (!name || name in from.patches.openEnums) return undefined
    const values = from.enumValues(name)
    if (!values) return undefined
    enums[name] = values
    return name
  }

  const doubles = new Set(from.patches.doubles.members)
  const structures: Record<string, readonly string[]> = {}
  for (const [name, schema] of sorted(new Map([...inputs, ...outputs]))) {
    const [, , , , members, schemas, requiredCount = 0] = schema
    structures[name] = members.map((member, index) => {
      const [shape, traits] = unwrap(schemas[index])
      const type = doubles.delete(`${name}.${member}`) ? 'double' : typeOf(shape)
      let line = `${member}${index < requiredCount ? '!' : ''} ${type}`
      if (inputs.has(name)) {
        const query = from.query ? member : (traits.ec2QueryName ?? capitalised(traits.xmlName ?? member))
        if (query !== member) line += ` q=${query}`
        const values = enumOf(name, member)
        if (values) line += ` e=${values}`
      }
      if (outputs.has(name) && !from.query) {
        const xml = traits.xmlName ?? member
        if (xml !== uncapitalised(member)) line += ` x=${xml}`
      }
      return line
    })
  }
  assert(doubles.size === 0, `patches.json names members that the model lacks: ${[...doubles].join(', ')}`)
  for (const name of Object.keys(from.patches.openEnums)) {
    assert(from.enumValues(name), `patches.json opens an enumeration that the client lacks: ${name}`)
  }
  return {
    source: from.source,
    apiVersion: from.apiVersion,
    ...(from.query && { protocol: 'query' as const, others }),
    operations,
    structures,
    enums: Object.fromEntries(sorted(enums)),
  }
}

/** One line an entry: small, and a change of AWS's model reads well in a diff. */
export function printModel(model: CompactModel): string {
  const table = (rows: Readonly<Record<string, unknown>>) =>
    `{\n${Object.entries(rows)
      .map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`)
      .join(',\n')}\n}`
  const { source, apiVersion, protocol, others } = model
  return `{
"source":${JSON.stringify(source)},
"apiVersion":${JSON.stringify(apiVersion)},${protocol ? `\n"protocol":${JSON.stringify(protocol)},` : ''}${others ? `\n"others":${JSON.stringify(others)},` : ''}
"operations":${table(model.operations)},
"structures":${table(model.structures)},
"enums":${table(model.enums)}
}
`
}

/** Puts every structure within reach into `found`; the name of the first, or undefined for the unit shape. */
function collect(ref: SchemaRef, found: Map<string, StructureSchema>): string | undefined {
  const [shape] = unwrap(ref)
  if (isList(shape)) return collect(shape[4], found)
  if (!isStructure(shape)) return undefined
  const name = shape[2]
  if (!found.has(name)) {
    found.set(name, shape)
    for (const member of shape[5]) collect(member, found)
  }
  return name
}

function typeOf(shape: unknown): string {
  if (isStructure(shape)) return shape[2]
  if (isList(shape)) {
    const [item, traits] = unwrap(shape[4])
    return `[${traits.xmlName ?? defaultItemName}]${typeOf(item)}`
  }
  if (isMap(shape)) return `{}${typeOf(unwrap(shape[5])[0])}`
  if (isSimple(shape)) return typeOf(shape[4])
  if (typeof shape === 'number' && shape & mapModifier) return `{}${typeOf(shape - mapModifier)}`
  if (typeof shape === 'number' && shape & listModifier) return `[${defaultItemName}]${typeOf(shape - listModifier)}`
  const scalar = typeof shape === 'number' ? scalars[shape] : undefined
  assert(scalar, `the client has a schema that the generator does not know: ${JSON.stringify(shape)}`)
  return scalar
}

/** Follows lazy references and splits a member schema into its shape and the member's own traits. */
function unwrap(ref: SchemaRef): [shape: unknown, traits: { xmlName?: string; ec2QueryName?: string }] {
  const value = typeof ref === 'function' ? ref() : ref
  const isMember = Array.isArray(value) && value.length === 2
  if (!isMember) return [value, {}]
  const [shape] = unwrap(value[0])
  return [shape, typeof value[1] === 'object' ? value[1] : {}]
}

const isStructure = (shape: unknown): shape is StructureSchema => Array.isArray(shape) && shape[0] === 3
const isList = (shape: unknown): shape is ListSchema => Array.isArray(shape) && shape[0] === 1
const isMap = (shape: unknown): shape is MapSchema => Array.isArray(shape) && shape[0] === 2
const isSimple = (shape: unknown): shape is SimpleSchema => Array.isArray(shape) && shape[0] === 0

function sorted<T>(entries: Map<string, T> | Record<string, T>): [string, T][] {
  const list = entries instanceof Map ? [...entries] : Object.entries(entries)
  return list.sort(([a], [b]) => (a < b ? -1 : 1))
}
