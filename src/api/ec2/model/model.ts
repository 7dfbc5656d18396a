/**
 * AWS's model of the EC2 API: every operation, and of its input and output every member with its type and its names in
 * the query form and in XML. The model comes from `model.generated.json` (see scripts/generate.ts) and is resolved
 * structure by structure when first asked for, so that loading it costs a few milliseconds. The models of the services
 * that speak AWS Query (IAM, STS) have the same form.
 */
import { readFileSync } from 'node:fs'
import { assert } from '../../../lib/errors.ts'
import { uncapitalised } from './names.ts'

/**
 * The committed form. An operation is `INPUT OUTPUT`, structure names or `-` for none. A member is
 * `NAME TYPE [q=QUERY] [e=ENUM] [x=XML]`: a `!` after the name means required, the query name is the member's name and
 * the XML name the same with a small first letter unless said otherwise, a list type is `[ITEM]TYPE`, ITEM being the name
 * of its items in XML, and `{}TYPE` is a map from texts.
 */
export interface CompactModel {
  source: string
  apiVersion: string
  /** In AWS Query names in XML are the members' own, and lists are `NAME.ITEM.1` in the form; otherwise it is EC2's. */
  protocol?: 'query'
  operations: Readonly<Record<string, string>>
  /** Operations that the service has, and whose shapes nobody needs. */
  others?: readonly string[]
  structures: Readonly<Record<string, readonly string[]>>
  enums: Readonly<Record<string, readonly string[]>>
}

export type ScalarKind = 'string' | 'integer' | 'double' | 'boolean' | 'timestamp' | 'blob'

export type Shape =
  | { kind: ScalarKind }
  /** The form of a wrapped list has the items' name between that of the list and the number. */
  | { kind: 'list'; item: Shape; itemName: string; isWrapped: boolean }
  | { kind: 'map'; value: Shape }
  | { kind: 'structure'; structure: Structure }

export interface Member {
  /** As handlers know it: `InstanceIds`. */
  name: string
  /** As the query form calls it: `InstanceId`. */
  queryName: string
  /** As XML calls it: `instanceIdSet`. */
  xmlName: string
  required: boolean
  shape: Shape
  /** The values that are allowed; for a list, to each of its items. */
  enumValues: readonly string[] | undefined
}

export class Structure {
  readonly name: string
  readonly #lines: readonly string[]
  readonly #model: Model
  #members: readonly Member[] | undefined
  #byName: ReadonlyMap<string, Member> | undefined
  #byQueryName: ReadonlyMap<string, Member> | undefined

  constructor(name: string, lines: readonly string[], model: Model) {
    this.name = name
    this.#lines = lines
    this.#model = model
  }

  get members(): readonly Member[] {
    this.#members ??= this.#lines.map((line) => this.#model.member(line))
    return this.#members
  }

  member(name: string): Member | undefined {
    this.#byName ??= new Map(this.members.map((member) => [member.name, member]))
    return this.#byName.get(name)
  }

  memberByQueryName(queryName: string): Member | undefined {
    this.#byQueryName ??= new Map(this.members.map((member) => [member.queryName, member]))
    return this.#byQueryName.get(queryName)
  }
}

export interface Operation {
  name: string
  input: Structure
  /** Undefined where EC2 answers nothing but success. */
  output: Structure | undefined
}

const scalarKinds: ReadonlySet<string> = new Set<ScalarKind>([
  'string',
  'integer',
  'double',
  'boolean',
  'timestamp',
  'blob',
])

export class Model {
  readonly apiVersion: string
  readonly #compact: CompactModel
  readonly #structures = new Map<string, Structure>()

  constructor(compact: CompactModel) {
    this.apiVersion = compact.apiVersion
    this.#compact = compact
  }

  get operationNames(): readonly string[] {
    return Object.keys(this.#compact.operations)
  }

  /** Whether the service has an operation of that name, whatever is known of it. */
  knows(name: string): boolean {
    return Object.hasOwn(this.#compact.operations, name) || (this.#compact.others?.includes(name) ?? false)
  }

  operation(name: string): Operation | undefined {
    if (!Object.hasOwn(this.#compact.operations, name)) return undefined
    const [input, output] = this.#compact.operations[name]!.split(' ') as [string, string]
    return {
      name,
      input: input === '-' ? new Structure('Unit', [], this) : this.#structure(input),
      output: output === '-' ? undefined : this.#structure(output),
    }
  }

  /** Reads one member line of the compact form. */
  member(line: string): Member {
    const [head, type, ...options] = line.split(' ') as [string, string, ...string[]]
    const option = (letter: string) => options.find((text) => text.startsWith(`${letter}=`))?.slice(2)
    const required = head.endsWith('!')
    const name = required ? head.slice(0, -1) : head
    const enumName = option('e')
    return {
      name,
      queryName: option('q') ?? name,
      xmlName: option('x') ?? (this.#isQuery ? name : uncapitalised(name)),
      required,
      shape: this.#shape(type),
      enumValues: enumName === undefined ? undefined : this.#compact.enums[enumName],
    }
  }

  get #isQuery(): boolean {
    return this.#compact.protocol === 'query'
  }

  #shape(type: string): Shape {
    if (type.startsWith('[')) {
      const end = type.indexOf(']')
      const item = this.#shape(type.slice(end + 1))
      return { kind: 'list', itemName: type.slice(1, end), item, isWrapped: this.#isQuery }
    }
    if (type.startsWith('{}')) return { kind: 'map', value: this.#shape(type.slice(2)) }
    if (scalarKinds.has(type)) return { kind: type as ScalarKind }
    return { kind: 'structure', structure: this.#structure(type) }
  }

  #structure(name: string): Structure {
    let structure = this.#structures.get(name)
    if (!structure) {
      const lines = this.#compact.structures[name]
      assert(lines, `the model has no structure ${name}`)
      structure = new Structure(name, lines, this)
      this.#structures.set(name, structure)
    }
    return structure
  }
}

/** A model that is read from its file on first use. */
export function modelAt(url: URL): () => Model {
  let loaded: Model | undefined
  return () => {
    loaded ??= new Model(JSON.parse(readFileSync(url, 'utf8')) as CompactModel)
    return loaded
  }
}

export const ec2Model = modelAt(new URL('./model.generated.json', import.meta.url))
