/** Copies of volumes, as users see them. Simulated machines, real files. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import {
  CopyVolumesCommand,
  type CopyVolumesCommandInput,
  CreateSnapshotCommand,
  CreateVolumeCommand,
  DeleteSnapshotCommand,
  DeleteVolumeCommand,
  DescribeVolumeStatusCommand,
  DescribeVolumesCommand,
  TerminateInstancesCommand,
  type Volume,
  waitUntilSnapshotCompleted,
  waitUntilVolumeAvailable,
} from '@aws-sdk/client-ec2'
import { beforeAll, expect, test } from 'vitest'
import { writeLayer } from '../../src/blocks/testing/qemu-disks.ts'
import { type Caller, callerOf } from '../support/caller.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'
import { byteOfVolume } from '../support/volume-bytes.ts'

const served = useServedCloud({ isLive: true })
const zone = 'eu-west-1a'
const waiting = { minDelay: 0.1, maxDelay: 0.3, maxWaitTime: 30 }
const nowhere = 'vol-0123456789abcdef0'
let caller: Caller
beforeAll(async () => {
  caller = await callerOf(served(), '000000000001')
})

const available = (id: string) => waitUntilVolumeAvailable({ client: caller.ec2, ...waiting }, { VolumeIds: [id] })

async function create(more = {}): Promise<string> {
  const made = await caller.ec2.send(new CreateVolumeCommand({ AvailabilityZone: zone, Size: 2, ...more }))
  await available(made.VolumeId!)
  return made.VolumeId!
}

async function snapshotOf(volumeId: string): Promise<string> {
  const { SnapshotId: id } = await caller.ec2.send(new CreateSnapshotCommand({ VolumeId: volumeId }))
  await waitUntilSnapshotCompleted({ client: caller.ec2, ...waiting }, { SnapshotIds: [id!] })
  return id!
}

const copy = async (sourceId: string, more: Partial<CopyVolumesCommandInput> = {}): Promise<Volume> =>
  (await caller.ec2.send(new CopyVolumesCommand({ SourceVolumeId: sourceId, ...more }))).Volumes![0]!

const volume = async (id: string): Promise<Volume> =>
  (await caller.ec2.send(new DescribeVolumesCommand({ VolumeIds: [id] }))).Volumes![0]!

const status = async (id: string) =>
  (await caller.ec2.send(new DescribeVolumeStatusCommand({ VolumeIds: [id] }))).VolumeStatuses![0]!

/** What a guest would write: into the file that the volume is written to now. */
async function write(id: string, byte: number, offset = 0): Promise<void> {
  const { state, volumesDir } = served().deps
  const top = (await state.volumes.layers(id)).at(-1)!
  await writeLayer([join(volumesDir, id, top.fileName)], [`write -P ${byte} ${offset} 64k`])
}

const byteAt = (id: string, offset = 0) => byteOfVolume(served(), id, offset)

test('a copy holds what the source held when it was asked for, and each goes its own way from there', async () => {
  const source = await create()
  await write(source, 5)
  const tags = [{ ResourceType: 'volume' as const, Tags: [{ Key: 'is', Value: 'copy' }] }]
  const made = await copy(source, { Size: 4, VolumeType: 'gp3', Iops: 3000, TagSpecifications: tags })
  await write(source, 6)
  expect(made).toMatchObject({
    ...{ State: 'creating', Size: 4, VolumeType: 'gp3', SourceVolumeId: source, SnapshotId: '' },
    ...{ AvailabilityZone: zone, Tags: tags[0]!.Tags },
  })
  const id = made.VolumeId!
  await available(id)
  expect(await byteAt(id)).toBe(5)
  await write(id, 7, 3 * 2 ** 30)
  expect([await byteAt(source), await byteAt(id), await byteAt(id, 3 * 2 ** 30)]).toEqual([6, 5, 7])
  expect(await volume(id)).toMatchObject({ SourceVolumeId: source, Size: 4, State: 'available' })
  expect(await status(id)).toMatchObject({
    InitializationStatusDetails: { InitializationType: 'volume-copy', Progress: 100 },
  })
  const grandchild = (await copy(id)).VolumeId!
  await available(grandchild)
  await caller.ec2.send(new DeleteVolumeCommand({ VolumeId: source }))
  await caller.ec2.send(new DeleteVolumeCommand({ VolumeId: id }))
  expect([await byteAt(grandchild), await byteAt(grandchild, 3 * 2 ** 30)]).toEqual([5, 7])
  expect((await volume(grandchild)).VolumeType).toBe('gp2')
})

test('it takes no room but for its own top', async () => {
  const source = await create()
  await write(source, 5)
  const id = (await copy(source)).VolumeId!
  await available(id)
  const { volumesDir } = served().deps
  const inodes = [source, id].map(async (each) => (await stat(join(volumesDir, each, 'layer-0000.qcow2'))).ino)
  const [one, other] = await Promise.all(inodes)
  expect(one).toBe(other)
})

test('a snapshot of a copy stores what is new, and what the source reads of a deleted snapshot stays for the copy', async () => {
  const first = await create()
  await write(first, 5)
  const snapshot = await snapshotOf(first)
  const source = await create({ SnapshotId: snapshot })
  await write(source, 6, 2 ** 20)
  const id = (await copy(source)).VolumeId!
  await available(id)
  for (const each of [source, first]) await caller.ec2.send(new DeleteVolumeCommand({ VolumeId: each }))
  await caller.ec2.send(new DeleteSnapshotCommand({ SnapshotId: snapshot }))
  await served().cloud.collection.collect({ graceMs: 0 }, {})
  expect([await byteAt(id), await byteAt(id, 2 ** 20)]).toEqual([5, 6])
  const again = await create({ SnapshotId: await snapshotOf(id) })
  expect([await byteAt(again), await byteAt(again, 2 ** 20)]).toEqual([5, 6])
})

test('a copy of a hydrated volume needs no store, and its lineage is known', async () => {
  const first = await create()
  await write(first, 5)
  const snapshot = await snapshotOf(first)
  const source = await create({ SnapshotId: snapshot })
  const { cloud, deps } = served()
  await cloud.hydration.hydrate(await cloud.volumes.any(source))
  await caller.quiet()
  const id = (await copy(source)).VolumeId!
  await available(id)
  const { isLazy } = await cloud.volumes.usage(id)
  expect(isLazy).toBe(false)
  await caller.ec2.send(new DeleteVolumeCommand({ VolumeId: source }))
  expect(await byteAt(id)).toBe(5)
  expect(await deps.state.volumes.notHydrated(0, 100)).not.toContainEqual(expect.objectContaining({ id }))
})

test('the root of an instance that is terminated at once still gives its copy', async () => {
  const [instance] = await caller.launch({ Placement: { AvailabilityZone: zone } })
  const root = (await caller.describe(instance.InstanceId!)).BlockDeviceMappings![0]!.Ebs!.VolumeId!
  const made = await copy(root)
  await caller.ec2.send(new TerminateInstancesCommand({ InstanceIds: [instance.InstanceId!] }))
  await caller.reaches(instance.InstanceId!, 'terminated')
  await available(made.VolumeId!)
  expect(await byteAt(made.VolumeId!)).toBe(7)
})

test('tokens, and what is refused', async () => {
  const source = await create()
  const [one, same] = [await copy(source, { ClientToken: 'c' }), await copy(source, { ClientToken: 'c' })]
  expect(same.VolumeId).toBe(one.VolumeId)
  await expectRefusal(copy(source, { ClientToken: 'c', Size: 9 }), 'IdempotentParameterMismatch', 'c')
  await expectRefusal(copy(source, { Size: 1 }), 'InvalidParameterValue', 'Size')
  await expectRefusal(copy(source, { VolumeType: 'io2', Size: 4 }), 'MissingParameter', 'Iops')
  await expectRefusal(copy(source, { VolumeType: 'gp2', Iops: 100 }), 'InvalidParameterCombination', 'Iops')
  await expectRefusal(copy(source, { Encrypted: true }), 'UnsupportedOperation', 'Encrypted')
  await expectRefusal(copy(nowhere), 'InvalidVolume.NotFound', nowhere)
  await expectRefusal(copy('vol-1'), 'InvalidVolumeID.Malformed', 'vol-1')
  await expectRefusal(copy(source, { DryRun: true }), 'DryRunOperation', '')
  const stranger = await callerOf(served(), '000000000002')
  await expectRefusal(
    stranger.ec2.send(new CopyVolumesCommand({ SourceVolumeId: source })),
    'InvalidVolume.NotFound',
    source,
  )
  await available(one.VolumeId!)
})
