/**
 * What snapshots are charged for, and which snapshot a copy was made of. What is there already is charged for all of its
 * bytes, and is nobody's increment: of most of it nobody knows any more what it came from.
 */
import type { Kysely } from 'kysely'

// biome-ignore lint/suspicious/noExplicitAny: a migration knows no row types.
export async function up(db: Kysely<any>): Promise<void> {
  const alter = () => db.schema.alterTable('snapshots')
  await alter().addColumn('chargeParentId', 'text').execute()
  await alter().addColumn('chargedBytes', 'bigint').execute()
  await alter().addColumn('copiedFromId', 'text').execute()
  await db
    .updateTable('snapshots')
    .set((eb) => ({ chargedBytes: eb.ref('dataBytes') }))
    .where('completedAt', 'is not', null)
    .execute()
  await db.schema.createIndex('snapshotsByChargeParent').on('snapshots').columns(['chargeParentId']).execute()
  await db.schema.createIndex('snapshotsByCopiedFrom').on('snapshots').columns(['copiedFromId']).execute()
}
