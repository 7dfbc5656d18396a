/** VPCs of accounts' own: gateways and route tables are rows of their own, and no longer columns of their VPC. */
import { type Kysely, sql } from 'kysely'

// biome-ignore lint/suspicious/noExplicitAny: a migration knows no row types.
export async function up(db: Kysely<any>): Promise<void> {
  await db.schema
    .alterTable('vpcs')
    .addColumn('enableDnsSupport', 'integer', (c) => c.notNull().defaultTo(1))
    .execute()
  await db.schema
    .alterTable('vpcs')
    .addColumn('enableDnsHostnames', 'integer', (c) => c.notNull().defaultTo(0))
    .execute()
  await db.schema
    .createTable('internetGateways')
    .addColumn('id', 'text', (c) => c.notNull().primaryKey())
    .addColumn('accountId', 'text', (c) => c.notNull())
    .addColumn('region', 'text', (c) => c.notNull())
    .addColumn('vpcId', 'text', (c) => c.unique())
    .addColumn('createdAt', 'bigint', (c) => c.notNull())
    .execute()
  await db.schema
    .createTable('routeTables')
    .addColumn('id', 'text', (c) => c.notNull().primaryKey())
    .addColumn('accountId', 'text', (c) => c.notNull())
    .addColumn('region', 'text', (c) => c.notNull())
    .addColumn('vpcId', 'text', (c) => c.notNull())
    .addColumn('createdAt', 'bigint', (c) => c.notNull())
    .execute()
  await db.schema
    .createTable('routes')
    .addColumn('routeTableId', 'text', (c) => c.notNull())
    .addColumn('destinationCidr', 'text', (c) => c.notNull())
    .addColumn('gatewayId', 'text', (c) => c.notNull())
    .addPrimaryKeyConstraint('routesKey', ['routeTableId', 'destinationCidr'])
    .execute()
  await db.schema
    .createTable('routeTableAssociations')
    .addColumn('id', 'text', (c) => c.notNull().primaryKey())
    .addColumn('routeTableId', 'text', (c) => c.notNull())
    .addColumn('vpcId', 'text', (c) => c.notNull())
    .addColumn('subnetId', 'text', (c) => c.unique())
    .execute()
  for (const table of ['internetGateways', 'routeTables']) {
    await db.schema
      .createIndex(`${table}ByAccount`)
      .on(table)
      .columns(['accountId', 'region', 'createdAt', 'id'])
      .execute()
  }
  await sql`insert into internet_gateways (id, account_id, region, vpc_id, created_at)
    select internet_gateway_id, account_id, region, id, created_at from vpcs`.execute(db)
  await sql`insert into route_tables (id, account_id, region, vpc_id, created_at)
    select main_route_table_id, account_id, region, id, created_at from vpcs`.execute(db)
  await sql`insert into routes (route_table_id, destination_cidr, gateway_id)
    select main_route_table_id, '0.0.0.0/0', internet_gateway_id from vpcs`.execute(db)
  await sql`insert into route_table_associations (id, route_table_id, vpc_id, subnet_id)
    select 'rtbassoc-' || substr(id, 5), main_route_table_id, id, null from vpcs`.execute(db)
  for (const column of ['internetGatewayId', 'mainRouteTableId']) {
    await db.schema.alterTable('vpcs').dropColumn(column).execute()
  }
}
