/** What may be spent in a month, and the thresholds that were crossed. */
import type { Kysely } from 'kysely'
import { PostgresAdapter } from 'kysely'

// biome-ignore lint/suspicious/noExplicitAny: a migration knows no row types.
export async function up(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('budgets')
    .addColumn('id', 'text', (c) => c.notNull().primaryKey())
    .addColumn('name', 'text', (c) => c.notNull().unique())
    .addColumn('amount', 'text', (c) => c.notNull())
    .addColumn('currency', 'text', (c) => c.notNull())
    .addColumn('accountId', 'text')
    .addColumn('region', 'text')
    .addColumn('tagKey', 'text')
    .addColumn('tagValue', 'text')
    .addColumn('thresholds', 'text', (c) => c.notNull())
    .addColumn('createdAt', 'bigint', (c) => c.notNull())
    .addColumn('closedMonth', 'text')
    .execute()
  const isPostgres = db.getExecutor().adapter instanceof PostgresAdapter
  await db.schema
    .createTable('budgetEvents')
    .addColumn('seq', isPostgres ? 'bigserial' : 'integer', (c) =>
      isPostgres ? c.primaryKey() : c.primaryKey().autoIncrement(),
    )
    .addColumn('budgetId', 'text', (c) => c.notNull())
    .addColumn('budgetName', 'text', (c) => c.notNull())
    .addColumn('month', 'text', (c) => c.notNull())
    .addColumn('percent', 'integer', (c) => c.notNull())
    .addColumn('basis', 'text', (c) => c.notNull())
    .addColumn('cost', 'text', (c) => c.notNull())
    .addColumn('amount', 'text', (c) => c.notNull())
    .addColumn('currency', 'text', (c) => c.notNull())
    .addColumn('crossedAt', 'bigint', (c) => c.notNull())
    // Whoever is second finds it told already.
    .addUniqueConstraint('budgetEventsOnce', ['budgetId', 'month', 'percent', 'basis'])
    .execute()
}
