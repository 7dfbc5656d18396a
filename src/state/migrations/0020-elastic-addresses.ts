/** Public addresses that an account keeps, and which interface has one. */
import type { Kysely } from 'kysely'

// biome-ignore lint/suspicious/noExplicitAny: a migration knows no row types.
export async function up(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('elasticAddresses')
    .addColumn('id', 'text', (c) => c.notNull().primaryKey())
    .addColumn('accountId', 'text', (c) => c.notNull())
    .addColumn('region', 'text', (c) => c.notNull())
    .addColumn('publicIp', 'text', (c) => c.notNull().unique())
    .addColumn('associationId', 'text')
    .addColumn('networkInterfaceId', 'text')
    .addColumn('createdAt', 'bigint', (c) => c.notNull())
    .execute()
  await db.schema
    .createIndex('elasticAddressesByAccount')
    .on('elasticAddresses')
    .columns(['accountId', 'region', 'createdAt', 'id'])
    .execute()
  await db.schema
    .createIndex('elasticAddressesByInterface')
    .on('elasticAddresses')
    .columns(['networkInterfaceId'])
    .unique()
    .execute()
  for (const column of ['allocationId', 'associationId']) {
    await db.schema.alterTable('networkInterfaces').addColumn(column, 'text').execute()
  }
}
