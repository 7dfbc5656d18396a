/** The archive tier, on a real block store, over days that go by. */
import { rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import {
  CopySnapshotCommand,
  CreateSnapshotCommand,
  DeleteSnapshotCommand,
  DescribeSnapshotAttributeCommand,
  DescribeSnapshotsCommand,
  DescribeSnapshotTierStatusCommand,
  ModifySnapshotAttributeCommand,
  ModifySnapshotTierCommand,
  RegisterImageCommand,
  RestoreSnapshotTierCommand,
  type RestoreSnapshotTierCommandInput,
} from '@aws-sdk/client-ec2'
import { beforeAll, expect, test } from 'vitest'
import { commandFor } from '../../src/api/testing/official-client.ts'
import { regionStorePath } from '../../src/blocks/export-name.ts'
import { hashOf } from '../../src/blocks/format.ts'
import { openLocalStore } from '../../src/blocks/local-store.ts'
import type { SnapshotBlocks } from '../../src/blocks/ports.ts'
import { writeLayer } from '../../src/blocks/testing/qemu-disks.ts'
import { wordyBlock } from '../../src/blocks/testing/stores.ts'
import { homeAt } from '../../src/lib/home.ts'
import { type Caller, callerOf } from '../support/caller.ts'
import { contentsOf } from '../support/cloud-contents.ts'
import { movingClock } from '../support/moving-clock.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'

/** What a test puts before the block store. */
const faults: { repack?: () => Promise<void>; verify?: () => Promise<void> } = {}
/** Where each part of an archiving began, as the block store was asked. */
const parts: number[] = []
const wrapBlocks = (blocks: SnapshotBlocks): SnapshotBlocks => ({
  ...blocks,
  async repack(request, progress) {
    parts.push(request.fromLeaf)
    await faults.repack?.()
    return blocks.repack(request, progress)
  },
  async verify(request, progress) {
    await faults.verify?.()
    return blocks.verify(request, progress)
  },
})

const clock = movingClock()
const served = useServedCloud({ isLive: true, clock, wrapBlocks })
const day = 24 * 3600_000
const region = 'eu-west-1'
let caller: Caller
let volumeId: string
beforeAll(async () => {
  caller = await callerOf(served(), '000000000001')
  const [instance] = await caller.launch()
  volumeId = instance.BlockDeviceMappings![0]!.Ebs!.VolumeId!
})

async function snapshot(): Promise<string> {
  const { SnapshotId: id } = await caller.ec2.send(new CreateSnapshotCommand({ VolumeId: volumeId }))
  await caller.quiet()
  return id!
}

const store = () =>
  openLocalStore({
    directory: regionStorePath(homeAt(dirname(served().deps.volumesDir)).regionsDir, region),
    access: 'read',
  })

/** Writes a block as a guest would; the next snapshot has it, and whatever follows has it too until it is overwritten. */
async function write(block: Buffer): Promise<void> {
  const { state, volumesDir } = served().deps
  const top = (await state.volumes.layers(volumeId)).at(-1)!
  const content = join(volumesDir, 'content')
  await writeFile(content, block)
  await writeLayer([join(volumesDir, volumeId, top.fileName)], [`write -s ${content} 4M ${block.length}`])
  await rm(content)
}

const archive = (SnapshotId: string) =>
  caller.ec2.send(new ModifySnapshotTierCommand({ SnapshotId, StorageTier: 'archive' }))
const restore = (SnapshotId: string, more: Omit<RestoreSnapshotTierCommandInput, 'SnapshotId'>) =>
  caller.ec2.send(new RestoreSnapshotTierCommand({ SnapshotId, ...more }))
const copy = (SourceSnapshotId: string) =>
  caller.ec2.send(new CopySnapshotCommand({ SourceSnapshotId, SourceRegion: region }))
const share = (SnapshotId: string) =>
  caller.ec2.send(new ModifySnapshotAttributeCommand({ SnapshotId, OperationType: 'add', UserIds: ['000000000002'] }))
async function status(id: string) {
  const filters = [{ Name: 'snapshot-id', Values: [id] }]
  const answer = await caller.ec2.send(new DescribeSnapshotTierStatusCommand({ Filters: filters }))
  return answer.SnapshotTierStatuses![0]!
}
const described = async (id: string) =>
  (await caller.ec2.send(new DescribeSnapshotsCommand({ SnapshotIds: [id] }))).Snapshots![0]!

function held(step: keyof typeof faults): () => Promise<void> {
  let release = () => {}
  const waiting = new Promise<void>((resolve) => {
    release = resolve
  })
  faults[step] = () => waiting
  return async () => {
    delete faults[step]
    release()
    await caller.quiet()
  }
}

test('archiving packs what no other snapshot has, and the archived one cannot be used', async () => {
  const [own, shared] = [wordyBlock('own'), wordyBlock('shared')]
  await write(own)
  const id = await snapshot()
  await write(shared)
  const second = await snapshot()
  const third = await snapshot()
  const bytesOf = async (block: Buffer) => (await store()).storedBytes('block', hashOf(block))
  const before = [await bytesOf(own), await bytesOf(shared)]
  expect((await status(id)).LastTieringOperationStatus).toBeUndefined()
  expect(await described(id)).toMatchObject({ StorageTier: 'standard' })

  const begun = await archive(id)
  expect(begun.SnapshotId).toBe(id)
  await caller.quiet()
  expect(await status(id)).toMatchObject({
    StorageTier: 'archive',
    LastTieringOperationStatus: 'archival-completed',
    LastTieringProgress: 100,
    LastTieringStartTime: begun.TieringStartTime,
    Status: 'completed',
    VolumeId: volumeId,
    OwnerId: '000000000001',
  })
  expect((await status(id)).ArchivalCompleteTime!.getTime()).toBeGreaterThanOrEqual(begun.TieringStartTime!.getTime())
  expect((await described(id)).StorageTier).toBe('archive')
  expect(await bytesOf(own)).toBeLessThan(before[0]!)
  // The second and the third have this one both, so archiving one of them leaves it.
  await archive(second)
  await caller.quiet()
  expect(await bytesOf(shared)).toBe(before[1])
  expect((await (await store()).read('block', hashOf(own))).equals(own)).toBe(true)

  await expectRefusal(copy(id), 'IncorrectState', id)
  const mapping = [{ DeviceName: '/dev/xvda', Ebs: { SnapshotId: id } }]
  const register = { Name: 'archived', RootDeviceName: '/dev/xvda', BlockDeviceMappings: mapping }
  await expectRefusal(caller.ec2.send(new RegisterImageCommand(register)), 'IncorrectState', id)
  const launch = { BlockDeviceMappings: [{ DeviceName: '/dev/sdf', Ebs: { SnapshotId: id } }] }
  await expectRefusal(caller.launch(launch), 'IncorrectState', id)
  await expectRefusal(archive(id), 'IncorrectState', id)
  await expectRefusal(share(id), 'IncorrectState', id)
  const filters = [{ Name: 'storage-tier', Values: ['archive'] }]
  const { Snapshots: archived } = await caller.ec2.send(new DescribeSnapshotsCommand({ Filters: filters }))
  expect(archived!.map((one) => one.SnapshotId)).toEqual([id, second])
  await caller.ec2.send(new DeleteSnapshotCommand({ SnapshotId: id }))
  await copy(third)
})

test('a large snapshot is archived part by part, and a part that fails is tried again', async () => {
  const [instance] = await caller.launch({ BlockDeviceMappings: [{ DeviceName: '/dev/sdf', Ebs: { VolumeSize: 9 } }] })
  const { state, volumesDir } = served().deps
  const VolumeId = instance.BlockDeviceMappings![1]!.Ebs!.VolumeId!
  const top = join(volumesDir, VolumeId, (await state.volumes.layers(VolumeId)).at(-1)!.fileName)
  // A block in each of 17 leaves, of which a part has 16.
  const commands = Array.from({ length: 17 }, (_, leaf) => `write -P ${leaf + 1} ${leaf * 512}M 4k`)
  await writeLayer([top], commands)
  const { SnapshotId: id } = await caller.ec2.send(new CreateSnapshotCommand({ VolumeId }))
  await caller.quiet()
  parts.length = 0
  faults.repack = async () => {
    if (parts.length === 2) throw new Error('the disk is busy')
  }
  await archive(id!)
  await caller.quiet()
  delete faults.repack
  expect(parts).toEqual([0, 16, 16])
  expect(await status(id!)).toMatchObject({ StorageTier: 'archive', LastTieringProgress: 100 })
  await restore(id!, { PermanentRestore: true })
  await caller.quiet()
  expect((await status(id!)).LastTieringOperationStatus).toBe('permanent-restore-completed')
})

test('a temporary restore lasts for its days, which can be changed, and is over by itself', async () => {
  const id = await snapshot()
  await archive(id)
  await caller.quiet()
  const begun = await restore(id, { TemporaryRestoreDays: 2 })
  expect(begun).toMatchObject({ SnapshotId: id, RestoreDuration: 2, IsPermanentRestore: false })
  await caller.quiet()
  const restored = await status(id)
  expect(restored).toMatchObject({
    StorageTier: 'standard',
    LastTieringOperationStatus: 'temporary-restore-completed',
    LastTieringProgress: 100,
  })
  const lasts = restored.RestoreExpiryTime!.getTime() - begun.RestoreStartTime!.getTime()
  expect(lasts).toBeGreaterThanOrEqual(2 * day)
  expect(lasts).toBeLessThan(2 * day + 60_000)
  expect((await described(id)).RestoreExpiryTime).toEqual(restored.RestoreExpiryTime)
  await copy(id)
  await restore(id, { TemporaryRestoreDays: 5 })
  clock.moveOn(3 * day)
  expect((await described(id)).StorageTier).toBe('standard')
  clock.moveOn(2 * day)
  expect(await status(id)).toMatchObject({ StorageTier: 'archive', LastTieringOperationStatus: 'archival-completed' })
  expect((await status(id)).RestoreExpiryTime).toBeUndefined()
  await expectRefusal(copy(id), 'IncorrectState', id)
})

test('a permanent restore is for good, from the archive or from a temporary restore', async () => {
  const [first, second] = [await snapshot(), await snapshot()]
  for (const id of [first, second]) await archive(id)
  await caller.quiet()
  await restore(second, { TemporaryRestoreDays: 1 })
  await restore(first, { PermanentRestore: true })
  await caller.quiet()
  const changed = await restore(second, { PermanentRestore: true })
  expect([changed.IsPermanentRestore, changed.RestoreDuration]).toEqual([true, undefined])
  clock.moveOn(200 * day)
  for (const id of [first, second]) {
    expect(await status(id)).toMatchObject({
      StorageTier: 'standard',
      LastTieringOperationStatus: 'permanent-restore-completed',
    })
    await copy(id)
    await expectRefusal(restore(id, { PermanentRestore: true }), 'IncorrectState', id)
  }
})

test('while it is being archived a snapshot can be used, but neither deleted nor archived again; sharing ends with it', async () => {
  const id = await snapshot()
  await share(id)
  const release = held('repack')
  await archive(id)
  await expect.poll(async () => (await status(id)).LastTieringOperationStatus).toBe('archival-in-progress')
  expect(await status(id)).toMatchObject({ StorageTier: 'standard', LastTieringProgress: 0 })
  const remove = () => caller.ec2.send(new DeleteSnapshotCommand({ SnapshotId: id }))
  await expectRefusal(remove(), 'IncorrectState', id)
  await expectRefusal(archive(id), 'IncorrectState', id)
  await expectRefusal(restore(id, { PermanentRestore: true }), 'IncorrectState', id)
  await copy(id)
  await release()
  expect((await status(id)).LastTieringOperationStatus).toBe('archival-completed')
  const attribute = { SnapshotId: id, Attribute: 'createVolumePermission' } as const
  const { CreateVolumePermissions: shared } = await caller.ec2.send(new DescribeSnapshotAttributeCommand(attribute))
  expect(shared).toEqual([])

  const restored = held('verify')
  await restore(id, { TemporaryRestoreDays: 1 })
  await expect.poll(async () => (await status(id)).LastTieringOperationStatus).toBe('temporary-restore-in-progress')
  await expectRefusal(remove(), 'IncorrectState', id)
  await expectRefusal(copy(id), 'IncorrectState', id)
  await restored()
  await copy(id)
  await remove()
})

test('a snapshot that an image needs is not archived, not even when the image comes later', async () => {
  const id = await snapshot()
  const register = (Name: string) =>
    caller.ec2.send(
      new RegisterImageCommand({
        Name,
        RootDeviceName: '/dev/xvda',
        BlockDeviceMappings: [{ DeviceName: '/dev/xvda', Ebs: { SnapshotId: id } }],
      }),
    )
  const { ImageId: first } = await register('first')
  await expectRefusal(archive(id), 'InvalidSnapshot.InUse', first!)
  await caller.ec2.send(commandFor('DeregisterImage', { ImageId: first }))
  const release = held('repack')
  await archive(id)
  const { ImageId: second } = await register('second')
  await release()
  expect(await status(id)).toMatchObject({
    StorageTier: 'standard',
    LastTieringOperationStatus: 'archival-failed',
    LastTieringOperationStatusDetail: expect.stringContaining(second!),
  })
  await caller.launch({ ImageId: second })
})

test('an archived snapshot that is damaged is not given back', async () => {
  const block = wordyBlock('to be damaged')
  await write(block)
  const id = await snapshot()
  await archive(id)
  await caller.quiet()
  const hash = hashOf(block)
  const path = join((await store()).where, 'block', hash.slice(0, 2), hash.slice(2, 4), hash)
  await writeFile(path, 'damaged')
  await restore(id, { PermanentRestore: true })
  await expect
    .poll(async () => (await status(id)).LastTieringOperationStatus, { timeout: 20_000 })
    .toBe('permanent-restore-failed')
  expect(await status(id)).toMatchObject({
    StorageTier: 'archive',
    LastTieringOperationStatusDetail: expect.stringContaining(hash),
  })
})

test('tiers are listed with tags, by filters and in pages', async () => {
  const lister = await callerOf(served(), '000000000003')
  const [instance] = await lister.launch()
  const ids: string[] = []
  for (let made = 0; made < 6; made++) {
    const request = {
      VolumeId: instance.BlockDeviceMappings![0]!.Ebs!.VolumeId,
      TagSpecifications: [{ ResourceType: 'snapshot' as const, Tags: [{ Key: 'n', Value: String(made) }] }],
    }
    ids.push((await lister.ec2.send(new CreateSnapshotCommand(request))).SnapshotId!)
  }
  await lister.quiet()
  await lister.ec2.send(new ModifySnapshotTierCommand({ SnapshotId: ids[2], StorageTier: 'archive' }))
  await lister.quiet()
  const list = (more: object) => lister.ec2.send(new DescribeSnapshotTierStatusCommand(more))
  const first = await list({ MaxResults: 5 })
  const second = await list({ MaxResults: 5, NextToken: first.NextToken })
  const seen = [...first.SnapshotTierStatuses!, ...second.SnapshotTierStatuses!]
  expect([first.SnapshotTierStatuses!.length, second.NextToken]).toEqual([5, undefined])
  expect(seen.map((one) => one.SnapshotId!).toSorted()).toEqual(ids.toSorted())
  const found = async (Name: string, ...Values: string[]) =>
    (await list({ Filters: [{ Name, Values }] })).SnapshotTierStatuses!.map((one) => one.SnapshotId)
  expect(await found('last-tiering-operation', 'archival-completed')).toEqual([ids[2]])
  expect(await found('volume-id', 'vol-0')).toEqual([])
  expect((await found('volume-id', instance.BlockDeviceMappings![0]!.Ebs!.VolumeId!)).length).toBe(6)
  expect(await found('tag:n', '4')).toEqual([ids[4]])
  expect(seen.find((one) => one.SnapshotId === ids[2])!.Tags).toEqual([{ Key: 'n', Value: '2' }])
  await expectRefusal(list({ Filters: [{ Name: 'no', Values: ['x'] }] }), 'InvalidParameterValue', "'no'")
})

test.each<[string, object, string, string]>([
  ['ModifySnapshotTier', { StorageTier: undefined }, 'MissingParameter', 'StorageTier'],
  ['ModifySnapshotTier', { StorageTier: 'standard' }, 'InvalidParameterValue', 'standard'],
  ['ModifySnapshotTier', { StorageTier: 'archive', DryRun: true }, 'DryRunOperation', 'DryRun'],
  ['ModifySnapshotTier', { StorageTier: 'archive', SnapshotId: 'snap-x' }, 'InvalidSnapshotID.Malformed', 'snap-x'],
  ['RestoreSnapshotTier', {}, 'MissingParameter', 'TemporaryRestoreDays'],
  ['RestoreSnapshotTier', { PermanentRestore: false }, 'MissingParameter', 'TemporaryRestoreDays'],
  [
    'RestoreSnapshotTier',
    { PermanentRestore: true, TemporaryRestoreDays: 1 },
    'InvalidParameterCombination',
    'PermanentRestore',
  ],
  ['RestoreSnapshotTier', { TemporaryRestoreDays: 0 }, 'InvalidParameterValue', 'TemporaryRestoreDays'],
  ['RestoreSnapshotTier', { TemporaryRestoreDays: 181 }, 'InvalidParameterValue', '181'],
  ['RestoreSnapshotTier', { TemporaryRestoreDays: 1 }, 'IncorrectState', 'not archived'],
])('%s with %j is refused', async (operation, input, code, named) => {
  const id = await snapshot()
  const before = await contentsOf(served())
  await expectRefusal(caller.ec2.send(commandFor(operation, { SnapshotId: id, ...input })), code, named)
  expect(await contentsOf(served())).toEqual(before)
})
