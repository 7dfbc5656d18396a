/** What was used costs: usage rated by the price sheet, in the groups and periods that were asked for. */
import type { UsageAmount } from '../../prices/amounts.ts'
import type { Exact } from '../../prices/money.ts'
import { type RatedLine, rate, totalOf, type UnpricedUsage } from '../../prices/rating.ts'
import type { PriceSheet } from '../../prices/sheet.ts'
import type { UsageDay, UsageRecord, UsageResource } from '../../state/usage/usage.ts'
import { countedWithin, dayOf, daySeconds } from '../../state/usage/usage-time.ts'
import type { CloudDeps } from '../deps.ts'
import {
  type CostDimension,
  type CostQuery,
  dimensionsOf,
  dimensionValue,
  isStartOfDay,
  knowsResources,
  type Period,
  passes,
  periodsOf,
  type Stretch,
  stretchesOf,
  type UsageFacts,
} from './cost-query.ts'

export interface CostGroup {
  period: Period
  /** Values of the dimensions that were grouped by, in their order. */
  keys: readonly string[]
  cost: Exact
  /** A line for each usage type, region and month. */
  lines: readonly RatedLine[]
  unpriced: readonly UnpricedUsage[]
  /** Something of it ended at a time that is only estimated. */
  isEstimated: boolean
}

export interface CostReport {
  currency: string
  /** Up to when it was counted; in the time to come for a forecast. Seconds since the epoch. */
  asOfS: number
  periods: readonly Period[]
  /** By period, then by keys. */
  groups: readonly CostGroup[]
  total: Exact
}

type Amounts = Map<string, UsageAmount>
interface Bucket {
  period: number
  keys: string[]
  amounts: Amounts
  isEstimated: boolean
}

export class Costs {
  readonly #deps: Pick<CloudDeps, 'state' | 'clock' | 'prices'>

  constructor(deps: Pick<CloudDeps, 'state' | 'clock' | 'prices'>) {
    this.#deps = deps
  }

  get sheet(): PriceSheet {
    return this.#deps.prices
  }

  nowS(): number {
    return Math.floor(this.#deps.clock.now() / 1000)
  }

  /**
   * With `asOfS` in the time to come: what it will have cost by then if everything that runs goes on as it is. Questions
   * about resources, and windows that do not begin and end with days, are answered from events; others from days.
   */
  async report(query: CostQuery, asOfS = this.nowS()): Promise<CostReport> {
    const periods = periodsOf(query)
    const dimensions = [...query.groupBy, ...dimensionsOf(query.filter)]
    const isWhole = isStartOfDay(query.fromS) && (isStartOfDay(query.toS) || query.toS > asOfS)
    const fromDays = isWhole && query.granularity !== 'hour' && !dimensions.some(knowsResources)
    const buckets = fromDays
      ? await this.#fromDays(query, periods, asOfS)
      : await this.#fromRecords(query, periods, asOfS)
    const groups = buckets
      .map((bucket) => this.#group(bucket, periods))
      .sort((a, b) => a.period.fromS - b.period.fromS || compareKeys(a.keys, b.keys))
    const { currency } = this.sheet.head
    return { currency, asOfS, periods, groups, total: totalOf(groups.flatMap(({ lines }) => lines)) }
  }

  /** So far, and what it will have been at the end of the window if everything that runs goes on as it is. */
  async forecast(query: CostQuery): Promise<{ soFar: CostReport; atEnd: CostReport }> {
    const nowS = this.nowS()
    return { soFar: await this.report(query, nowS), atEnd: await this.report(query, Math.max(nowS, query.toS)) }
  }

  /** What is known of resources that something was charged for, by their ids. */
  resources(ids: readonly string[]): Promise<Map<string, UsageResource>> {
    return this.#deps.state.usage.resources(ids)
  }

  #group({ period, keys, amounts, isEstimated }: Bucket, periods: readonly Period[]): CostGroup {
    const { lines, unpriced } = rate(amounts.values(), this.sheet)
    return { period: periods[period]!, keys, cost: totalOf(lines), lines, unpriced, isEstimated }
  }

  async #fromDays(query: CostQuery, periods: readonly Period[], asOfS: number): Promise<Bucket[]> {
    const { accountIds, groupBy, filter } = query
    const [fromDay, toDay] = [dayOf(query.fromS), Math.ceil(query.toS / daySeconds)]
    const roundings = new Map<string, 'none' | 'second' | 'hour'>()
    const regions = [...this.sheet.prices.keys()]
    // Some region's sheet may round where another's does not: the finest is looked up.
    const roundingOf = (usageType: string) => {
      const known = roundings.get(usageType)
      if (known) return known
      const all = regions.map((region) => this.sheet.priceOf(usageType, region)?.rounding ?? 'none')
      const rounding = all.includes('hour') ? 'hour' : all.includes('second') ? 'second' : 'none'
      roundings.set(usageType, rounding)
      return rounding
    }
    const days = await this.#deps.state.usage.days({ accountIds, fromDay, toDay }, asOfS, roundingOf)
    const stretches = stretchesOf(periods)
    const sums = new Buckets(groupBy)
    for (const day of days) {
      if (!passes(filter, day)) continue
      const stretch = stretchAt(stretches, day.day * daySeconds)
      if (stretch) sums.add(day, stretch, day)
    }
    // Days do not tell what of them is estimated.
    for (const record of await this.#deps.state.usage.estimated(query)) {
      if (passes(filter, record)) addRecord(sums, stretches, { ...record, quantity: 0 }, record)
    }
    return sums.list()
  }

  async #fromRecords(query: CostQuery, periods: readonly Period[], asOfS: number): Promise<Bucket[]> {
    const { groupBy, filter, accountIds, fromS, toS } = query
    const needsResources = [...groupBy, ...dimensionsOf(filter)].some(knowsResources)
    const stretches = stretchesOf(periods)
    const sums = new Buckets(groupBy)
    const add = async (records: readonly UsageRecord[]) => {
      const resources = needsResources ? await this.#resourcesOf(records, groupBy, query) : new Map()
      for (const record of records) {
        const facts: UsageFacts = { ...record, ...resources.get(record.resourceId) }
        if (passes(filter, facts)) addRecord(sums, stretches, record, facts)
      }
    }
    let page: UsageRecord[] = []
    for await (const record of this.#deps.state.usage.records({ accountIds, fromS, toS }, asOfS)) {
      page.push(record)
      if (page.length < recordsPerPage) continue
      await add(page)
      page = []
    }
    await add(page)
    return sums.list()
  }

  async #resourcesOf(records: readonly UsageRecord[], groupBy: readonly CostDimension[], { filter }: CostQuery) {
    const { state } = this.#deps
    const ids = [...new Set(records.map(({ resourceId }) => resourceId))]
    const resources = await state.usage.resources(ids)
    const byImage = [...groupBy, ...dimensionsOf(filter)].includes('image')
    const facts = new Map<string, { resource: UsageResource; imageId: string | null }>()
    for (const [id, resource] of resources) {
      // A snapshot is the image's that is made of it.
      const image = byImage && resource.kind === 'snapshot' ? (await state.images.usingSnapshot(id))[0] : undefined
      facts.set(id, { resource, imageId: resource.imageId ?? image ?? null })
    }
    return facts
  }
}

const recordsPerPage = 5000

type CountedRecord = Pick<UsageRecord, 'span' | 'quantity' | 'amount' | 'isEstimated'>

function addRecord(sums: Buckets, stretches: readonly Stretch[], record: CountedRecord, facts: UsageFacts): void {
  const { span, quantity, amount, isEstimated } = record
  for (let at = firstReaching(stretches, span.fromS); at < stretches.length; at++) {
    const stretch = stretches[at]!
    if (stretch.fromS > span.toS) return
    if (amount !== null) {
      sums.add(facts, stretch, { exact: amount, bySecond: amount, byHour: amount }, isEstimated)
      return
    }
    const { exact, bySecond, byHour } = countedWithin(span, stretch)
    if (exact === 0 && bySecond === 0 && byHour === 0) continue
    const times = (seconds: number) => BigInt(quantity) * BigInt(seconds)
    sums.add(facts, stretch, { exact: times(exact), bySecond: times(bySecond), byHour: times(byHour) }, isEstimated)
  }
}

/** The index of the first stretch that ends after that time. */
function firstReaching(stretches: readonly Stretch[], timeS: number): number {
  let [low, high] = [0, stretches.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (stretches[middle]!.toS > timeS) high = middle
    else low = middle + 1
  }
  return low
}

function stretchAt(stretches: readonly Stretch[], timeS: number): Stretch | undefined {
  const stretch = stretches[firstReaching(stretches, timeS)]
  return stretch && stretch.fromS <= timeS ? stretch : undefined
}

class Buckets {
  readonly #groupBy: readonly CostDimension[]
  readonly #buckets = new Map<string, Bucket>()

  constructor(groupBy: readonly CostDimension[]) {
    this.#groupBy = groupBy
  }

  add(
    facts: UsageFacts,
    { period, month }: Stretch,
    { exact, bySecond, byHour }: Pick<UsageDay, 'exact' | 'bySecond' | 'byHour'>,
    isEstimated = false,
  ): void {
    const keys = this.#groupBy.map((dimension) => dimensionValue(dimension, facts))
    const name = JSON.stringify([period, ...keys])
    const bucket = this.#buckets.get(name) ?? { period, keys, amounts: new Map(), isEstimated: false }
    this.#buckets.set(name, bucket)
    bucket.isEstimated ||= isEstimated
    const { usageType, region } = facts
    const place = `${usageType} ${region} ${month}`
    const sum = bucket.amounts.get(place)
    if (!sum) {
      bucket.amounts.set(place, { usageType, region, month, exact, bySecond, byHour })
      return
    }
    sum.exact += exact
    sum.bySecond += bySecond
    sum.byHour += byHour
  }

  list(): Bucket[] {
    return [...this.#buckets.values()]
  }
}

function compareKeys(a: readonly string[], b: readonly string[]): number {
  for (const [index, key] of a.entries()) {
    if (key !== b[index]) return key < b[index]! ? -1 : 1
  }
  return 0
}
