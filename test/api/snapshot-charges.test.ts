/** What snapshots are charged for, from their making to the end of whatever they share blocks with. */
import { rename } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { StartSnapshotCommand } from '@aws-sdk/client-ebs'
import {
  CreateSnapshotCommand,
  DeleteSnapshotCommand,
  DeleteVolumeCommand,
  DescribeSnapshotsCommand,
  LockSnapshotCommand,
  ModifySnapshotAttributeCommand,
  RestoreSnapshotTierCommand,
  UnlockSnapshotCommand,
} from '@aws-sdk/client-ec2'
import { expect, test, vi } from 'vitest'
import { regionStorePath } from '../../src/blocks/export-name.ts'
import { openLocalStore } from '../../src/blocks/local-store.ts'
import { readRoot } from '../../src/blocks/snapshot-objects.ts'
import { homeAt } from '../../src/lib/home.ts'
import { wrongCharges } from '../support/charge-checks.ts'
import type { ModelSnapshot } from '../support/charge-model.ts'
import { type ModelVolume, place, region, useChargedAccount } from '../support/charged-account.ts'
import { blockBytes, diskOf } from '../support/direct-snapshots.ts'
import { expectRefusal } from '../support/served-cloud.ts'

const stranger = '000000000002'
const dayMs = 24 * 3600_000
const on = useChargedAccount()

test('a snapshot is charged for what the one before it does not have; what goes leaves its share to the next', async () => {
  const { base, volume, first, second, third } = await on.chain()
  expect(await on.chargedBlocks(base, first, second, third)).toEqual([3, 2, 2, 2])
  expect((await on.row(third.id)).dataBytes).toBe(6 * blockBytes)
  await on.expectCharges()
  await on.remove(second)
  expect(await on.chargedBlocks(first, third)).toEqual([2, 4])
  await on.remove(base)
  expect(await on.chargedBlocks(first, third)).toEqual([4, 4])
  await on.remove(first)
  expect(await on.chargedBlocks(third)).toEqual([6])
  await on.expectCharges()
  await on.caller.ec2.send(new DeleteVolumeCommand({ VolumeId: volume.id }))
  await on.remove(third)
})

test('a block that became zeros is charged to nobody, and one that has its old content again to its parent', async () => {
  const parent = await on.upload({ 0: 'a', 1: 'b', 2: 'c' })
  const id = await on.direct.make(new Map([...diskOf({ 1: 'B', 2: 'c', 9: 'new' }), [0, Buffer.alloc(blockBytes)]]), {
    ParentSnapshotId: parent.id,
  })
  const child = on.model.add({ id, place, texts: { 1: 'B', 2: 'c', 9: 'new' }, origin: parent })
  expect(await on.chargedBlocks(parent, child)).toEqual([3, 2])
  await on.remove(parent)
  expect(await on.chargedBlocks(child)).toEqual([3])
  await on.expectCharges()
})

test('two lines from one snapshot share it; when it goes, both pay for what they have of it', async () => {
  const base = await on.upload({ 0: 'a', 1: 'b' })
  const [one, other] = [await on.volumeOf(base), await on.volumeOf(base)]
  await on.write(one, { 1: 'one' })
  const ofOne = await on.snapshotOf(one)
  await on.write(other, { 7: 'other' })
  const ofOther = await on.snapshotOf(other)
  const written = await on.upload({ 8: 'written' }, base)
  expect(await on.chargedBlocks(base, ofOne, ofOther, written)).toEqual([2, 1, 1, 1])
  await on.remove(base)
  expect(await on.chargedBlocks(ofOne, ofOther, written)).toEqual([2, 3, 3])
  await on.expectCharges()
})

test('the first copy in a region is whole, later ones are increments of the copies before', async () => {
  const { base, first, second, third } = await on.chain()
  const ofFirst = await on.copy(first)
  expect(await on.chargedBlocks(ofFirst)).toEqual([4])
  // What is gone where it was made still has a copy that others are increments of.
  await on.remove(first)
  const ofThird = await on.copy(third)
  expect(await on.chargedBlocks(ofFirst, ofThird)).toEqual([4, 4])
  await on.expectCharges()
  const again = await on.copy(third)
  expect(await on.chargedBlocks(again)).toEqual([0])
  await on.remove(ofThird)
  expect(await on.chargedBlocks(ofFirst, again)).toEqual([4, 4])
  await on.remove(ofFirst)
  expect(await on.chargedBlocks(again)).toEqual([6])
  await on.remove(third)
  const ofSecond = await on.copy(second)
  expect(await on.chargedBlocks(ofSecond)).toEqual([5])
  expect(await on.chargedBlocks(base, second)).toEqual([3, 3])
  await on.expectCharges()
})

test('a copy in its own region has nothing of its own, until its source goes; another account pays for a whole one', async () => {
  const source = await on.upload({ 0: 'a', 1: 'b' })
  const own = await on.copy(source, { to: region })
  await on.caller.ec2.send(
    new ModifySnapshotAttributeCommand({ SnapshotId: source.id, OperationType: 'add', UserIds: [stranger] }),
  )
  const foreign = await on.copy(source, { to: region, by: stranger })
  expect(await on.chargedBlocks(source, own, foreign)).toEqual([2, 0, 2])
  await on.expectCharges()
  await on.remove(source)
  expect(await on.chargedBlocks(own, foreign)).toEqual([2, 2])
})

test('what is encrypted anew shares nothing with its source, and its own line is incremental again', async () => {
  const plain = await on.upload({ 0: 'a', 1: 'b', 1500: 'c' })
  const sealed = await on.copy(plain, { to: region, Encrypted: true, key: 'sealed' })
  const first = await on.upload({ 1: 'B' }, sealed)
  const second = await on.upload({ 2: 'd' }, first)
  expect(await on.chargedBlocks(plain, sealed, first, second)).toEqual([3, 3, 1, 1])
  const abroad = [await on.copy(sealed), await on.copy(second)]
  expect(await on.chargedBlocks(...abroad)).toEqual([3, 2])
  await on.remove(first)
  expect(await on.chargedBlocks(sealed, second)).toEqual([3, 2])
  await on.remove(sealed)
  expect(await on.chargedBlocks(plain, second)).toEqual([3, 4])
  await on.expectCharges()
})

test('an archived snapshot is whole and nobody’s parent, and stays so when it is restored', async () => {
  const { base, volume, first, second, third } = await on.chain()
  await on.archive(second)
  expect(await on.chargedBlocks(base, first, second, third)).toEqual([3, 2, 5, 4])
  await on.expectCharges()
  await on.caller.ec2.send(new RestoreSnapshotTierCommand({ SnapshotId: second.id, TemporaryRestoreDays: 1 }))
  await on.caller.quiet()
  // It can be used for a day, and what is made of it descends from what it descended from.
  const ofRestored = await on.snapshotOf(await on.volumeOf(second))
  expect(await on.chargedBlocks(first, second, third, ofRestored)).toEqual([2, 5, 4, 2])
  on.clock.moveOn(2 * dayMs)
  await on.expectCharges()
  await on.caller.ec2.send(new RestoreSnapshotTierCommand({ SnapshotId: second.id, PermanentRestore: true }))
  await on.caller.quiet()
  second.lives = true
  expect(await on.chargedBlocks(second, third)).toEqual([5, 4])
  expect(await on.row(second.id)).toMatchObject({ chargeParentId: null })
  // What is taken from now on is an increment again, also of the one that came back.
  const ofBack = await on.snapshotOf(await on.volumeOf(second))
  await on.write(volume, { 9: 'g' })
  const fourth = await on.snapshotOf(volume)
  expect(await on.chargedBlocks(ofBack, fourth)).toEqual([0, 1])
})

test('a snapshot whose parent goes while it is still written is charged against the one before', async () => {
  const base = await on.upload({ 0: 'a', 1: 'b' })
  const parent = await on.upload({ 1: 'B', 2: 'c' }, base)
  const pending = async (origin: ModelSnapshot) => {
    const { SnapshotId: id } = await on.direct.ebs.send(
      new StartSnapshotCommand({ VolumeSize: 1, ParentSnapshotId: origin.id }),
    )
    return id!
  }
  const id = await pending(parent)
  expect(await on.row(id)).toMatchObject({ chargedBytes: null, chargeParentId: null })
  await on.remove(parent)
  await on.direct.write(id, diskOf({ 3: 'd' }))
  await on.direct.settled(id)
  const late = on.model.add({ id, place, texts: { ...parent.texts, 3: 'd' }, origin: parent })
  expect(await on.chargedBlocks(base, late)).toEqual([2, 3])
  await on.expectCharges()
})

test('a snapshot that is read more quickly than the one before it is its increment once both are there', async () => {
  const volume = await on.volumeOf(await on.upload({ 0: 'a' }))
  await on.write(volume, { 1: 'b', 2: 'c' })
  const base = volume.origin!
  let release = () => {}
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  on.beforeCapture = () => {
    on.beforeCapture = null
    return released
  }
  const request = new CreateSnapshotCommand({ VolumeId: volume.id })
  const { SnapshotId: id } = await on.caller.ec2.send(request)
  const slow = on.model.add({ id: id!, place, texts: volume.texts, origin: base, lives: false })
  volume.origin = slow
  // The one before was asked to be read, and holds still.
  await vi.waitUntil(() => on.beforeCapture === null)
  await on.write(volume, { 3: 'd' })
  const quick = await on.snapshotOf(volume)
  expect(await on.chargedBlocks(base, quick)).toEqual([1, 3])
  release()
  await on.direct.settled(slow.id)
  slow.lives = true
  expect(await on.chargedBlocks(base, slow, quick)).toEqual([1, 2, 1])
  await on.expectCharges()
  expect(await wrongCharges(on.served(), [await on.row(base.id), await on.row(quick.id)])).toEqual([])
  await on.remove(slow)
  expect(await on.chargedBlocks(base, quick)).toEqual([1, 3])
})

test('what happens while blocks are compared counts', async () => {
  const base = await on.upload({ 0: 'a' })
  const parent = await on.upload({ 1: 'b' }, base)
  const child = await on.upload({ 2: 'c' }, parent)
  // The parent of what is being completed goes, once it was compared with it.
  let pauses = 1
  let gone: Promise<void> | undefined
  on.beforeMeasuring = async () => {
    if (pauses-- > 0) gone = on.remove(child)
    await gone
  }
  const late = await on.upload({ 3: 'd' }, child)
  on.beforeMeasuring = null
  expect(await on.row(late.id)).toMatchObject({ chargeParentId: parent.id, chargedBytes: 2 * blockBytes })
  // Another snapshot becomes an increment of what is being deleted.
  pauses = 1
  let joined: ModelSnapshot | undefined
  on.beforeMeasuring = async () => {
    if (pauses-- > 0) joined = await on.upload({ 4: 'e' }, parent)
  }
  await on.remove(parent)
  on.beforeMeasuring = null
  expect(await on.chargedBlocks(base, late, joined!)).toEqual([1, 3, 2])
  await on.expectCharges()
})

test('a chain that is deleted all at once leaves its last snapshot whole, in whatever order they go', async () => {
  const links = [await on.upload({ 0: 'link 0' })]
  for (let link = 1; link < 12; link++) links.push(await on.upload({ [link]: `link ${link}` }, links.at(-1)!))
  const last = links.pop()!
  const kept = links.splice(4, 1)[0]!
  await Promise.all(links.sort(() => Math.random() - 0.5).map((one) => on.remove(one)))
  expect(await on.chargedBlocks(kept, last)).toEqual([5, 7])
  await on.expectCharges()
})

test('what is refused is not compared and changes nothing', async () => {
  const base = await on.upload({ 0: 'a' })
  const parent = await on.upload({ 1: 'b' }, base)
  const child = await on.upload({ 2: 'c' }, parent)
  const lock = { SnapshotId: parent.id, LockMode: 'governance' as const, LockDuration: 1 }
  await on.caller.ec2.send(new LockSnapshotCommand(lock))
  const before = on.measured
  const deletion = () => on.caller.ec2.send(new DeleteSnapshotCommand({ SnapshotId: parent.id }))
  await expectRefusal(deletion(), 'OperationNotPermitted', parent.id)
  expect(on.measured).toBe(before)
  await on.expectCharges()
  await on.caller.ec2.send(new UnlockSnapshotCommand({ SnapshotId: parent.id }))
  await on.remove(parent)
  expect(on.measured).toBe(before + 1)
  expect(await on.chargedBlocks(base, child)).toEqual([1, 2])
})

test('a deletion that cannot compare now is not done; over a damaged store it is, and the whole is charged', async () => {
  const base = await on.upload({ 0: 'a', 1: 'damaged' })
  const parent = await on.upload({ 1: 'b' }, base)
  const child = await on.upload({ 2: 'c' }, parent)
  on.beforeMeasuring = async () => {
    throw new Error('too many open files')
  }
  await expectRefusal(on.remove(parent), 'InternalError', '')
  on.beforeMeasuring = null
  await on.expectCharges()
  expect(await on.direct.describe(parent.id)).toMatchObject({ State: 'completed' })
  const findLeaf = await loseLeaf(base)
  await on.remove(parent)
  expect(await on.row(child.id)).toMatchObject({ chargedBytes: 3 * blockBytes, chargeParentId: null })
  const { Snapshots: left } = await on.caller.ec2.send(new DescribeSnapshotsCommand({ OwnerIds: ['self'] }))
  expect(left!.map((one) => one.SnapshotId)).not.toContain(parent.id)
  await findLeaf()
})

/** Takes away the first leaf of a snapshot from its region's store; what comes back puts it there again. */
async function loseLeaf({ id }: ModelSnapshot): Promise<() => Promise<void>> {
  const directory = regionStorePath(homeAt(dirname(on.served().deps.volumesDir)).regionsDir, region)
  const store = await openLocalStore({ directory, access: 'read' })
  const { leaves } = await readRoot(store, (await on.row(id)).rootHash!)
  const { hash } = leaves[0]!
  const path = join(directory, 'leaf', hash.slice(0, 2), hash.slice(2, 4), hash)
  await rename(path, `${path}.lost`)
  return () => rename(`${path}.lost`, path)
}

test('blocks that are collected between deletions are missed by nobody', async () => {
  const { base, first, second, third } = await on.chain()
  for (const gone of [second, base, first]) {
    await on.remove(gone)
    await on.served().cloud.collection.collect({ region, graceMs: 0 })
    await on.expectCharges()
  }
  expect(await on.chargedBlocks(third)).toEqual([6])
})

test('public images’ snapshots are charged to nobody, and count for nobody', async () => {
  const [instance] = await on.caller.launch()
  const { VolumeId: id } = instance.BlockDeviceMappings![0]!.Ebs!
  const volume: ModelVolume = { id: id!, texts: {}, origin: null }
  const publicId = (await on.served().deps.state.volumes.get(id!))!.snapshotId!
  const first = await on.snapshotOf(volume)
  await on.write(volume, { 5: 'mine' })
  const second = await on.snapshotOf(volume)
  expect(await on.row(publicId)).toMatchObject({ chargedBytes: 0, chargeParentId: null })
  expect(await on.chargedBlocks(first, second)).toEqual([1, 1])
})
