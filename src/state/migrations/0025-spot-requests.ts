/** Requests for spot instances, what they are filtered by, and fleets with the instances that each has launched. */
import type { Kysely } from 'kysely'

// biome-ignore lint/suspicious/noExplicitAny: a migration knows no row types.
export async function up(db: Kysely<any>): Promise<void> {
  await db.schema.alterTable('instances').addColumn('spotRequestId', 'text').execute()
  await db.schema
    .createTable('spotRequests')
    .addColumn('id', 'text', (c) => c.notNull().primaryKey())
    .addColumn('accountId', 'text', (c) => c.notNull())
    .addColumn('region', 'text', (c) => c.notNull())
    .addColumn('type', 'text', (c) => c.notNull())
    .addColumn('state', 'text', (c) => c.notNull())
    .addColumn('statusCode', 'text', (c) => c.notNull())
    .addColumn('statusMessage', 'text', (c) => c.notNull())
    .addColumn('statusAt', 'bigint', (c) => c.notNull())
    .addColumn('maxPrice', 'text')
    .addColumn('interruption', 'text', (c) => c.notNull())
    .addColumn('validFrom', 'bigint')
    .addColumn('validUntil', 'bigint')
    .addColumn('launch', 'text', (c) => c.notNull())
    .addColumn('specification', 'text', (c) => c.notNull())
    .addColumn('instanceId', 'text')
    .addColumn('launchedZone', 'text')
    .addColumn('createdAt', 'bigint', (c) => c.notNull())
    .addColumn('endedAt', 'bigint')
    .execute()
  await db.schema
    .createTable('spotRequestFacts')
    .addColumn('requestId', 'text', (c) => c.notNull())
    .addColumn('name', 'text', (c) => c.notNull())
    .addColumn('value', 'text', (c) => c.notNull())
    .addPrimaryKeyConstraint('spotRequestFactsKey', ['requestId', 'name', 'value'])
    .execute()
  await db.schema
    .createTable('fleets')
    .addColumn('id', 'text', (c) => c.notNull().primaryKey())
    .addColumn('accountId', 'text', (c) => c.notNull())
    .addColumn('region', 'text', (c) => c.notNull())
    .addColumn('state', 'text', (c) => c.notNull())
    .addColumn('clientToken', 'text')
    .addColumn('specification', 'text', (c) => c.notNull())
    .addColumn('errors', 'text', (c) => c.notNull())
    .addColumn('fulfilled', 'double precision', (c) => c.notNull())
    .addColumn('fulfilledOnDemand', 'double precision', (c) => c.notNull())
    .addColumn('createdAt', 'bigint', (c) => c.notNull())
    .execute()
  await db.schema
    .createTable('fleetInstances')
    .addColumn('fleetId', 'text', (c) => c.notNull())
    .addColumn('instanceId', 'text', (c) => c.notNull())
    .addColumn('pool', 'integer', (c) => c.notNull())
    .addPrimaryKeyConstraint('fleetInstancesKey', ['fleetId', 'instanceId'])
    .execute()
  for (const table of ['spotRequests', 'fleets']) {
    await db.schema
      .createIndex(`${table}ByAccount`)
      .on(table)
      .columns(['accountId', 'region', 'createdAt', 'id'])
      .execute()
  }
}
