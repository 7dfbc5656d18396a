import { type Selectable, sql } from 'kysely'
import type { Db } from './database.ts'
import type { FilterRules } from './filters.ts'
import { type ListRequest, listPage, type Page } from './listing.ts'
import type { SnapshotState, SnapshotTiersTable, TieringStatus } from './schema.ts'

export type SnapshotTier = Selectable<SnapshotTiersTable>

/** A snapshot, and what is known of its tier; nulls for one that was never asked to leave the standard tier. */
export type SnapshotTierStatus = { [Column in keyof Omit<SnapshotTier, 'snapshotId'>]: SnapshotTier[Column] | null } & {
  id: string
  accountId: string
  volumeId: string
  state: SnapshotState
  snapshotStartedAt: number
}

/** A temporary restore that is over leaves the snapshot as its archiving did. */
const statusFilters = (nowMs: number): FilterRules => ({
  tags: { tagsOf: 's.id' },
  'snapshot-id': { column: 's.id' },
  'volume-id': { column: 's.volumeId' },
  'last-tiering-operation': {
    text: () => sql`case
      when t.operation_status = 'temporary-restore-completed' and t.restore_expires_at <= ${nowMs}
      then 'archival-completed' else t.operation_status end`,
  },
})

export class SnapshotTierRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  get(snapshotId: string): Promise<SnapshotTier | undefined> {
    return this.#db.selectFrom('snapshotTiers').selectAll().where('snapshotId', '=', snapshotId).executeTakeFirst()
  }

  async of(snapshotIds: readonly string[]): Promise<Map<string, SnapshotTier>> {
    if (snapshotIds.length === 0) return new Map()
    const rows = await this.#db
      .selectFrom('snapshotTiers')
      .selectAll()
      .where('snapshotId', 'in', [...snapshotIds])
      .execute()
    return new Map(rows.map((row) => [row.snapshotId, row]))
  }

  /** Sets what is known of the snapshot's tier, or replaces it. */
  async put(row: SnapshotTiersTable): Promise<void> {
    await this.#db
      .insertInto('snapshotTiers')
      .values(row)
      .onConflict((conflict) => conflict.column('snapshotId').doUpdateSet(row))
      .execute()
  }

  /** Changes the row only while its last operation has one of these states; whether it did. */
  async move(snapshotId: string, from: readonly TieringStatus[], patch: Partial<SnapshotTiersTable>): Promise<boolean> {
    const done = await this.#db
      .updateTable('snapshotTiers')
      .set(patch)
      .where('snapshotId', '=', snapshotId)
      .where('operationStatus', 'in', [...from])
      .executeTakeFirst()
    return done.numUpdatedRows > 0n
  }

  /** Every snapshot of the account's own, with its tier. */
  list(region: string, request: ListRequest & { nowMs: number }): Promise<Page<SnapshotTierStatus>> {
    const query = this.#db
      .selectFrom('snapshots as s')
      .leftJoin('snapshotTiers as t', 't.snapshotId', 's.id')
      .select(['s.id', 's.accountId', 's.volumeId', 's.state', 's.startedAt as snapshotStartedAt'])
      .select(['t.tier', 't.operationStatus', 't.operationDetail', 't.progress', 't.startedAt'])
      .select(['t.archivedAt', 't.restoreExpiresAt'])
      .where('s.accountId', '=', request.accountId)
      .where('s.region', '=', region)
      .where('s.state', '!=', 'deleted')
    const order = { time: 's.startedAt', id: 's.id' }
    return listPage(query, statusFilters(request.nowMs), order, request, (row) => ({
      time: row.snapshotStartedAt,
      id: row.id,
    }))
  }
}
