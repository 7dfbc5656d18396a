import type { Insertable, Selectable } from 'kysely'
import { insertRows } from './bulk.ts'
import type { Db } from './database.ts'
import type { FilterRules } from './filters.ts'
import { instanceFilters, statusFilters } from './instance-filters.ts'
import { type ListRequest, listPage, type Page } from './listing.ts'
import type { InstanceState, InstancesTable } from './schema.ts'

export type Instance = Selectable<InstancesTable>

export { stateCodes } from './instance-filters.ts'

/** How long a terminated instance is still described (EC2: about an hour). */
export const terminatedVisibleMs = 60 * 60 * 1000

export class InstanceRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async insert(rows: readonly Insertable<InstancesTable>[]): Promise<void> {
    await insertRows(this.#db, 'instances', rows)
  }

  get(id: string): Promise<Instance | undefined> {
    return this.#db.selectFrom('instances').selectAll().where('id', '=', id).executeTakeFirst()
  }

  many(ids: readonly string[]): Promise<Instance[]> {
    if (ids.length === 0) return Promise.resolve([])
    return this.#db
      .selectFrom('instances')
      .selectAll()
      .where('id', 'in', [...ids])
      .execute()
  }

  inReservation(reservationId: string): Promise<Instance[]> {
    return this.#db
      .selectFrom('instances')
      .selectAll()
      .where('reservationId', '=', reservationId)
      .orderBy('launchIndex')
      .execute()
  }

  inStates(states: readonly InstanceState[]): Promise<Instance[]> {
    return this.#db
      .selectFrom('instances')
      .selectAll()
      .where('state', 'in', [...states])
      .execute()
  }

  /** How many of each type are in one of those states, whoever has them. */
  async countByType(states: readonly InstanceState[]): Promise<{ instanceType: string; count: number }[]> {
    const rows = await this.#db
      .selectFrom('instances')
      .select(['instanceType', (eb) => eb.fn.countAll<number | string>().as('count')])
      .where('state', 'in', [...states])
      .groupBy('instanceType')
      .execute()
    return rows.map(({ instanceType, count }) => ({ instanceType, count: Number(count) }))
  }

  /** Running instances whose guest has not answered since its start, or was last looked at before that time. */
  dueForCheck(beforeMs: number): Promise<Instance[]> {
    return this.#db
      .selectFrom('instances')
      .selectAll()
      .where('state', '=', 'running')
      .where('heldBy', 'is', null)
      .where((eb) => eb.or([eb('reachability', '=', 'initializing'), eb('reachabilityAt', '<=', beforeMs)]))
      .execute()
  }

  async update(id: string, patch: Partial<InstancesTable>): Promise<void> {
    await this.#db.updateTable('instances').set(patch).where('id', '=', id).execute()
  }

  /** Changes the state only if it is one of `from`; whether it did. */
  async move(id: string, from: readonly InstanceState[], patch: Partial<InstancesTable>): Promise<boolean> {
    const done = await this.#db
      .updateTable('instances')
      .set(patch)
      .where('id', '=', id)
      .where('state', 'in', [...from])
      .executeTakeFirst()
    return done.numUpdatedRows > 0n
  }

  list(region: string, request: ListRequest & { nowMs: number }): Promise<Page<Instance>> {
    return this.#list(region, request, instanceFilters)
  }

  listStatus(region: string, request: ListRequest & { nowMs: number; runningOnly: boolean }): Promise<Page<Instance>> {
    return this.#list(region, request, statusFilters, request.runningOnly)
  }

  #list(
    region: string,
    request: ListRequest & { nowMs: number },
    rules: FilterRules,
    runningOnly = false,
  ): Promise<Page<Instance>> {
    let query = this.#db
      .selectFrom('instances')
      .selectAll()
      .where('instances.accountId', '=', request.accountId)
      .where('instances.region', '=', region)
      .where((eb) =>
        eb.or([
          eb('instances.terminatedAt', 'is', null),
          eb('instances.terminatedAt', '>', request.nowMs - terminatedVisibleMs),
        ]),
      )
    if (runningOnly) query = query.where('instances.state', '=', 'running')
    const order = { time: 'instances.createdAt', id: 'instances.id' }
    return listPage(query, rules, order, request, (row) => ({ time: row.createdAt, id: row.id }))
  }
}
