/** NAT gateways; those that were deleted stay for a while. */
import type { Insertable, Selectable } from 'kysely'
import type { Db } from './database.ts'
import { constants, type FilterRules } from './filters.ts'
import { byCreation, type ListRequest, listPage, type Page } from './listing.ts'
import type { NatGatewaysTable } from './schema/networks.ts'

export type NatGateway = Selectable<NatGatewaysTable>

const filters: FilterRules = {
  ...constants({ 'connectivity-type': 'public' }),
  tags: { tagsOf: 'natGateways.id' },
  'nat-gateway-id': { column: 'natGateways.id' },
  state: { column: 'natGateways.state' },
  'subnet-id': { column: 'natGateways.subnetId' },
  'vpc-id': { column: 'natGateways.vpcId' },
}

export class NatGatewayRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async insert(row: Insertable<NatGatewaysTable>): Promise<void> {
    await this.#db.insertInto('natGateways').values(row).execute()
  }

  get(id: string): Promise<NatGateway | undefined> {
    return this.#db.selectFrom('natGateways').selectAll().where('id', '=', id).executeTakeFirst()
  }

  /** Those that work. */
  async ofVpcs(vpcIds: readonly string[]): Promise<NatGateway[]> {
    if (vpcIds.length === 0) return []
    return await this.#db
      .selectFrom('natGateways')
      .selectAll()
      .where('vpcId', 'in', [...vpcIds])
      .where('state', '=', 'available')
      .execute()
  }

  list(region: string, request: ListRequest): Promise<Page<NatGateway>> {
    const query = this.#db
      .selectFrom('natGateways')
      .selectAll()
      .where('natGateways.accountId', '=', request.accountId)
      .where('natGateways.region', '=', region)
    return listPage(query, filters, { time: 'natGateways.createdAt', id: 'natGateways.id' }, request, byCreation)
  }

  async markDeleted(id: string, deletedAt: number): Promise<void> {
    await this.#db.updateTable('natGateways').set({ state: 'deleted', deletedAt }).where('id', '=', id).execute()
  }

  /** The ids of those that are no longer told of. */
  async removeDeletedBefore(timeMs: number): Promise<string[]> {
    const rows = await this.#db
      .deleteFrom('natGateways')
      .where('state', '=', 'deleted')
      .where('deletedAt', '<', timeMs)
      .returning('id')
      .execute()
    return rows.map((row) => row.id)
  }
}
