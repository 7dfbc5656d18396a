/** Instances whose roots are bundled. */
import type { Kysely } from 'kysely'

// biome-ignore lint/suspicious/noExplicitAny: a migration knows no row types.
export async function up(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('bundleTasks')
    .addColumn('id', 'text', (c) => c.notNull().primaryKey())
    .addColumn('accountId', 'text', (c) => c.notNull())
    .addColumn('region', 'text', (c) => c.notNull())
    .addColumn('instanceId', 'text', (c) => c.notNull())
    .addColumn('writerId', 'text', (c) => c.notNull())
    .addColumn('bucket', 'text', (c) => c.notNull())
    .addColumn('prefix', 'text', (c) => c.notNull())
    .addColumn('policyExpiresAt', 'bigint')
    .addColumn('state', 'text', (c) => c.notNull())
    .addColumn('progress', 'integer', (c) => c.notNull())
    .addColumn('partsBegun', 'integer', (c) => c.notNull())
    .addColumn('errorCode', 'text')
    .addColumn('errorMessage', 'text')
    .addColumn('createdAt', 'bigint', (c) => c.notNull())
    .addColumn('updatedAt', 'bigint', (c) => c.notNull())
    .execute()
  await db.schema
    .createIndex('bundleTasksByAccount')
    .on('bundleTasks')
    .columns(['accountId', 'region', 'createdAt', 'id'])
    .execute()
  await db.schema.createIndex('bundleTasksByInstance').on('bundleTasks').columns(['instanceId', 'state']).execute()
}
