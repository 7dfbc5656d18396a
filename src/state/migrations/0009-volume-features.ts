/** Roots that are replaced under an instance, copies of volumes, and snapshots that are kept ready on this host. */
import type { Kysely } from 'kysely'

// biome-ignore lint/suspicious/noExplicitAny: a migration knows no row types.
export async function up(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('replaceRootVolumeTasks')
    .addColumn('id', 'text', (c) => c.notNull().primaryKey())
    .addColumn('accountId', 'text', (c) => c.notNull())
    .addColumn('region', 'text', (c) => c.notNull())
    .addColumn('instanceId', 'text', (c) => c.notNull())
    .addColumn('state', 'text', (c) => c.notNull())
    .addColumn('imageId', 'text')
    .addColumn('snapshotId', 'text')
    .addColumn('oldVolumeId', 'text', (c) => c.notNull())
    .addColumn('newVolumeId', 'text', (c) => c.notNull())
    .addColumn('isVolumeMade', 'integer', (c) => c.notNull())
    .addColumn('deletesOld', 'integer', (c) => c.notNull())
    .addColumn('startedAt', 'bigint', (c) => c.notNull())
    .addColumn('completedAt', 'bigint')
    .execute()
  await db.schema
    .createIndex('replaceRootVolumeTasksByAccount')
    .on('replaceRootVolumeTasks')
    .columns(['accountId', 'region', 'startedAt', 'id'])
    .execute()
  await db.schema
    .createIndex('replaceRootVolumeTasksByInstance')
    .on('replaceRootVolumeTasks')
    .columns(['instanceId'])
    .execute()
  await addVolumeColumns(db)
  await addFastRestores(db)
}

// biome-ignore lint/suspicious/noExplicitAny: a migration knows no row types.
async function addFastRestores(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('fastSnapshotRestores')
    .addColumn('id', 'text', (c) => c.notNull().primaryKey())
    .addColumn('accountId', 'text', (c) => c.notNull())
    .addColumn('snapshotId', 'text', (c) => c.notNull())
    .addColumn('zone', 'text', (c) => c.notNull())
    .addColumn('region', 'text', (c) => c.notNull())
    .addColumn('rootHash', 'text', (c) => c.notNull())
    .addColumn('state', 'text', (c) => c.notNull())
    .addColumn('reason', 'text', (c) => c.notNull())
    .addColumn('enablingAt', 'bigint', (c) => c.notNull())
    .addColumn('optimizingAt', 'bigint')
    .addColumn('enabledAt', 'bigint')
    .addColumn('disablingAt', 'bigint')
    .addColumn('disabledAt', 'bigint')
    .addUniqueConstraint('fastSnapshotRestoresOnce', ['accountId', 'snapshotId', 'zone'])
    .execute()
  await db.schema
    .createIndex('fastSnapshotRestoresByState')
    .on('fastSnapshotRestores')
    .columns(['state', 'region'])
    .execute()
}

// biome-ignore lint/suspicious/noExplicitAny: a migration knows no row types.
async function addVolumeColumns(db: Kysely<any>): Promise<void> {
  const alter = () => db.schema.alterTable('volumes')
  await alter().addColumn('sourceVolumeId', 'text').execute()
  await alter().addColumn('initializationRate', 'integer').execute()
  await alter()
    .addColumn('fastRestored', 'integer', (c) => c.notNull().defaultTo(0))
    .execute()
  await alter()
    .addColumn('multiAttach', 'integer', (c) => c.notNull().defaultTo(0))
    .execute()
  for (const column of ['originalMultiAttach', 'targetMultiAttach']) {
    await db.schema
      .alterTable('volumeModifications')
      .addColumn(column, 'integer', (c) => c.notNull().defaultTo(0))
      .execute()
  }
  await db.schema.createIndex('volumesBySource').on('volumes').columns(['sourceVolumeId', 'state']).execute()
}
