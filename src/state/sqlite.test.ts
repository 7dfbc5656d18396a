import { mkdtempSync, rmSync } from 'node:fs'
import { copyFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Kysely, sql } from 'kysely'
import { type Migration, Migrator } from 'kysely/migration'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { isDiskFull } from '../lib/errors.ts'
import { bucketSuite } from './buckets.suite.ts'
import { openDatabase } from './database.ts'
import { DhcpOptionsRepository } from './dhcp-options.ts'
import { lockHome } from './home-lock.ts'
import { up as first } from './migrations/0001-first.ts'
import { up as addSnapshotCharges } from './migrations/0015-snapshot-charges.ts'
import { up as addElasticAddresses } from './migrations/0020-elastic-addresses.ts'
import { up as ownVpcs } from './migrations/0022-vpcs.ts'
import { up as ownAcls } from './migrations/0024-acls-and-dhcp-options.ts'
import { up as addPrefixLists } from './migrations/0026-prefix-lists.ts'
import { up as addInterfaces } from './migrations/0027-interfaces-and-nat-gateways.ts'
import { up as addMoreInterfaces } from './migrations/0028-more-interfaces.ts'
import { NetworkAclRepository } from './network-acls.ts'
import { NetworkRepository } from './networks.ts'
import { RoutingRepository } from './routing.ts'
import { snapshotUploadSuite } from './snapshot-uploads.suite.ts'
import { snapshot } from './snapshots.suite.ts'
import { sqliteDialect } from './sqlite.ts'
import { stateSuite } from './state.suite.ts'
import { openState } from './state.ts'
import { usageSuite } from './usage.suite.ts'

let folder: string
let databaseName: string
let kills = 0
beforeEach(() => {
  databaseName = 'kiln.db'
  folder = mkdtempSync(join(tmpdir(), 'kiln-state-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const open = () => openState({ sqlitePath: join(folder, 'kiln.db') })
stateSuite('SQLite', open)
snapshotUploadSuite('SQLite', open)
bucketSuite('SQLite', open)
usageSuite('SQLite', {
  open: (metering) => openState({ sqlitePath: join(folder, databaseName) }, metering),
  async kill() {
    // `kill -9` leaves what was written to the files, be it on stable storage or not.
    const before = databaseName
    databaseName = `kiln-${++kills}.db`
    for (const end of ['', '-wal']) await copyFile(join(folder, before + end), join(folder, databaseName + end))
  },
})

test('snapshots from before their charges were known are charged for all that they hold', async () => {
  const before = await open()
  await before.snapshots.insert({ ...snapshot('snap-1'), dataBytes: 64 * 1024 ** 4, chargeParentId: 'snap-0' })
  await before.snapshots.insert({ ...snapshot('snap-2'), state: 'pending', completedAt: null })
  await before.close()
  const db = openDatabase(sqliteDialect(join(folder, 'kiln.db')))
  for (const index of ['snapshotsByChargeParent', 'snapshotsByCopiedFrom']) await db.schema.dropIndex(index).execute()
  for (const column of ['chargeParentId', 'chargedBytes', 'copiedFromId']) {
    await db.schema.alterTable('snapshots').dropColumn(column).execute()
  }
  await addSnapshotCharges(db)
  await db.destroy()
  const after = await open()
  const none = { chargeParentId: null, copiedFromId: null }
  expect(await after.snapshots.get('snap-1')).toMatchObject({ ...none, chargedBytes: 64 * 1024 ** 4 })
  expect(await after.snapshots.get('snap-2')).toMatchObject({ ...none, chargedBytes: null })
  await after.close()
})

test('a schema is brought up to date as a whole, or stays as it was', async () => {
  const db = new Kysely<unknown>({ dialect: sqliteDialect(join(folder, 'torn.db')) })
  let isBroken = true
  const first: Migration = {
    async up(schema) {
      await schema.schema.createTable('notes').addColumn('text', 'text').execute()
      if (isBroken) throw new Error('the power failed')
    },
  }
  const migrator = new Migrator({ db, provider: { getMigrations: async () => ({ first }) } })
  const tables = async () => (await db.introspection.getTables()).map(({ name }) => name)
  expect((await migrator.migrateToLatest()).error).toMatchObject({ message: 'the power failed' })
  expect(await tables()).toEqual([])
  isBroken = false
  expect((await migrator.migrateToLatest()).error).toBeUndefined()
  expect(await tables()).toEqual(['notes'])
  await db.destroy()
})

test('a transaction that finds no room says so, leaves nothing, and later ones go on', async () => {
  const db = new Kysely<{ notes: { text: string } }>({ dialect: sqliteDialect(join(folder, 'small.db')) })
  await db.schema.createTable('notes').addColumn('text', 'text').execute()
  const write = (length: number) =>
    db.transaction().execute(async (tx) => {
      await tx.insertInto('notes').values({ text: 'short' }).execute()
      await tx
        .insertInto('notes')
        .values({ text: 'x'.repeat(length) })
        .execute()
    })
  await sql`pragma max_page_count = 8`.execute(db)
  const error = await write(1_000_000).catch((thrown) => thrown)
  expect([error.message, isDiskFull(error)]).toEqual(['database or disk is full', true])
  expect(await db.selectFrom('notes').selectAll().execute()).toEqual([])
  await write(1)
  expect(await db.selectFrom('notes').selectAll().execute()).toHaveLength(2)
  await db.destroy()
})

test('one process holds the lock of a home', () => {
  const lock = lockHome(join(folder, 'lock.db'))
  expect(lockHome(join(folder, 'lock.db'))).toBeUndefined()
  lock!.release()
  const again = lockHome(join(folder, 'lock.db'))
  expect(again).toBeDefined()
  again!.release()
})

test('VPCs from before have the gateway and the route table that they had, as rows of their own', async () => {
  const db = openDatabase(sqliteDialect(join(folder, 'old.db')))
  await first(db)
  const vpc = await insertOldVpc(db)
  await ownVpcs(db)
  await ownAcls(db)
  await addPrefixLists(db)
  const routing = new RoutingRepository(db)
  expect(await routing.gatewayOf(vpc.id)).toMatchObject({ id: 'igw-1', accountId: '000000000001', createdAt: 5 })
  expect(await routing.tablesOf(vpc.id)).toMatchObject([{ id: 'rtb-1', region: 'eu-west-1' }])
  expect(await routing.routesOf(['rtb-1'])).toEqual([
    { routeTableId: 'rtb-1', destination: '0.0.0.0/0', targetId: 'igw-1' },
  ])
  expect(await routing.associationsOf([vpc.id])).toEqual([
    { id: 'rtbassoc-0123456789abcdef0', routeTableId: 'rtb-1', vpcId: vpc.id, subnetId: null },
  ])
  const row = await db.selectFrom('vpcs').selectAll().executeTakeFirstOrThrow()
  expect(row).toMatchObject({ id: vpc.id, enableDnsSupport: 1, enableDnsHostnames: 0 })
  expect(row).not.toHaveProperty('internetGatewayId')
  await db.destroy()
})

test('VPCs from before have the network ACL and the DHCP options that they had, as rows of their own', async () => {
  const db = openDatabase(sqliteDialect(join(folder, 'old.db')))
  await first(db)
  const vpc = await insertOldVpc(db)
  const place = { accountId: vpc.accountId, region: vpc.region, vpcId: vpc.id, zone: 'eu-west-1a', createdAt: 6 }
  const subnet = {
    ...place,
    id: 'subnet-0123456789abcdef0',
    cidr: '172.31.0.0/20',
    isDefault: 1,
    mapPublicIp: 1,
  } as const
  await db.insertInto('subnets').values(subnet).execute()
  await ownVpcs(db)
  await ownAcls(db)
  const acls = new NetworkAclRepository(db)
  expect(await acls.ofVpc(vpc.id)).toMatchObject([
    { id: 'acl-1', isDefault: 1, accountId: vpc.accountId, createdAt: 5 },
  ])
  expect(await acls.associationsOf(['acl-1'])).toEqual([
    { id: 'aclassoc-0123456789abcdef0', networkAclId: 'acl-1', vpcId: vpc.id, subnetId: subnet.id },
  ])
  const entries = (await acls.entriesOf(['acl-1'])).map((entry) => [entry.isEgress, entry.ruleNumber, entry.action])
  expect(entries).toEqual([
    [1, 100, 'allow'],
    [1, 32_767, 'deny'],
    [0, 100, 'allow'],
    [0, 32_767, 'deny'],
  ])
  const dhcpOptions = new DhcpOptionsRepository(db)
  expect(await dhcpOptions.defaultOf(vpc.accountId, vpc.region)).toMatchObject({ id: 'dopt-1', createdAt: 5 })
  expect((await dhcpOptions.valuesOf(['dopt-1'])).map(({ key, value }) => [key, value])).toEqual([
    ['domain-name', 'eu-west-1.compute.internal'],
    ['domain-name-servers', 'AmazonProvidedDNS'],
  ])
  expect(await db.selectFrom('vpcs').selectAll().executeTakeFirstOrThrow()).not.toHaveProperty('networkAclId')
  await db.destroy()
})

test('interfaces from before are attached as they were, and check what their instances checked', async () => {
  const db = openDatabase(sqliteDialect(join(folder, 'old.db')))
  await first(db)
  const place = {
    accountId: '000000000001',
    region: 'eu-west-1',
    zone: 'eu-west-1a',
    vpcId: 'vpc-1',
    subnetId: 'subnet-1',
  }
  const columns = (await db.introspection.getTables()).find(({ name }) => name === 'instances')!.columns
  const blank = Object.fromEntries(columns.map(({ name, isNullable }) => [name, isNullable ? null : '0']))
  for (const [id, check] of [
    ['i-1', 0],
    ['i-2', 1],
  ]) {
    await db
      .insertInto('instances')
      .values({ ...blank, id, source_dest_check: check } as never)
      .execute()
  }
  const nics = [1, 2].map((number) => ({
    ...{ ...place, id: `eni-${number}`, instanceId: `i-${number}`, attachmentId: `eni-attach-${number}`, mac: 'x' },
    ...{ privateIp: `172.31.0.${number}`, publicIp: null, deleteOnTermination: 1, createdAt: 5 },
  }))
  await db
    .insertInto('networkInterfaces')
    .values(nics as never)
    .execute()
  await addElasticAddresses(db)
  await addInterfaces(db)
  await addMoreInterfaces(db)
  expect(await new NetworkRepository(db).interfacesOf(['i-1', 'i-2'])).toMatchObject([
    {
      ...nics[0],
      attachedAt: 5,
      deviceIndex: 0,
      attachmentState: 'attached',
      kind: 'interface',
      description: '',
      sourceDestCheck: 0,
    },
    {
      ...nics[1],
      attachedAt: 5,
      deviceIndex: 0,
      attachmentState: 'attached',
      kind: 'interface',
      description: '',
      sourceDestCheck: 1,
    },
  ])
  await db.destroy()
})

/** A VPC as the first schema had them. */
async function insertOldVpc(db: ReturnType<typeof openDatabase>) {
  const vpc = {
    ...{ id: 'vpc-0123456789abcdef0', accountId: '000000000001', region: 'eu-west-1', cidr: '172.31.0.0/16' },
    ...{ isDefault: 1, dhcpOptionsId: 'dopt-1', networkAclId: 'acl-1', createdAt: 5 },
    ...{ internetGatewayId: 'igw-1', mainRouteTableId: 'rtb-1' },
  }
  await db
    .insertInto('vpcs')
    .values(vpc as never)
    .execute()
  return vpc
}
