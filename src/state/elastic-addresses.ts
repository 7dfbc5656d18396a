/** Public addresses that accounts keep, associated with an interface or not. */
import { type Insertable, type Selectable, sql } from 'kysely'
import type { Db } from './database.ts'
import { absent, constants, type FilterRule, type FilterRules } from './filters.ts'
import { byCreation, type ListRequest, listPage, type Page } from './listing.ts'
import type { ElasticAddressesTable, NetworkInterfacesTable } from './schema/networks.ts'

export type ElasticAddress = Selectable<ElasticAddressesTable>

const ofInterface = (column: keyof NetworkInterfacesTable): FilterRule => ({
  exists: (eb, match) =>
    eb.exists(
      eb
        .selectFrom('networkInterfaces as n')
        .select('n.id')
        .whereRef('n.id', '=', 'elasticAddresses.networkInterfaceId')
        .where(match(`n.${column}`)),
    ),
})

const filters: FilterRules = {
  ...absent('transfer-account-id'),
  ...constants({ domain: 'vpc' }),
  tags: { tagsOf: 'elasticAddresses.id' },
  'allocation-id': { column: 'elasticAddresses.id' },
  'association-id': { column: 'elasticAddresses.associationId' },
  'instance-id': ofInterface('instanceId'),
  'network-border-group': { column: 'elasticAddresses.region' },
  'network-interface-id': { column: 'elasticAddresses.networkInterfaceId' },
  'network-interface-owner-id': {
    text: (eb) => {
      const of = (column: string) => eb.ref(`elasticAddresses.${column}` as never)
      return sql`case when ${of('networkInterfaceId')} is null then null else ${of('accountId')} end`
    },
  },
  'private-ip-address': ofInterface('privateIp'),
  'public-ip': { column: 'elasticAddresses.publicIp' },
}

export class ElasticAddressRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async insert(row: Insertable<ElasticAddressesTable>): Promise<void> {
    await this.#db.insertInto('elasticAddresses').values(row).execute()
  }

  get(id: string): Promise<ElasticAddress | undefined> {
    return this.#db.selectFrom('elasticAddresses').selectAll().where('id', '=', id).executeTakeFirst()
  }

  at(publicIp: string): Promise<ElasticAddress | undefined> {
    return this.#db.selectFrom('elasticAddresses').selectAll().where('publicIp', '=', publicIp).executeTakeFirst()
  }

  associated(associationId: string): Promise<ElasticAddress | undefined> {
    return this.#db
      .selectFrom('elasticAddresses')
      .selectAll()
      .where('associationId', '=', associationId)
      .executeTakeFirst()
  }

  ofInterface(networkInterfaceId: string): Promise<ElasticAddress | undefined> {
    return this.#db
      .selectFrom('elasticAddresses')
      .selectAll()
      .where('networkInterfaceId', '=', networkInterfaceId)
      .executeTakeFirst()
  }

  async associate(id: string, place: { associationId: string; networkInterfaceId: string } | null): Promise<void> {
    await this.#db
      .updateTable('elasticAddresses')
      .set(place ?? { associationId: null, networkInterfaceId: null })
      .where('id', '=', id)
      .execute()
  }

  async remove(id: string): Promise<void> {
    await this.#db.deleteFrom('elasticAddresses').where('id', '=', id).execute()
  }

  async count(accountId: string, region: string): Promise<number> {
    const row = await this.#db
      .selectFrom('elasticAddresses')
      .select((eb) => eb.fn.countAll<number | string>().as('count'))
      .where('accountId', '=', accountId)
      .where('region', '=', region)
      .executeTakeFirstOrThrow()
    return Number(row.count)
  }

  list(region: string, request: ListRequest & { publicIps?: readonly string[] }): Promise<Page<ElasticAddress>> {
    let query = this.#db
      .selectFrom('elasticAddresses')
      .selectAll()
      .where('elasticAddresses.accountId', '=', request.accountId)
      .where('elasticAddresses.region', '=', region)
    if (request.publicIps) query = query.where('elasticAddresses.publicIp', 'in', [...request.publicIps])
    const order = { time: 'elasticAddresses.createdAt', id: 'elasticAddresses.id' }
    return listPage(query, filters, order, request, byCreation)
  }
}
