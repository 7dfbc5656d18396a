/** Disks in the instance store: no volumes, gone with their instance. */
import type { Kysely } from 'kysely'

// biome-ignore lint/suspicious/noExplicitAny: a migration knows no row types.
export async function up(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('instanceDisks')
    .addColumn('id', 'text', (c) => c.notNull().primaryKey())
    .addColumn('instanceId', 'text', (c) => c.notNull())
    .addColumn('virtualName', 'text', (c) => c.notNull())
    .addColumn('deviceName', 'text', (c) => c.notNull())
    .addColumn('slot', 'integer', (c) => c.notNull())
    .addColumn('sizeBytes', 'bigint', (c) => c.notNull())
    .execute()
  await db.schema.createIndex('instanceDisksByInstance').on('instanceDisks').columns(['instanceId']).execute()
}
