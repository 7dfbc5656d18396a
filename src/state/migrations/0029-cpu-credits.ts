/** How instances use CPU credits, and what accounts set for new ones of each family. */
import { type Kysely, sql } from 'kysely'

// biome-ignore lint/suspicious/noExplicitAny: a migration knows no row types.
export async function up(db: Kysely<any>): Promise<void> {
  await db.schema.alterTable('instances').addColumn('cpuCredits', 'text').execute()
  // Until now all were told to be unlimited.
  await sql`update instances set cpu_credits = 'unlimited' where instance_type like 't2.%' or instance_type like 't3%'`.execute(
    db,
  )
  for (const column of ['t2Credits', 't3Credits', 't3aCredits', 't4gCredits']) {
    await db.schema.alterTable('accountSettings').addColumn(column, 'text').execute()
  }
}
