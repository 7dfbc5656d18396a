/** Snapshots that are kept ready, as users see them. Simulated machines, real files. */
import { existsSync } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import {
  CreateSnapshotCommand,
  CreateVolumeCommand,
  DeleteSnapshotCommand,
  DeleteVolumeCommand,
  DescribeFastSnapshotRestoresCommand,
  DescribeVolumeStatusCommand,
  DescribeVolumesCommand,
  DisableFastSnapshotRestoresCommand,
  EnableFastSnapshotRestoresCommand,
  type EnableFastSnapshotRestoresCommandInput,
  type FastSnapshotRestoreStateCode,
  ModifySnapshotAttributeCommand,
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
const [zone, otherZone] = ['eu-west-1a', 'eu-west-1b']
const waiting = { minDelay: 0.1, maxDelay: 0.3, maxWaitTime: 30 }
const nowhere = 'snap-0123456789abcdef0'
let caller: Caller
beforeAll(async () => {
  caller = await callerOf(served(), '000000000001')
})

async function create(more = {}): Promise<string> {
  const made = await caller.ec2.send(new CreateVolumeCommand({ AvailabilityZone: zone, Size: 1, ...more }))
  await waitUntilVolumeAvailable({ client: caller.ec2, ...waiting }, { VolumeIds: [made.VolumeId!] })
  return made.VolumeId!
}

async function snapshotWith(byte: number): Promise<string> {
  const id = await create()
  const { state, volumesDir } = served().deps
  const top = (await state.volumes.layers(id)).at(-1)!
  await writeLayer([join(volumesDir, id, top.fileName)], [`write -P ${byte} 0 64k`])
  const { SnapshotId: snapshot } = await caller.ec2.send(new CreateSnapshotCommand({ VolumeId: id }))
  await waitUntilSnapshotCompleted({ client: caller.ec2, ...waiting }, { SnapshotIds: [snapshot!] })
  return snapshot!
}

const enable = (snapshots: string[], more: Partial<EnableFastSnapshotRestoresCommandInput> = {}) =>
  caller.ec2.send(
    new EnableFastSnapshotRestoresCommand({ SourceSnapshotIds: snapshots, AvailabilityZones: [zone], ...more }),
  )
const disable = (snapshots: string[], zones = [zone]) =>
  caller.ec2.send(new DisableFastSnapshotRestoresCommand({ SourceSnapshotIds: snapshots, AvailabilityZones: zones }))

async function restores(snapshotId: string, ec2 = caller.ec2) {
  const filters = [{ Name: 'snapshot-id', Values: [snapshotId] }]
  return (await ec2.send(new DescribeFastSnapshotRestoresCommand({ Filters: filters }))).FastSnapshotRestores!
}

const become = (snapshotId: string, ...states: FastSnapshotRestoreStateCode[]) =>
  expect.poll(async () => (await restores(snapshotId)).map((each) => each.State), { timeout: 20_000 }).toEqual(states)

const volume = async (id: string): Promise<Volume> =>
  (await caller.ec2.send(new DescribeVolumesCommand({ VolumeIds: [id] }))).Volumes![0]!

const readyFiles = () => readdir(join(served().deps.volumesDir, 'snapshot-bases', 'eu-west-1')).catch(() => [])
const isLazy = async (id: string) => (await served().cloud.volumes.usage(id)).isLazy

test('volumes of a snapshot that is ready begin whole, in its zone; they keep what they have when it ends', async () => {
  const snapshot = await snapshotWith(5)
  const { Successful: begun, Unsuccessful: refused } = await enable([snapshot])
  expect(refused).toEqual([])
  expect(begun).toMatchObject([
    {
      ...{ SnapshotId: snapshot, AvailabilityZone: zone, AvailabilityZoneId: 'euw1-az1', State: 'enabling' },
      ...{ OwnerId: '000000000001', StateTransitionReason: 'Client.UserInitiated', EnablingTime: expect.any(Date) },
    },
  ])
  await become(snapshot, 'enabled')
  expect((await restores(snapshot))[0]).toMatchObject({
    StateTransitionReason: 'Client.UserInitiated - Lifecycle state transition',
    ...{ OptimizingTime: expect.any(Date), EnabledTime: expect.any(Date) },
  })
  const [fast, elsewhere] = [
    await create({ SnapshotId: snapshot }),
    await create({ SnapshotId: snapshot, AvailabilityZone: otherZone }),
  ]
  expect([(await volume(fast)).FastRestored, (await volume(elsewhere)).FastRestored]).toEqual([true, false])
  expect([await isLazy(fast), await isLazy(elsewhere)]).toEqual([false, true])
  const status = await caller.ec2.send(new DescribeVolumeStatusCommand({ VolumeIds: [fast] }))
  expect(status.VolumeStatuses![0]).toMatchObject({
    InitializationStatusDetails: { InitializationType: 'default', Progress: 100 },
  })
  const filters = [{ Name: 'fast-restored', Values: ['true'] }]
  const found = await caller.ec2.send(new DescribeVolumesCommand({ Filters: filters }))
  expect(found.Volumes!.map((each) => each.VolumeId)).toEqual([fast])
  const second = await create({ SnapshotId: snapshot })
  const inodes = [fast, second].map(async (id) => (await stat(join(served().deps.volumesDir, id, 'base.raw'))).ino)
  expect((await Promise.all(inodes))[0]).toBe((await Promise.all(inodes))[1])

  expect((await disable([snapshot])).Successful).toMatchObject([
    { State: 'disabling', DisablingTime: expect.any(Date) },
  ])
  await become(snapshot, 'disabled')
  expect(await readyFiles()).toEqual([])
  await caller.ec2.send(new DeleteSnapshotCommand({ SnapshotId: snapshot }))
  expect(await byteOfVolume(served(), fast, 0)).toBe(5)
  await caller.ec2.send(new DeleteVolumeCommand({ VolumeId: fast }))
  expect(await byteOfVolume(served(), second, 0)).toBe(5)
})

test('instances that are launched in its zone begin whole too', async () => {
  const [source] = await caller.launch({ Placement: { AvailabilityZone: zone } })
  const image = await caller.imageOf(source.InstanceId!, 'fast')
  const snapshot = image.BlockDeviceMappings![0]!.Ebs!.SnapshotId!
  await enable([snapshot], { AvailabilityZones: undefined, AvailabilityZoneIds: ['euw1-az1'] })
  await become(snapshot, 'enabled')
  const [instance] = await caller.launch({ ImageId: image.ImageId!, Placement: { AvailabilityZone: zone } })
  const root = (await caller.describe(instance.InstanceId!)).BlockDeviceMappings![0]!.Ebs!.VolumeId!
  expect((await volume(root)).FastRestored).toBe(true)
  expect(await isLazy(root)).toBe(false)
  expect(await byteOfVolume(served(), root, 0)).toBe(7)
  await disable([snapshot])
  await become(snapshot, 'disabled')
})

test('two zones and two accounts share one file, which goes with the last of them; deleting the snapshot ends all', async () => {
  const snapshot = await snapshotWith(6)
  const stranger = await callerOf(served(), '000000000002')
  const theirs = new EnableFastSnapshotRestoresCommand({ SourceSnapshotIds: [snapshot], AvailabilityZones: [zone] })
  expect((await stranger.ec2.send(theirs)).Unsuccessful).toMatchObject([
    { SnapshotId: snapshot, FastSnapshotRestoreStateErrors: [{ Error: { Code: 'InvalidSnapshot.NotFound' } }] },
  ])
  const sharing = { SnapshotId: snapshot, Attribute: 'createVolumePermission' as const, UserIds: ['000000000002'] }
  await caller.ec2.send(new ModifySnapshotAttributeCommand({ ...sharing, OperationType: 'add' }))
  expect((await stranger.ec2.send(theirs)).Unsuccessful).toEqual([])
  await enable([snapshot], { AvailabilityZones: [zone, otherZone] })
  await become(snapshot, 'enabled', 'enabled')
  await disable([snapshot])
  await become(snapshot, 'disabled', 'enabled')
  expect(await readyFiles()).toHaveLength(1)
  await caller.ec2.send(new ModifySnapshotAttributeCommand({ ...sharing, OperationType: 'remove' }))
  await expect
    .poll(async () => (await restores(snapshot, stranger.ec2)).map((each) => each.State), { timeout: 20_000 })
    .toEqual(['disabled'])
  await caller.ec2.send(new DeleteSnapshotCommand({ SnapshotId: snapshot }))
  await become(snapshot, 'disabled', 'disabled')
  expect(await readyFiles()).toEqual([])
})

test('at most five snapshots in a region; what cannot be is told one by one', async () => {
  const snapshots = await Promise.all(Array.from({ length: 6 }, (_, index) => snapshotWith(20 + index)))
  const outcome = await enable([...snapshots, nowhere], { AvailabilityZones: [zone, 'eu-west-1x'] })
  expect(outcome.Successful!.map((each) => each.SnapshotId)).toEqual(snapshots.slice(0, 5))
  const codes = outcome.Unsuccessful!.map((each) => each.FastSnapshotRestoreStateErrors!.map((one) => one.Error!.Code))
  expect(codes.slice(0, 5)).toEqual(Array.from({ length: 5 }, () => ['InvalidZone.NotFound']))
  expect(codes.slice(5)).toEqual([
    ['ResourceLimitExceeded', 'InvalidZone.NotFound'],
    ['InvalidSnapshot.NotFound', 'InvalidZone.NotFound'],
  ])
  const again = await enable([snapshots[0]!])
  expect(again.Successful).toHaveLength(1)
  await caller.quiet()
  await disable(snapshots.slice(0, 5))
  await caller.quiet()
  expect((await disable([snapshots[0]!])).Unsuccessful).toMatchObject([
    { FastSnapshotRestoreStateErrors: [{ Error: { Code: 'IncorrectState' } }] },
  ])
  expect(await readyFiles()).toEqual([])
})

test('without room it ends with the reason, and volumes begin as ever', async () => {
  const snapshot = await snapshotWith(8)
  const { disks } = served().cloud.volumes
  const hasRoomFor = disks.hasRoomFor
  disks.hasRoomFor = async () => false
  try {
    await enable([snapshot])
    await become(snapshot, 'disabled')
  } finally {
    disks.hasRoomFor = hasRoomFor
  }
  expect((await restores(snapshot))[0]!.StateTransitionReason).toContain('no room')
  expect(existsSync(join(served().deps.volumesDir, 'snapshot-bases', 'eu-west-1'))).toBe(true)
  const id = await create({ SnapshotId: snapshot })
  expect((await volume(id)).FastRestored).toBe(false)
})

test('what is asked wrongly is refused by name', async () => {
  await expectRefusal(enable(['snap-1']), 'InvalidSnapshotID.Malformed', 'snap-1')
  await expectRefusal(enable([nowhere], { AvailabilityZones: [] }), 'MissingParameter', 'AvailabilityZone')
  await expectRefusal(
    enable([nowhere], { AvailabilityZoneIds: ['euw1-az1'] }),
    'InvalidParameterCombination',
    'AvailabilityZoneId',
  )
  const unknown = enable([nowhere], { AvailabilityZones: [], AvailabilityZoneIds: ['use1-az1'] })
  await expectRefusal(unknown, 'InvalidParameterValue', 'use1-az1')
  await expectRefusal(enable([nowhere], { DryRun: true }), 'DryRunOperation', '')
})
