import { CamelCasePlugin, type Dialect, Kysely, PostgresAdapter, sql } from 'kysely'
import { type Migration, Migrator } from 'kysely/migration'
import * as first from './migrations/0001-first.ts'
import * as volumes from './migrations/0002-volumes.ts'
import * as madeLayers from './migrations/0003-made-layers.ts'
import * as snapshotUploads from './migrations/0004-snapshot-uploads.ts'
import * as snapshotFeatures from './migrations/0005-snapshot-features.ts'
import * as encryption from './migrations/0006-encryption.ts'
import * as buckets from './migrations/0007-buckets.ts'
import * as transfers from './migrations/0008-transfers.ts'
import * as volumeFeatures from './migrations/0009-volume-features.ts'
import * as certificates from './migrations/0010-certificates.ts'
import * as instanceStoreImages from './migrations/0011-instance-store-images.ts'
import * as instanceDisks from './migrations/0012-instance-disks.ts'
import * as storedImages from './migrations/0013-stored-images.ts'
import * as bundleTasks from './migrations/0014-bundle-tasks.ts'
import * as snapshotCharges from './migrations/0015-snapshot-charges.ts'
import * as usage from './migrations/0016-usage.ts'
import * as budgets from './migrations/0017-budgets.ts'
import * as launchTemplates from './migrations/0018-launch-templates.ts'
import * as accountSettings from './migrations/0019-account-settings.ts'
import * as elasticAddresses from './migrations/0020-elastic-addresses.ts'
import * as pulledImages from './migrations/0021-pulled-images.ts'
import * as vpcs from './migrations/0022-vpcs.ts'
import * as identities from './migrations/0023-identities.ts'
import * as aclsAndDhcpOptions from './migrations/0024-acls-and-dhcp-options.ts'
import * as spotRequests from './migrations/0025-spot-requests.ts'
import * as prefixLists from './migrations/0026-prefix-lists.ts'
import * as interfacesAndNatGateways from './migrations/0027-interfaces-and-nat-gateways.ts'
import * as moreInterfaces from './migrations/0028-more-interfaces.ts'
import * as cpuCredits from './migrations/0029-cpu-credits.ts'
import type { Database } from './schema.ts'

/** A connection or a transaction: repositories do not care which. */
export type Db = Kysely<Database>

const migrations: Record<string, Migration> = {
  '0001-first': first,
  '0002-volumes': volumes,
  '0003-made-layers': madeLayers,
  '0004-snapshot-uploads': snapshotUploads,
  '0005-snapshot-features': snapshotFeatures,
  '0006-encryption': encryption,
  '0007-buckets': buckets,
  '0008-transfers': transfers,
  '0009-volume-features': volumeFeatures,
  '0010-certificates': certificates,
  '0011-instance-store-images': instanceStoreImages,
  '0012-instance-disks': instanceDisks,
  '0013-stored-images': storedImages,
  '0014-bundle-tasks': bundleTasks,
  '0015-snapshot-charges': snapshotCharges,
  '0016-usage': usage,
  '0017-budgets': budgets,
  '0018-launch-templates': launchTemplates,
  '0019-account-settings': accountSettings,
  '0020-elastic-addresses': elasticAddresses,
  '0021-pulled-images': pulledImages,
  '0022-vpcs': vpcs,
  '0023-identities': identities,
  '0024-acls-and-dhcp-options': aclsAndDhcpOptions,
  '0025-spot-requests': spotRequests,
  '0026-prefix-lists': prefixLists,
  '0027-interfaces-and-nat-gateways': interfacesAndNatGateways,
  '0028-more-interfaces': moreInterfaces,
  '0029-cpu-credits': cpuCredits,
}

export function openDatabase(dialect: Dialect): Db {
  return new Kysely<Database>({ dialect, plugins: [new CamelCasePlugin()] })
}

/** Brings the schema up to date. Several processes may try at once; one does it. */
export async function migrate(db: Db): Promise<void> {
  const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations } })
  const { error } = await migrator.migrateToLatest()
  if (error) throw new Error('the database could not be brought up to date', { cause: error })
}

/** Names the turn that transactions wait for, among the advisory locks of a PostgreSQL database. */
const transactionTurn = 4566

/** One transaction after the other, so what one has checked holds until its end. */
export function inTransaction<T>(db: Db, work: (tx: Db) => Promise<T>): Promise<T> {
  return db.transaction().execute(async (tx) => {
    // SQLite has one writer anyway.
    if (db.getExecutor().adapter instanceof PostgresAdapter) {
      await sql`select pg_advisory_xact_lock(${transactionTurn})`.execute(tx)
    }
    return await work(tx)
  })
}
