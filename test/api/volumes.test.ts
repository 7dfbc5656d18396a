/** Volumes on their own, as users see them: made, attached, detached, grown, hydrated. Simulated machines, real files. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import {
  AttachVolumeCommand,
  CreateSnapshotCommand,
  CreateVolumeCommand,
  type CreateVolumeCommandInput,
  DeleteSnapshotCommand,
  DeleteVolumeCommand,
  DescribeSnapshotsCommand,
  DescribeVolumeAttributeCommand,
  DescribeVolumeStatusCommand,
  DescribeVolumesCommand,
  DescribeVolumesModificationsCommand,
  DetachVolumeCommand,
  EnableVolumeIOCommand,
  ModifyVolumeAttributeCommand,
  ModifyVolumeCommand,
  StartInstancesCommand,
  StopInstancesCommand,
  TerminateInstancesCommand,
  type Volume,
  type VolumeState,
} from '@aws-sdk/client-ec2'
import { beforeAll, describe, expect, test } from 'vitest'
import { writeLayer } from '../../src/blocks/testing/qemu-disks.ts'
import { systemClock, waitFor } from '../../src/lib/clock.ts'
import { type Caller, callerOf } from '../support/caller.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'
import { byteOfVolume } from '../support/volume-bytes.ts'

const served = useServedCloud({ isLive: true })
const zone = 'eu-west-1a'
const nowhere = (prefix: string) => `${prefix}-0123456789abcdef0`
const timing = { everyMs: 30, timeoutMs: 20_000 }
let caller: Caller
beforeAll(async () => {
  caller = await callerOf(served(), '000000000001')
})

const volume = async (id: string): Promise<Volume> =>
  (await caller.ec2.send(new DescribeVolumesCommand({ VolumeIds: [id] }))).Volumes![0]!

async function reaches(id: string, state: VolumeState): Promise<Volume> {
  const found = await waitFor(
    systemClock,
    async () => {
      const one = await volume(id)
      const isSettled = one.Attachments!.every((attachment) => attachment.State === 'attached')
      return one.State === state && isSettled ? one : undefined
    },
    timing,
  )
  if (!found) throw new Error(`${id} did not become ${state}: ${JSON.stringify(await volume(id))}`)
  return found
}

async function create(more: Partial<CreateVolumeCommandInput> = {}): Promise<string> {
  const made = await caller.ec2.send(new CreateVolumeCommand({ AvailabilityZone: zone, Size: 1, ...more }))
  await reaches(made.VolumeId!, 'available')
  return made.VolumeId!
}

async function snapshotOf(volumeId: string): Promise<string> {
  const { SnapshotId: id } = await caller.ec2.send(new CreateSnapshotCommand({ VolumeId: volumeId }))
  const done = await waitFor(
    systemClock,
    async () => {
      const { Snapshots: found } = await caller.ec2.send(new DescribeSnapshotsCommand({ SnapshotIds: [id!] }))
      return found![0]!.State === 'pending' ? undefined : found![0]
    },
    timing,
  )
  expect(done).toMatchObject({ State: 'completed' })
  return id!
}

const attach = (volumeId: string, instanceId: string, device = '/dev/sdf') =>
  caller.ec2.send(new AttachVolumeCommand({ VolumeId: volumeId, InstanceId: instanceId, Device: device }))
const detach = (volumeId: string, more = {}) =>
  caller.ec2.send(new DetachVolumeCommand({ VolumeId: volumeId, ...more }))

/** An instance in the zone of the volumes. */
async function launch(): Promise<string> {
  const [instance] = await caller.launch({ Placement: { AvailabilityZone: zone } })
  return instance.InstanceId!
}

const folderOf = (id: string) => join(served().deps.volumesDir, id)

/** What a guest would write: into the file that the volume is written to now. */
async function write(id: string, ...commands: string[]): Promise<void> {
  const top = (await served().deps.state.volumes.layers(id)).at(-1)!
  await writeLayer([join(folderOf(id), top.fileName)], commands)
}

/** One byte of the volume, as a guest would read it. */
const byteAt = (id: string, offset: number) => byteOfVolume(served(), id, offset)

describe('CreateVolume', () => {
  test('makes an empty volume, with the figures that its type gives', async () => {
    const made = await caller.ec2.send(
      new CreateVolumeCommand({
        ...{ AvailabilityZone: zone, Size: 100, VolumeType: 'gp3' },
        TagSpecifications: [{ ResourceType: 'volume', Tags: [{ Key: 'for', Value: 'data' }] }],
      }),
    )
    expect(made).toMatchObject({ State: 'creating', Size: 100, Iops: 3000, Throughput: 125, SnapshotId: '' })
    expect(await reaches(made.VolumeId!, 'available')).toMatchObject({
      ...{ VolumeType: 'gp3', AvailabilityZone: zone, Encrypted: false, MultiAttachEnabled: false, Attachments: [] },
      Tags: [{ Key: 'for', Value: 'data' }],
    })
  })

  test('makes a volume of a snapshot that reads as the snapshot, and takes no room for it', async () => {
    const source = await create()
    await write(source, 'write -P 9 1M 64k')
    const snapshot = await snapshotOf(source)
    const copy = await create({ Size: 2, SnapshotId: snapshot })
    expect(await volume(copy)).toMatchObject({ SnapshotId: snapshot, Size: 2 })
    expect([await byteAt(copy, 2 ** 20), await byteAt(copy, 4 * 2 ** 20)]).toEqual([9, 0])
    expect((await served().cloud.volumes.usage(copy)).localBytes).toBeLessThan(2 ** 20)
  })

  test('of 16 TiB takes room for what is written, and its snapshot too', async () => {
    const large = await create({ Size: 16_384, VolumeType: 'gp3' })
    await write(large, `write -P 4 ${2 ** 43} 64k`)
    const snapshot = await snapshotOf(large)
    const row = (await served().deps.state.snapshots.get(snapshot))!
    expect(row.dataBytes).toBe(512 * 1024)
    expect((await served().cloud.volumes.usage(large)).localBytes).toBeLessThan(16 * 2 ** 20)
    const copy = await create({ SnapshotId: snapshot, Size: undefined, VolumeType: 'gp3' })
    expect(await volume(copy)).toMatchObject({ Size: 16_384 })
    await caller.ec2.send(new DeleteVolumeCommand({ VolumeId: large }))
  })

  test('makes one volume for one client token', async () => {
    const ask = (Size: number) => new CreateVolumeCommand({ AvailabilityZone: zone, Size, ClientToken: 'once' })
    const made = await Promise.all([1, 1, 1].map((size) => caller.ec2.send(ask(size))))
    expect(new Set(made.map((one) => one.VolumeId)).size).toBe(1)
    await expectRefusal(caller.ec2.send(ask(2)), 'IdempotentParameterMismatch', 'once')
  })

  test.each([
    [{ Size: undefined }, 'MissingParameter', 'Size'],
    [{ Size: 0 }, 'InvalidParameterValue', 'Size'],
    [{ Size: 70_000, VolumeType: 'gp3' }, 'InvalidParameterValue', 'Size'],
    [{ Size: 1, VolumeType: 'st1' }, 'InvalidParameterValue', '125GiB'],
    [{ Size: 10, VolumeType: 'io2' }, 'MissingParameter', 'Iops'],
    [{ Size: 10, VolumeType: 'io1', Iops: 5000 }, 'InvalidParameterValue', 'ratio'],
    [{ Size: 10, VolumeType: 'gp2', Iops: 500 }, 'InvalidParameterCombination', 'Iops'],
    [{ Size: 10, VolumeType: 'gp2', Throughput: 200 }, 'InvalidParameterCombination', 'Throughput'],
    [{ Size: 10, VolumeType: 'gp9' }, 'InvalidParameterValue', 'gp9'],
    [{ AvailabilityZone: 'eu-west-1x' }, 'InvalidZone.NotFound', 'eu-west-1x'],
    [{ AvailabilityZone: 'us-east-1a' }, 'InvalidZone.NotFound', 'AvailabilityZone'],
    [{ AvailabilityZone: undefined }, 'MissingParameter', 'AvailabilityZone'],
    [{ SnapshotId: nowhere('snap') }, 'InvalidSnapshot.NotFound', nowhere('snap')],
    [{ SnapshotId: 'snap-x' }, 'InvalidSnapshotID.Malformed', 'snap-x'],
    [{ MultiAttachEnabled: true }, 'InvalidParameterCombination', 'MultiAttachEnabled'],
    [{ KmsKeyId: 'k' }, 'InvalidParameterDependency', 'KmsKeyId'],
  ])('refuses %j', async (more, code, named) => {
    const before = (await caller.ec2.send(new DescribeVolumesCommand({}))).Volumes!.length
    const input = { AvailabilityZone: zone, Size: 1, ...more } as CreateVolumeCommandInput
    await expectRefusal(caller.ec2.send(new CreateVolumeCommand(input)), code, named)
    expect((await caller.ec2.send(new DescribeVolumesCommand({}))).Volumes!.length).toBe(before)
  })
})

describe('AttachVolume and DetachVolume', () => {
  test('bring a disk to a running guest, and take it again', async () => {
    const [id, instance] = [await create(), await launch()]
    expect(await attach(id, instance)).toMatchObject({ State: 'attaching', Device: '/dev/sdf', InstanceId: instance })
    expect(await reaches(id, 'in-use')).toMatchObject({ Attachments: [{ InstanceId: instance, State: 'attached' }] })
    const console = async () => (await served().machines.consoleOutput(instance, 65_536))!.text
    expect(await console()).toContain(`disk ${id} came`)
    const mapped = (await caller.describe(instance)).BlockDeviceMappings!.map((one) => one.DeviceName)
    expect(mapped).toEqual(['/dev/xvda', '/dev/sdf'])
    await expectRefusal(caller.ec2.send(new DeleteVolumeCommand({ VolumeId: id })), 'VolumeInUse', instance)

    expect(await detach(id)).toMatchObject({ State: 'detaching', VolumeId: id })
    expect(await reaches(id, 'available')).toMatchObject({ Attachments: [] })
    expect(await console()).toContain(`disk ${id} went`)
    await caller.ec2.send(new DeleteVolumeCommand({ VolumeId: id }))
    await expectRefusal(volume(id), 'InvalidVolume.NotFound', id)
  })

  test('to a stopped instance: the disk is there when it starts, and stays over a stop', async () => {
    const [id, instance] = [await create(), await launch()]
    await caller.ec2.send(new StopInstancesCommand({ InstanceIds: [instance] }))
    await caller.reaches(instance, 'stopped')
    await attach(id, instance)
    await reaches(id, 'in-use')
    await caller.ec2.send(new StartInstancesCommand({ InstanceIds: [instance] }))
    await caller.reaches(instance, 'running')
    await expectRefusal(detach(id, { Device: '/dev/sdz' }), 'InvalidAttachment.NotFound', '/dev/sdz')
    await caller.ec2.send(new TerminateInstancesCommand({ InstanceIds: [instance] }))
    await caller.reaches(instance, 'terminated')
    expect(await reaches(id, 'available')).toMatchObject({ Attachments: [] })
  })

  test('a root goes from a stopped instance only, which does not start without one', async () => {
    const instance = await launch()
    const root = (await caller.describe(instance)).BlockDeviceMappings![0]!.Ebs!.VolumeId!
    await expectRefusal(detach(root), 'OperationNotPermitted', root)
    await caller.ec2.send(new StopInstancesCommand({ InstanceIds: [instance] }))
    await caller.reaches(instance, 'stopped')
    await detach(root, { InstanceId: instance, Device: '/dev/xvda' })
    await reaches(root, 'available')
    const start = () => caller.ec2.send(new StartInstancesCommand({ InstanceIds: [instance] }))
    await expectRefusal(start(), 'InvalidParameterValue', 'root (/dev/xvda)')
    await attach(root, instance, '/dev/xvda')
    await reaches(root, 'in-use')
    await start()
    await caller.reaches(instance, 'running')
  })

  test('a guest that does not let go keeps its disk, until it is taken by force', async () => {
    const [id, instance] = [await create(), await launch()]
    await attach(id, instance)
    await reaches(id, 'in-use')
    served().machines.faults.clingTo(id)
    await detach(id)
    const busy = await waitFor(
      systemClock,
      async () => ((await volume(id)).Attachments![0]?.State === 'busy' ? true : undefined),
      timing,
    )
    expect(busy).toBe(true)
    await expectRefusal(detach(id), 'IncorrectState', 'detaching')
    await detach(id, { Force: true })
    await reaches(id, 'available')
  })

  test('refuse what does not fit', async () => {
    const [id, instance] = [await create(), await launch()]
    const elsewhere = await create({ AvailabilityZone: 'eu-west-1b' })
    await expectRefusal(attach(elsewhere, instance), 'InvalidVolume.ZoneMismatch', elsewhere)
    await expectRefusal(attach(nowhere('vol'), instance), 'InvalidVolume.NotFound', nowhere('vol'))
    await expectRefusal(attach(id, nowhere('i')), 'InvalidInstanceID.NotFound', nowhere('i'))
    await expectRefusal(attach('vol-1', instance), 'InvalidVolumeID.Malformed', 'vol-1')
    await expectRefusal(attach(id, instance, '/dev/null'), 'InvalidParameterValue', '/dev/null')
    await expectRefusal(attach(id, instance, '/dev/xvda'), 'InvalidParameterValue', 'already in use')
    await expectRefusal(detach(id), 'IncorrectState', 'available')
    await attach(id, instance)
    await expectRefusal(attach(id, instance, '/dev/sdg'), 'VolumeInUse', id)
    await reaches(id, 'in-use')
    const other = await launch()
    await expectRefusal(detach(id, { InstanceId: other }), 'InvalidAttachment.NotFound', other)
    const stranger = await callerOf(served(), '000000000002')
    const theirs = stranger.ec2.send(new DetachVolumeCommand({ VolumeId: id }))
    await expectRefusal(theirs, 'InvalidVolume.NotFound', id)
    const full = await Promise.all(Array.from({ length: 22 }, () => create()))
    for (const [index, one] of full.entries())
      await attach(one, instance, `/dev/xvdb${String.fromCharCode(97 + index)}`)
    await expectRefusal(attach(elsewhere, instance), 'InvalidVolume.ZoneMismatch', elsewhere)
    const tooMany = await create()
    await expectRefusal(attach(tooMany, instance, '/dev/sdz'), 'AttachmentLimitExceeded', instance)
  })
})

describe('ModifyVolume', () => {
  const modify = (VolumeId: string, more: object) => caller.ec2.send(new ModifyVolumeCommand({ VolumeId, ...more }))

  async function modified(id: string) {
    const found = await waitFor(
      systemClock,
      async () => {
        const asked = new DescribeVolumesModificationsCommand({ VolumeIds: [id] })
        const [one] = (await caller.ec2.send(asked)).VolumesModifications!
        return one!.ModificationState === 'modifying' ? undefined : one
      },
      timing,
    )
    return found!
  }

  test('grows a volume at rest and under a guest; older snapshots keep their size', async () => {
    const [id, instance] = [await create(), await launch()]
    await write(id, 'write -P 6 1M 64k')
    const small = await snapshotOf(id)
    expect((await modify(id, { Size: 2 })).VolumeModification).toMatchObject({
      ...{ ModificationState: 'modifying', OriginalSize: 1, TargetSize: 2, TargetIops: 100, TargetVolumeType: 'gp2' },
    })
    expect(await modified(id)).toMatchObject({ ModificationState: 'completed', Progress: 100 })
    await attach(id, instance)
    await reaches(id, 'in-use')
    await modify(id, { Size: 8, VolumeType: 'gp3', Iops: 4000 })
    expect(await modified(id)).toMatchObject({ ModificationState: 'completed', OriginalSize: 2, OriginalIops: 100 })
    expect(await volume(id)).toMatchObject({ Size: 8, VolumeType: 'gp3', Iops: 4000, Throughput: 125 })
    const large = await snapshotOf(id)
    const sizes = await served().deps.state.snapshots.many([small, large])
    expect(new Map(sizes.map((row) => [row.id, row.sizeGib]))).toEqual(
      new Map([
        [small, 1],
        [large, 8],
      ]),
    )
    const copy = await create({ SnapshotId: large, Size: undefined })
    expect(await byteAt(copy, 2 ** 20)).toBe(6)
    expect(await volume(copy)).toMatchObject({ Size: 8 })
  })

  test('a snapshot that is asked for while the volume grows holds it at one of the two sizes', async () => {
    const id = await create()
    const [, snapshot] = await Promise.all([modify(id, { Size: 4 }), snapshotOf(id)])
    const row = (await served().deps.state.snapshots.get(snapshot))!
    expect(row).toMatchObject({ state: 'completed' })
    expect([1, 4]).toContain(row.sizeGib)
    await modified(id)
    const after = (await served().deps.state.snapshots.get(await snapshotOf(id)))!
    expect(after).toMatchObject({ state: 'completed', sizeGib: 4 })
  })

  test('refuses what cannot be', async () => {
    const id = await create({ Size: 4 })
    await expectRefusal(modify(id, {}), 'MissingParameter', 'Size')
    await expectRefusal(modify(id, { Size: 3 }), 'InvalidParameterValue', 'Size')
    await expectRefusal(modify(id, { Iops: 9000 }), 'InvalidParameterCombination', 'Iops')
    await expectRefusal(modify(id, { VolumeType: 'io1' }), 'MissingParameter', 'Iops')
    await expectRefusal(modify(nowhere('vol'), { Size: 9 }), 'InvalidVolume.NotFound', nowhere('vol'))
    const none = caller.ec2.send(new DescribeVolumesModificationsCommand({ VolumeIds: [id] }))
    await expectRefusal(none, 'InvalidVolumeModification.NotFound', id)
  })
})

describe('hydration', () => {
  test('makes a volume stand on its own: it reads the same, and the next snapshot stores only what changed', async () => {
    const source = await create()
    await write(source, 'write -P 11 1M 128k', 'write -P 12 900M 64k')
    const snapshot = await snapshotOf(source)
    const id = await create({ SnapshotId: snapshot })
    await write(id, 'write -P 13 1M 64k')
    const { cloud, deps } = served()
    await cloud.hydration.hydrate((await deps.state.volumes.get(id))!)
    await caller.quiet()
    const usage = await cloud.volumes.usage(id)
    expect(usage).toMatchObject({ isLazy: false, hydrationPercent: null })
    expect(usage.localBytes).toBeGreaterThan(2 * 512 * 1024)
    const { blocks, size } = await stat(join(folderOf(id), 'base.raw'))
    expect(size).toBe(2 ** 30)
    expect(blocks * 512).toBeLessThan(4 * 2 ** 20)
    expect([await byteAt(id, 2 ** 20), await byteAt(id, 2 ** 20 + 65_536), await byteAt(id, 900 * 2 ** 20)]).toEqual([
      ...[13, 11, 12],
    ])
    await caller.ec2.send(new DeleteSnapshotCommand({ SnapshotId: snapshot }))
    const next = (await deps.state.snapshots.get(await snapshotOf(id)))!
    // One block of data, besides leaf and root.
    expect(next.storedBytes).toBeLessThan(8192)
    expect(next.dataBytes).toBe(2 * 512 * 1024)
  })

  test('volumes of one snapshot share what was fetched, and each outlives the others', async () => {
    const source = await create()
    await write(source, 'write -P 21 1M 64k')
    const snapshot = await snapshotOf(source)
    const ids = [await create({ SnapshotId: snapshot }), await create({ SnapshotId: snapshot })] as const
    const { cloud, deps } = served()
    for (const id of ids) {
      await cloud.hydration.hydrate((await deps.state.volumes.get(id))!)
      await caller.quiet()
    }
    const [first, second] = await Promise.all(ids.map((id) => stat(join(folderOf(id), 'base.raw'))))
    expect([first!.ino, first!.nlink]).toEqual([second!.ino, 2])
    await caller.ec2.send(new DeleteVolumeCommand({ VolumeId: ids[0] }))
    expect(await byteAt(ids[1], 2 ** 20)).toBe(21)
    await write(ids[1], 'write -P 22 1M 64k')
    expect(await byteAt(ids[1], 2 ** 20)).toBe(22)
  })

  test('of a volume that a machine has, changes what the machine stands on', async () => {
    const instance = await launch()
    const root = (await caller.describe(instance)).BlockDeviceMappings![0]!.Ebs!.VolumeId!
    const { cloud, deps } = served()
    await cloud.hydration.hydrate((await deps.state.volumes.get(root))!)
    await caller.quiet()
    expect((await deps.state.volumes.get(root))!.hydratedAt).toBeGreaterThan(0)
    await caller.ec2.send(new StopInstancesCommand({ InstanceIds: [instance] }))
    await caller.reaches(instance, 'stopped')
    expect(await byteAt(root, 0)).toBe(7)
  })
})

describe('what is told of volumes', () => {
  test('their status, and whether they may go on by themselves', async () => {
    const id = await create()
    const { VolumeStatuses: statuses } = await caller.ec2.send(new DescribeVolumeStatusCommand({ VolumeIds: [id] }))
    expect(statuses).toMatchObject([
      {
        ...{ VolumeId: id, AvailabilityZone: zone, Events: [], Actions: [] },
        VolumeStatus: { Status: 'ok', Details: [{ Name: 'io-enabled', Status: 'passed' }, {}] },
      },
    ])
    const impaired = [{ Name: 'volume-status.status', Values: ['impaired'] }]
    const none = await caller.ec2.send(new DescribeVolumeStatusCommand({ VolumeIds: [id], Filters: impaired }))
    expect(none.VolumeStatuses).toEqual([])
    await caller.ec2.send(new EnableVolumeIOCommand({ VolumeId: id }))
    await caller.ec2.send(new ModifyVolumeAttributeCommand({ VolumeId: id, AutoEnableIO: { Value: true } }))
    const attribute = new DescribeVolumeAttributeCommand({ VolumeId: id, Attribute: 'autoEnableIO' })
    expect(await caller.ec2.send(attribute)).toMatchObject({ VolumeId: id, AutoEnableIO: { Value: true } })
  })
})
