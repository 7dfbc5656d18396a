/** Volumes on their own: what was changed about them, and whether they still need their snapshot. */
import type { Kysely } from 'kysely'

// biome-ignore lint/suspicious/noExplicitAny: a migration knows no row types.
export async function up(db: Kysely<any>): Promise<void> {
  await db.schema
    .alterTable('volumes')
    .addColumn('autoEnableIo', 'integer', (column) => column.notNull().defaultTo(0))
    .execute()
  await db.schema.alterTable('volumes').addColumn('hydratedAt', 'bigint').execute()
  await db.schema
    .createTable('volumeModifications')
    .addColumn('volumeId', 'text', (column) => column.notNull().primaryKey())
    .addColumn('state', 'text', (column) => column.notNull())
    .addColumn('statusMessage', 'text')
    .addColumn('originalSizeGib', 'integer', (column) => column.notNull())
    .addColumn('originalType', 'text', (column) => column.notNull())
    .addColumn('originalIops', 'integer')
    .addColumn('originalThroughput', 'integer')
    .addColumn('targetSizeGib', 'integer', (column) => column.notNull())
    .addColumn('targetType', 'text', (column) => column.notNull())
    .addColumn('targetIops', 'integer')
    .addColumn('targetThroughput', 'integer')
    .addColumn('startedAt', 'bigint', (column) => column.notNull())
    .addColumn('endedAt', 'bigint')
    .execute()
}
