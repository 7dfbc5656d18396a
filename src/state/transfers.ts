import type { Selectable } from 'kysely'
import type { Db } from './database.ts'
import type { FilterRules } from './filters.ts'
import { type ListRequest, listPage, type Page } from './listing.ts'
import type { TransferDisksTable, TransferKind, TransferStatus, TransferTasksTable } from './schema/transfers.ts'

export type TransferTask = Selectable<TransferTasksTable>
export type TransferDisk = Selectable<TransferDisksTable>
export type { TransferKind, TransferStatus }

const filters: FilterRules = {
  tags: { tagsOf: 'transferTasks.id' },
  'task-state': { column: 'transferTasks.status' },
}

export class TransferRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async insert(task: TransferTask, disks: readonly TransferDisk[]): Promise<void> {
    await this.#db.insertInto('transferTasks').values(task).execute()
    await this.insertDisks(disks)
  }

  async insertDisks(disks: readonly TransferDisk[]): Promise<void> {
    if (disks.length === 0) return
    await this.#db
      .insertInto('transferDisks')
      .values([...disks])
      .execute()
  }

  get(id: string): Promise<TransferTask | undefined> {
    return this.#db.selectFrom('transferTasks').selectAll().where('id', '=', id).executeTakeFirst()
  }

  /** By the files that they lie in, and their places there. */
  async disksOf(taskIds: readonly string[]): Promise<Map<string, TransferDisk[]>> {
    const disks = new Map<string, TransferDisk[]>(taskIds.map((id) => [id, []]))
    if (taskIds.length === 0) return disks
    const rows = await this.#db
      .selectFrom('transferDisks')
      .selectAll()
      .where('taskId', 'in', [...taskIds])
      .orderBy('taskId')
      .orderBy('container')
      .orderBy('position')
      .execute()
    for (const row of rows) disks.get(row.taskId)?.push(row)
    return disks
  }

  list(region: string, kind: TransferKind, request: ListRequest): Promise<Page<TransferTask>> {
    const query = this.#db
      .selectFrom('transferTasks')
      .selectAll()
      .where('transferTasks.accountId', '=', request.accountId)
      .where('transferTasks.region', '=', region)
      .where('transferTasks.kind', '=', kind)
    const order = { time: 'transferTasks.createdAt', id: 'transferTasks.id' }
    return listPage(query, filters, order, request, (row) => ({ time: row.createdAt, id: row.id }))
  }

  async countActive(accountId: string, region: string): Promise<number> {
    const { count } = await this.#db
      .selectFrom('transferTasks')
      .select((eb) => eb.fn.countAll<number | string>().as('count'))
      .where('accountId', '=', accountId)
      .where('region', '=', region)
      .where('status', 'in', ['active', 'deleting'])
      .executeTakeFirstOrThrow()
    return Number(count)
  }

  /** Changes the task only while it has one of these states; whether it did. */
  async move(id: string, from: readonly TransferStatus[], patch: Partial<TransferTasksTable>): Promise<boolean> {
    const done = await this.#db
      .updateTable('transferTasks')
      .set(patch)
      .where('id', '=', id)
      .where('status', 'in', [...from])
      .executeTakeFirst()
    return done.numUpdatedRows > 0n
  }

  async updateDisk(
    { taskId, container, position }: Pick<TransferDisk, 'taskId' | 'container' | 'position'>,
    patch: Partial<TransferDisksTable>,
  ): Promise<void> {
    await this.#db
      .updateTable('transferDisks')
      .set(patch)
      .where('taskId', '=', taskId)
      .where('container', '=', container)
      .where('position', '=', position)
      .execute()
  }

  /** Files that were sent here and that an import still needs. */
  async uploadsInUse(): Promise<string[]> {
    const rows = await this.#db
      .selectFrom('transferDisks')
      .innerJoin('transferTasks', 'transferTasks.id', 'transferDisks.taskId')
      .select('transferDisks.uploadId')
      .where('transferTasks.status', 'in', ['active', 'deleting'])
      .where('transferDisks.uploadId', 'is not', null)
      .execute()
    return rows.map((row) => row.uploadId!)
  }

  /** Forgets tasks that ended before that time, and tells which they were. */
  async removeEndedBefore(timeMs: number): Promise<string[]> {
    const rows = await this.#db
      .selectFrom('transferTasks')
      .select('id')
      .where('status', 'in', ['completed', 'deleted', 'error'])
      .where('endedAt', '<', timeMs)
      .limit(500)
      .execute()
    const ids = rows.map((row) => row.id)
    if (ids.length === 0) return ids
    await this.#db.deleteFrom('transferDisks').where('taskId', 'in', ids).execute()
    await this.#db.deleteFrom('transferTasks').where('id', 'in', ids).execute()
    return ids
  }
}
