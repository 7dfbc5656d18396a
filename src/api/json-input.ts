/**
 * Reads the input of a JSON operation member by member. What does not hold is refused as AWS's services do: with the
 * value, the path of the member, and what it should be.
 */
import { KilnError } from '../lib/errors.ts'
import { limits } from '../lib/limits.ts'
import { clipped } from './ec2/codec/form.ts'

interface TextBounds {
  min?: number
  max?: number
}

export class JsonInput {
  readonly #members: Record<string, unknown>
  readonly #path: string

  /** `path` is where these members are, with its dot: `groupBy.1.member.`. */
  constructor(members: Record<string, unknown>, path = '') {
    this.#members = members
    this.#path = path
  }

  /** Null is as good as absent. */
  has(name: string): boolean {
    return this.#value(name) !== undefined
  }

  text(name: string, { min = 0, max = 1024 }: TextBounds = {}): string | undefined {
    const value = this.#value(name)
    return value === undefined ? undefined : checkedText(value, this.#pathOf(name), { min, max })
  }

  requiredText(name: string, bounds?: TextBounds): string {
    return this.text(name, bounds) ?? this.#missing(name)
  }

  oneOf<Value extends string>(name: string, values: readonly Value[]): Value | undefined {
    const text = this.text(name)
    if (text === undefined || (values as readonly string[]).includes(text)) return text as Value | undefined
    throw constraint(text, this.#pathOf(name), `Member must satisfy enum value set: [${values.join(', ')}]`)
  }

  requiredOneOf<Value extends string>(name: string, values: readonly Value[]): Value {
    return this.oneOf(name, values) ?? this.#missing(name)
  }

  integer(name: string, { min, max }: { min: number; max: number }): number | undefined {
    const value = this.#value(name)
    if (value === undefined) return undefined
    if (typeof value !== 'number' || !Number.isInteger(value)) throw wrongKind(this.#pathOf(name), 'an integer')
    const bound = value < min ? `greater than or equal to ${min}` : value > max ? `less than or equal to ${max}` : null
    if (bound === null) return value
    throw constraint(String(value), this.#pathOf(name), `Member must have value ${bound}`)
  }

  structure(name: string): JsonInput | undefined {
    const value = this.#value(name)
    return value === undefined ? undefined : structureAt(value, this.#pathOf(name))
  }

  requiredStructure(name: string): JsonInput {
    return this.structure(name) ?? this.#missing(name)
  }

  texts(name: string, bounds: TextBounds = {}): string[] {
    const items = this.#list(name)
    return items.map((item, i) => checkedText(item, this.#itemPath(name, i), { min: 0, max: 1024, ...bounds }))
  }

  /** None when the list is not there. */
  structures(name: string): JsonInput[] {
    return this.#list(name).map((item, i) => structureAt(item, this.#itemPath(name, i)))
  }

  #list(name: string): unknown[] {
    const value = this.#value(name) ?? []
    if (!Array.isArray(value)) throw wrongKind(this.#pathOf(name), 'a list')
    if (value.length <= limits.listItems) return value
    const most = `Member must have length less than or equal to ${limits.listItems}`
    throw constraint(`${value.length} items`, this.#pathOf(name), most)
  }

  #value(name: string): unknown {
    return (Object.hasOwn(this.#members, name) ? this.#members[name] : undefined) ?? undefined
  }

  #missing(name: string): never {
    throw constraint(null, this.#pathOf(name), 'Member must not be null')
  }

  /** AWS writes the names in these messages with a small letter. */
  #pathOf(name: string): string {
    return `${this.#path}${name.charAt(0).toLowerCase()}${name.slice(1)}`
  }

  #itemPath(name: string, index: number): string {
    return `${this.#pathOf(name)}.${index + 1}.member`
  }
}

function structureAt(value: unknown, path: string): JsonInput {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrongKind(path, 'a structure')
  return new JsonInput(value as Record<string, unknown>, `${path}.`)
}

function checkedText(value: unknown, path: string, { min, max }: Required<TextBounds>): string {
  if (typeof value !== 'string') throw wrongKind(path, 'a string')
  const bound = value.length < min ? `greater than or equal to ${min}` : `less than or equal to ${max}`
  if (value.length >= min && value.length <= max) return value
  throw constraint(value, path, `Member must have length ${bound}`)
}

function wrongKind(path: string, kind: string): KilnError {
  return new KilnError('SerializationException', `The value at '${path}' is not ${kind}`)
}

function constraint(value: string | null, path: string, what: string): KilnError {
  const shown = value === null ? 'null' : `'${clipped(value)}'`
  const message = `1 validation error detected: Value ${shown} at '${path}' failed to satisfy constraint: ${what}`
  return new KilnError('InvalidParameterValue', message)
}
