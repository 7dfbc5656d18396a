import { type Selectable, sql } from 'kysely'
import { insertRows } from './bulk.ts'
import type { Db } from './database.ts'
import type { FilterRules } from './filters.ts'
import { type ListRequest, listPage, type Page } from './listing.ts'
import type { FleetInstancesTable, FleetsTable } from './schema/spot.ts'

export type Fleet = Selectable<FleetsTable>
export type FleetInstance = Selectable<FleetInstancesTable>

const filters: FilterRules = {
  'activity-status': { text: () => sql`case when fleets.errors = '[]' then 'fulfilled' else 'error' end` },
  'excess-capacity-termination-policy': { constant: 'no-termination' },
  'fleet-state': { column: 'fleets.state' },
  'replace-unhealthy-instances': { constant: 'false' },
  type: { constant: 'instant' },
}

export class FleetRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async insert(row: Fleet, instances: readonly FleetInstance[]): Promise<void> {
    await this.#db.insertInto('fleets').values(row).execute()
    await insertRows(this.#db, 'fleetInstances', instances)
  }

  get(id: string): Promise<Fleet | undefined> {
    return this.#db.selectFrom('fleets').selectAll().where('id', '=', id).executeTakeFirst()
  }

  /** In the order of their launch. */
  instancesOf(fleetIds: readonly string[]): Promise<(FleetInstance & { isSpot: number; instanceType: string })[]> {
    if (fleetIds.length === 0) return Promise.resolve([])
    return this.#db
      .selectFrom('fleetInstances as f')
      .innerJoin('instances as i', 'i.id', 'f.instanceId')
      .selectAll('f')
      .select(['i.instanceType', sql<number>`case when i.spot_request_id is null then 0 else 1 end`.as('isSpot')])
      .where('f.fleetId', 'in', [...fleetIds])
      .orderBy('f.pool')
      .orderBy('i.launchIndex')
      .orderBy('i.id')
      .execute()
  }

  async update(id: string, patch: Partial<Omit<FleetsTable, 'id'>>): Promise<void> {
    await this.#db.updateTable('fleets').set(patch).where('id', '=', id).execute()
  }

  /** The oldest first. */
  list(region: string, request: ListRequest): Promise<Page<Fleet>> {
    const query = this.#db
      .selectFrom('fleets')
      .selectAll()
      .where('fleets.accountId', '=', request.accountId)
      .where('fleets.region', '=', region)
    const order = { time: 'fleets.createdAt', id: 'fleets.id' }
    return listPage(query, filters, order, request, (row) => ({ time: row.createdAt, id: row.id }))
  }
}
