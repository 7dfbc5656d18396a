/**
 * Writes down what is used, in the transaction of the change that makes it so.
 *
 * A meter runs for each usage type of each resource; when it ends or its quantity changes, an event is appended. Beside
 * the events, and in the same transaction, the days of each account, region and usage type are kept: a level (how much
 * is used at once) turns into amounts as time goes on, and what roundings add is written when a run begins, and put right
 * when it ends. So each change costs the same however much there is, and a month is read from a few hundred rows.
 */
import type { Db } from '../database.ts'
import type { UsageMetersTable, UsageResourcesTable } from '../schema/usage.ts'
import { registerResources } from './usage-resources.ts'
import {
  type Counted,
  dayOf,
  type Rounding,
  roundingAtEnd,
  roundingAtStart,
  type Span,
  secondsByDay,
} from './usage-time.ts'

/** What one resource uses from now on, and all of it: usage types with their quantities. */
export interface Usage {
  resource: Omit<UsageResourcesTable, 'tags'>
  meters: ReadonlyMap<string, number>
}

/** When that began, if it is not now: seconds since the epoch, and whether that is only the last time it was seen. */
export interface UsageEnd {
  atS: number
  isEstimated: boolean
}

/** What is charged for longer than it lasts: a meter that ends before `seconds` is followed by the rest, once. */
export type MinimumTimes = Readonly<Record<string, { seconds: number; usageType: string }>>

type Meter = UsageMetersTable
type Amounts = { [Way in keyof Counted]: bigint }

interface Place {
  accountId: string
  region: string
  usageType: string
}

const idsPerStatement = 500

export class UsageWriter {
  readonly #db: Db
  readonly #nowS: number
  readonly #minimumTimes: MinimumTimes
  /** Of this batch: what levels change by, and what days get. */
  readonly #levels = new Map<string, Place & { change: bigint }>()
  readonly #days = new Map<string, Place & { day: number; amounts: Amounts }>()
  readonly #begun = new Map<string, Usage['resource']>()

  constructor(db: Db, nowS: number, minimumTimes: MinimumTimes) {
    this.#db = db
    this.#nowS = nowS
    this.#minimumTimes = minimumTimes
  }

  /** From now on the resources use exactly this. What they used before and do not use now ends, at `end` if given. */
  async set(usages: readonly Usage[], end?: UsageEnd): Promise<void> {
    const running = await this.#metersOf(usages.map(({ resource }) => resource.resourceId))
    for (const { resource, meters } of usages) {
      const before = running.get(resource.resourceId) ?? new Map<string, Meter>()
      for (const [usageType, meter] of before) {
        const quantity = meters.get(usageType) ?? 0
        if (quantity !== meter.quantity) await this.#change(meter, quantity, end)
      }
      const { resourceId, accountId, region } = resource
      for (const [usageType, quantity] of meters) {
        if (quantity === 0 || before.has(usageType)) continue
        await this.#begin({ resourceId, usageType, accountId, region, quantity, fromS: this.#nowS, runBeforeS: null })
        this.#begun.set(resourceId, resource)
      }
    }
    await this.#flush()
  }

  /** Changes how much the resource uses of that type. */
  async adjust(resource: Usage['resource'], usageType: string, change: number): Promise<void> {
    if (change === 0) return
    const meter = (await this.#metersOf([resource.resourceId])).get(resource.resourceId)?.get(usageType)
    const { resourceId, accountId, region } = resource
    if (meter) await this.#change(meter, Math.max(0, meter.quantity + change))
    else if (change > 0) {
      const fromS = this.#nowS
      await this.#begin({ resourceId, usageType, accountId, region, quantity: change, fromS, runBeforeS: null })
      this.#begun.set(resourceId, resource)
    }
    await this.#flush()
  }

  /** Something that does not last. */
  async once(resource: Usage['resource'], usageType: string, amount: bigint): Promise<void> {
    const { resourceId, accountId, region } = resource
    await this.#append({ resourceId, accountId, region }, usageType, amount)
    this.#begun.set(resourceId, resource)
    await this.#flush()
  }

  /**
   * The clock was set: now would have been `wouldBeS`, and is `toS`. Everything that runs ends there and goes on
   * here, in the same run, so that no second is counted that was not lived.
   */
  async step(wouldBeS: number, toS: number): Promise<void> {
    const newest = await this.#db
      .selectFrom('usageLevels')
      .select((eb) => eb.fn.max('atS').as('atS'))
      .executeTakeFirst()
    const fromS = Math.max(wouldBeS, newest?.atS ?? 0)
    let after = ''
    for (;;) {
      const meters = await this.#db
        .selectFrom('usageMeters')
        .selectAll()
        .where('resourceId', '>', after)
        .orderBy('resourceId')
        .limit(idsPerStatement)
        .execute()
      // The last resource may have more meters than came: it is read again.
      const whole =
        meters.length < idsPerStatement ? meters : meters.filter((m) => m.resourceId !== meters.at(-1)!.resourceId)
      for (const meter of whole) await this.#carryOver(meter, fromS, toS)
      if (meters.length < idsPerStatement) break
      after = whole.at(-1)!.resourceId
    }
    await this.#advanceAll(fromS, toS)
    await this.#flush()
  }

  async #carryOver(meter: Meter, fromS: number, toS: number): Promise<void> {
    const span = { fromS: meter.fromS, toS: fromS, runBeforeS: meter.runBeforeS }
    await this.#appendSpan(meter, span, false)
    const lasted = (meter.runBeforeS ?? 0) + span.toS - meter.fromS
    const next = { fromS: toS, runBeforeS: lasted }
    await this.#update(meter, next)
    this.#addRoundings(meter, meter.quantity, roundingAtStart(next))
  }

  async #metersOf(resourceIds: readonly string[]): Promise<Map<string, Map<string, Meter>>> {
    const found = new Map<string, Map<string, Meter>>()
    for (let at = 0; at < resourceIds.length; at += idsPerStatement) {
      const rows = await this.#db
        .selectFrom('usageMeters')
        .selectAll()
        .where('resourceId', 'in', resourceIds.slice(at, at + idsPerStatement))
        .execute()
      for (const row of rows) {
        const of = found.get(row.resourceId) ?? new Map<string, Meter>()
        found.set(row.resourceId, of.set(row.usageType, row))
      }
    }
    return found
  }

  async #begin(meter: Meter): Promise<void> {
    await this.#db.insertInto('usageMeters').values(meter).execute()
    this.#addLevel(meter, meter.quantity)
    this.#addRoundings(meter, meter.quantity, roundingAtStart(meter))
  }

  /** Ends what was used until now and goes on with another quantity; nothing of it is the end of the run. */
  async #change(meter: Meter, quantity: number, end?: UsageEnd): Promise<void> {
    // Nothing ends before it began, and a clock that was set back a little does not make it so.
    const endS = Math.max(meter.fromS, Math.min(end?.atS ?? this.#nowS, this.#nowS))
    const span = { fromS: meter.fromS, toS: endS, runBeforeS: meter.runBeforeS }
    const nextS = Math.max(this.#nowS, meter.fromS)
    this.#addLevel(meter, quantity - meter.quantity)
    // The level changes now.
    this.#addSeconds(meter, meter.quantity, this.#nowS, endS)
    this.#addSeconds(meter, -quantity, this.#nowS, nextS)
    await this.#appendSpan(meter, span, end?.isEstimated ?? false)
    const runBeforeS = (meter.runBeforeS ?? 0) + endS - meter.fromS
    if (quantity !== 0) {
      const next = { fromS: nextS, runBeforeS }
      await this.#update(meter, { ...next, quantity })
      this.#addRoundings(meter, quantity, roundingAtStart(next))
      return
    }
    await this.#db
      .deleteFrom('usageMeters')
      .where('resourceId', '=', meter.resourceId)
      .where('usageType', '=', meter.usageType)
      .execute()
    const minimum = this.#minimumTimes[meter.usageType]
    if (!minimum || runBeforeS >= minimum.seconds) return
    await this.#append(meter, minimum.usageType, BigInt(meter.quantity) * BigInt(minimum.seconds - runBeforeS))
  }

  async #appendSpan(meter: Meter, span: Span, isEstimated: boolean): Promise<void> {
    this.#addRoundings(meter, meter.quantity, roundingAtEnd(span))
    if (span.toS === span.fromS && span.runBeforeS !== null) return
    const { resourceId, usageType, accountId, region, quantity } = meter
    await this.#db
      .insertInto('usageEvents')
      .values({
        ...{ resourceId, usageType, accountId, region, quantity, ...span },
        ...{ amount: null, isEstimated: isEstimated ? 1 : 0 },
      } as never)
      .execute()
  }

  async #append(
    { resourceId, accountId, region }: Pick<Meter, 'resourceId' | 'accountId' | 'region'>,
    usageType: string,
    amount: bigint,
  ): Promise<void> {
    if (amount === 0n) return
    const [fromS, toS] = [this.#nowS, this.#nowS]
    await this.#db
      .insertInto('usageEvents')
      .values({
        ...{ resourceId, usageType, accountId, region, quantity: 0, fromS, toS, runBeforeS: null },
        ...{ amount: String(amount), isEstimated: 0 },
      } as never)
      .execute()
    this.#addAmounts({ accountId, region, usageType }, dayOf(fromS), {
      ...{ exact: amount, bySecond: amount, byHour: amount },
    })
  }

  async #update(meter: Meter, patch: Partial<Meter>): Promise<void> {
    await this.#db
      .updateTable('usageMeters')
      .set(patch)
      .where('resourceId', '=', meter.resourceId)
      .where('usageType', '=', meter.usageType)
      .execute()
  }

  #addLevel({ accountId, region, usageType }: Place, change: number): void {
    const key = `${accountId} ${region} ${usageType}`
    const before = this.#levels.get(key)?.change ?? 0n
    this.#levels.set(key, { accountId, region, usageType, change: before + BigInt(change) })
  }

  /** Takes them away when `toS` comes before `fromS`. */
  #addSeconds(place: Place, quantity: number | bigint, fromS: number, toS: number): void {
    const sign = fromS <= toS ? 1n : -1n
    for (const [day, seconds] of secondsByDay(Math.min(fromS, toS), Math.max(fromS, toS))) {
      const amount = sign * BigInt(quantity) * BigInt(seconds)
      this.#addAmounts(place, day, { exact: amount, bySecond: amount, byHour: amount })
    }
  }

  #addRoundings(place: Place, quantity: number, roundings: ReadonlyMap<number, Rounding>): void {
    for (const [day, { bySecond, byHour }] of roundings) {
      if (bySecond === 0 && byHour === 0) continue
      const times = (seconds: number) => BigInt(quantity) * BigInt(seconds)
      this.#addAmounts(place, day, { exact: 0n, bySecond: times(bySecond), byHour: times(byHour) })
    }
  }

  #addAmounts({ accountId, region, usageType }: Place, day: number, { exact, bySecond, byHour }: Amounts): void {
    const key = `${day} ${accountId} ${region} ${usageType}`
    const before = this.#days.get(key)?.amounts ?? { exact: 0n, bySecond: 0n, byHour: 0n }
    const amounts = {
      exact: before.exact + exact,
      bySecond: before.bySecond + bySecond,
      byHour: before.byHour + byHour,
    }
    this.#days.set(key, { accountId, region, usageType, day, amounts })
  }

  /** Tells the days of every level up to `fromS`; levels go on from `toS`. */
  async #advanceAll(fromS: number, toS: number): Promise<void> {
    for (const level of await this.#db.selectFrom('usageLevels').selectAll().execute()) {
      this.#addSeconds(level, BigInt(level.quantity), level.atS, fromS)
    }
    await this.#db.updateTable('usageLevels').set({ atS: toS }).execute()
  }

  /** Writes levels, and what time has made of them so far; then days. */
  async #flush(): Promise<void> {
    await registerResources(this.#db, [...this.#begun.values()])
    this.#begun.clear()
    for (const { change, ...place } of this.#levels.values()) await this.#writeLevel(place, change)
    this.#levels.clear()
    for (const { day, amounts, ...place } of this.#days.values()) await this.#writeDay(place, day, amounts)
    this.#days.clear()
  }

  async #writeLevel(place: Place, change: bigint): Promise<void> {
    const { accountId, region, usageType } = place
    const level = await this.#db
      .selectFrom('usageLevels')
      .selectAll()
      .where('accountId', '=', accountId)
      .where('region', '=', region)
      .where('usageType', '=', usageType)
      .executeTakeFirst()
    if (!level) {
      await this.#db
        .insertInto('usageLevels')
        .values({ ...place, quantity: String(change), atS: this.#nowS })
        .execute()
      return
    }
    // Another host's clock may be ahead: its level was told until then, and this change is told from now.
    const atS = Math.max(level.atS, this.#nowS)
    this.#addSeconds(place, BigInt(level.quantity), level.atS, atS)
    this.#addSeconds(place, change, this.#nowS, atS)
    await this.#db
      .updateTable('usageLevels')
      .set({ quantity: String(BigInt(level.quantity) + change), atS })
      .where('accountId', '=', accountId)
      .where('region', '=', region)
      .where('usageType', '=', usageType)
      .execute()
  }

  async #writeDay(place: Place, day: number, amounts: Amounts): Promise<void> {
    const { accountId, region, usageType } = place
    if (amounts.exact === 0n && amounts.bySecond === 0n && amounts.byHour === 0n) return
    const before = await this.#db
      .selectFrom('usageDays')
      .selectAll()
      .where('day', '=', day)
      .where('accountId', '=', accountId)
      .where('region', '=', region)
      .where('usageType', '=', usageType)
      .executeTakeFirst()
    const sum = {
      exact: String(BigInt(before?.exact ?? 0) + amounts.exact),
      bySecond: String(BigInt(before?.bySecond ?? 0) + amounts.bySecond),
      byHour: String(BigInt(before?.byHour ?? 0) + amounts.byHour),
    }
    await this.#db
      .insertInto('usageDays')
      .values({ ...place, day, ...sum })
      .onConflict((conflict) => conflict.columns(['day', 'accountId', 'region', 'usageType']).doUpdateSet(sum))
      .execute()
  }
}
