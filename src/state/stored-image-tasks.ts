import type { Selectable } from 'kysely'
import type { Db } from './database.ts'
import type { FilterRules } from './filters.ts'
import { type ListRequest, listPage, type Page } from './listing.ts'
import type { StoredImageTasksTable } from './schema/stored-images.ts'

export type StoredImageTask = Selectable<StoredImageTasksTable>

const filters: FilterRules = {
  bucket: { column: 'storedImageTasks.bucket' },
  'task-state': { column: 'storedImageTasks.state' },
}

export interface StoreTaskListRequest extends Omit<ListRequest, 'ids'> {
  /** Only tasks of these images. */
  imageIds?: readonly string[]
  /** Only tasks that began since then. */
  sinceMs: number
}

export class StoredImageTaskRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async insert(task: StoredImageTask): Promise<void> {
    await this.#db.insertInto('storedImageTasks').values(task).execute()
  }

  get(id: string): Promise<StoredImageTask | undefined> {
    return this.#db.selectFrom('storedImageTasks').selectAll().where('id', '=', id).executeTakeFirst()
  }

  /** Nothing happens when it has ended. */
  async update(id: string, patch: Partial<StoredImageTasksTable>): Promise<void> {
    await this.#db
      .updateTable('storedImageTasks')
      .set(patch)
      .where('id', '=', id)
      .where('state', '=', 'InProgress')
      .execute()
  }

  /** GiB of snapshots that the account's tasks of that kind are working on in the region. */
  async gibInProgress(accountId: string, region: string, kind: StoredImageTask['kind']): Promise<number> {
    const { sum } = await this.#db
      .selectFrom('storedImageTasks')
      .select((eb) => eb.fn.sum<number | string | null>('sizeGib').as('sum'))
      .where('accountId', '=', accountId)
      .where('region', '=', region)
      .where('kind', '=', kind)
      .where('state', '=', 'InProgress')
      .executeTakeFirstOrThrow()
    return Number(sum ?? 0)
  }

  /** Whether an object of that key is on its way. */
  async isBeingStored(bucket: string, objectKey: string): Promise<boolean> {
    const row = await this.#db
      .selectFrom('storedImageTasks')
      .select('id')
      .where('bucket', '=', bucket)
      .where('objectKey', '=', objectKey)
      .where('kind', '=', 'store')
      .where('state', '=', 'InProgress')
      .executeTakeFirst()
    return row !== undefined
  }

  /** Tasks that store images, the newest first. */
  listStores(region: string, request: StoreTaskListRequest): Promise<Page<StoredImageTask>> {
    let query = this.#db
      .selectFrom('storedImageTasks')
      .selectAll()
      .where('storedImageTasks.accountId', '=', request.accountId)
      .where('storedImageTasks.region', '=', region)
      .where('storedImageTasks.kind', '=', 'store')
      .where('storedImageTasks.createdAt', '>=', request.sinceMs)
    if (request.imageIds) query = query.where('storedImageTasks.imageId', 'in', [...request.imageIds])
    const order = { time: 'storedImageTasks.createdAt', id: 'storedImageTasks.id', isDescending: true }
    return listPage(query, filters, order, request, (row) => ({ time: row.createdAt, id: row.id }))
  }

  async removeEndedBefore(timeMs: number): Promise<void> {
    await this.#db
      .deleteFrom('storedImageTasks')
      .where('createdAt', '<', timeMs)
      .where('state', '!=', 'InProgress')
      .execute()
  }
}
