/** Launch templates, their versions, and what versions are filtered by. */
import type { Kysely } from 'kysely'

// biome-ignore lint/suspicious/noExplicitAny: a migration knows no row types.
export async function up(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('launchTemplates')
    .addColumn('id', 'text', (c) => c.notNull().primaryKey())
    .addColumn('accountId', 'text', (c) => c.notNull())
    .addColumn('region', 'text', (c) => c.notNull())
    .addColumn('name', 'text', (c) => c.notNull())
    .addColumn('defaultVersion', 'integer', (c) => c.notNull())
    .addColumn('latestVersion', 'integer', (c) => c.notNull())
    .addColumn('versionsMade', 'integer', (c) => c.notNull())
    .addColumn('createdAt', 'bigint', (c) => c.notNull())
    .execute()
  await db.schema
    .createIndex('launchTemplatesByName')
    .on('launchTemplates')
    .columns(['accountId', 'region', 'name'])
    .unique()
    .execute()
  await db.schema
    .createIndex('launchTemplatesByTime')
    .on('launchTemplates')
    .columns(['accountId', 'region', 'createdAt', 'id'])
    .execute()
  await db.schema
    .createTable('launchTemplateVersions')
    .addColumn('templateId', 'text', (c) => c.notNull())
    .addColumn('version', 'integer', (c) => c.notNull())
    .addColumn('description', 'text')
    .addColumn('data', 'text', (c) => c.notNull())
    .addColumn('createdAt', 'bigint', (c) => c.notNull())
    .addPrimaryKeyConstraint('launchTemplateVersionsKey', ['templateId', 'version'])
    .execute()
  await db.schema
    .createTable('launchTemplateFacts')
    .addColumn('templateId', 'text', (c) => c.notNull())
    .addColumn('version', 'integer', (c) => c.notNull())
    .addColumn('name', 'text', (c) => c.notNull())
    .addColumn('value', 'text', (c) => c.notNull())
    .addPrimaryKeyConstraint('launchTemplateFactsKey', ['templateId', 'version', 'name', 'value'])
    .execute()
}
