/**
 * Filters and pages over lists that are known without the state: regions, zones, instance types. They behave as those
 * that the state answers in SQL.
 */
import { KilnError } from '../../../lib/errors.ts'
import { matchesWildcards } from '../../../lib/wildcards.ts'
import type { Filter } from './filters.ts'
import type { PageRequest } from './pagination.ts'

type Comparable = string | number | boolean | undefined

/**
 * What a filter of that name looks at: one value, or several of which any may match. `tag:*` stands for any key's, and is
 * told which.
 */
export type ListedRules<Item> = Readonly<
  Record<string, (item: Item, key: string) => Comparable | readonly Comparable[]>
>

/** The items that all of the filters let through. Throws `InvalidParameterValue` for a filter that the list has not. */
export function filtered<Item>(items: readonly Item[], rules: ListedRules<Item>, filters: readonly Filter[]): Item[] {
  const checks = filters.map(({ name, values }) => {
    const rule = name.startsWith('tag:') ? 'tag:*' : name
    if (!Object.hasOwn(rules, rule)) throw new KilnError('InvalidParameterValue', `The filter '${name}' is invalid`)
    return { valuesOf: rules[rule]!, patterns: values, key: name.slice('tag:'.length) }
  })
  return items.filter((item) =>
    checks.every(({ valuesOf, patterns, key }) => {
      const values = [valuesOf(item, key)].flat().filter((value) => value !== undefined)
      return values.some((value) => patterns.some((pattern) => matchesWildcards(pattern, String(value))))
    }),
  )
}

/** The items that were asked for by key, or all when none was. Throws `unknown` for keys that the list has not. */
export function askedFor<Item>(
  items: readonly Item[],
  keyOf: (item: Item) => string,
  keys: readonly string[] | undefined,
  unknown: (key: string) => KilnError,
): Item[] {
  if (!keys?.length) return [...items]
  const asked = new Set(keys)
  const found = items.filter((item) => asked.delete(keyOf(item)))
  for (const key of asked) throw unknown(key)
  return found
}

/** One page of a list in the order of its keys, which are unique. */
export function pageOf<Item>(
  items: readonly Item[],
  keyOf: (item: Item) => string,
  page: PageRequest,
): { items: Item[]; next: string | null } {
  const keyed = items.map((item) => ({ key: keyOf(item), item })).sort((a, b) => (a.key < b.key ? -1 : 1))
  const { after, limit } = page
  const rest = after === undefined ? keyed : keyed.filter(({ key }) => key > after)
  const taken = rest.slice(0, limit)
  return { items: taken.map(({ item }) => item), next: rest.length > limit ? taken.at(-1)!.key : null }
}
