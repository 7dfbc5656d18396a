/** What was used: meters, events, days. */
import type { Kysely } from 'kysely'
import { PostgresAdapter, sql } from 'kysely'

// biome-ignore lint/suspicious/noExplicitAny: a migration knows no row types.
export async function up(db: Kysely<any>): Promise<void> {
  await db.schema
    .createTable('usageMeters')
    .addColumn('resourceId', 'text', (c) => c.notNull())
    .addColumn('usageType', 'text', (c) => c.notNull())
    .addColumn('accountId', 'text', (c) => c.notNull())
    .addColumn('region', 'text', (c) => c.notNull())
    .addColumn('quantity', 'bigint', (c) => c.notNull())
    .addColumn('fromS', 'bigint', (c) => c.notNull())
    .addColumn('runBeforeS', 'bigint')
    .addPrimaryKeyConstraint('usageMetersKey', ['resourceId', 'usageType'])
    .execute()
  await db.schema.createIndex('usageMetersByType').on('usageMeters').columns(['usageType', 'accountId']).execute()
  const isPostgres = db.getExecutor().adapter instanceof PostgresAdapter
  await db.schema
    .createTable('usageEvents')
    .addColumn('seq', isPostgres ? 'bigserial' : 'integer', (c) =>
      isPostgres ? c.primaryKey() : c.primaryKey().autoIncrement(),
    )
    .addColumn('resourceId', 'text', (c) => c.notNull())
    .addColumn('usageType', 'text', (c) => c.notNull())
    .addColumn('accountId', 'text', (c) => c.notNull())
    .addColumn('region', 'text', (c) => c.notNull())
    .addColumn('quantity', 'bigint', (c) => c.notNull())
    .addColumn('fromS', 'bigint', (c) => c.notNull())
    .addColumn('toS', 'bigint', (c) => c.notNull())
    .addColumn('runBeforeS', 'bigint')
    .addColumn('amount', 'text')
    .addColumn('isEstimated', 'integer', (c) => c.notNull())
    .execute()
  await db.schema.createIndex('usageEventsByTime').on('usageEvents').columns(['toS', 'accountId']).execute()
  await db.schema.createIndex('usageEventsByResource').on('usageEvents').columns(['resourceId', 'toS']).execute()
  await db.schema
    .createTable('usageLevels')
    .addColumn('accountId', 'text', (c) => c.notNull())
    .addColumn('region', 'text', (c) => c.notNull())
    .addColumn('usageType', 'text', (c) => c.notNull())
    .addColumn('quantity', 'text', (c) => c.notNull())
    .addColumn('atS', 'bigint', (c) => c.notNull())
    .addPrimaryKeyConstraint('usageLevelsKey', ['accountId', 'region', 'usageType'])
    .execute()
  await db.schema
    .createTable('usageDays')
    .addColumn('accountId', 'text', (c) => c.notNull())
    .addColumn('region', 'text', (c) => c.notNull())
    .addColumn('usageType', 'text', (c) => c.notNull())
    .addColumn('day', 'integer', (c) => c.notNull())
    .addColumn('exact', 'text', (c) => c.notNull())
    .addColumn('bySecond', 'text', (c) => c.notNull())
    .addColumn('byHour', 'text', (c) => c.notNull())
    .addPrimaryKeyConstraint('usageDaysKey', ['day', 'accountId', 'region', 'usageType'])
    .execute()
  await db.schema
    .createTable('usageResources')
    .addColumn('resourceId', 'text', (c) => c.notNull().primaryKey())
    .addColumn('accountId', 'text', (c) => c.notNull())
    .addColumn('region', 'text', (c) => c.notNull())
    .addColumn('kind', 'text', (c) => c.notNull())
    .addColumn('imageId', 'text')
    .addColumn('tags', 'text', (c) => c.notNull().defaultTo(sql.lit('{}')))
    .execute()
  await db.schema
    .createTable('usageClock')
    .addColumn('id', 'integer', (c) => c.notNull().primaryKey())
    .addColumn('wallMs', 'bigint', (c) => c.notNull())
    .addColumn('uptimeMs', 'bigint', (c) => c.notNull())
    .addColumn('bootId', 'text', (c) => c.notNull())
    .execute()
}
