import { type Selectable, sql } from 'kysely'
import type { Db } from './database.ts'
import type { FilterRules } from './filters.ts'
import { type ListRequest, listPage, type Page } from './listing.ts'
import type { BundleTaskState, BundleTasksTable } from './schema/bundle-tasks.ts'

export type BundleTask = Selectable<BundleTasksTable>
export type { BundleTaskState }

/** States in which the instance is being bundled, or what was made of it removed. */
export const bundlingStates: readonly BundleTaskState[] = [
  ...(['pending', 'waiting-for-shutdown', 'bundling', 'storing', 'cancelling'] as const),
]

const filters: FilterRules = {
  'bundle-id': { column: 'bundleTasks.id' },
  'error-code': { column: 'bundleTasks.errorCode' },
  'error-message': { column: 'bundleTasks.errorMessage' },
  'instance-id': { column: 'bundleTasks.instanceId' },
  progress: { text: (eb) => sql`cast(${eb.ref('bundleTasks.progress' as never)} as text) || '%'` },
  's3-bucket': { column: 'bundleTasks.bucket' },
  's3-prefix': { column: 'bundleTasks.prefix' },
  'start-time': { time: 'bundleTasks.createdAt' },
  state: { column: 'bundleTasks.state' },
  'update-time': { time: 'bundleTasks.updatedAt' },
}

export class BundleTaskRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async insert(task: BundleTask): Promise<void> {
    await this.#db.insertInto('bundleTasks').values(task).execute()
  }

  get(id: string): Promise<BundleTask | undefined> {
    return this.#db.selectFrom('bundleTasks').selectAll().where('id', '=', id).executeTakeFirst()
  }

  /** Changes the task only while it has one of these states; whether it did. */
  async move(id: string, from: readonly BundleTaskState[], patch: Partial<BundleTasksTable>): Promise<boolean> {
    const done = await this.#db
      .updateTable('bundleTasks')
      .set(patch)
      .where('id', '=', id)
      .where('state', 'in', [...from])
      .executeTakeFirst()
    return done.numUpdatedRows > 0n
  }

  /** The task that bundles the instance now. */
  underway(instanceId: string): Promise<BundleTask | undefined> {
    return this.#db
      .selectFrom('bundleTasks')
      .selectAll()
      .where('instanceId', '=', instanceId)
      .where('state', 'in', [...bundlingStates])
      .executeTakeFirst()
  }

  /** Another task that writes objects of the same names. */
  writing(bucket: string, prefix: string): Promise<BundleTask | undefined> {
    return this.#db
      .selectFrom('bundleTasks')
      .selectAll()
      .where('bucket', '=', bucket)
      .where('prefix', '=', prefix)
      .where('state', 'in', [...bundlingStates])
      .executeTakeFirst()
  }

  list(region: string, request: ListRequest): Promise<Page<BundleTask>> {
    const query = this.#db
      .selectFrom('bundleTasks')
      .selectAll()
      .where('bundleTasks.accountId', '=', request.accountId)
      .where('bundleTasks.region', '=', region)
    const order = { time: 'bundleTasks.createdAt', id: 'bundleTasks.id' }
    return listPage(query, filters, order, request, (row) => ({ time: row.createdAt, id: row.id }))
  }

  async removeEndedBefore(timeMs: number): Promise<void> {
    await this.#db
      .deleteFrom('bundleTasks')
      .where('updatedAt', '<', timeMs)
      .where('state', 'in', ['complete', 'failed'])
      .execute()
  }
}
