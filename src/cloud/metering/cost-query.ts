/** What costs can be asked for: a window of time, in periods, in groups, narrowed by a filter. */

import { startOfMonth } from '../../lib/utc-times.ts'
import { billedService } from '../../prices/billed-services.ts'
import { awsUsageType } from '../../prices/billing-codes.ts'
import { type UsageTypeFacts, usageTypeFacts } from '../../prices/usage-types.ts'
import type { UsageResource } from '../../state/usage/usage.ts'
import { dayOf, daySeconds } from '../../state/usage/usage-time.ts'

/** A `tag:KEY` is the value of that tag, as it is or was last. Values that are not known are the empty text. */
export type CostDimension =
  | 'account'
  | 'region'
  | 'service'
  | 'usage-type'
  | 'product-family'
  | 'instance-type'
  | 'resource'
  | 'resource-kind'
  | 'image'
  /** Service and usage type as AWS's bills write them: `EC2 - Other`, `EU-EBS:VolumeUsage.gp3`. */
  | 'billed-service'
  | 'billed-usage-type'
  /** `Usage`: there are no taxes, credits and fees. */
  | 'record-type'
  /** The keys of all its tags, in order, as a JSON list. */
  | 'tag-keys'
  | `tag:${string}`

export type Granularity = 'hour' | 'day' | 'month' | 'total'

export type CostFilter =
  | { all: readonly CostFilter[] }
  | { any: readonly CostFilter[] }
  | { not: CostFilter }
  /** One of the values; with `isAbsent` it has none. */
  | { dimension: CostDimension; values: readonly string[]; isAbsent?: boolean }

export interface CostQuery {
  /** Seconds since the epoch; `toS` is excluded. */
  fromS: number
  toS: number
  granularity: Granularity
  groupBy: readonly CostDimension[]
  filter?: CostFilter
  /** Whose; everybody's when absent. */
  accountIds?: readonly string[]
}

/** What usage is asked about. Days know no resources. */
export interface UsageFacts {
  accountId: string
  region: string
  usageType: string
  resourceId?: string
  resource?: UsageResource
  imageId?: string | null
}

const byResource: ReadonlySet<CostDimension> = new Set(['resource', 'resource-kind', 'image', 'tag-keys'])

export const knowsResources = (dimension: CostDimension): boolean =>
  byResource.has(dimension) || dimension.startsWith('tag:')

export function dimensionsOf(filter: CostFilter | undefined): CostDimension[] {
  if (!filter) return []
  if ('all' in filter) return filter.all.flatMap(dimensionsOf)
  if ('any' in filter) return filter.any.flatMap(dimensionsOf)
  return 'not' in filter ? dimensionsOf(filter.not) : [filter.dimension]
}

const factOf = (usageType: string, pick: (facts: UsageTypeFacts) => string | null) => {
  const facts = usageTypeFacts(usageType)
  return (facts && pick(facts)) ?? ''
}

export function dimensionValue(dimension: CostDimension, facts: UsageFacts): string {
  switch (dimension) {
    case 'account':
      return facts.accountId
    case 'region':
      return facts.region
    case 'usage-type':
      return facts.usageType
    case 'service':
      return factOf(facts.usageType, ({ service }) => service)
    case 'product-family':
      return factOf(facts.usageType, ({ productFamily }) => productFamily)
    case 'instance-type':
      return /^(?:BoxUsage|SpotUsage|InstanceTime\.[a-z-]+):(.+)$/.exec(facts.usageType)?.[1] ?? ''
    case 'resource':
      return facts.resourceId ?? ''
    case 'resource-kind':
      return facts.resource?.kind ?? ''
    case 'image':
      return facts.imageId ?? ''
    case 'billed-service':
      return billedService(facts.usageType) ?? ''
    case 'billed-usage-type':
      return awsUsageType(facts.usageType, facts.region)
    case 'record-type':
      return 'Usage'
    case 'tag-keys':
      return keysText(facts.resource?.tags ?? {})
    default:
      return tagValue(facts.resource?.tags ?? {}, dimension.slice('tag:'.length))
  }
}

/** Keys are anybody's words, such as `constructor`. */
const tagValue = (tags: Readonly<Record<string, string>>, key: string): string =>
  Object.hasOwn(tags, key) ? tags[key]! : ''

function keysText(tags: Readonly<Record<string, string>>): string {
  const keys = Object.keys(tags).sort()
  return keys.length === 0 ? '' : JSON.stringify(keys)
}

export function passes(filter: CostFilter | undefined, facts: UsageFacts): boolean {
  if (!filter) return true
  if ('all' in filter) return filter.all.every((part) => passes(part, facts))
  if ('any' in filter) return filter.any.some((part) => passes(part, facts))
  if ('not' in filter) return !passes(filter.not, facts)
  const value = dimensionValue(filter.dimension, facts)
  return filter.isAbsent ? value === '' : filter.values.includes(value)
}

/** A stretch of time within one period and one calendar month: prices are for a month. */
export interface Stretch {
  fromS: number
  toS: number
  /** Index into the periods. */
  period: number
  /** As `2026-11`. */
  month: string
}

export interface Period {
  fromS: number
  toS: number
}

export function periodsOf({ fromS, toS, granularity }: CostQuery): Period[] {
  const periods: Period[] = []
  for (let at = fromS; at < toS; ) {
    const end = Math.min(toS, granularity === 'total' ? toS : nextOf(at, granularity))
    periods.push({ fromS: at, toS: end })
    at = end
  }
  return periods
}

/** The periods, cut where months begin. */
export function stretchesOf(periods: readonly Period[]): Stretch[] {
  return periods.flatMap(({ fromS, toS }, period) => {
    const stretches: Stretch[] = []
    for (let at = fromS; at < toS; ) {
      const end = Math.min(toS, nextOf(at, 'month'))
      stretches.push({ fromS: at, toS: end, period, month: monthOf(at) })
      at = end
    }
    return stretches
  })
}

export const monthOf = (timeS: number): string => new Date(timeS * 1000).toISOString().slice(0, 7)

export const isStartOfDay = (timeS: number): boolean => timeS % daySeconds === 0

function nextOf(timeS: number, granularity: 'hour' | 'day' | 'month'): number {
  if (granularity === 'hour') return (Math.floor(timeS / 3600) + 1) * 3600
  if (granularity === 'day') return (dayOf(timeS) + 1) * daySeconds
  return startOfMonth(timeS, 1)
}
