/** Users, groups, roles, instance profiles, policies, access keys, and which instance has which profile. */
import type { Kysely } from 'kysely'

// biome-ignore lint/suspicious/noExplicitAny: a migration knows no row types.
export async function up(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('identities')
    .addColumn('id', 'text', (c) => c.notNull().primaryKey())
    .addColumn('accountId', 'text', (c) => c.notNull())
    .addColumn('kind', 'text', (c) => c.notNull())
    .addColumn('name', 'text', (c) => c.notNull())
    .addColumn('nameKey', 'text', (c) => c.notNull())
    .addColumn('path', 'text', (c) => c.notNull())
    .addColumn('description', 'text')
    .addColumn('trustPolicy', 'text')
    .addColumn('maxSessionSeconds', 'integer')
    .addColumn('permissionsBoundary', 'text')
    .addColumn('lastUsedAt', 'bigint')
    .addColumn('lastUsedRegion', 'text')
    .addColumn('roleId', 'text')
    .addColumn('defaultVersion', 'integer')
    .addColumn('versionsMade', 'integer')
    .addColumn('createdAt', 'bigint', (c) => c.notNull())
    .addColumn('updatedAt', 'bigint', (c) => c.notNull())
    .addUniqueConstraint('identitiesByName', ['accountId', 'kind', 'nameKey'])
    .execute()
  await db.schema
    .createTable('policyVersions')
    .addColumn('policyId', 'text', (c) => c.notNull())
    .addColumn('version', 'integer', (c) => c.notNull())
    .addColumn('document', 'text', (c) => c.notNull())
    .addColumn('createdAt', 'bigint', (c) => c.notNull())
    .addPrimaryKeyConstraint('policyVersionsKey', ['policyId', 'version'])
    .execute()
  await db.schema
    .createTable('inlinePolicies')
    .addColumn('identityId', 'text', (c) => c.notNull())
    .addColumn('name', 'text', (c) => c.notNull())
    .addColumn('document', 'text', (c) => c.notNull())
    .addPrimaryKeyConstraint('inlinePoliciesKey', ['identityId', 'name'])
    .execute()
  await db.schema
    .createTable('policyAttachments')
    .addColumn('identityId', 'text', (c) => c.notNull())
    .addColumn('policyArn', 'text', (c) => c.notNull())
    .addColumn('attachedAt', 'bigint', (c) => c.notNull())
    .addPrimaryKeyConstraint('policyAttachmentsKey', ['identityId', 'policyArn'])
    .execute()
  await db.schema
    .createTable('groupMembers')
    .addColumn('groupId', 'text', (c) => c.notNull())
    .addColumn('userId', 'text', (c) => c.notNull())
    .addPrimaryKeyConstraint('groupMembersKey', ['groupId', 'userId'])
    .execute()
  await db.schema
    .createTable('userAccessKeys')
    .addColumn('id', 'text', (c) => c.notNull().primaryKey())
    .addColumn('accountId', 'text', (c) => c.notNull())
    .addColumn('userId', 'text', (c) => c.notNull())
    .addColumn('sealedSecret', 'text', (c) => c.notNull())
    .addColumn('status', 'text', (c) => c.notNull())
    .addColumn('createdAt', 'bigint', (c) => c.notNull())
    .addColumn('lastUsedAt', 'bigint')
    .addColumn('lastUsedService', 'text')
    .addColumn('lastUsedRegion', 'text')
    .execute()
  await db.schema
    .createTable('accountAliases')
    .addColumn('accountId', 'text', (c) => c.notNull().primaryKey())
    .addColumn('alias', 'text', (c) => c.notNull().unique())
    .execute()
  await db.schema
    .createTable('instanceProfileAssociations')
    .addColumn('id', 'text', (c) => c.notNull().primaryKey())
    .addColumn('accountId', 'text', (c) => c.notNull())
    .addColumn('region', 'text', (c) => c.notNull())
    .addColumn('instanceId', 'text', (c) => c.notNull().unique())
    .addColumn('profileId', 'text', (c) => c.notNull())
    .addColumn('profileArn', 'text', (c) => c.notNull())
    .addColumn('profileName', 'text', (c) => c.notNull())
    .addColumn('createdAt', 'bigint', (c) => c.notNull())
    .execute()
  await addIndexes(db)
  // Null is the account itself.
  await db.schema.alterTable('signingCertificates').addColumn('userId', 'text').execute()
}

// biome-ignore lint/suspicious/noExplicitAny: a migration knows no row types.
async function addIndexes(db: Kysely<any>): Promise<void> {
  const indexes: readonly [name: string, table: string, columns: string[]][] = [
    ['identitiesByAccount', 'identities', ['accountId', 'kind', 'createdAt', 'id']],
    ['identitiesByRole', 'identities', ['roleId']],
    ['policyAttachmentsByPolicy', 'policyAttachments', ['policyArn', 'identityId']],
    ['groupMembersByUser', 'groupMembers', ['userId']],
    ['userAccessKeysByUser', 'userAccessKeys', ['userId']],
    [
      ...(['instanceProfileAssociationsByAccount', 'instanceProfileAssociations'] as const),
      ['accountId', 'region', 'createdAt', 'id'],
    ],
  ]
  for (const [name, table, columns] of indexes) {
    await db.schema.createIndex(name).on(table).columns(columns).execute()
  }
}
