/** Reads fields of a YAML file that people write, and tells what is wrong with the line and the field of each. */
import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, type YAMLMap } from 'yaml'
import { quoted, SheetProblems } from '../../../prices/sheet-problems.ts'

/** A value of the file, and where it stands. */
export interface Field {
  value: unknown
  node: Node | null
  line: number
  /** As `volumes[0].size`. */
  path: string
}

export class YamlReader {
  readonly problems = new SheetProblems()
  readonly #lines = new LineCounter()

  /** The fields of the file; null where it is no YAML, which is a problem. */
  read(text: string): Field {
    // Aliases could make much of little.
    const document = parseDocument(text, { lineCounter: this.#lines, logLevel: 'silent' })
    for (const error of document.errors) {
      this.problems.add(this.#lines.linePos(error.pos[0]).line, 'YAML', error.message.split('\n')[0]!)
    }
    this.problems.throwIfAny()
    return this.#field(document.contents as Node | null, '')
  }

  /** Those of the members that are there; every other is a problem, and so is what is no mapping. */
  members<Name extends string>(field: Field, names: readonly Name[]): Partial<Record<Name, Field>> {
    if (!isMap(field.node)) {
      this.refuse(field, `must be a mapping with ${names.join(', ')}`)
      return {}
    }
    const found: Partial<Record<Name, Field>> = {}
    for (const { field: member, name } of this.#pairs(field.node, field.path)) {
      if (names.includes(name as Name)) found[name as Name] = member
      else this.refuse(member, `is not known; known are ${names.join(', ')}`)
    }
    return found
  }

  list(field: Field | undefined): Field[] {
    if (!field) return []
    if (isSeq(field.node)) return field.node.items.map((item, i) => this.#field(item as Node, `${field.path}[${i}]`))
    this.refuse(field, 'must be a list')
    return []
  }

  /** Keys and values, all texts. */
  texts(field: Field | undefined): Record<string, string> {
    if (!field) return {}
    if (!isMap(field.node)) {
      this.refuse(field, 'must be a mapping of names to texts')
      return {}
    }
    const texts = this.#pairs(field.node, field.path).map(({ name, field: one }) => [name, this.text(one) ?? ''])
    return Object.fromEntries(texts)
  }

  text(field: Field | undefined): string | undefined {
    if (!field) return undefined
    if (typeof field.value === 'string' && field.value !== '') return field.value
    this.refuse(field, `${quoted(field.value)} is no text`)
    return undefined
  }

  number(field: Field | undefined, { least, most, whole = true }: NumberRange): number | undefined {
    if (!field) return undefined
    const { value } = field
    const isFine = typeof value === 'number' && value >= least && value <= most
    if (isFine && (!whole || Number.isSafeInteger(value))) return value
    this.refuse(field, `${quoted(value)} is no ${whole ? 'whole ' : ''}number from ${least} to ${most}`)
    return undefined
  }

  flag(field: Field | undefined): boolean | undefined {
    if (!field || typeof field.value === 'boolean') return field?.value as boolean | undefined
    this.refuse(field, `${quoted(field.value)} is neither true nor false`)
    return undefined
  }

  /** A day or a time (UTC), as `2026-06-01` or `2026-06-01T08:00`; seconds since the epoch. */
  time(field: Field | undefined): number | undefined {
    const text = this.text(field)
    if (text === undefined) return undefined
    const parts = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(:\d{2})?Z?)?$/.exec(text)
    const timeMs = parts ? Date.parse(`${parts[1]}T${parts[2] ?? '00:00'}${parts[3] ?? ':00'}Z`) : Number.NaN
    // A day that the month does not have becomes one of the next.
    if (!Number.isNaN(timeMs) && new Date(timeMs).toISOString().startsWith(parts![1]!)) return timeMs / 1000
    this.refuse(field!, `${quoted(text)} is no time, as 2026-06-01 or 2026-06-01T08:00`)
    return undefined
  }

  need<T>(value: T | undefined, owner: Field, name: string): T | undefined {
    if (value === undefined) this.problems.add(owner.line, owner.path ? `${owner.path}.${name}` : name, 'is missing')
    return value
  }

  refuse({ line, path }: Field, message: string): void {
    this.problems.add(line, path || 'file', message)
  }

  #pairs(map: YAMLMap, path: string): { name: string; field: Field }[] {
    return map.items.map(({ key, value }) => {
      const name = String(isScalar(key) ? key.value : key)
      const field = this.#field((value ?? key) as Node, path ? `${path}.${name}` : name)
      return { name, field: value ? field : { ...field, value: null } }
    })
  }

  #field(node: Node | null, path: string): Field {
    const line = node?.range ? this.#lines.linePos(node.range[0]).line : 1
    return { node, line, path, value: isScalar(node) ? node.value : node?.toJSON() }
  }
}

export interface NumberRange {
  least: number
  most: number
  /** Unless it is false. */
  whole?: boolean
}
