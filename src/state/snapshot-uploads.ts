/** Snapshots that are written block by block: which blocks came so far, until they are a snapshot of their own. */
import type { Insertable, Selectable } from 'kysely'
import type { Db } from './database.ts'
import type { SnapshotUploadBlocksTable, SnapshotUploadState, SnapshotUploadsTable } from './schema.ts'

export type SnapshotUpload = Selectable<SnapshotUploadsTable>
export type SnapshotUploadBlock = Selectable<SnapshotUploadBlocksTable>

export class SnapshotUploadRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async insert(row: Insertable<SnapshotUploadsTable>): Promise<void> {
    await this.#db.insertInto('snapshotUploads').values(row).execute()
  }

  get(snapshotId: string): Promise<SnapshotUpload | undefined> {
    return this.#db.selectFrom('snapshotUploads').selectAll().where('snapshotId', '=', snapshotId).executeTakeFirst()
  }

  /** Open and sealed ones of an account in a region. */
  async countUnclosed(accountId: string, region: string): Promise<number> {
    const row = await this.#db
      .selectFrom('snapshotUploads')
      .select((eb) => eb.fn.countAll<number>().as('count'))
      .where('accountId', '=', accountId)
      .where('region', '=', region)
      .where('state', 'in', ['open', 'sealed'])
      .executeTakeFirstOrThrow()
    return Number(row.count)
  }

  /**
   * Takes a block into an open upload, in place of one that was there, and puts the deadline off. False when the upload
   * is not open, or its deadline has passed. In a transaction: on PostgreSQL the row is locked until its end, so nobody
   * seals the upload between the two statements.
   */
  async write(
    block: SnapshotUploadBlock,
    about: { nowMs: number; deadlineMs: number; storedBytes: number },
  ): Promise<boolean> {
    const touched = await this.#db
      .updateTable('snapshotUploads')
      .set((eb) => ({
        deadline: about.deadlineMs,
        writes: eb('writes', '+', 1),
        storedBytes: eb('storedBytes', '+', about.storedBytes),
      }))
      .where('snapshotId', '=', block.snapshotId)
      .where('state', '=', 'open')
      .where('deadline', '>=', about.nowMs)
      .executeTakeFirst()
    if (touched.numUpdatedRows === 0n) return false
    await this.#db
      .insertInto('snapshotUploadBlocks')
      .values(block)
      .onConflict((conflict) =>
        conflict.columns(['snapshotId', 'blockIndex']).doUpdateSet((eb) => ({
          hash: eb.ref('excluded.hash'),
          sealedChecksum: eb.ref('excluded.sealedChecksum'),
        })),
      )
      .execute()
    return true
  }

  /** Seals an open upload, unless something was written since it had so many writes, or its deadline has passed. */
  async seal(
    snapshotId: string,
    about: { writes: number; nowMs: number; changedBlocks: number; checksum: string },
  ): Promise<boolean> {
    const done = await this.#db
      .updateTable('snapshotUploads')
      .set({ state: 'sealed', changedBlocks: about.changedBlocks, checksum: about.checksum })
      .where('snapshotId', '=', snapshotId)
      .where('state', '=', 'open')
      .where('writes', '=', about.writes)
      .where('deadline', '>=', about.nowMs)
      .executeTakeFirst()
    return done.numUpdatedRows > 0n
  }

  /**
   * Closes an upload and forgets which blocks were written. With a time, only when its deadline lies before that: false
   * when it was written to in the meantime.
   */
  async close(snapshotId: string, from: SnapshotUploadState, deadlineBeforeMs?: number): Promise<boolean> {
    let closing = this.#db
      .updateTable('snapshotUploads')
      .set({ state: 'closed' })
      .where('snapshotId', '=', snapshotId)
      .where('state', '=', from)
    if (deadlineBeforeMs !== undefined) closing = closing.where('deadline', '<', deadlineBeforeMs)
    if ((await closing.executeTakeFirst()).numUpdatedRows === 0n) return false
    await this.#db.deleteFrom('snapshotUploadBlocks').where('snapshotId', '=', snapshotId).execute()
    return true
  }

  /** Open uploads whose deadline has passed. */
  overdue(nowMs: number, limit: number): Promise<SnapshotUpload[]> {
    return this.#db
      .selectFrom('snapshotUploads')
      .selectAll()
      .where('state', '=', 'open')
      .where('deadline', '<', nowMs)
      .orderBy('deadline')
      .limit(limit)
      .execute()
  }

  /** Up to `limit` of the blocks that follow that index, in ascending order. */
  blocksAfter(snapshotId: string, blockIndex: number, limit: number): Promise<SnapshotUploadBlock[]> {
    return this.#db
      .selectFrom('snapshotUploadBlocks')
      .selectAll()
      .where('snapshotId', '=', snapshotId)
      .where('blockIndex', '>', blockIndex)
      .orderBy('blockIndex')
      .limit(limit)
      .execute()
  }

  /** What uploads of a region that are not closed need: the blocks that came, and the roots of their parents, deleted ones too. */
  async needed(region: string): Promise<{ hashes: string[]; parentRoots: string[] }> {
    const unclosed = this.#db
      .selectFrom('snapshotUploads as upload')
      .where('upload.region', '=', region)
      .where('upload.state', 'in', ['open', 'sealed'])
    const blocks = await unclosed
      .innerJoin('snapshotUploadBlocks as block', 'block.snapshotId', 'upload.snapshotId')
      .select('block.hash')
      .distinct()
      .execute()
    const parents = await unclosed
      .innerJoin('snapshots as parent', 'parent.id', 'upload.parentSnapshotId')
      .select('parent.rootHash')
      .where('parent.rootHash', 'is not', null)
      .execute()
    return { hashes: blocks.map((row) => row.hash), parentRoots: parents.map((row) => row.rootHash!) }
  }
}
