/** What lies in the block stores, seen from the images and volumes that need it: collecting, checking, and what it costs. */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import {
  CopyImageCommand,
  CreateSnapshotCommand,
  DeleteSnapshotCommand,
  DeregisterImageCommand,
  type Image,
  type Instance,
  RegisterImageCommand,
  TerminateInstancesCommand,
} from '@aws-sdk/client-ec2'
import { afterEach, beforeAll, expect, test } from 'vitest'
import { nbdImage, writeLayer } from '../../src/blocks/testing/qemu-disks.ts'
import { rootsOfState } from '../../src/cloud/snapshots/live-set.ts'
import { homeAt } from '../../src/lib/home.ts'
import { run } from '../../src/lib/programs.ts'
import { type Caller, callerOf } from '../support/caller.ts'
import { useServedCloud } from '../support/served-cloud.ts'

const account = '000000000001'
const [region, away] = ['eu-west-1', 'us-west-2']
const served = useServedCloud({ isLive: true })
let caller: Caller
let abroad: Caller
beforeAll(async () => {
  caller = await callerOf(served(), account)
  abroad = await callerOf(served(), account, away)
})
const running: string[] = []
afterEach(async () => {
  if (running.length > 0) await caller.ec2.send(new TerminateInstancesCommand({ InstanceIds: running.splice(0) }))
  await caller.quiet()
})

const collect = async (only = region) => (await served().cloud.collection.collect({ region: only, graceMs: 0 }))[0]!
const costOf = (image: Image) => served().cloud.snapshotCosts.ofImage(region, image.ImageId!)
const snapshotOf = (image: Image) => image.BlockDeviceMappings![0]!.Ebs!.SnapshotId!
const rootOf = async (snapshotId: string) => (await served().deps.state.snapshots.get(snapshotId))!.rootHash!

/** An instance whose root volume was written to, by what a guest's machine would do. */
async function written(imageId: string, ...commands: string[]): Promise<Instance> {
  const [instance] = await caller.launch({ ImageId: imageId })
  running.push(instance.InstanceId!)
  await write(instance, ...commands)
  return instance
}

async function write(instance: Instance, ...commands: string[]): Promise<void> {
  const { state, volumesDir } = served().deps
  const volumeId = instance.BlockDeviceMappings![0]!.Ebs!.VolumeId!
  const top = (await state.volumes.layers(volumeId)).at(-1)!
  await writeLayer([join(volumesDir, volumeId, top.fileName)], commands)
}

async function deregister(image: Image): Promise<void> {
  const request = { ImageId: image.ImageId!, DeleteAssociatedSnapshots: true }
  await caller.ec2.send(new DeregisterImageCommand(request))
}

async function end(instance: Instance): Promise<void> {
  running.splice(running.indexOf(instance.InstanceId!), 1)
  await caller.ec2.send(new TerminateInstancesCommand({ InstanceIds: [instance.InstanceId!] }))
  await caller.reaches(instance.InstanceId!, 'terminated')
  await caller.quiet()
}

test('what an image costs is, to the byte, what goes when it is deregistered with its snapshots', async () => {
  const instance = await written(caller.seedImage, 'write -P 1 10M 2M', 'write -P 2 20M 1M')
  const first = await caller.imageOf(instance.InstanceId!, 'first')
  await write(instance, 'write -P 3 10M 512k', 'write -P 4 600M 1M')
  const second = await caller.imageOf(instance.InstanceId!, 'second')
  await collect()
  const [costOfFirst, costOfSecond] = [await costOf(first), await costOf(second)]
  // One pattern is one block: the first holds the seed's, 1 and 2; the second 3 and 4 besides.
  const blockBytes = 512 * 1024
  expect(costOfFirst.snapshots).toMatchObject([
    { snapshotId: snapshotOf(first), dataBytes: 7 * blockBytes, sharedWith: { snapshots: 2 }, staysBecause: null },
  ])
  expect(costOfSecond.snapshots).toMatchObject([{ dataBytes: 9 * blockBytes, sharedWith: { snapshots: 2 } }])
  for (const { snapshots } of [costOfFirst, costOfSecond])
    for (const one of snapshots) expect(one.sharedBytes + one.uniqueBytes).toBe(one.storedBytes)
  expect(costOfFirst.freedBytes).toBe(costOfFirst.snapshots[0]!.uniqueBytes)

  await deregister(second)
  expect((await collect()).bytesFreed).toBe(costOfSecond.freedBytes)
  // What they had shared is the first one's own now.
  const costOfLast = await costOf(first)
  expect(costOfLast.freedBytes).toBeGreaterThan(costOfFirst.freedBytes)
  await deregister(first)
  const collected = await collect()
  expect(collected.bytesFreed).toBe(costOfLast.freedBytes)
  expect(collected).toMatchObject({ region, roots: 1, blocks: 2, stopped: null })
  expect((await collect()).bytesFreed).toBe(0)
  // The seed image is whole.
  expect((await served().cloud.storeCheck.check({ region, repair: false }))[0]!.flaws).toEqual([])
})

test('a snapshot that another image names would stay, and is not counted', async () => {
  const instance = await written(caller.seedImage, 'write -P 5 10M 1M')
  const image = await caller.imageOf(instance.InstanceId!, 'shared')
  const { ImageId: otherId } = await caller.ec2.send(
    new RegisterImageCommand({
      Name: 'shares its snapshot',
      RootDeviceName: '/dev/xvda',
      BlockDeviceMappings: [{ DeviceName: '/dev/xvda', Ebs: { SnapshotId: snapshotOf(image) } }],
    }),
  )
  await collect()
  const cost = await costOf(image)
  expect(cost).toMatchObject({ freedBytes: 0, snapshots: [{ staysBecause: `${otherId} is made of it too` }] })
  await deregister(image)
  expect((await collect()).bytesFreed).toBe(0)
  const other = await caller.image(otherId!)
  expect((await costOf(other)).freedBytes).toBe(cost.snapshots[0]!.uniqueBytes)
  await deregister(other)
  expect((await collect()).bytesFreed).toBe(cost.snapshots[0]!.uniqueBytes)
  await expectRefusal(costOf(other), 'InvalidAMIID.NotFound')
})

async function expectRefusal(asking: Promise<unknown>, code: string): Promise<void> {
  await expect(asking).rejects.toMatchObject({ code })
}

test('a volume reads its snapshot after that was deleted and collected; the blocks go with the volume', async () => {
  const maker = await written(caller.seedImage, 'write -P 6 10M 1M')
  const image = await caller.imageOf(maker.InstanceId!, 'soon gone')
  await collect()
  const { freedBytes } = await costOf(image)
  const [reader] = await caller.launch({ ImageId: image.ImageId })
  running.push(reader.InstanceId!)
  // The maker's volume shares the seed image's block with it.
  expect(await costOf(image)).toMatchObject({ freedBytes: 0, snapshots: [{ sharedWith: { volumes: 2 } }] })
  await deregister(image)
  expect((await collect()).bytesFreed).toBe(0)
  const volumeId = reader.BlockDeviceMappings![0]!.Ebs!.VolumeId!
  const { baseRoot } = (await served().deps.state.volumes.get(volumeId))!
  const source = await served().deps.blocks.serve({ region, root: baseRoot!, volumeId })
  await run('qemu-io', ['-r', '-c', 'read -P 6 10M 1M', '-c', 'read -P 7 0 64k', nbdImage(source)])
  await end(reader)
  expect(freedBytes).toBeGreaterThan(0)
  expect((await collect()).bytesFreed).toBe(freedBytes)
})

/** The block files of a region's store. */
async function blocksOf(place: string): Promise<string[]> {
  const folder = join(homeAt(dirname(served().deps.volumesDir)).regionsDir, place, 'store', 'block')
  const names = (await readdir(folder, { recursive: true })).filter((name) => name.length > 64)
  return names.map((name) => join(folder, name))
}

test('damage is told with snapshot, image and volume, restored from another region, and plainly lost without one', async () => {
  const instance = await written(caller.seedImage, 'write -P 8 10M 1M')
  const image = await caller.imageOf(instance.InstanceId!, 'to be hurt')
  const [reader] = await caller.launch({ ImageId: image.ImageId })
  running.push(reader.InstanceId!)
  const before = new Set(await blocksOf(away))
  const { ImageId: copyId } = await abroad.ec2.send(
    new CopyImageCommand({ SourceRegion: region, SourceImageId: image.ImageId!, Name: 'copy' }),
  )
  await abroad.image(copyId!)
  const moved = (await blocksOf(away)).find((path) => !before.has(path))!
  const name = basename(moved)
  const mine = (await blocksOf(region)).find((path) => basename(path) === name)!
  await flip(mine)

  const { storeCheck, snapshotCosts } = served().cloud
  const volumeId = reader.BlockDeviceMappings![0]!.Ebs!.VolumeId!
  const touched = { snapshots: [snapshotOf(image)], images: [image.ImageId], volumes: [volumeId] }
  const flaw = { kind: 'block', hash: name, problem: 'damaged', ...touched }
  const flawsIn = async (repair: boolean) => (await storeCheck.check({ region, repair }))[0]!.flaws
  expect(await flawsIn(false)).toMatchObject([{ ...flaw, repairedFrom: null }])
  expect(await flawsIn(true)).toMatchObject([{ ...flaw, repairedFrom: away }])
  expect(await flawsIn(false)).toEqual([])

  await flip(mine)
  await flip(moved)
  expect(await flawsIn(true)).toMatchObject([{ ...flaw, repairedFrom: null }])
  expect(await flawsIn(false)).toMatchObject([{ ...flaw, problem: 'missing' }])
  // What is live stays countable and collectable, and the flaw goes with what it touches.
  expect((await snapshotCosts.ofImage(region, image.ImageId!)).snapshots).toHaveLength(1)
  expect((await collect()).stopped).toBeNull()
  await end(reader)
  await deregister(image)
  expect(await collect()).toMatchObject({ stopped: null, otherFiles: 1 })
  expect(await flawsIn(false)).toEqual([])
  await abroad.ec2.send(new DeregisterImageCommand({ ImageId: copyId!, DeleteAssociatedSnapshots: true }))
  await collect(away)
})

async function flip(path: string): Promise<void> {
  const bytes = await readFile(path)
  bytes[bytes.length - 3]! ^= 1
  await writeFile(path, bytes)
}

test('two snapshots of a volume differ in what was written between them', async () => {
  const instance = await written(caller.seedImage, 'write -P 9 10M 1M')
  const volumeId = instance.BlockDeviceMappings![0]!.Ebs!.VolumeId!
  const snapshot = async () => {
    const made = await caller.ec2.send(new CreateSnapshotCommand({ VolumeId: volumeId }))
    await caller.quiet()
    return made.SnapshotId!
  }
  const before = await snapshot()
  await write(instance, 'write -P 10 10M 4k', 'write -P 11 700M 1M', 'write -z 10752k 512k')
  const after = await snapshot()
  const { snapshotCosts } = served().cloud
  expect(await snapshotCosts.difference(region, before, after)).toEqual({
    sizeBytes: { before: 2 ** 30, after: 2 ** 30 },
    blocks: { changed: 1, added: 2, removed: 1 },
    bytes: 4 * 512 * 1024,
    leavesRead: 3,
  })
  await expectRefusal(snapshotCosts.difference(away, before, after), 'InvalidSnapshot.NotFound')
  for (const id of [before, after]) await caller.ec2.send(new DeleteSnapshotCommand({ SnapshotId: id }))
  await expectRefusal(snapshotCosts.difference(region, before, after), 'InvalidSnapshot.NotFound')
  await collect()
})

test('unfinished operations keep what they have brought and what they are to copy', async () => {
  const instance = await written(caller.seedImage, 'write -P 12 10M 1M')
  const image = await caller.imageOf(instance.InstanceId!, 'kept by work')
  const root = await rootOf(snapshotOf(image))
  await deregister(image)
  const { state } = served().deps
  const rootsIn = async (place: string) => (await rootsOfState(served().deps)(place)).roots
  expect(await rootsIn(region)).not.toContain(root)
  const operation = {
    ...{
      kind: 'nobody-runs-this',
      accountId: account,
      state: 'pending' as const,
      step: 'any',
      progress: 0,
      attempts: 0,
    },
    ...{ runAfter: 0, leaseOwner: null, leaseUntil: 0, error: null, createdAt: 0, updatedAt: 0, seq: 1 },
  }
  const copy = JSON.stringify({ sourceSnapshotId: snapshotOf(image), sourceRegion: region })
  await state.transaction(async (tx) => {
    await tx.operations.insert({ ...operation, id: 'op-1', subjectId: 'a', region: away, input: copy, data: '{}' })
  })
  expect(await rootsIn(region)).toContain(root)
  expect(await rootsIn(away)).not.toContain(root)
  expect((await collect()).roots).toBe(0)
  const data = JSON.stringify({ root })
  await state.operations.insert({ ...operation, id: 'op-2', subjectId: 'b', region: away, input: '{}', data })
  expect(await rootsIn(away)).toContain(root)
  for (const id of ['op-1', 'op-2']) {
    await state.operations.claim(id, { owner: 'test', nowMs: 1, untilMs: 2 })
    await state.operations.updateHeld(id, 'test', { state: 'completed' })
  }
  expect(await rootsIn(region)).not.toContain(root)
  expect((await collect()).roots).toBe(1)
})

test('counters of volumes that are gone go, and regions that have no store are refused', async () => {
  const { deps, cloud } = served()
  const { statsDir } = homeAt(dirname(deps.volumesDir))
  const [instance] = await caller.launch()
  running.push(instance.InstanceId!)
  const volumeId = instance.BlockDeviceMappings![0]!.Ebs!.VolumeId!
  const root = (await deps.state.volumes.get(volumeId))!.baseRoot!
  const source = await deps.blocks.serve({ region, root, volumeId })
  await run('qemu-io', ['-r', '-c', 'read 0 64k', nbdImage(source)])
  await writeFile(join(statsDir, 'vol-0123456789abcdef0.json'), '{}')
  const collected = await cloud.collection.collect({ graceMs: 3600_000 })
  expect(collected.map((one) => one.region)).toEqual(['seed', region, away].toSorted())
  expect(await readdir(statsDir)).toContain(`${volumeId}.json`)
  expect(await readdir(statsDir)).not.toContain('vol-0123456789abcdef0.json')
  await expectRefusal(cloud.collection.collect({ region: 'eu-west-3', graceMs: 0 }), 'InvalidParameterValue')
})
