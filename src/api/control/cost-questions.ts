/** What a control request asks of costs, read from its JSON; whatever is wrong is named by its path. */
import type { CostDimension, CostFilter, CostQuery, Granularity } from '../../cloud/metering/cost-query.ts'
import { KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import { parseUtc, startOfMonth, utcTimeForms } from '../../lib/utc-times.ts'

const dimensions = [
  ...['account', 'region', 'service', 'usage-type', 'product-family', 'instance-type'],
  ...['resource', 'resource-kind', 'image'],
]
const granularities: readonly Granularity[] = ['hour', 'day', 'month', 'total']
const members = ['from', 'to', 'granularity', 'groupBy', 'accounts', 'filter', 'withResources']
const periodSeconds = { hour: 3600, day: 86_400, month: 28 * 86_400, total: Number.POSITIVE_INFINITY }

export interface CostQuestion {
  query: CostQuery
  /** What is known of the resources is wanted as well, where resources are grouped by. */
  withResources: boolean
}

/** Without `from` and `to` the month in which `nowS` lies. Throws InvalidParameterValue. */
export function costQuestionOf(body: Buffer, nowS: number): CostQuestion {
  const asked = objectAt(jsonOf(body), 'the body', members)
  const fromS = timeAt(asked.from, 'from') ?? startOfMonth(nowS)
  const toS = timeAt(asked.to, 'to') ?? startOfMonth(Math.max(nowS, fromS), 1)
  if (toS <= fromS) throw wrong('to', 'is not after from')
  const granularity = oneOf(asked.granularity ?? 'total', 'granularity', granularities)
  if ((toS - fromS) / periodSeconds[granularity] > limits.costPeriods) {
    throw wrong('granularity', `makes more than ${limits.costPeriods} periods of that time`)
  }
  const groupBy = listAt(asked.groupBy ?? [], 'groupBy', limits.costDimensions).map((value, index) =>
    dimensionAt(value, `groupBy[${index}]`),
  )
  return {
    query: {
      ...{ fromS, toS, granularity, groupBy, filter: filterAt(asked.filter, 'filter', 0) },
      accountIds: asked.accounts === undefined ? undefined : accountsAt(asked.accounts),
    },
    withResources: booleanAt(asked.withResources ?? false, 'withResources'),
  }
}

/** A JSON object with no other members than those. */
export function objectAt(value: unknown, path: string, known: readonly string[]): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(path, 'is not an object')
  const stranger = Object.keys(value).find((name) => !known.includes(name))
  if (stranger !== undefined) throw wrong(stranger, `is not known in ${path}; known are ${known.join(', ')}`)
  return value as Record<string, unknown>
}

export function jsonOf(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString())
  } catch {
    throw wrong('the body', 'is not JSON')
  }
}

export function listAt(value: unknown, path: string, most: number): unknown[] {
  if (!Array.isArray(value)) throw wrong(path, 'is not a list')
  if (value.length > most) throw wrong(path, `has ${value.length} items, at most ${most} are allowed`)
  return value
}

export function textAt(value: unknown, path: string): string {
  if (typeof value === 'string' && value.length <= limits.tagValueLength) return value
  throw wrong(path, `is not a text of at most ${limits.tagValueLength} characters`)
}

export function wrong(path: string, message: string): KilnError {
  return new KilnError('InvalidParameterValue', `${path} ${message}`)
}

function timeAt(value: unknown, path: string): number | undefined {
  if (value === undefined) return undefined
  const timeS = parseUtc(textAt(value, path))
  if (timeS === undefined) throw wrong(path, `is ${utcTimeForms}`)
  return timeS
}

function oneOf<T extends string>(value: unknown, path: string, known: readonly T[]): T {
  if (known.includes(value as T)) return value as T
  throw wrong(path, `is one of ${known.join(', ')}`)
}

function booleanAt(value: unknown, path: string): boolean {
  if (typeof value === 'boolean') return value
  throw wrong(path, 'is true or false')
}

function dimensionAt(value: unknown, path: string): CostDimension {
  const text = textAt(value, path)
  if (dimensions.includes(text) || (text.startsWith('tag:') && text.length > 4)) return text as CostDimension
  throw wrong(path, `is one of ${dimensions.join(', ')}, tag:KEY`)
}

function accountsAt(value: unknown): string[] {
  return listAt(value, 'accounts', limits.costValues).map((account, index) => {
    if (/^\d{12}$/.test(textAt(account, `accounts[${index}]`))) return account as string
    throw wrong(`accounts[${index}]`, 'is not an account of 12 digits')
  })
}

function filterAt(value: unknown, path: string, depth: number): CostFilter | undefined {
  if (value === undefined) return undefined
  if (depth > limits.costFilterDepth) throw wrong(path, `is nested deeper than ${limits.costFilterDepth}`)
  const filter = objectAt(value, path, ['all', 'any', 'not', 'dimension', 'values', 'isAbsent'])
  const parts = (name: 'all' | 'any') =>
    listAt(filter[name], `${path}.${name}`, limits.costValues).map(
      (part, index) => filterAt(part, `${path}.${name}[${index}]`, depth + 1)!,
    )
  if (filter.all !== undefined) return { all: parts('all') }
  if (filter.any !== undefined) return { any: parts('any') }
  if (filter.not !== undefined) return { not: filterAt(filter.not, `${path}.not`, depth + 1)! }
  return {
    dimension: dimensionAt(filter.dimension, `${path}.dimension`),
    values: listAt(filter.values ?? [], `${path}.values`, limits.costValues).map((one, index) =>
      textAt(one, `${path}.values[${index}]`),
    ),
    isAbsent: booleanAt(filter.isAbsent ?? false, `${path}.isAbsent`),
  }
}
