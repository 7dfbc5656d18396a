/** What was used: the door to meters, events and days. Without metering it tells what is there, and writes nothing. */
import type { Db } from '../database.ts'
import { fastRestoreName, type MeteredKind, type Metering, readClock } from './metering.ts'
import { UsageReader } from './usage-reader.ts'
import type { Usage, UsageEnd } from './usage-writer.ts'

export type { RoundingName, UsageDay, UsageQuery, UsageRecord, UsageResource } from './usage-reader.ts'

const rowsPerPage = 500

export class UsageRepository extends UsageReader {
  readonly #db: Db
  readonly #metering: Metering | undefined

  constructor(db: Db, metering?: Metering) {
    super(db)
    this.#db = db
    this.#metering = metering
  }

  /** Something that does not last: `amount` in what the usage type is counted in. In the transaction of what it is for. */
  async once(resource: Usage['resource'], usageType: string, amount: bigint): Promise<void> {
    await (await this.#metering?.writer(this.#db))?.once(resource, usageType, amount)
  }

  /** Everything that the resource uses has ended by then, which is before now. Call before its row is changed. */
  async endAt(resourceId: string, end: UsageEnd): Promise<void> {
    const resource = { resourceId, accountId: '', region: '', kind: 'instance', imageId: null } as const
    await (await this.#metering?.writer(this.#db))?.set([{ resource, meters: new Map() }], end)
  }

  /** Until when a process was there that metered (ms); null before the first. */
  async seenAtMs(): Promise<number | null> {
    return (await readClock(this.#db))?.wallMs ?? null
  }

  /** Notes the time, and what follows from a clock that was set since it was last noted. */
  async noteClock(): Promise<void> {
    await this.#metering?.noteClock(this.#db)
  }

  /** Archived snapshots whose temporary restore is over are in the standard tier no more, since it was. In a transaction. */
  async endRestores(): Promise<void> {
    const nowMs = this.#metering?.nowMs() ?? 0
    const over = await this.#db
      .selectFrom('snapshotTiers as t')
      .innerJoin('usageMeters as m', 'm.resourceId', 't.snapshotId')
      .select(['t.snapshotId', 't.restoreExpiresAt'])
      .where('m.usageType', '=', 'EBS:SnapshotUsage')
      .where('t.tier', '=', 'archive')
      .where('t.restoreExpiresAt', '<=', nowMs)
      .execute()
    for (const { snapshotId, restoreExpiresAt } of over) {
      const end = { atS: Math.floor(restoreExpiresAt! / 1000), isEstimated: false }
      await this.#metering?.followOne(this.#db, 'snapshot', snapshotId, end)
    }
  }

  /** Sets every meter to what the rows say: for a home that was not metered before. */
  async followAll(): Promise<void> {
    for (const { kind, ids } of await this.#everything()) {
      for (let at = 0; at < ids.length; at += rowsPerPage) {
        const some = ids.slice(at, at + rowsPerPage)
        await this.#metering?.change(this.#db, (tx) => this.#metering!.follow(tx, kind, some))
      }
    }
    await this.#metering?.change(this.#db, (tx) => this.#metering!.followBuckets(tx))
  }

  async #everything(): Promise<{ kind: MeteredKind; ids: string[] }[]> {
    const idsOf = async (table: 'instances' | 'volumes' | 'snapshots' | 'networkInterfaces' | 'elasticAddresses') =>
      (await this.#db.selectFrom(table).select('id').execute()).map(({ id }) => id)
    const restores = await this.#db.selectFrom('fastSnapshotRestores').selectAll().execute()
    const metered = (await this.#db.selectFrom('usageMeters').select('resourceId').distinct().execute()).map(
      ({ resourceId }) => resourceId,
    )
    const withGone = (ids: string[], prefix: RegExp) => [
      ...new Set([...ids, ...metered.filter((id) => prefix.test(id))]),
    ]
    return [
      { kind: 'instance', ids: withGone(await idsOf('instances'), /^i-/) },
      { kind: 'volume', ids: withGone(await idsOf('volumes'), /^vol-/) },
      { kind: 'snapshot', ids: withGone(await idsOf('snapshots'), /^snap-[^/]*$/) },
      { kind: 'address', ids: withGone(await idsOf('networkInterfaces'), /^eni-/) },
      { kind: 'elastic-address', ids: withGone(await idsOf('elasticAddresses'), /^eipalloc-/) },
      { kind: 'fast-restore', ids: withGone(restores.map(fastRestoreName), /^snap-.*\//) },
    ]
  }
}
