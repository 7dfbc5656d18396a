/** Images whose root lies in a bundle. */
import type { Kysely } from 'kysely'

// biome-ignore lint/suspicious/noExplicitAny: a migration knows no row types.
export async function up(db: Kysely<any>): Promise<void> {
  for (const column of ['imageLocation', 'manifestHash']) {
    await db.schema.alterTable('images').addColumn(column, 'text').execute()
  }
  for (const column of ['bundleBytes', 'rootBytes']) {
    await db.schema.alterTable('images').addColumn(column, 'bigint').execute()
  }
}
