/** Sharing, public access, locks and tiers of snapshots; public access of images. */
import type { Kysely } from 'kysely'

// biome-ignore lint/suspicious/noExplicitAny: a migration knows no row types.
export async function up(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('snapshotCreateVolumePermissions')
    .addColumn('snapshotId', 'text', (c) => c.notNull())
    .addColumn('grantee', 'text', (c) => c.notNull())
    .addPrimaryKeyConstraint('snapshotCreateVolumePermissionsKey', ['snapshotId', 'grantee'])
    .execute()
  await db.schema
    .createIndex('snapshotCreateVolumePermissionsByGrantee')
    .on('snapshotCreateVolumePermissions')
    .columns(['grantee', 'snapshotId'])
    .execute()
  await db.schema
    .createTable('publicAccessBlocks')
    .addColumn('accountId', 'text', (c) => c.notNull())
    .addColumn('region', 'text', (c) => c.notNull())
    .addColumn('resourceType', 'text', (c) => c.notNull())
    .addColumn('state', 'text', (c) => c.notNull())
    .addPrimaryKeyConstraint('publicAccessBlocksKey', ['accountId', 'region', 'resourceType'])
    .execute()
  await db.schema
    .createTable('snapshotLocks')
    .addColumn('snapshotId', 'text', (c) => c.notNull())
    .addColumn('mode', 'text', (c) => c.notNull())
    .addColumn('durationDays', 'integer', (c) => c.notNull())
    .addColumn('coolOffHours', 'integer')
    .addColumn('coolOffUntil', 'bigint')
    .addColumn('createdAt', 'bigint', (c) => c.notNull())
    .addColumn('durationFrom', 'bigint', (c) => c.notNull())
    .addColumn('expirationDate', 'bigint')
    .addPrimaryKeyConstraint('snapshotLocksKey', ['snapshotId'])
    .execute()
  await db.schema
    .createTable('snapshotTiers')
    .addColumn('snapshotId', 'text', (c) => c.notNull())
    .addColumn('tier', 'text', (c) => c.notNull())
    .addColumn('operationStatus', 'text', (c) => c.notNull())
    .addColumn('operationDetail', 'text')
    .addColumn('progress', 'integer', (c) => c.notNull())
    .addColumn('startedAt', 'bigint', (c) => c.notNull())
    .addColumn('archivedAt', 'bigint')
    .addColumn('restoreExpiresAt', 'bigint')
    .addPrimaryKeyConstraint('snapshotTiersKey', ['snapshotId'])
    .execute()
}
