/** Snapshots that accounts want to be ready for new volumes, zone by zone. */
import type { Insertable, Selectable } from 'kysely'
import type { Db } from './database.ts'
import { zoneId } from './derived-filters.ts'
import type { FilterRules } from './filters.ts'
import { type ListRequest, listPage, type Page } from './listing.ts'
import type { FastRestoreState, FastSnapshotRestoresTable } from './schema/volume-features.ts'

export type FastSnapshotRestore = Selectable<FastSnapshotRestoresTable>
export type { FastRestoreState } from './schema/volume-features.ts'

/** The states in which the snapshot is, or is about to be, on this host. */
export const fastRestoreIsOn: readonly FastRestoreState[] = ['enabling', 'optimizing', 'enabled']

const filters: FilterRules = {
  'availability-zone': { column: 'fastSnapshotRestores.zone' },
  'availability-zone-id': zoneId('fastSnapshotRestores.zone'),
  'owner-id': { column: 'fastSnapshotRestores.accountId' },
  'snapshot-id': { column: 'fastSnapshotRestores.snapshotId' },
  state: { column: 'fastSnapshotRestores.state' },
}

export class FastSnapshotRestoreRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  get(id: string): Promise<FastSnapshotRestore | undefined> {
    return this.#db.selectFrom('fastSnapshotRestores').selectAll().where('id', '=', id).executeTakeFirst()
  }

  of(accountId: string, snapshotId: string, zone: string): Promise<FastSnapshotRestore | undefined> {
    return this.#db
      .selectFrom('fastSnapshotRestores')
      .selectAll()
      .where('accountId', '=', accountId)
      .where('snapshotId', '=', snapshotId)
      .where('zone', '=', zone)
      .executeTakeFirst()
  }

  /** Takes the place of what the account had before for that snapshot in that zone. */
  async put(row: Insertable<FastSnapshotRestoresTable>): Promise<void> {
    await this.#db
      .deleteFrom('fastSnapshotRestores')
      .where('accountId', '=', row.accountId)
      .where('snapshotId', '=', row.snapshotId)
      .where('zone', '=', row.zone)
      .execute()
    await this.#db.insertInto('fastSnapshotRestores').values(row).execute()
  }

  /** Nothing happens when it is in another state. */
  async move(
    id: string,
    from: readonly FastRestoreState[],
    patch: Partial<FastSnapshotRestoresTable>,
  ): Promise<boolean> {
    const done = await this.#db
      .updateTable('fastSnapshotRestores')
      .set(patch)
      .where('id', '=', id)
      .where('state', 'in', [...from])
      .executeTakeFirst()
    return done.numUpdatedRows > 0n
  }

  /** Those of the snapshots that are ready for the account in that zone. */
  async enabledOf(accountId: string, snapshotIds: readonly string[], zone: string): Promise<string[]> {
    if (snapshotIds.length === 0) return []
    const rows = await this.#db
      .selectFrom('fastSnapshotRestores')
      .select('snapshotId')
      .where('accountId', '=', accountId)
      .where('snapshotId', 'in', [...snapshotIds])
      .where('zone', '=', zone)
      .where('state', '=', 'enabled')
      .execute()
    return rows.map((row) => row.snapshotId)
  }

  /** The snapshots that an account has ready, or on their way, in a region. */
  async snapshotsOn(accountId: string, region: string): Promise<string[]> {
    const rows = await this.#db
      .selectFrom('fastSnapshotRestores')
      .select('snapshotId')
      .distinct()
      .where('accountId', '=', accountId)
      .where('region', '=', region)
      .where('state', 'in', [...fastRestoreIsOn])
      .execute()
    return rows.map((row) => row.snapshotId)
  }

  /** Of all accounts and regions. */
  allOn(): Promise<FastSnapshotRestore[]> {
    return this.#db
      .selectFrom('fastSnapshotRestores')
      .selectAll()
      .where('state', 'in', [...fastRestoreIsOn])
      .orderBy('id')
      .execute()
  }

  async isRootWanted(region: string, rootHash: string): Promise<boolean> {
    const row = await this.#db
      .selectFrom('fastSnapshotRestores')
      .select('id')
      .where('region', '=', region)
      .where('rootHash', '=', rootHash)
      .where('state', 'in', [...fastRestoreIsOn])
      .limit(1)
      .executeTakeFirst()
    return row !== undefined
  }

  async removeDisabledBefore(timeMs: number): Promise<void> {
    await this.#db
      .deleteFrom('fastSnapshotRestores')
      .where('state', '=', 'disabled')
      .where('disabledAt', '<', timeMs)
      .execute()
  }

  list(region: string, request: ListRequest): Promise<Page<FastSnapshotRestore>> {
    const query = this.#db
      .selectFrom('fastSnapshotRestores')
      .selectAll()
      .where('fastSnapshotRestores.accountId', '=', request.accountId)
      .where('fastSnapshotRestores.region', '=', region)
    const order = { time: 'fastSnapshotRestores.enablingAt', id: 'fastSnapshotRestores.id' }
    return listPage(query, filters, order, request, (row) => ({ time: row.enablingAt, id: row.id }))
  }
}
