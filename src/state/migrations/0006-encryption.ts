/** Encryption: named keys, data keys, and which data key seals a volume or a snapshot. */
import type { Kysely } from 'kysely'

// biome-ignore lint/suspicious/noExplicitAny: a migration knows no row types.
export async function up(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('encryptionKeys')
    .addColumn('id', 'text', (c) => c.notNull().primaryKey())
    .addColumn('accountId', 'text', (c) => c.notNull())
    .addColumn('region', 'text', (c) => c.notNull())
    .addColumn('description', 'text', (c) => c.notNull())
    .addColumn('state', 'text', (c) => c.notNull())
    .addColumn('isManaged', 'integer', (c) => c.notNull())
    .addColumn('currentVersion', 'integer', (c) => c.notNull())
    .addColumn('createdAt', 'bigint', (c) => c.notNull())
    .addColumn('rotatedAt', 'bigint')
    .execute()
  await db.schema
    .createTable('encryptionKeyVersions')
    .addColumn('keyId', 'text', (c) => c.notNull())
    .addColumn('version', 'integer', (c) => c.notNull())
    .addColumn('sealed', 'text', (c) => c.notNull())
    .addColumn('createdAt', 'bigint', (c) => c.notNull())
    .addPrimaryKeyConstraint('encryptionKeyVersionsKey', ['keyId', 'version'])
    .execute()
  await db.schema
    .createTable('encryptionKeyAliases')
    .addColumn('accountId', 'text', (c) => c.notNull())
    .addColumn('region', 'text', (c) => c.notNull())
    .addColumn('name', 'text', (c) => c.notNull())
    .addColumn('keyId', 'text', (c) => c.notNull())
    .addColumn('createdAt', 'bigint', (c) => c.notNull())
    .addPrimaryKeyConstraint('encryptionKeyAliasesKey', ['accountId', 'region', 'name'])
    .execute()
  await db.schema
    .createTable('encryptionKeyGrants')
    .addColumn('keyId', 'text', (c) => c.notNull())
    .addColumn('grantee', 'text', (c) => c.notNull())
    .addPrimaryKeyConstraint('encryptionKeyGrantsKey', ['keyId', 'grantee'])
    .execute()
  await db.schema
    .createTable('dataKeys')
    .addColumn('id', 'text', (c) => c.notNull().primaryKey())
    .addColumn('keyId', 'text', (c) => c.notNull())
    .addColumn('keyVersion', 'integer', (c) => c.notNull())
    .addColumn('sealed', 'text', (c) => c.notNull())
    .addColumn('originId', 'text', (c) => c.notNull())
    .addColumn('createdAt', 'bigint', (c) => c.notNull())
    .addUniqueConstraint('dataKeysByOrigin', ['originId', 'keyId'])
    .execute()
  await db.schema
    .createTable('ebsDefaults')
    .addColumn('accountId', 'text', (c) => c.notNull())
    .addColumn('region', 'text', (c) => c.notNull())
    .addColumn('encryptsByDefault', 'integer', (c) => c.notNull())
    .addColumn('defaultKeyId', 'text')
    .addPrimaryKeyConstraint('ebsDefaultsKey', ['accountId', 'region'])
    .execute()
  await db.schema.alterTable('snapshots').addColumn('dataKeyId', 'text').execute()
  await db.schema.alterTable('volumes').addColumn('dataKeyId', 'text').execute()
  await db.schema.alterTable('volumes').addColumn('baseDataKeyId', 'text').execute()
  await db.schema.alterTable('snapshotUploadBlocks').addColumn('sealedChecksum', 'text').execute()
}
