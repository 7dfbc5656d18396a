/** Roots that are exchanged under running instances, as users see them. Simulated machines, real files. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  AttachVolumeCommand,
  CreateReplaceRootVolumeTaskCommand,
  type CreateReplaceRootVolumeTaskCommandInput,
  CreateSnapshotCommand,
  CreateTagsCommand,
  CreateVolumeCommand,
  DeleteSnapshotCommand,
  DeregisterImageCommand,
  DescribeReplaceRootVolumeTasksCommand,
  DescribeVolumesCommand,
  type Instance,
  ModifyVolumeCommand,
  type ReplaceRootVolumeTask,
  StopInstancesCommand,
  TerminateInstancesCommand,
  type Volume,
  waitUntilSnapshotCompleted,
  waitUntilVolumeAvailable,
} from '@aws-sdk/client-ec2'
import { beforeAll, expect, test } from 'vitest'
import { writeLayer } from '../../src/blocks/testing/qemu-disks.ts'
import { systemClock, waitFor } from '../../src/lib/clock.ts'
import { type Caller, callerOf } from '../support/caller.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'
import { byteOfVolume } from '../support/volume-bytes.ts'

const served = useServedCloud({ isLive: true })
const zone = 'eu-west-1a'
const waiting = { minDelay: 0.1, maxDelay: 0.3, maxWaitTime: 30 }
let caller: Caller
beforeAll(async () => {
  caller = await callerOf(served(), '000000000001')
})

async function launch(more = {}): Promise<Instance> {
  const [instance] = await caller.launch({ Placement: { AvailabilityZone: zone }, ...more })
  return instance
}

const replace = async (
  instanceId: string,
  more: Partial<CreateReplaceRootVolumeTaskCommandInput> = {},
): Promise<ReplaceRootVolumeTask> =>
  (await caller.ec2.send(new CreateReplaceRootVolumeTaskCommand({ InstanceId: instanceId, ...more })))
    .ReplaceRootVolumeTask!

const described = async (id: string): Promise<ReplaceRootVolumeTask> =>
  (await caller.ec2.send(new DescribeReplaceRootVolumeTasksCommand({ ReplaceRootVolumeTaskIds: [id] })))
    .ReplaceRootVolumeTasks![0]!

async function ended(id: string): Promise<ReplaceRootVolumeTask> {
  const task = await waitFor(
    systemClock,
    async () => {
      const now = await described(id)
      return /^(succeeded|failed)/.test(now.TaskState!) ? now : undefined
    },
    { everyMs: 30, timeoutMs: 20_000 },
  )
  if (!task) throw new Error(`${id} did not end: ${JSON.stringify(await described(id))}`)
  return task
}

const volume = async (id: string): Promise<Volume> =>
  (await caller.ec2.send(new DescribeVolumesCommand({ VolumeIds: [id] }))).Volumes![0]!

const volumeAt = async (instanceId: string, device = '/dev/xvda'): Promise<string | undefined> =>
  (await caller.describe(instanceId)).BlockDeviceMappings!.find((mapping) => mapping.DeviceName === device)?.Ebs
    ?.VolumeId

async function write(id: string, byte: number): Promise<void> {
  const { state, volumesDir } = served().deps
  const top = (await state.volumes.layers(id)).at(-1)!
  await writeLayer([join(volumesDir, id, top.fileName)], [`write -P ${byte} 0 64k`])
}

async function snapshotOf(volumeId: string): Promise<string> {
  const { SnapshotId: id } = await caller.ec2.send(new CreateSnapshotCommand({ VolumeId: volumeId }))
  await waitUntilSnapshotCompleted({ client: caller.ec2, ...waiting }, { SnapshotIds: [id!] })
  return id!
}

async function createVolume(more = {}): Promise<string> {
  const made = await caller.ec2.send(new CreateVolumeCommand({ AvailabilityZone: zone, Size: 1, ...more }))
  await waitUntilVolumeAvailable({ client: caller.ec2, ...waiting }, { VolumeIds: [made.VolumeId!] })
  return made.VolumeId!
}

const byteAt = (id: string) => byteOfVolume(served(), id, 0)
const nowhere = (prefix: string) => `${prefix}-0123456789abcdef0`

test('back to the launch: the instance is the same but for its root, and the old root keeps what was written', async () => {
  const before = await launch({
    BlockDeviceMappings: [
      { DeviceName: '/dev/xvda', Ebs: { VolumeSize: 8, VolumeType: 'gp3', Iops: 4000, DeleteOnTermination: false } },
    ],
  })
  const id = before.InstanceId!
  const data = await createVolume()
  await caller.ec2.send(new AttachVolumeCommand({ VolumeId: data, InstanceId: id, Device: '/dev/sdf' }))
  const old = (await volumeAt(id))!
  await caller.ec2.send(new ModifyVolumeCommand({ VolumeId: old, Size: 9 }))
  await caller.quiet()
  await write(old, 9)
  const task = await replace(id)
  expect(task).toMatchObject({
    ReplaceRootVolumeTaskId: expect.stringMatching(/^replacevol-[0-9a-f]{17}$/),
    InstanceId: id,
    TaskState: 'pending',
    StartTime: expect.stringMatching(/^20\d\d-.*Z$/),
    DeleteReplacedRootVolume: false,
  })
  const end = await ended(task.ReplaceRootVolumeTaskId!)
  expect(end).toMatchObject({ TaskState: 'succeeded', CompleteTime: expect.stringMatching(/^20\d\d-.*Z$/) })
  const after = await caller.describe(id)
  for (const fact of ['PrivateIpAddress', 'PublicIpAddress', 'ImageId', 'State', 'LaunchTime'] as const) {
    expect(after[fact]).toEqual(before[fact])
  }
  expect(await volumeAt(id, '/dev/sdf')).toBe(data)
  const root = (await volumeAt(id))!
  expect(root).not.toBe(old)
  expect(await volume(root)).toMatchObject({
    ...{ Size: 9, VolumeType: 'gp3', Iops: 4000, State: 'in-use', SnapshotId: end.SnapshotId },
    Attachments: [{ InstanceId: id, Device: '/dev/xvda', State: 'attached', DeleteOnTermination: false }],
  })
  expect(await byteAt(root)).toBe(7)
  await caller.quiet()
  expect(await volume(old)).toMatchObject({ State: 'available', Attachments: [] })
  expect(await byteAt(old)).toBe(9)
})

test('by a snapshot of the root, of a former root too; the replaced root goes when that was asked for', async () => {
  const { InstanceId: id } = (await launch()) as { InstanceId: string }
  const first = (await volumeAt(id))!
  await write(first, 9)
  const snapshot = await snapshotOf(first)
  await ended((await replace(id, { DeleteReplacedRootVolume: true })).ReplaceRootVolumeTaskId!)
  const second = (await volumeAt(id))!
  expect(await byteAt(second)).toBe(7)
  const task = await replace(id, { SnapshotId: snapshot, DeleteReplacedRootVolume: true })
  expect(await ended(task.ReplaceRootVolumeTaskId!)).toMatchObject({
    ...{ TaskState: 'succeeded', SnapshotId: snapshot, DeleteReplacedRootVolume: true },
  })
  expect(await byteAt((await volumeAt(id))!)).toBe(9)
  await caller.quiet()
  for (const gone of [first, second]) await expectRefusal(volume(gone), 'InvalidVolume.NotFound', gone)
  const strange = await snapshotOf(await createVolume())
  await expectRefusal(replace(id, { SnapshotId: strange }), 'InvalidParameterValue', strange)
})

test('by the root of an image, and by a volume that is there', async () => {
  const { InstanceId: id } = (await launch()) as { InstanceId: string }
  await write((await volumeAt(id))!, 11)
  const image = await caller.imageOf(id, 'replacement')
  const [other] = await caller.launch({ Placement: { AvailabilityZone: zone } })
  const task = await replace(other.InstanceId!, { ImageId: image.ImageId! })
  expect(await ended(task.ReplaceRootVolumeTaskId!)).toMatchObject({ TaskState: 'succeeded', ImageId: image.ImageId })
  expect(await byteAt((await volumeAt(other.InstanceId!))!)).toBe(11)
  const own = await createVolume({ SnapshotId: image.BlockDeviceMappings![0]!.Ebs!.SnapshotId })
  const second = await replace(id, { VolumeId: own })
  expect(await ended(second.ReplaceRootVolumeTaskId!)).toMatchObject({ TaskState: 'succeeded' })
  expect(await volumeAt(id)).toBe(own)
})

test('back to the launch although the image was deregistered, but not once its snapshot is gone', async () => {
  const { InstanceId: source } = (await launch()) as { InstanceId: string }
  const image = await caller.imageOf(source, 'short-lived')
  const { InstanceId: id } = (await launch({ ImageId: image.ImageId })) as { InstanceId: string }
  await caller.ec2.send(new DeregisterImageCommand({ ImageId: image.ImageId }))
  const task = await replace(id)
  expect(await ended(task.ReplaceRootVolumeTaskId!)).toMatchObject({ TaskState: 'succeeded' })
  const snapshot = image.BlockDeviceMappings![0]!.Ebs!.SnapshotId!
  await caller.ec2.send(new DeleteSnapshotCommand({ SnapshotId: snapshot }))
  await expectRefusal(replace(id), 'InvalidSnapshot.NotFound', snapshot)
})

test('a root that does not come up gives way to the old one', async () => {
  const { InstanceId: id } = (await launch()) as { InstanceId: string }
  const old = (await volumeAt(id))!
  const own = await createVolume()
  const { volumesDir } = served().deps
  await rm(join(volumesDir, own), { recursive: true })
  const task = await replace(id, { VolumeId: own })
  expect(await ended(task.ReplaceRootVolumeTaskId!)).toMatchObject({ TaskState: 'failed' })
  await caller.quiet()
  expect(await volumeAt(id)).toBe(old)
  expect((await caller.describe(id)).State!.Name).toBe('running')
  expect((await served().machines.inspect(id)).state).toBe('running')
  expect((await volume(own)).State).toBe('available')

  const made = await replace(id)
  const { newVolumeId } = (await served().deps.state.replaceRootVolumeTasks.get(made.ReplaceRootVolumeTaskId!))!
  await served().deps.state.volumes.update(newVolumeId, { baseRoot: '0'.repeat(64) })
  expect(await ended(made.ReplaceRootVolumeTaskId!)).toMatchObject({ TaskState: 'failed' })
  expect(await volumeAt(id)).toBe(old)
  await expectRefusal(volume(newVolumeId), 'InvalidVolume.NotFound', newVolumeId)
})

test('terminated meanwhile, it takes both roots with it or leaves the old one', async () => {
  const { InstanceId: id } = (await launch()) as { InstanceId: string }
  const old = (await volumeAt(id))!
  const task = await replace(id)
  await caller.ec2.send(new TerminateInstancesCommand({ InstanceIds: [id] }))
  const end = await ended(task.ReplaceRootVolumeTaskId!)
  await caller.reaches(id, 'terminated')
  await caller.quiet()
  const { newVolumeId } = (await served().deps.state.replaceRootVolumeTasks.get(task.ReplaceRootVolumeTaskId!))!
  await expectRefusal(volume(newVolumeId), 'InvalidVolume.NotFound', newVolumeId)
  if (end.TaskState === 'succeeded') expect((await volume(old)).State).toBe('available')
  else await expectRefusal(volume(old), 'InvalidVolume.NotFound', old)
})

test('tokens, tags, filters and pages', async () => {
  const { InstanceId: id } = (await launch()) as { InstanceId: string }
  const wish = {
    ClientToken: 'once',
    TagSpecifications: [{ ResourceType: 'replace-root-volume-task' as const, Tags: [{ Key: 'why', Value: 'test' }] }],
  }
  const [one, same] = [await replace(id, wish), await replace(id, wish)]
  expect(same.ReplaceRootVolumeTaskId).toBe(one.ReplaceRootVolumeTaskId)
  expect(one.Tags).toEqual([{ Key: 'why', Value: 'test' }])
  await expectRefusal(
    replace(id, { ...wish, DeleteReplacedRootVolume: true }),
    'IdempotentParameterMismatch',
    wish.ClientToken,
  )
  await ended(one.ReplaceRootVolumeTaskId!)
  await ended((await replace(id)).ReplaceRootVolumeTaskId!)
  const tagging = new CreateTagsCommand({
    Resources: [one.ReplaceRootVolumeTaskId!],
    Tags: [{ Key: 'by', Value: 'hand' }],
  })
  await caller.ec2.send(tagging)
  const list = async (more = {}) => await caller.ec2.send(new DescribeReplaceRootVolumeTasksCommand(more))
  const ofInstance = [{ Name: 'instance-id', Values: [id] }]
  const page = await list({ Filters: ofInstance, MaxResults: 1 })
  expect(page.ReplaceRootVolumeTasks!.map((task) => task.Tags!.map((tag) => tag.Key))).toEqual([['by', 'why']])
  const rest = await list({ Filters: ofInstance, MaxResults: 1, NextToken: page.NextToken })
  expect(rest.ReplaceRootVolumeTasks).toHaveLength(1)
  const stranger = await callerOf(served(), '000000000002')
  const theirs = await stranger.ec2.send(new DescribeReplaceRootVolumeTasksCommand({}))
  expect(theirs.ReplaceRootVolumeTasks).toEqual([])
})

test('what cannot be done is refused by name', async () => {
  const { InstanceId: id } = (await launch()) as { InstanceId: string }
  const snapshot = nowhere('snap')
  await expectRefusal(replace(nowhere('i')), 'InvalidInstanceID.NotFound', nowhere('i'))
  await expectRefusal(replace(id, { SnapshotId: snapshot }), 'InvalidSnapshot.NotFound', snapshot)
  await expectRefusal(replace(id, { ImageId: nowhere('ami') }), 'InvalidAMIID.NotFound', nowhere('ami'))
  await expectRefusal(replace(id, { VolumeId: nowhere('vol') }), 'InvalidVolume.NotFound', nowhere('vol'))
  await expectRefusal(
    replace(id, { ImageId: nowhere('ami'), SnapshotId: snapshot }),
    'InvalidParameterCombination',
    'SnapshotId, ImageId',
  )
  await expectRefusal(replace(id, { VolumeInitializationRate: 99 }), 'InvalidParameterValue', '99')
  const far = await caller.ec2.send(new CreateVolumeCommand({ AvailabilityZone: 'eu-west-1b', Size: 1 }))
  await expectRefusal(replace(id, { VolumeId: far.VolumeId }), 'InvalidVolume.ZoneMismatch', far.VolumeId!)
  const used = (await volumeAt(id))!
  await expectRefusal(replace(id, { VolumeId: used }), 'IncorrectState', used)
  const task = await replace(id)
  await expectRefusal(replace(id), 'IncorrectState', task.ReplaceRootVolumeTaskId!)
  await ended(task.ReplaceRootVolumeTaskId!)
  await caller.ec2.send(new StopInstancesCommand({ InstanceIds: [id] }))
  await expectRefusal(replace(id), 'IncorrectInstanceState', id)
  const unknown = new DescribeReplaceRootVolumeTasksCommand({ ReplaceRootVolumeTaskIds: [nowhere('replacevol')] })
  await expectRefusal(caller.ec2.send(unknown), 'InvalidParameterValue', nowhere('replacevol'))
  await expectRefusal(replace(id, { DryRun: true }), 'DryRunOperation', '')
})
