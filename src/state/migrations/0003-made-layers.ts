/** Which layers of volumes have files, so that a file that is gone is told from one that was not made yet. */
import type { Kysely } from 'kysely'

// biome-ignore lint/suspicious/noExplicitAny: a migration knows no row types.
export async function up(db: Kysely<any>): Promise<void> {
  await db.schema
    .alterTable('volumeLayers')
    .addColumn('isMade', 'integer', (column) => column.notNull().defaultTo(0))
    .execute()
  // A frozen layer has been written to. The topmost is looked for when it is next needed.
  await db.updateTable('volumeLayers').set({ isMade: 1 }).where('snapshotId', 'is not', null).execute()
}
