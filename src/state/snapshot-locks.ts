import { type Selectable, sql } from 'kysely'
import type { Db } from './database.ts'
import type { FilterRules } from './filters.ts'
import { type ListRequest, listPage, type Page } from './listing.ts'
import type { SnapshotLocksTable, SnapshotState } from './schema.ts'

/** A lock, and what of its snapshot decides when it begins. */
export interface SnapshotLock extends Selectable<SnapshotLocksTable> {
  accountId: string
  snapshotState: SnapshotState
  completedAt: number | null
}

const dayMs = 24 * 3600_000

/** When the lock of a completed snapshot ends; null while it is pending and locked for a number of days. */
const expiresAt = sql`coalesce(
  l.expiration_date,
  case when s.completed_at is null then null
       when s.completed_at > l.duration_from then s.completed_at
       else l.duration_from end + cast(l.duration_days as bigint) * ${dayMs}
)`

const lockFilters = (nowMs: number): FilterRules => ({
  'lock-state': {
    text: () => sql`case
      when ${expiresAt} <= ${nowMs} then 'expired'
      when l.mode = 'governance' then 'governance'
      when l.cool_off_until > ${nowMs} then 'compliance-cooloff'
      else 'compliance' end`,
  },
})

export class SnapshotLockRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  /** Sets the lock, or replaces the one there is. */
  async put(row: SnapshotLocksTable): Promise<void> {
    await this.#db
      .insertInto('snapshotLocks')
      .values(row)
      .onConflict((conflict) => conflict.column('snapshotId').doUpdateSet(row))
      .execute()
  }

  async remove(snapshotId: string): Promise<void> {
    await this.#db.deleteFrom('snapshotLocks').where('snapshotId', '=', snapshotId).execute()
  }

  get(snapshotId: string): Promise<SnapshotLock | undefined> {
    return this.#locks().where('l.snapshotId', '=', snapshotId).executeTakeFirst()
  }

  /** The locks of an account's own snapshots, those too whose time is over. */
  list(region: string, request: ListRequest & { nowMs: number }): Promise<Page<SnapshotLock>> {
    const query = this.#locks()
      .where('s.accountId', '=', request.accountId)
      .where('s.region', '=', region)
      .where('s.state', '!=', 'deleted')
    const order = { time: 'l.createdAt', id: 'l.snapshotId' }
    return listPage(query, lockFilters(request.nowMs), order, request, (row) => ({
      time: row.createdAt,
      id: row.snapshotId,
    }))
  }

  #locks() {
    return this.#db
      .selectFrom('snapshotLocks as l')
      .innerJoin('snapshots as s', 's.id', 'l.snapshotId')
      .selectAll('l')
      .select(['s.accountId', 's.state as snapshotState', 's.completedAt'])
  }
}
