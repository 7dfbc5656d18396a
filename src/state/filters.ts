/**
 * EC2's filters as SQL, once for every kind of resource. A filter's values are alternatives; several filters all hold.
 * `*` and `?` are wildcards, a backslash takes their meaning away.
 *
 * Source: "Filtering your resources" in the EC2 user guide.
 */
import { type Expression, type ExpressionBuilder, type SqlBool, sql } from 'kysely'
import { KilnError } from '../lib/errors.ts'
import { limits } from '../lib/limits.ts'
import { matchesWildcards } from '../lib/wildcards.ts'
import type { Database } from './schema.ts'

export interface Filter {
  name: string
  values: readonly string[]
}

// biome-ignore lint/suspicious/noExplicitAny: joined tables make the builder's own type different in every query.
export type Builder = ExpressionBuilder<Database, any>

/** How one filter is answered: which expression its values are compared with. */
export type FilterRule =
  /** A text column, wildcards allowed. */
  | { column: string }
  /** A text made of columns, wildcards allowed. */
  | { text: (eb: Builder) => Expression<unknown> }
  /** A number or a flag: `true` and `false` are understood. */
  | { number: string }
  /** A time in milliseconds; values are ISO 8601, with a wildcard at the end. */
  | { time: string }
  /** Another table must hold a matching row; `match` compares one column of it, or a text, with the values. */
  | { exists: (eb: Builder, match: Match) => Expression<SqlBool> }
  /** A condition; values are `true` and `false`. */
  | { truth: (eb: Builder) => Expression<SqlBool> }
  /** A value of the whole answer, known without asking: the `virtualization-type` of every image is `hvm`. */
  | { constant: string }
  /** What EC2 has and nothing here: no value of it matches. */
  | { absent: true }
  /** Under the name `tags`: the column that holds the id whose tags `tag:KEY`, `tag-key` and `tag-value` look at. */
  | { tagsOf: string }

export type Match = (operand: string | Expression<unknown>, kind?: 'text' | 'number' | 'time') => Expression<SqlBool>

/** Rules for filters that EC2 documents, about things that no resource of that kind has here. */
export function absent(...names: string[]): FilterRules {
  return Object.fromEntries(names.map((name) => [name, { absent: true }]))
}

/** Rules for filters that look at the same value whatever the resource. */
export function constants(values: Readonly<Record<string, string>>): FilterRules {
  return Object.fromEntries(Object.entries(values).map(([name, constant]) => [name, { constant }]))
}

export type FilterRules = Readonly<Record<string, FilterRule>>

const hasWildcard = (value: string) => /[*?\\]/.test(value)

/** Each `*` multiplies the work that a text can cost the database. */
function checkPattern(value: string): string {
  if (value.split('*').length - 1 <= limits.wildcardsPerValue) return value
  throw new KilnError(
    'InvalidParameterValue',
    `A filter value can have at most ${limits.wildcardsPerValue} wildcards: '${value.slice(0, 100)}'`,
  )
}

/** EC2's wildcards as a LIKE pattern whose escape character is the backslash. */
function likePattern(value: string): string {
  return value.replace(/\\([*?\\])|[%_\\*?]/g, (found, escaped?: string) => {
    if (escaped) return escaped === '\\' ? '\\\\' : escaped
    if (found === '*') return '%'
    if (found === '?') return '_'
    return `\\${found}`
  })
}

function anyText(eb: Builder, operand: string | Expression<unknown>, values: readonly string[]): Expression<SqlBool> {
  const exact = values.filter((value) => !hasWildcard(value))
  const patterns = values.filter(hasWildcard)
  const ref = typeof operand === 'string' ? eb.ref(operand as never) : operand
  return eb.or([
    ...(exact.length > 0 ? [eb(ref as never, 'in', exact as never)] : []),
    ...patterns.map((value) => sql<SqlBool>`${ref} like ${likePattern(checkPattern(value))} escape '\\'`),
  ])
}

function anyNumber(eb: Builder, column: string, values: readonly string[], name: string): Expression<SqlBool> {
  const numbers = values.map((value) => {
    if (value === 'true') return 1
    if (value === 'false') return 0
    if (/^-?\d{1,15}$/.test(value)) return Number(value)
    throw new KilnError('InvalidParameterValue', `Invalid value '${value}' for filter '${name}'`)
  })
  return eb(eb.ref(column as never), 'in', numbers as never)
}

function anyTruth(
  eb: Builder,
  truth: Expression<SqlBool>,
  values: readonly string[],
  name: string,
): Expression<SqlBool> {
  return eb.or(
    values.map((value) => {
      if (value === 'true') return truth
      if (value === 'false') return eb.not(truth)
      throw new KilnError('InvalidParameterValue', `Invalid value '${value}' for filter '${name}': true or false`)
    }),
  )
}

function anyTime(eb: Builder, column: string, values: readonly string[], name: string): Expression<SqlBool> {
  const ref = eb.ref(column as never)
  return eb.or(
    values.map((value) => {
      const [from, to] = timeRange(value, name)
      return eb.and([eb(ref, '>=', from as never), eb(ref, '<=', to as never)])
    }),
  )
}

/** `2026-11-23T08:00:00.000Z` is an instant; `2026-11-2*` is all that begins so. */
function timeRange(value: string, name: string): [fromMs: number, toMs: number] {
  const prefix = value.endsWith('*') ? value.slice(0, -1) : value
  const first = '0000-01-01T00:00:00.000Z'
  const last = '9999-12-31T23:59:59.999Z'
  const from = Date.parse(prefix + first.slice(prefix.length))
  // Filling up with nines may give the 39th of a month: the widest valid end is tried first, then shorter months.
  const to = [last, '9999-12-30T23:59:59.999Z', '9999-12-29T23:59:59.999Z', '9999-12-28T23:59:59.999Z']
    .map((end) => Date.parse(prefix + end.slice(prefix.length)))
    .find((time) => !Number.isNaN(time))
  if (Number.isNaN(from) || to === undefined) {
    throw new KilnError('InvalidParameterValue', `Invalid value '${value}' for filter '${name}': not an ISO 8601 time`)
  }
  return [from, value.endsWith('*') ? to : from + (value.includes('.') ? 0 : 999)]
}

/**
 * The condition that all of the filters hold. Tags are those that `accountId` gave.
 * Throws InvalidParameterValue for a filter that the operation has not.
 */
export function filterCondition(
  eb: Builder,
  rules: FilterRules,
  filters: readonly Filter[],
  accountId: string,
): Expression<SqlBool> {
  return eb.and(filters.map((filter) => oneFilter(eb, rules, filter, accountId)))
}

function oneFilter(eb: Builder, rules: FilterRules, filter: Filter, accountId: string): Expression<SqlBool> {
  const { name, values } = filter
  if (rules.tags && isTagFilter(name)) return tagCondition(eb, rules.tags, filter, accountId)
  const rule = Object.hasOwn(rules, name) ? rules[name] : undefined
  if (!rule || 'tagsOf' in rule) throw new KilnError('InvalidParameterValue', `The filter '${name}' is invalid`)
  if ('constant' in rule) return sql<SqlBool>`${values.some((v) => matchesWildcards(v, rule.constant)) ? 1 : 0} = 1`
  if ('column' in rule) return anyText(eb, rule.column, values)
  if ('text' in rule) return anyText(eb, rule.text(eb), values)
  if ('truth' in rule) return anyTruth(eb, rule.truth(eb), values, name)
  if ('number' in rule) return anyNumber(eb, rule.number, values, name)
  if ('time' in rule) return anyTime(eb, rule.time, values, name)
  if ('absent' in rule) return sql<SqlBool>`1 = 0`
  return rule.exists(eb, (operand, kind = 'text') => {
    if (kind === 'text' || typeof operand !== 'string') return anyText(eb, operand, values)
    return kind === 'number' ? anyNumber(eb, operand, values, name) : anyTime(eb, operand, values, name)
  })
}

const isTagFilter = (name: string) => name === 'tag-key' || name === 'tag-value' || name.startsWith('tag:')

/** `tag:KEY`, `tag-key` and `tag-value`. */
function tagCondition(eb: Builder, rule: FilterRule, { name, values }: Filter, accountId: string): Expression<SqlBool> {
  if (!('tagsOf' in rule)) throw new Error('the rule named tags must say whose tags')
  const tags = eb
    .selectFrom('tags as t')
    .select('t.key')
    .whereRef('t.resourceId', '=', rule.tagsOf as never)
    .where('t.accountId', '=', accountId)
  if (name === 'tag-key') return eb.exists(tags.where(anyText(eb, 't.key', values)))
  if (name === 'tag-value') return eb.exists(tags.where(anyText(eb, 't.value', values)))
  return eb.exists(tags.where('t.key', '=', name.slice('tag:'.length)).where(anyText(eb, 't.value', values)))
}
