/** VPC endpoints: the routes that lead to one name it as their target. */
import type { Insertable, Selectable } from 'kysely'
import type { Db } from './database.ts'
import { constants, type FilterRules } from './filters.ts'
import { byCreation, type ListRequest, listPage, type Page } from './listing.ts'
import type { VpcEndpointsTable } from './schema/networks.ts'

export type VpcEndpoint = Selectable<VpcEndpointsTable>

const filters: FilterRules = {
  ...constants({ 'ip-address-type': 'ipv4', 'vpc-endpoint-state': 'available', 'vpc-endpoint-type': 'Gateway' }),
  tags: { tagsOf: 'vpcEndpoints.id' },
  'service-name': { column: 'vpcEndpoints.serviceName' },
  'service-region': { column: 'vpcEndpoints.region' },
  'vpc-endpoint-id': { column: 'vpcEndpoints.id' },
  'vpc-id': { column: 'vpcEndpoints.vpcId' },
}

export class VpcEndpointRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async insert(row: Insertable<VpcEndpointsTable>): Promise<void> {
    await this.#db.insertInto('vpcEndpoints').values(row).execute()
  }

  get(id: string): Promise<VpcEndpoint | undefined> {
    return this.#db.selectFrom('vpcEndpoints').selectAll().where('id', '=', id).executeTakeFirst()
  }

  ofVpc(vpcId: string): Promise<VpcEndpoint[]> {
    return this.#db.selectFrom('vpcEndpoints').selectAll().where('vpcId', '=', vpcId).execute()
  }

  list(region: string, request: ListRequest): Promise<Page<VpcEndpoint>> {
    const query = this.#db
      .selectFrom('vpcEndpoints')
      .selectAll()
      .where('vpcEndpoints.accountId', '=', request.accountId)
      .where('vpcEndpoints.region', '=', region)
    return listPage(query, filters, { time: 'vpcEndpoints.createdAt', id: 'vpcEndpoints.id' }, request, byCreation)
  }

  async remove(id: string): Promise<void> {
    await this.#db.deleteFrom('vpcEndpoints').where('id', '=', id).execute()
  }
}
