import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { openTestCloud, type TestCloud } from '../../../test/support/test-cloud.ts'
import { systemClock } from '../../lib/clock.ts'
import { systemRandom } from '../../lib/random.ts'
import { openState, type State } from '../../state/state.ts'
import { blockKeyOf, dataKeyUnder, diskKeyOf, newDataKey, openDataKey } from './data-keys.ts'
import { openMasterKey } from './master-key.ts'
import { NamedKeys } from './named-keys.ts'

const here = { accountId: '111111111111', region: 'eu-west-1' }
const there = { accountId: '222222222222', region: 'eu-west-1' }

let testCloud: TestCloud
beforeAll(async () => {
  testCloud = await openTestCloud()
})
afterAll(() => testCloud.close())

const keys = () => testCloud.cloud.encryptionKeys
const state = () => testCloud.deps.state
const newKey = (scope = here, alias: string | null = null) => keys().create(scope, { description: 'd', alias })

test('a key is found by its id, its ARN, an alias and an alias ARN, in its account and region alone', async () => {
  const key = await newKey(here, 'alias/found')
  expect(key.arn).toBe(`arn:aws:kms:eu-west-1:111111111111:key/${key.id}`)
  const names = [key.id, key.arn, 'alias/found', 'arn:aws:kms:eu-west-1:111111111111:alias/found']
  for (const name of names) expect((await keys().resolve(here, name)).id).toBe(key.id)
  const elsewhere = { ...here, region: 'us-east-1' }
  for (const name of names) {
    await expect(keys().resolve(there, name)).rejects.toMatchObject({ code: 'InvalidParameterValue' })
    await expect(keys().resolve(elsewhere, name)).rejects.toThrow('KmsKeyId')
  }
  for (const name of [
    '',
    'alias/none',
    'nonsense',
    `${key.arn}x`,
    `arn:aws:kms:eu-west-1:111111111111:key/${'0'.repeat(36)}`,
  ])
    await expect(keys().resolve(here, name)).rejects.toMatchObject({ code: 'InvalidParameterValue' })
  await expect(newKey(here, 'found')).rejects.toThrow('is that of key')
  for (const alias of ['aws/ebs', 'a b', '']) await expect(newKey(here, alias)).rejects.toThrow('must be 1 to 250')
})

test('another account may use a key that it was granted, by its ARN', async () => {
  const key = await newKey()
  await keys().share(key.id, there.accountId, true)
  expect((await keys().resolve(there, key.arn)).id).toBe(key.id)
  await expect(keys().resolve(there, key.id)).rejects.toThrow('no such key')
  await keys().share(key.id, there.accountId, false)
  await expect(keys().resolve(there, key.arn)).rejects.toThrow('no such key')
})

test('the managed key is made once for an account and region, and is neither disabled nor shared', async () => {
  const [one, same] = await Promise.all([keys().managed(here), keys().resolve(here, 'alias/aws/ebs')])
  expect(one.id).toBe(same.id)
  expect((await keys().managed(there)).id).not.toBe(one.id)
  await expect(keys().setState(one.id, 'disabled')).rejects.toThrow('cannot be disabled')
  await expect(keys().share(one.id, there.accountId, true)).rejects.toThrow('cannot be shared')
})

test('a data key opens after rotations, for who may use its key, and not while that is disabled', async () => {
  const { deps } = testCloud
  const key = await newKey()
  const id = await state().transaction((tx) => newDataKey(deps, tx, key.id))
  const mine = { accountId: here.accountId, dataKeyId: id }
  const material = await openDataKey(deps, state(), mine)
  expect(material).toHaveLength(32)
  expect((await keys().rotate(key.id)).currentVersion).toBe(2)
  expect(await openDataKey(deps, state(), mine)).toEqual(material)
  const later = await state().transaction((tx) => newDataKey(deps, tx, key.id))
  expect(await state().encryption.dataKey(later)).toMatchObject({ keyVersion: 2 })
  expect(await state().encryption.dataKey(id)).toMatchObject({ keyVersion: 1 })

  const theirs = { accountId: there.accountId, dataKeyId: id }
  await expect(openDataKey(deps, state(), theirs)).rejects.toMatchObject({ code: 'CustomerKeyHasBeenRevoked' })
  await keys().share(key.id, there.accountId, true)
  expect(await openDataKey(deps, state(), theirs)).toEqual(material)

  await keys().setState(key.id, 'disabled')
  await expect(openDataKey(deps, state(), mine)).rejects.toThrow(`${key.arn} is disabled`)
  await expect(keys().rotate(key.id)).rejects.toMatchObject({ code: 'CustomerKeyHasBeenRevoked' })
  await keys().setState(key.id, 'enabled')
  expect(await openDataKey(deps, state(), mine)).toEqual(material)
})

test('a data key under another named key is the same, and there is one of it', async () => {
  const { deps } = testCloud
  const [first, second] = [await newKey(), await newKey()]
  const id = await state().transaction((tx) => newDataKey(deps, tx, first.id))
  const under = (keyId: string, dataKeyId = id) =>
    state().transaction((tx) => dataKeyUnder(deps, tx, { accountId: here.accountId, dataKeyId, keyId }))
  expect(await under(first.id)).toBe(id)
  const other = await under(second.id)
  expect(other).not.toBe(id)
  expect(await under(second.id)).toBe(other)
  expect(await under(first.id, other)).toBe(id)
  const open = (dataKeyId: string) => openDataKey(deps, state(), { accountId: here.accountId, dataKeyId })
  expect(await open(other)).toEqual(await open(id))
  await keys().setState(first.id, 'disabled')
  await open(other)
})

test('what encrypts disks and blocks are different keys, and neither lies in the database', async () => {
  const { deps } = testCloud
  const id = await state().transaction(async (tx) => newDataKey(deps, tx, (await newKeyIn(tx)).id))
  const disk = (await diskKeyOf(deps, { accountId: here.accountId, dataKeyId: id }))!
  const block = (await blockKeyOf(deps, here.accountId, id))!
  const data = await openDataKey(deps, state(), { accountId: here.accountId, dataKeyId: id })
  expect(disk).not.toEqual(block)
  const database = await readFile(join(deps.volumesDir, '..', 'kiln.db'))
  const journal = await readFile(join(deps.volumesDir, '..', 'kiln.db-wal')).catch(() => Buffer.alloc(0))
  for (const secret of [disk, block, data]) {
    for (const text of [secret, secret.toString('hex'), secret.toString('base64')]) {
      expect(database.includes(text) || journal.includes(text)).toBe(false)
    }
  }
  async function newKeyIn(tx: Parameters<Parameters<TestCloud['deps']['state']['transaction']>[0]>[0]) {
    return (await tx.encryption.keys())[0]!
  }
})

test('the defaults of an account are its own, for each region', async () => {
  const { ebsDefaults } = testCloud.cloud
  const mine = { ...here, region: 'us-west-2' }
  expect(await ebsDefaults.encryptsByDefault(mine)).toBe(false)
  await ebsDefaults.setEncryptsByDefault(mine, true)
  const key = await newKey(mine)
  await ebsDefaults.setKey(mine, key.arn)
  expect(await ebsDefaults.encryptsByDefault(mine)).toBe(true)
  expect((await ebsDefaults.key(mine)).id).toBe(key.id)
  for (const other of [here, { ...there, region: 'us-west-2' }])
    expect(await ebsDefaults.encryptsByDefault(other)).toBe(false)
  await ebsDefaults.setEncryptsByDefault(mine, false)
  expect((await ebsDefaults.key(mine)).id).toBe(key.id)
  await ebsDefaults.resetKey(mine)
  expect((await ebsDefaults.key(mine)).isManaged).toBe(1)
})

test('the master key is made anew only while nothing is sealed; then another, or none, is told and never replaced', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'kiln-keys-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const path = join(folder, 'keys', 'master.key')
  const withState = async <T>(work: (opened: State) => Promise<T>): Promise<T> => {
    const opened = await openState({ sqlitePath: join(folder, 'kiln.db') })
    try {
      return await work(opened)
    } finally {
      await opened.close()
    }
  }
  const open = () => withState((opened) => openMasterKey({ state: opened, random: systemRandom }, path))
  const unused = await open()
  await rm(path)
  const first = await open()
  expect(first.id).not.toBe(unused.id)
  await withState(async (opened) => {
    const deps = { state: opened, clock: systemClock, random: systemRandom, masterKey: first }
    await new NamedKeys(deps).create(here, { description: '', alias: null })
    // Another host that had the unused one seals nothing under it.
    const late = new NamedKeys({ ...deps, masterKey: unused })
    await expect(late.create(here, { description: '', alias: null })).rejects.toMatchObject({ code: 'Unavailable' })
  })
  expect((await stat(path)).mode & 0o777).toBe(0o600)
  const text = await readFile(path, 'utf8')
  expect((await open()).id).toBe(first.id)
  expect(await readFile(path, 'utf8')).toBe(text)

  await rm(path)
  await expect(open()).rejects.toThrow(
    `${path} is missing; the encryption keys of this home are sealed under the master key ${first.id}`,
  )
  await writeFile(path, `kiln master key 1\n${randomBytes(32).toString('hex')}\n`, { mode: 0o600 })
  await expect(open()).rejects.toThrow('is another master key')
  await writeFile(path, 'nonsense')
  await expect(open()).rejects.toThrow('holds no master key')
  await rm(path)
  await writeFile(path, text, { mode: 0o644 })
  await expect(open()).rejects.toThrow('may be read by others')
})
