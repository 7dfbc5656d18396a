/** Images stored as objects, and restored; tags of objects. */
import type { Kysely } from 'kysely'

// biome-ignore lint/suspicious/noExplicitAny: a migration knows no row types.
export async function up(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('storedImageTasks')
    .addColumn('id', 'text', (c) => c.notNull().primaryKey())
    .addColumn('kind', 'text', (c) => c.notNull())
    .addColumn('imageId', 'text', (c) => c.notNull())
    .addColumn('accountId', 'text', (c) => c.notNull())
    .addColumn('region', 'text', (c) => c.notNull())
    .addColumn('bucket', 'text', (c) => c.notNull())
    .addColumn('objectKey', 'text', (c) => c.notNull())
    .addColumn('sizeGib', 'integer', (c) => c.notNull())
    .addColumn('state', 'text', (c) => c.notNull())
    .addColumn('progress', 'integer', (c) => c.notNull())
    .addColumn('failureReason', 'text')
    .addColumn('createdAt', 'bigint', (c) => c.notNull())
    .execute()
  await db.schema
    .createIndex('storedImageTasksByAccount')
    .on('storedImageTasks')
    .columns(['accountId', 'region', 'kind', 'createdAt', 'id'])
    .execute()
  await db.schema.createIndex('storedImageTasksByTime').on('storedImageTasks').columns(['createdAt', 'state']).execute()
  await db.schema.alterTable('objects').addColumn('tags', 'text').execute()
}
