/** Volumes that several instances have at once, as users see them. Simulated machines, real files and storage daemons. */
import {
  AttachVolumeCommand,
  CreateImageCommand,
  CreateSnapshotCommand,
  CreateSnapshotsCommand,
  CreateVolumeCommand,
  type CreateVolumeCommandInput,
  DeleteVolumeCommand,
  DescribeVolumesCommand,
  DetachVolumeCommand,
  ModifyInstanceAttributeCommand,
  ModifyVolumeCommand,
  TerminateInstancesCommand,
  type Volume,
  waitUntilSnapshotCompleted,
  waitUntilVolumeAvailable,
} from '@aws-sdk/client-ec2'
import { beforeAll, expect, test } from 'vitest'
import { run } from '../../src/lib/programs.ts'
import { type Caller, callerOf } from '../support/caller.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'
import { byteOfVolume } from '../support/volume-bytes.ts'

const served = useServedCloud({ isLive: true })
const zone = 'eu-west-1a'
const waiting = { minDelay: 0.1, maxDelay: 0.3, maxWaitTime: 30 }
let caller: Caller
let one: string
let two: string
beforeAll(async () => {
  caller = await callerOf(served(), '000000000001')
  const instances = await caller.launch({ MaxCount: 2, Placement: { AvailabilityZone: zone } })
  ;[one, two] = instances.map((instance) => instance.InstanceId!) as [string, string]
})

const wish = { AvailabilityZone: zone, Size: 4, VolumeType: 'io2', Iops: 100, MultiAttachEnabled: true } as const

async function create(more: Partial<CreateVolumeCommandInput> = {}): Promise<string> {
  const made = await caller.ec2.send(new CreateVolumeCommand({ ...wish, ...more }))
  await waitUntilVolumeAvailable({ client: caller.ec2, ...waiting }, { VolumeIds: [made.VolumeId!] })
  return made.VolumeId!
}

const volume = async (id: string): Promise<Volume> =>
  (await caller.ec2.send(new DescribeVolumesCommand({ VolumeIds: [id] }))).Volumes![0]!

const attach = (id: string, instanceId: string, device = '/dev/sdf') =>
  caller.ec2.send(new AttachVolumeCommand({ VolumeId: id, InstanceId: instanceId, Device: device }))

const detach = (id: string, more = {}) => caller.ec2.send(new DetachVolumeCommand({ VolumeId: id, ...more }))

const holders = async (id: string) =>
  (await volume(id)).Attachments!.map((each) => `${each.InstanceId} ${each.State}`).sort()

const attachedTo = (id: string, ...instances: string[]) =>
  expect.poll(() => holders(id), { timeout: 15_000 }).toEqual(instances.map((each) => `${each} attached`).sort())

const isServed = (id: string) => served().deps.sharedDisks.isServed(id)

/** Reads or writes as a guest does. */
async function use(id: string, command: string): Promise<string> {
  const row = (await served().deps.state.volumes.get(id))!
  const { socketPath, exportName } = await served().cloud.volumes.disks.serveHeld(row)
  const image = `driver=nbd,server.type=unix,server.path=${socketPath},export=${exportName}`
  return await run('qemu-io', ['-c', command, '--image-opts', image])
}

test('two instances have it; it is snapshotted and copied while both do, and goes one by one', async () => {
  const id = await create()
  expect(await volume(id)).toMatchObject({ MultiAttachEnabled: true, Attachments: [] })
  await attach(id, one)
  await attach(id, two, '/dev/sdg')
  await attachedTo(id, one, two)
  expect(await isServed(id)).toBe(true)
  await use(id, 'write -P 5 0 64k')
  const { SnapshotId: snapshot } = await caller.ec2.send(new CreateSnapshotCommand({ VolumeId: id }))
  await use(id, 'write -P 6 0 64k')
  await waitUntilSnapshotCompleted({ client: caller.ec2, ...waiting }, { SnapshotIds: [snapshot!] })
  const copy = await create({ SnapshotId: snapshot!, MultiAttachEnabled: false })
  expect(await byteOfVolume(served(), copy, 0)).toBe(5)
  const { Snapshots: alone } = await caller.ec2.send(
    new CreateSnapshotsCommand({ InstanceSpecification: { InstanceId: one, ExcludeBootVolume: true } }),
  )
  await waitUntilSnapshotCompleted({ client: caller.ec2, ...waiting }, { SnapshotIds: [alone![0]!.SnapshotId!] })

  await expectRefusal(detach(id), 'MissingParameter', 'InstanceId')
  await expectRefusal(caller.ec2.send(new DeleteVolumeCommand({ VolumeId: id })), 'VolumeInUse', id)
  await detach(id, { InstanceId: one })
  await attachedTo(id, two)
  expect((await volume(id)).State).toBe('in-use')
  expect(await use(id, 'read -P 6 0 64k')).not.toContain('failed')
  await detach(id)
  await waitUntilVolumeAvailable({ client: caller.ec2, ...waiting }, { VolumeIds: [id] })
  await expect.poll(() => isServed(id), { timeout: 10_000 }).toBe(false)
  expect(await byteOfVolume(served(), id, 0)).toBe(6)
  await caller.ec2.send(new DeleteVolumeCommand({ VolumeId: id }))
})

test('what serves it is started anew when it is gone', async () => {
  const id = await create()
  await attach(id, one)
  await attachedTo(id, one)
  await use(id, 'write -P 7 0 64k')
  await served().deps.sharedDisks.end(id)
  await expect.poll(() => isServed(id), { timeout: 15_000 }).toBe(true)
  expect(await use(id, 'read -P 7 0 64k')).not.toContain('failed')
  await detach(id)
  await waitUntilVolumeAvailable({ client: caller.ec2, ...waiting }, { VolumeIds: [id] })
})

test('one made of a snapshot is hydrated under its instances', async () => {
  const source = await create({ MultiAttachEnabled: false })
  const { SnapshotId: snapshot } = await caller.ec2.send(new CreateSnapshotCommand({ VolumeId: source }))
  await waitUntilSnapshotCompleted({ client: caller.ec2, ...waiting }, { SnapshotIds: [snapshot!] })
  const id = await create({ SnapshotId: snapshot!, VolumeType: 'io1' })
  await attach(id, one)
  await attachedTo(id, one)
  await use(id, 'write -P 8 0 64k')
  const { cloud } = served()
  await cloud.hydration.hydrate(await cloud.volumes.any(id))
  await caller.quiet()
  expect((await cloud.volumes.usage(id)).isLazy).toBe(false)
  expect(await use(id, 'read -P 8 0 64k')).not.toContain('failed')
  await detach(id)
  await waitUntilVolumeAvailable({ client: caller.ec2, ...waiting }, { VolumeIds: [id] })
})

test('an instance that is terminated lets go of it; the last one takes it along where that was asked for', async () => {
  const id = await create()
  const instances = await caller.launch({ MaxCount: 2, Placement: { AvailabilityZone: zone } })
  const ids = instances.map((instance) => instance.InstanceId!)
  for (const instance of ids) {
    await attach(id, instance)
    await caller.quiet()
    const mapping = { DeviceName: '/dev/sdf', Ebs: { DeleteOnTermination: true } }
    await caller.ec2.send(new ModifyInstanceAttributeCommand({ InstanceId: instance, BlockDeviceMappings: [mapping] }))
  }
  await caller.ec2.send(new TerminateInstancesCommand({ InstanceIds: [ids[0]!] }))
  await caller.reaches(ids[0]!, 'terminated')
  await attachedTo(id, ids[1]!)
  await caller.ec2.send(new TerminateInstancesCommand({ InstanceIds: [ids[1]!] }))
  await caller.reaches(ids[1]!, 'terminated')
  await expectRefusal(volume(id), 'InvalidVolume.NotFound', id)
  expect(await isServed(id)).toBe(false)
})

test('it is changed as EC2 allows', async () => {
  const id = await create({ MultiAttachEnabled: false })
  const modify = (more: object) => caller.ec2.send(new ModifyVolumeCommand({ VolumeId: id, ...more }))
  const { VolumeModification: made } = await modify({ MultiAttachEnabled: true })
  expect(made).toMatchObject({ OriginalMultiAttachEnabled: false, TargetMultiAttachEnabled: true })
  await caller.quiet()
  expect((await volume(id)).MultiAttachEnabled).toBe(true)
  await expectRefusal(modify({ VolumeType: 'gp3' }), 'InvalidParameterCombination', 'gp3')
  await attach(id, one)
  await attach(id, two)
  await attachedTo(id, one, two)
  await modify({ Iops: 200 })
  await caller.quiet()
  expect((await volume(id)).Iops).toBe(200)
  await expectRefusal(modify({ Size: 8 }), 'UnsupportedOperation', 'Size')
  await expectRefusal(modify({ MultiAttachEnabled: false }), 'IncorrectState', id)
  for (const instance of [one, two]) await detach(id, { InstanceId: instance })
  await waitUntilVolumeAvailable({ client: caller.ec2, ...waiting }, { VolumeIds: [id] })
  await modify({ Size: 8 })
  await caller.quiet()
  expect((await volume(id)).Size).toBe(8)
})

test('what cannot be is refused by name', async () => {
  await expectRefusal(create({ VolumeType: 'gp3', Iops: 3000 }), 'InvalidParameterCombination', 'MultiAttachEnabled')
  const io1 = await create({ VolumeType: 'io1', MultiAttachEnabled: false })
  const change = new ModifyVolumeCommand({ VolumeId: io1, MultiAttachEnabled: true })
  await expectRefusal(caller.ec2.send(change), 'InvalidParameterCombination', 'io2')
  const id = await create()
  await attach(id, one)
  await expectRefusal(attach(id, one, '/dev/sdh'), 'VolumeInUse', id)
  await expectRefusal(attach(id, two, '/dev/xvda'), 'InvalidParameterValue', '/dev/xvda')
  const together = new CreateSnapshotsCommand({ InstanceSpecification: { InstanceId: one } })
  await expectRefusal(caller.ec2.send(together), 'UnsupportedOperation', id)
  const image = new CreateImageCommand({ InstanceId: one, Name: 'shared' })
  await expectRefusal(caller.ec2.send(image), 'UnsupportedOperation', id)
  await detach(id)
  await waitUntilVolumeAvailable({ client: caller.ec2, ...waiting }, { VolumeIds: [id] })
})
