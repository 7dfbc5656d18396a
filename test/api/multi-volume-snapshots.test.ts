/** CreateSnapshots: the volumes of an instance at one instant. */
import { join } from 'node:path'
import {
  CreateSnapshotsCommand,
  type CreateSnapshotsCommandInput,
  CreateTagsCommand,
  DescribeSnapshotsCommand,
  StopInstancesCommand,
  TerminateInstancesCommand,
} from '@aws-sdk/client-ec2'
import { beforeAll, beforeEach, expect, test } from 'vitest'
import { writeLayer } from '../../src/blocks/testing/qemu-disks.ts'
import { type Caller, callerOf } from '../support/caller.ts'
import { contentsOf } from '../support/cloud-contents.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'

const served = useServedCloud({ isLive: true })
let caller: Caller
const at = { instance: '', root: '', first: '', second: '', other: '', stopped: '', terminated: '' }

const withData = {
  BlockDeviceMappings: [
    { DeviceName: '/dev/sdf', Ebs: { VolumeSize: 1 } },
    { DeviceName: '/dev/sdg', Ebs: { VolumeSize: 2 } },
  ],
}

beforeAll(async () => {
  caller = await callerOf(served(), '000000000001')
  const [instance] = await caller.launch(withData)
  const volumes = instance.BlockDeviceMappings!.map((one) => one.Ebs!.VolumeId!)
  const [other, terminated] = await caller.launch({ MaxCount: 2 })
  Object.assign(at, { instance: instance.InstanceId, root: volumes[0], first: volumes[1], second: volumes[2] })
  Object.assign(at, { other: other.BlockDeviceMappings![0]!.Ebs!.VolumeId, stopped: other.InstanceId })
  at.terminated = terminated!.InstanceId!
  await caller.ec2.send(new StopInstancesCommand({ InstanceIds: [at.stopped] }))
  await caller.ec2.send(new TerminateInstancesCommand({ InstanceIds: [at.terminated] }))
  await caller.reaches(at.stopped, 'stopped')
  await caller.reaches(at.terminated, 'terminated')
})
beforeEach(() => caller.quiet())

const create = (instance: object, more: Partial<CreateSnapshotsCommandInput> = {}) =>
  caller.ec2.send(
    new CreateSnapshotsCommand({ InstanceSpecification: { InstanceId: at.instance, ...instance }, ...more }),
  )

/** What a guest would write: into the file that the volume's machine writes to now. */
async function write(volumeId: string, command: string): Promise<void> {
  const { state, volumesDir } = served().deps
  const top = (await state.volumes.layers(volumeId)).at(-1)!
  await writeLayer([join(volumesDir, volumeId, top.fileName)], [command])
}

test('all volumes are frozen before the answer, and each becomes a snapshot of its own', async () => {
  const { state } = served().deps
  const answer = await create({}, { Description: 'all of it' })
  const snapshots = answer.Snapshots!
  expect(snapshots.map((one) => [one.VolumeId, one.VolumeSize, one.State, one.Description])).toEqual([
    [at.root, 1, 'pending', 'all of it'],
    [at.first, 1, 'pending', 'all of it'],
    [at.second, 2, 'pending', 'all of it'],
  ])
  expect(new Set(snapshots.map((one) => one.StartTime!.getTime())).size).toBe(1)
  for (const { VolumeId, SnapshotId } of snapshots) {
    const layers = await state.volumes.layers(VolumeId!)
    expect(layers.find((layer) => layer.snapshotId === SnapshotId)!.seq).toBe(layers.at(-1)!.seq - 1)
  }
  // What is written after the answer is in none of them.
  await write(at.first, 'write -P 9 0 64k')
  await caller.quiet()
  const ids = snapshots.map((one) => one.SnapshotId!)
  const { Snapshots: done } = await caller.ec2.send(new DescribeSnapshotsCommand({ SnapshotIds: ids }))
  expect(done!.map((one) => one.State)).toEqual(['completed', 'completed', 'completed'])
  const rows = await state.snapshots.many(ids)
  expect(rows.find((row) => row.volumeId === at.first)!.dataBytes).toBe(0)
  const after = await create({ ExcludeBootVolume: true, ExcludeDataVolumeIds: [at.second] })
  await caller.quiet()
  expect((await state.snapshots.get(after.Snapshots![0]!.SnapshotId!))!.dataBytes).toBe(512 * 1024)
})

test('volumes are left out, and tags come from the volume and the request', async () => {
  await caller.ec2.send(
    new CreateTagsCommand({
      Resources: [at.first],
      Tags: [
        { Key: 'from', Value: 'volume' },
        { Key: 'use', Value: 'data' },
      ],
    }),
  )
  const tags = [{ ResourceType: 'snapshot' as const, Tags: [{ Key: 'from', Value: 'request' }] }]
  const request = { TagSpecifications: tags, CopyTagsFromSource: 'volume' as const }
  const { Snapshots: both } = await create({ ExcludeBootVolume: true }, request)
  expect(both!.map((one) => [one.VolumeId, one.Tags])).toEqual([
    [
      at.first,
      [
        { Key: 'from', Value: 'request' },
        { Key: 'use', Value: 'data' },
      ],
    ],
    [at.second, [{ Key: 'from', Value: 'request' }]],
  ])
  const found = await caller.ec2.send(
    new DescribeSnapshotsCommand({ Filters: [{ Name: 'tag:use', Values: ['data'] }] }),
  )
  expect(found.Snapshots!.map((one) => one.SnapshotId)).toEqual([both![0]!.SnapshotId])
  const { Snapshots: without } = await create({ ExcludeDataVolumeIds: [at.first, at.second] })
  expect(without!.map((one) => [one.VolumeId, one.Tags])).toEqual([[at.root, []]])
})

test('a machine that will not be frozen now is frozen by whichever snapshot comes to it first, as a whole', async () => {
  const { machines } = served().deps
  const freeze = machines.freeze
  const frozen: string[][] = []
  let failures = 1
  machines.freeze = async (id, tops, options) => {
    if (failures-- > 0) throw new Error('the machine is busy')
    frozen.push(tops.map((top) => top.volumeId).sort())
    return await freeze(id, tops, options)
  }
  try {
    const { Snapshots: made } = await create({})
    await caller.quiet()
    const ids = made!.map((one) => one.SnapshotId!)
    const { Snapshots: done } = await caller.ec2.send(new DescribeSnapshotsCommand({ SnapshotIds: ids }))
    expect(done!.map((one) => one.State)).toEqual(['completed', 'completed', 'completed'])
    expect(frozen[0]).toEqual([at.root, at.first, at.second].sort())
  } finally {
    machines.freeze = freeze
  }
})

test('a stopped instance is snapshotted too', async () => {
  const { Snapshots: made } = await create({ InstanceId: at.stopped })
  await caller.quiet()
  const [row] = await served().deps.state.snapshots.many([made![0]!.SnapshotId!])
  expect(row).toMatchObject({ state: 'completed', volumeId: at.other })
})

const many = Array.from({ length: 41 }, (_, index) => `vol-000000000000000${String(index).padStart(2, '0')}`)
test.each<[string, () => object, () => object, string, string]>([
  [
    'an instance that is not there',
    () => ({ InstanceId: 'i-0123456789abcdef0' }),
    () => ({}),
    'InvalidInstanceID.NotFound',
    'i-0123456789abcdef0',
  ],
  ['a malformed id', () => ({ InstanceId: 'x' }), () => ({}), 'InvalidInstanceID.Malformed', '"x"'],
  [
    'no instance',
    () => ({ InstanceId: undefined, ExcludeBootVolume: true }),
    () => ({}),
    'MissingParameter',
    'InstanceSpecification.InstanceId',
  ],
  ['one that is terminated', () => ({ InstanceId: at.terminated }), () => ({}), 'IncorrectInstanceState', 'terminated'],
  [
    'leaving out the root by its id',
    () => ({ ExcludeDataVolumeIds: [at.root] }),
    () => ({}),
    'InvalidParameterValue',
    'ExcludeBootVolume',
  ],
  [
    'leaving out what is not there',
    () => ({ ExcludeDataVolumeIds: [at.other] }),
    () => ({}),
    'InvalidParameterValue',
    'ExcludeDataVolumeIds',
  ],
  [
    'leaving out a malformed id',
    () => ({ ExcludeDataVolumeIds: ['vol'] }),
    () => ({}),
    'InvalidVolumeID.Malformed',
    '"vol"',
  ],
  ['leaving out too many', () => ({ ExcludeDataVolumeIds: many }), () => ({}), 'InvalidParameterValue', '40'],
  [
    'leaving out all',
    () => ({ ExcludeBootVolume: true, ExcludeDataVolumeIds: [at.first, at.second] }),
    () => ({}),
    'InvalidParameterCombination',
    'is left to be snapshotted',
  ],
  [
    'an unknown source of tags',
    () => ({}),
    () => ({ CopyTagsFromSource: 'instance' }),
    'InvalidParameterValue',
    'instance',
  ],
  ['a local snapshot', () => ({}), () => ({ Location: 'local' }), 'UnsupportedOperation', 'Location'],
  ['an outpost', () => ({}), () => ({ OutpostArn: 'arn:aws:outposts:x' }), 'UnsupportedOperation', 'OutpostArn'],
  [
    'tags of something else',
    () => ({}),
    () => ({ TagSpecifications: [{ ResourceType: 'volume', Tags: [{ Key: 'a' }] }] }),
    'InvalidParameterValue',
    'volume',
  ],
  ['a long description', () => ({}), () => ({ Description: 'x'.repeat(256) }), 'InvalidParameterValue', 'Description'],
  ['a dry run', () => ({}), () => ({ DryRun: true }), 'DryRunOperation', 'DryRun'],
])('%s is refused, and nothing is made', async (_, instance, more, code, named) => {
  const before = await contentsOf(served())
  await expectRefusal(create(instance(), more()), code, named)
  expect(await contentsOf(served())).toEqual(before)
})
