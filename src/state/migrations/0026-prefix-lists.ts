/** Prefix lists with their versions, rules and routes that name one, and VPC endpoints. */
import type { Kysely } from 'kysely'

// biome-ignore lint/suspicious/noExplicitAny: a migration knows no row types.
export async function up(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('prefixLists')
    .addColumn('id', 'text', (c) => c.notNull().primaryKey())
    .addColumn('accountId', 'text', (c) => c.notNull())
    .addColumn('region', 'text', (c) => c.notNull())
    .addColumn('name', 'text', (c) => c.notNull())
    .addColumn('addressFamily', 'text', (c) => c.notNull())
    .addColumn('maxEntries', 'integer', (c) => c.notNull())
    .addColumn('version', 'integer', (c) => c.notNull())
    .addColumn('state', 'text', (c) => c.notNull())
    .addColumn('createdAt', 'bigint', (c) => c.notNull())
    .execute()
  await db.schema
    .createTable('prefixListEntries')
    .addColumn('prefixListId', 'text', (c) => c.notNull())
    .addColumn('cidr', 'text', (c) => c.notNull())
    .addColumn('description', 'text')
    .addColumn('fromVersion', 'integer', (c) => c.notNull())
    .addColumn('untilVersion', 'integer')
    .addPrimaryKeyConstraint('prefixListEntriesKey', ['prefixListId', 'cidr', 'fromVersion'])
    .execute()
  await db.schema
    .createTable('vpcEndpoints')
    .addColumn('id', 'text', (c) => c.notNull().primaryKey())
    .addColumn('accountId', 'text', (c) => c.notNull())
    .addColumn('region', 'text', (c) => c.notNull())
    .addColumn('vpcId', 'text', (c) => c.notNull())
    .addColumn('serviceName', 'text', (c) => c.notNull())
    .addColumn('prefixListId', 'text', (c) => c.notNull())
    .addColumn('createdAt', 'bigint', (c) => c.notNull())
    .execute()
  for (const table of ['prefixLists', 'vpcEndpoints']) {
    await db.schema
      .createIndex(`${table}ByAccount`)
      .on(table)
      .columns(['accountId', 'region', 'createdAt', 'id'])
      .execute()
  }
  await db.schema.createIndex('vpcEndpointsByVpc').on('vpcEndpoints').columns(['vpcId']).execute()
  await db.schema.alterTable('securityGroupRules').addColumn('prefixListId', 'text').execute()
  await db.schema
    .createIndex('securityGroupRulesByPrefixList')
    .on('securityGroupRules')
    .columns(['prefixListId'])
    .execute()
  await db.schema.alterTable('routes').renameColumn('destinationCidr', 'destination').execute()
  await db.schema.alterTable('routes').renameColumn('gatewayId', 'targetId').execute()
  await db.schema.createIndex('routesByDestination').on('routes').columns(['destination']).execute()
  await db.schema.createIndex('routesByTarget').on('routes').columns(['targetId']).execute()
}
