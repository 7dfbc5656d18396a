/** Tasks that replace the root of a running instance. */
import type { Insertable, Selectable } from 'kysely'
import type { Db } from './database.ts'
import type { FilterRules } from './filters.ts'
import { type ListRequest, listPage, type Page } from './listing.ts'
import type { ReplaceRootState, ReplaceRootVolumeTasksTable } from './schema/volume-features.ts'

export type ReplaceRootVolumeTask = Selectable<ReplaceRootVolumeTasksTable>
export type { ReplaceRootState } from './schema/volume-features.ts'

const filters: FilterRules = {
  'instance-id': { column: 'replaceRootVolumeTasks.instanceId' },
  tags: { tagsOf: 'replaceRootVolumeTasks.id' },
}

export class ReplaceRootVolumeTaskRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async insert(row: Insertable<ReplaceRootVolumeTasksTable>): Promise<void> {
    await this.#db.insertInto('replaceRootVolumeTasks').values(row).execute()
  }

  get(id: string): Promise<ReplaceRootVolumeTask | undefined> {
    return this.#db.selectFrom('replaceRootVolumeTasks').selectAll().where('id', '=', id).executeTakeFirst()
  }

  /** All of them, oldest first. */
  ofInstance(instanceId: string): Promise<ReplaceRootVolumeTask[]> {
    return this.#db
      .selectFrom('replaceRootVolumeTasks')
      .selectAll()
      .where('instanceId', '=', instanceId)
      .orderBy('startedAt')
      .orderBy('id')
      .execute()
  }

  /** Nothing happens when the task is in another state. */
  async move(
    id: string,
    from: readonly ReplaceRootState[],
    patch: Partial<ReplaceRootVolumeTasksTable>,
  ): Promise<boolean> {
    const done = await this.#db
      .updateTable('replaceRootVolumeTasks')
      .set(patch)
      .where('id', '=', id)
      .where('state', 'in', [...from])
      .executeTakeFirst()
    return done.numUpdatedRows > 0n
  }

  list(region: string, request: ListRequest): Promise<Page<ReplaceRootVolumeTask>> {
    const query = this.#db
      .selectFrom('replaceRootVolumeTasks')
      .selectAll()
      .where('replaceRootVolumeTasks.accountId', '=', request.accountId)
      .where('replaceRootVolumeTasks.region', '=', region)
    const order = { time: 'replaceRootVolumeTasks.startedAt', id: 'replaceRootVolumeTasks.id' }
    return listPage(query, filters, order, request, (row) => ({ time: row.startedAt, id: row.id }))
  }
}
