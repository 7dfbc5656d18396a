/**
 * Reads what was used, in two ways that come to the same: days, which are few, and the events and running meters
 * themselves, which know each resource.
 */
import type { Db } from '../database.ts'
import type { UsageResourcesTable } from '../schema/usage.ts'
import { type Counted, dayOf, minimumSeconds, roundingAtEnd, type Span, secondsByDay } from './usage-time.ts'

export interface UsageQuery {
  /** All of them when absent. */
  accountIds?: readonly string[]
  regions?: readonly string[]
  usageTypes?: readonly string[]
}

/** Amounts in quantity times seconds, or for what does not last in the quantity itself. */
export interface UsageDay {
  accountId: string
  region: string
  usageType: string
  /** Days since the epoch (UTC). */
  day: number
  exact: bigint
  bySecond: bigint
  byHour: bigint
}

/** Which of the amounts a price is for: see {@link UsageReader.days}. */
export type RoundingName = 'none' | 'second' | 'hour'

/** One event, or a meter that runs, up to now. */
export interface UsageRecord {
  resourceId: string
  accountId: string
  region: string
  usageType: string
  quantity: number
  span: Span
  /** Of what does not last. */
  amount: bigint | null
  isEstimated: boolean
  isRunning: boolean
}

export type UsageResource = Omit<UsageResourcesTable, 'tags'> & { tags: Record<string, string> }

const rowsPerPage = 5000
const idsPerStatement = 500

export class UsageReader {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  /**
   * What was used on the days from `fromDay` to `toDay` (excluded), up to now. `roundingOf` says which of the amounts of a
   * usage type matters: only for those that are rounded the minutes and hours that have just begun are looked up. With a
   * time to come for `nowS` it is what will have been used if everything goes on as it is.
   */
  async days(
    query: UsageQuery & { fromDay: number; toDay: number },
    nowS: number,
    roundingOf: (usageType: string) => RoundingName,
  ): Promise<UsageDay[]> {
    const days = new DaySums(query.fromDay, query.toDay)
    const rows = await this.#places(this.#db.selectFrom('usageDays').selectAll(), query)
      .where('day', '>=', days.fromDay)
      .where('day', '<', days.toDay)
      .execute()
    for (const row of rows) {
      days.add(row, { exact: BigInt(row.exact), bySecond: BigInt(row.bySecond), byHour: BigInt(row.byHour) })
    }
    const levels = await this.#places(this.#db.selectFrom('usageLevels').selectAll(), query).execute()
    for (const level of levels) {
      const quantity = BigInt(level.quantity)
      for (const [day, seconds] of secondsByDay(level.atS, nowS)) {
        const amount = quantity * BigInt(seconds)
        days.add({ ...level, day }, { exact: amount, bySecond: amount, byHour: amount })
      }
    }
    const usageTypes = [...new Set(levels.map(({ usageType }) => usageType))]
    const of = (name: RoundingName) => ({
      ...query,
      usageTypes: usageTypes.filter((type) => roundingOf(type) === name),
    })
    if (days.toDay > dayOf(nowS)) {
      await this.#addRoundings(of('hour'), nowS, days)
      await this.#addRoundings({ ...of('second'), begunAfterS: nowS - minimumSeconds }, nowS, days)
    }
    return days.list()
  }

  /** Until a run ends its last hour is taken for whole, as if it lasted: here it is counted as it is now. */
  async #addRoundings(query: UsageQuery & { begunAfterS?: number }, nowS: number, days: DaySums): Promise<void> {
    for await (const { span, quantity, ...place } of this.#running(query, nowS)) {
      for (const [day, { bySecond, byHour }] of roundingAtEnd(span)) {
        const times = (seconds: number) => BigInt(quantity) * BigInt(seconds)
        days.add({ ...place, day }, { exact: 0n, bySecond: times(bySecond), byHour: times(byHour) })
      }
    }
  }

  /**
   * What was used from `fromS` to `toS` (excluded), event by event and meter by meter, whole: the caller counts what falls
   * into its window. In no order.
   */
  async *records(
    query: UsageQuery & { fromS: number; toS: number; resourceIds?: readonly string[] },
    nowS: number,
  ): AsyncGenerator<UsageRecord> {
    for (let after = 0; ; ) {
      let page = this.#places(this.#db.selectFrom('usageEvents').selectAll(), query)
        .where('seq', '>', after)
        .where('toS', '>=', query.fromS)
        .where('fromS', '<', query.toS)
      if (query.resourceIds) page = page.where('resourceId', 'in', [...query.resourceIds])
      const rows = await page.orderBy('seq').limit(rowsPerPage).execute()
      for (const { fromS, toS, runBeforeS, amount, isEstimated, seq: _, ...event } of rows) {
        const about = { amount: amount === null ? null : BigInt(amount), isEstimated: isEstimated === 1 }
        yield { ...event, ...about, span: { fromS, toS, runBeforeS }, isRunning: false }
      }
      if (rows.length < rowsPerPage) break
      after = rows.at(-1)!.seq
    }
    for await (const record of this.#running(query, nowS)) {
      if (record.span.fromS >= query.toS) continue
      yield { ...record, amount: null, isEstimated: false, isRunning: true }
    }
  }

  async *#running(
    query: UsageQuery & { resourceIds?: readonly string[]; begunAfterS?: number },
    nowS: number,
  ): AsyncGenerator<Omit<UsageRecord, 'amount' | 'isEstimated' | 'isRunning'>> {
    if (query.usageTypes?.length === 0) return
    let after = { resourceId: '', usageType: '' }
    for (;;) {
      let page = this.#places(this.#db.selectFrom('usageMeters').selectAll(), query).where((eb) =>
        eb.or([
          eb('resourceId', '>', after.resourceId),
          eb.and([eb('resourceId', '=', after.resourceId), eb('usageType', '>', after.usageType)]),
        ]),
      )
      if (query.resourceIds) page = page.where('resourceId', 'in', [...query.resourceIds])
      if (query.begunAfterS !== undefined) page = page.where('fromS', '>', query.begunAfterS)
      const rows = await page.orderBy('resourceId').orderBy('usageType').limit(rowsPerPage).execute()
      for (const { fromS, runBeforeS, ...meter } of rows) {
        yield { ...meter, span: { fromS, toS: Math.max(fromS, nowS), runBeforeS } }
      }
      if (rows.length < rowsPerPage) return
      after = rows.at(-1)!
    }
  }

  /** Events from `fromS` to `toS` (excluded) whose end is only estimated. There are few. */
  async estimated(query: UsageQuery & { fromS: number; toS: number }): Promise<Omit<UsageRecord, 'resourceId'>[]> {
    const rows = await this.#places(
      this.#db.selectFrom('usageEvents').select(['accountId', 'region', 'usageType', 'quantity']),
      query,
    )
      .select(['fromS', 'toS', 'runBeforeS'])
      .where('isEstimated', '=', 1)
      .where('toS', '>=', query.fromS)
      .where('fromS', '<', query.toS)
      .execute()
    return rows.map(({ fromS, toS, runBeforeS, ...event }) => ({
      ...{ ...event, span: { fromS, toS, runBeforeS }, amount: null, isEstimated: true, isRunning: false },
    }))
  }

  /** What is used at this moment: account, region, usage type and quantity. */
  async levels(
    query: UsageQuery,
  ): Promise<{ accountId: string; region: string; usageType: string; quantity: bigint }[]> {
    const rows = await this.#places(this.#db.selectFrom('usageLevels').selectAll(), query).execute()
    return rows.map(({ accountId, region, usageType, quantity }) => ({
      ...{ accountId, region, usageType, quantity: BigInt(quantity) },
    }))
  }

  async resources(ids: readonly string[]): Promise<Map<string, UsageResource>> {
    const found = new Map<string, UsageResource>()
    for (let at = 0; at < ids.length; at += idsPerStatement) {
      const rows = await this.#db
        .selectFrom('usageResources')
        .selectAll()
        .where('resourceId', 'in', ids.slice(at, at + idsPerStatement))
        .execute()
      for (const row of rows) found.set(row.resourceId, { ...row, tags: JSON.parse(row.tags) })
    }
    return found
  }

  /** The first day of which anything is known; null when nothing was ever used. */
  async firstDay(): Promise<number | null> {
    const day = await this.#db
      .selectFrom('usageDays')
      .select((eb) => eb.fn.min('day').as('day'))
      .executeTakeFirst()
    const level = await this.#db
      .selectFrom('usageLevels')
      .select((eb) => eb.fn.min('atS').as('atS'))
      .executeTakeFirst()
    const known = [day?.day, level?.atS == null ? null : dayOf(level.atS)].filter((at) => at != null)
    return known.length === 0 ? null : Math.min(...known)
  }

  // biome-ignore lint/suspicious/noExplicitAny: the three tables have these columns in common, which Kysely cannot say.
  #places<Query extends { where(column: any, operator: any, value: any): any }>(
    query: Query,
    { accountIds, regions, usageTypes }: UsageQuery,
  ): Query {
    let narrowed = query
    if (accountIds) narrowed = narrowed.where('accountId', 'in', [...accountIds])
    if (regions) narrowed = narrowed.where('region', 'in', [...regions])
    if (usageTypes) narrowed = narrowed.where('usageType', 'in', [...usageTypes])
    return narrowed
  }
}

/** Amounts by account, region, usage type and day, within a window of days. */
class DaySums {
  readonly fromDay: number
  readonly toDay: number
  readonly #sums = new Map<string, UsageDay>()

  constructor(fromDay: number, toDay: number) {
    this.fromDay = fromDay
    this.toDay = toDay
  }

  add(place: Omit<UsageDay, keyof Counted>, amounts: { [Way in keyof Counted]: bigint }): void {
    const { accountId, region, usageType, day } = place
    if (day < this.fromDay || day >= this.toDay) return
    const key = `${day} ${accountId} ${region} ${usageType}`
    const sum = this.#sums.get(key) ?? { accountId, region, usageType, day, exact: 0n, bySecond: 0n, byHour: 0n }
    sum.exact += amounts.exact
    sum.bySecond += amounts.bySecond
    sum.byHour += amounts.byHour
    this.#sums.set(key, sum)
  }

  list(): UsageDay[] {
    return [...this.#sums.values()].filter(({ exact, bySecond, byHour }) => exact || bySecond || byHour)
  }
}
