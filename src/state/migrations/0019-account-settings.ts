/** What an account has set for its instances in a region. */
import type { Kysely } from 'kysely'

// biome-ignore lint/suspicious/noExplicitAny: a migration knows no row types.
export async function up(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('accountSettings')
    .addColumn('accountId', 'text', (c) => c.notNull())
    .addColumn('region', 'text', (c) => c.notNull())
    .addColumn('httpTokens', 'text')
    .addColumn('httpEndpoint', 'text')
    .addColumn('httpPutResponseHopLimit', 'integer')
    .addColumn('instanceMetadataTags', 'text')
    .addColumn('serialConsoleAccess', 'integer', (c) => c.notNull())
    .addPrimaryKeyConstraint('accountSettingsKey', ['accountId', 'region'])
    .execute()
}
