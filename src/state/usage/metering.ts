/**
 * Follows what is there with what is metered: whatever changes a row that costs something calls {@link Metering.follow} in
 * the same transaction. Meters are set to what the rules say of the row as it is now, so following twice changes nothing.
 */
import type { Clock, HostUptime } from '../../lib/clock.ts'
import { type Db, inTransaction } from '../database.ts'
import type { BucketsTable } from '../schema/buckets.ts'
import type { ElasticAddressesTable, NetworkInterfacesTable } from '../schema/networks.ts'
import type { UsageClockTable, UsageResourcesTable } from '../schema/usage.ts'
import type { FastSnapshotRestoresTable } from '../schema/volume-features.ts'
import type { InstancesTable, SnapshotsTable, SnapshotTiersTable, VolumesTable } from '../schema.ts'
import { type MinimumTimes, type Usage, type UsageEnd, UsageWriter } from './usage-writer.ts'

/** Usage types with their quantities; nothing for what is free. */
export type Charges = Readonly<Record<string, number>>

/** What is charged of a row. Rows that are gone are charged nothing. */
export interface ChargeRules {
  instance(row: InstancesTable): Charges
  volume(row: VolumesTable): Charges
  snapshot(row: SnapshotsTable, tier: SnapshotTiersTable | undefined, nowMs: number): Charges
  fastRestore(row: FastSnapshotRestoresTable): Charges
  address(row: NetworkInterfacesTable): Charges
  elasticAddress(row: ElasticAddressesTable): Charges
  /** The usage type of the bytes in it; null when they are free. */
  bucket(row: BucketsTable): string | null
  readonly minimumTimes: MinimumTimes
}

export interface MeteringOptions {
  clock: Pick<Clock, 'now'>
  uptime: HostUptime
  rules: ChargeRules
}

/** A clock that differs by more from what it would be was set. */
const stepMs = 2000

export type MeteredKind = 'instance' | 'volume' | 'snapshot' | 'fast-restore' | 'address' | 'elastic-address'

/** The name by which what an account has ready of a snapshot in a zone is metered. */
export const fastRestoreName = (row: Pick<FastSnapshotRestoresTable, 'snapshotId' | 'zone' | 'accountId'>) =>
  `${row.snapshotId}/${row.zone}/${row.accountId}`

const idsPerStatement = 500
/** Stands for what is gone: its meters end, and they know whose they were. */
const gone = { accountId: '', region: '', kind: 'instance', imageId: null } as const

type Resource = Omit<UsageResourcesTable, 'tags'>

export class Metering {
  readonly #options: MeteringOptions
  /** The clock as it was last noted. */
  #anchor: SeenClock | undefined
  #bootId: string | undefined

  constructor(options: MeteringOptions) {
    this.#options = options
  }

  get rules(): ChargeRules {
    return this.#options.rules
  }

  nowMs(): number {
    return this.#options.clock.now()
  }

  /** For writes in one transaction, now. When the clock was set since it was last seen, that is written first. */
  async writer(db: Db): Promise<UsageWriter> {
    const now = this.#readClock()
    if (!this.#anchor || isStep(this.#anchor, now)) await this.#followClock(db, now)
    return new UsageWriter(db, Math.floor(now.wallMs / 1000), this.rules.minimumTimes)
  }

  /** Notes the time, so that the next start knows until when this process lived, and whether the clock was set since. */
  async noteClock(db: Db): Promise<void> {
    await this.change(db, async (tx) => {
      const now = this.#readClock()
      await this.#followClock(tx, now)
      await writeClock(tx, now)
    })
    this.#anchor = await readClock(db)
  }

  #readClock(): SeenClock {
    const { clock, uptime } = this.#options
    this.#bootId ??= uptime.bootId
    return { wallMs: clock.now(), uptimeMs: uptime.uptimeMs(), bootId: this.#bootId }
  }

  async #followClock(tx: Db, now: SeenClock): Promise<void> {
    const seen = await readClock(tx)
    if (!seen || !isStep(seen, now)) return
    // Should the transaction fail, the step is still to be written: until the next note the database is asked.
    this.#anchor = undefined
    const wouldBeMs = seen.wallMs + now.uptimeMs - seen.uptimeMs
    const [wouldBeS, nowS] = [Math.floor(wouldBeMs / 1000), Math.floor(now.wallMs / 1000)]
    await new UsageWriter(tx, wouldBeS, this.rules.minimumTimes).step(wouldBeS, nowS)
    await writeClock(tx, now)
  }

  /** Runs the change and what follows from it in one transaction, the caller's if there is one. */
  async change<T>(db: Db, work: (tx: Db) => Promise<T>): Promise<T> {
    return db.isTransaction ? await work(db) : await inTransaction(db, work)
  }

  /** Sets the meters of those resources to what their rows are charged now. */
  async follow(db: Db, kind: MeteredKind, ids: readonly string[]): Promise<void> {
    for (let at = 0; at < ids.length; at += idsPerStatement) {
      const some = [...new Set(ids.slice(at, at + idsPerStatement))]
      const usages = new Map((await this.#usagesOf(db, kind, some)).map((usage) => [usage.resource.resourceId, usage]))
      const nothing = (resourceId: string): Usage => ({ resource: { ...gone, resourceId }, meters: new Map() })
      await (await this.writer(db)).set(some.map((id) => usages.get(id) ?? nothing(id)))
    }
  }

  /** The same for one resource whose meters ended before now. */
  async followOne(db: Db, kind: MeteredKind, id: string, end: UsageEnd): Promise<void> {
    await (await this.writer(db)).set(await this.#usagesOf(db, kind, [id]), end)
  }

  /** Sets what is metered of every bucket to the bytes that are in it. */
  async followBuckets(db: Db): Promise<void> {
    const sizes = await db
      .selectFrom('buckets as b')
      .leftJoin('objects as o', 'o.bucketId', 'b.id')
      .select(['b.id', (eb) => eb.fn.sum<number | string | null>('o.sizeBytes').as('bytes')])
      .groupBy('b.id')
      .execute()
    for (const { id, bytes } of sizes) {
      const row = await db.selectFrom('buckets').selectAll().where('id', '=', id).executeTakeFirstOrThrow()
      const usageType = this.rules.bucket(row)
      const resource = of({ ...row, id: row.name }, 'bucket')
      await (await this.writer(db)).set([usage(resource, usageType ? { [usageType]: Number(bytes ?? 0) } : {})])
    }
  }

  /** The bytes in a bucket change. */
  async followBucket(db: Db, bucketId: string, changeBytes: number): Promise<void> {
    const row = await db.selectFrom('buckets').selectAll().where('id', '=', bucketId).executeTakeFirst()
    const usageType = row && this.rules.bucket(row)
    if (!row || !usageType) return
    await (await this.writer(db)).adjust(of({ ...row, id: row.name }, 'bucket'), usageType, changeBytes)
  }

  async #usagesOf(db: Db, kind: MeteredKind, ids: readonly string[]): Promise<Usage[]> {
    switch (kind) {
      case 'instance': {
        const rows = await db.selectFrom('instances').selectAll().where('id', 'in', ids).execute()
        return rows.map((row) => usage({ ...of(row, 'instance'), imageId: row.imageId }, this.rules.instance(row)))
      }
      case 'volume': {
        const rows = await db.selectFrom('volumes').selectAll().where('id', 'in', ids).execute()
        const images = await imagesOfVolumes(db, ids)
        return rows.map((row) =>
          usage({ ...of(row, 'volume'), imageId: images.get(row.id) ?? null }, this.rules.volume(row)),
        )
      }
      case 'snapshot': {
        const rows = await db.selectFrom('snapshots').selectAll().where('id', 'in', ids).execute()
        const tiers = await db.selectFrom('snapshotTiers').selectAll().where('snapshotId', 'in', ids).execute()
        const tierOf = new Map(tiers.map((tier) => [tier.snapshotId, tier]))
        const nowMs = this.nowMs()
        return rows.map((row) => usage(of(row, 'snapshot'), this.rules.snapshot(row, tierOf.get(row.id), nowMs)))
      }
      case 'fast-restore': {
        const snapshotIds = ids.map((id) => id.split('/')[0]!)
        const rows = await db
          .selectFrom('fastSnapshotRestores')
          .selectAll()
          .where('snapshotId', 'in', snapshotIds)
          .execute()
        return rows.map((row) =>
          usage(of({ ...row, id: fastRestoreName(row) }, 'snapshot'), this.rules.fastRestore(row)),
        )
      }
      case 'elastic-address': {
        const rows = await db.selectFrom('elasticAddresses').selectAll().where('id', 'in', ids).execute()
        return rows.map((row) => usage(of(row, 'address'), this.rules.elasticAddress(row)))
      }
      case 'address': {
        const rows = await db.selectFrom('networkInterfaces').selectAll().where('id', 'in', ids).execute()
        const instanceIds = rows.flatMap((row) => row.instanceId ?? [])
        const instances = instanceIds.length
          ? await db.selectFrom('instances').select(['id', 'imageId']).where('id', 'in', instanceIds).execute()
          : []
        const imageOf = new Map(instances.map(({ id, imageId }) => [id, imageId]))
        return rows.map((row) =>
          usage({ ...of(row, 'address'), imageId: imageOf.get(row.instanceId ?? '') ?? null }, this.rules.address(row)),
        )
      }
    }
  }
}

type SeenClock = Omit<UsageClockTable, 'id'>

/** Of two boots nothing can be said: the clock is believed. */
function isStep(seen: SeenClock, now: SeenClock): boolean {
  if (seen.bootId !== now.bootId) return false
  return Math.abs(now.wallMs - seen.wallMs - (now.uptimeMs - seen.uptimeMs)) > stepMs
}

export function readClock(db: Db): Promise<SeenClock | undefined> {
  return db.selectFrom('usageClock').selectAll().where('id', '=', 1).executeTakeFirst()
}

async function writeClock(db: Db, { wallMs, uptimeMs, bootId }: SeenClock): Promise<void> {
  const seen = { wallMs, uptimeMs, bootId }
  await db
    .insertInto('usageClock')
    .values({ id: 1, ...seen })
    .onConflict((conflict) => conflict.column('id').doUpdateSet(seen))
    .execute()
}

const of = (row: { id: string; accountId: string; region: string }, kind: Resource['kind']): Resource => ({
  ...{ resourceId: row.id, accountId: row.accountId, region: row.region, kind, imageId: null },
})

const usage = (resource: Resource, charges: Charges): Usage => ({ resource, meters: new Map(Object.entries(charges)) })

/** A volume that came with a launch is the image's; one that is attached later is not, and is known by then. */
async function imagesOfVolumes(db: Db, volumeIds: readonly string[]): Promise<Map<string, string>> {
  const rows = await db
    .selectFrom('volumeAttachments as a')
    .innerJoin('instances as i', 'i.id', 'a.instanceId')
    .select(['a.volumeId', 'i.imageId'])
    .where('a.volumeId', 'in', volumeIds)
    .execute()
  return new Map(rows.map(({ volumeId, imageId }) => [volumeId, imageId]))
}
