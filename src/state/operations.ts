import type { Insertable, Selectable } from 'kysely'
import type { Db } from './database.ts'
import type { OperationsTable } from './schema.ts'

export type OperationRow = Selectable<OperationsTable>

export class OperationRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async insert(row: Insertable<OperationsTable>): Promise<void> {
    await this.#db.insertInto('operations').values(row).execute()
  }

  get(id: string): Promise<OperationRow | undefined> {
    return this.#db.selectFrom('operations').selectAll().where('id', '=', id).executeTakeFirst()
  }

  /** Operations of those kinds that could run now: due, unleased, and the oldest unfinished of their subject. */
  claimable(nowMs: number, kinds: readonly string[], limit: number): Promise<OperationRow[]> {
    return this.#db
      .selectFrom('operations as o')
      .selectAll('o')
      .where('o.state', 'in', ['pending', 'running'])
      .where('o.kind', 'in', [...kinds])
      .where('o.runAfter', '<=', nowMs)
      .where('o.leaseUntil', '<=', nowMs)
      .where((eb) =>
        eb.not(
          eb.exists(
            eb
              .selectFrom('operations as earlier')
              .select('earlier.id')
              .whereRef('earlier.subjectId', '=', 'o.subjectId')
              .whereRef('earlier.seq', '<', 'o.seq')
              .where('earlier.state', 'in', ['pending', 'running']),
          ),
        ),
      )
      .orderBy('o.seq')
      .limit(limit)
      .execute()
  }

  /** Takes the lease if nobody else has it in the meantime. */
  async claim(id: string, lease: { owner: string; nowMs: number; untilMs: number }): Promise<boolean> {
    const done = await this.#db
      .updateTable('operations')
      .set((eb) => ({
        state: 'running',
        leaseOwner: lease.owner,
        leaseUntil: lease.untilMs,
        attempts: eb('attempts', '+', 1),
        updatedAt: lease.nowMs,
      }))
      .where('id', '=', id)
      .where('leaseUntil', '<=', lease.nowMs)
      .where('state', 'in', ['pending', 'running'])
      .executeTakeFirst()
    return done.numUpdatedRows > 0n
  }

  /** Changes an operation that this owner still holds; false when the lease was lost. */
  async updateHeld(id: string, owner: string, patch: Partial<OperationsTable>): Promise<boolean> {
    const done = await this.#db
      .updateTable('operations')
      .set(patch)
      .where('id', '=', id)
      .where('leaseOwner', '=', owner)
      .executeTakeFirst()
    return done.numUpdatedRows > 0n
  }

  /**
   * Leases of an owner that is known to be dead (this process's predecessor) are free at once. What it was at was broken
   * off, and has not failed: that attempt does not count.
   */
  async releaseAllOf(owner: string): Promise<void> {
    await this.#db
      .updateTable('operations')
      .set((eb) => ({
        leaseOwner: null,
        leaseUntil: 0,
        attempts: eb
          .case()
          .when('attempts', '>', 0)
          .then(eb('attempts', '-', 1))
          .else(0)
          .end(),
      }))
      .where('leaseOwner', '=', owner)
      .execute()
  }

  unfinishedOf(subjectId: string): Promise<OperationRow[]> {
    return this.#db
      .selectFrom('operations')
      .selectAll()
      .where('subjectId', '=', subjectId)
      .where('state', 'in', ['pending', 'running'])
      .orderBy('seq')
      .execute()
  }

  /** Whether anything was ever asked for that subject (as far as it is remembered). */
  async hasAny(subjectId: string): Promise<boolean> {
    const row = await this.#db
      .selectFrom('operations')
      .select('id')
      .where('subjectId', '=', subjectId)
      .limit(1)
      .executeTakeFirst()
    return row !== undefined
  }

  unfinished(limit: number): Promise<OperationRow[]> {
    return this.#db
      .selectFrom('operations')
      .selectAll()
      .where('state', 'in', ['pending', 'running'])
      .orderBy('seq')
      .limit(limit)
      .execute()
  }

  /** What all unfinished operations were asked and have found out so far. */
  unfinishedData(): Promise<{ region: string; input: string; data: string }[]> {
    return this.#db
      .selectFrom('operations')
      .select(['region', 'input', 'data'])
      .where('state', 'in', ['pending', 'running'])
      .execute()
  }

  async removeFinishedBefore(timeMs: number): Promise<void> {
    await this.#db
      .deleteFrom('operations')
      .where('state', 'in', ['completed', 'failed'])
      .where('updatedAt', '<', timeMs)
      .execute()
  }
}
