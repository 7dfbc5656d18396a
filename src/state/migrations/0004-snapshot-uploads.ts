import type { Kysely } from 'kysely'

// biome-ignore lint/suspicious/noExplicitAny: a migration knows no row types.
export async function up(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('snapshotUploads')
    .addColumn('snapshotId', 'text', (c) => c.notNull().primaryKey())
    .addColumn('accountId', 'text', (c) => c.notNull())
    .addColumn('region', 'text', (c) => c.notNull())
    .addColumn('state', 'text', (c) => c.notNull())
    .addColumn('parentSnapshotId', 'text')
    .addColumn('timeoutMinutes', 'integer', (c) => c.notNull())
    .addColumn('deadline', 'bigint', (c) => c.notNull())
    .addColumn('writes', 'bigint', (c) => c.notNull())
    .addColumn('storedBytes', 'bigint', (c) => c.notNull())
    .addColumn('changedBlocks', 'integer')
    .addColumn('checksum', 'text')
    .execute()
  await db.schema
    .createIndex('snapshotUploadsByAccount')
    .on('snapshotUploads')
    .columns(['accountId', 'region', 'state'])
    .execute()
  await db.schema
    .createIndex('snapshotUploadsByDeadline')
    .on('snapshotUploads')
    .columns(['state', 'deadline'])
    .execute()
  await db.schema
    .createTable('snapshotUploadBlocks')
    .addColumn('snapshotId', 'text', (c) => c.notNull())
    .addColumn('blockIndex', 'integer', (c) => c.notNull())
    .addColumn('hash', 'text', (c) => c.notNull())
    .addPrimaryKeyConstraint('snapshotUploadBlocksKey', ['snapshotId', 'blockIndex'])
    .execute()
}
