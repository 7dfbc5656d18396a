/** How packets leave VPCs: internet gateways, route tables, and which subnets follow which. */
import type { Insertable, Selectable } from 'kysely'
import type { Db } from './database.ts'
import { byCreation, type ListRequest, listPage, type Page } from './listing.ts'
import { internetGatewayFilters, routeTableFilters } from './routing-filters.ts'
import type {
  InternetGatewaysTable,
  RoutesTable,
  RouteTableAssociationsTable,
  RouteTablesTable,
} from './schema/networks.ts'

export type InternetGateway = Selectable<InternetGatewaysTable>
export type RouteTable = Selectable<RouteTablesTable>
export type Route = Selectable<RoutesTable>
/** Without a subnet it is the VPC's main one, for all subnets that have none of their own. */
export type RouteTableAssociation = Selectable<RouteTableAssociationsTable>

export class RoutingRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async insertGateway(row: Insertable<InternetGatewaysTable>): Promise<void> {
    await this.#db.insertInto('internetGateways').values(row).execute()
  }

  gateway(id: string): Promise<InternetGateway | undefined> {
    return this.#db.selectFrom('internetGateways').selectAll().where('id', '=', id).executeTakeFirst()
  }

  async gatewaysOf(vpcIds: readonly string[]): Promise<InternetGateway[]> {
    if (vpcIds.length === 0) return []
    return await this.#db
      .selectFrom('internetGateways')
      .selectAll()
      .where('vpcId', 'in', [...vpcIds])
      .execute()
  }

  gatewayOf(vpcId: string): Promise<InternetGateway | undefined> {
    return this.#db.selectFrom('internetGateways').selectAll().where('vpcId', '=', vpcId).executeTakeFirst()
  }

  listGateways(region: string, request: ListRequest): Promise<Page<InternetGateway>> {
    const query = this.#db
      .selectFrom('internetGateways')
      .selectAll()
      .where('internetGateways.accountId', '=', request.accountId)
      .where('internetGateways.region', '=', region)
    const order = { time: 'internetGateways.createdAt', id: 'internetGateways.id' }
    return listPage(query, internetGatewayFilters, order, request, byCreation)
  }

  async countGateways(accountId: string, region: string): Promise<number> {
    const row = await this.#db
      .selectFrom('internetGateways')
      .select((eb) => eb.fn.countAll<number | string>().as('count'))
      .where('accountId', '=', accountId)
      .where('region', '=', region)
      .executeTakeFirstOrThrow()
    return Number(row.count)
  }

  async attachGateway(id: string, vpcId: string | null): Promise<void> {
    await this.#db.updateTable('internetGateways').set({ vpcId }).where('id', '=', id).execute()
  }

  async removeGateway(id: string): Promise<void> {
    await this.#db.deleteFrom('internetGateways').where('id', '=', id).execute()
  }

  async insertTable(row: Insertable<RouteTablesTable>): Promise<void> {
    await this.#db.insertInto('routeTables').values(row).execute()
  }

  table(id: string): Promise<RouteTable | undefined> {
    return this.#db.selectFrom('routeTables').selectAll().where('id', '=', id).executeTakeFirst()
  }

  listTables(region: string, request: ListRequest): Promise<Page<RouteTable>> {
    const query = this.#db
      .selectFrom('routeTables')
      .selectAll()
      .where('routeTables.accountId', '=', request.accountId)
      .where('routeTables.region', '=', region)
    const order = { time: 'routeTables.createdAt', id: 'routeTables.id' }
    return listPage(query, routeTableFilters, order, request, byCreation)
  }

  tablesOf(vpcId: string): Promise<RouteTable[]> {
    return this.#db.selectFrom('routeTables').selectAll().where('vpcId', '=', vpcId).execute()
  }

  /** With its routes and associations. */
  async removeTable(id: string): Promise<void> {
    await this.#db.deleteFrom('routes').where('routeTableId', '=', id).execute()
    await this.#db.deleteFrom('routeTableAssociations').where('routeTableId', '=', id).execute()
    await this.#db.deleteFrom('routeTables').where('id', '=', id).execute()
  }

  async routesOf(routeTableIds: readonly string[]): Promise<Route[]> {
    if (routeTableIds.length === 0) return []
    return await this.#db
      .selectFrom('routes')
      .selectAll()
      .where('routeTableId', 'in', [...routeTableIds])
      .orderBy('destination')
      .execute()
  }

  async routesTo(targetIds: readonly string[]): Promise<Route[]> {
    if (targetIds.length === 0) return []
    return await this.#db
      .selectFrom('routes')
      .selectAll()
      .where('targetId', 'in', [...targetIds])
      .orderBy('routeTableId')
      .execute()
  }

  async insertRoute(row: Insertable<RoutesTable>): Promise<void> {
    await this.#db.insertInto('routes').values(row).execute()
  }

  /** Whether there was one. */
  async changeRoute(routeTableId: string, destination: string, targetId: string): Promise<boolean> {
    const done = await this.#db
      .updateTable('routes')
      .set({ targetId })
      .where('routeTableId', '=', routeTableId)
      .where('destination', '=', destination)
      .executeTakeFirst()
    return done.numUpdatedRows > 0n
  }

  /** Whether there was one. */
  async removeRoute(routeTableId: string, destination: string): Promise<boolean> {
    const done = await this.#db
      .deleteFrom('routes')
      .where('routeTableId', '=', routeTableId)
      .where('destination', '=', destination)
      .executeTakeFirst()
    return done.numDeletedRows > 0n
  }

  async associate(row: Insertable<RouteTableAssociationsTable>): Promise<void> {
    await this.#db.insertInto('routeTableAssociations').values(row).execute()
  }

  association(id: string): Promise<RouteTableAssociation | undefined> {
    return this.#db.selectFrom('routeTableAssociations').selectAll().where('id', '=', id).executeTakeFirst()
  }

  async associationsOf(vpcIds: readonly string[]): Promise<RouteTableAssociation[]> {
    if (vpcIds.length === 0) return []
    return await this.#db
      .selectFrom('routeTableAssociations')
      .selectAll()
      .where('vpcId', 'in', [...vpcIds])
      .orderBy('id')
      .execute()
  }

  async disassociate(id: string): Promise<void> {
    await this.#db.deleteFrom('routeTableAssociations').where('id', '=', id).execute()
  }

  async disassociateSubnet(subnetId: string): Promise<void> {
    await this.#db.deleteFrom('routeTableAssociations').where('subnetId', '=', subnetId).execute()
  }
}
