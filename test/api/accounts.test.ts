/** One account cannot see, use or change what another has: every operation that names a resource, from one table. */
import { CopySnapshotCommand, CreateSnapshotCommand, DescribeImagesCommand } from '@aws-sdk/client-ec2'
import { beforeAll, expect, test } from 'vitest'
import { commandFor } from '../../src/api/testing/official-client.ts'
import { type Caller, callerOf } from '../support/caller.ts'
import { contentsOf } from '../support/cloud-contents.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'

const served = useServedCloud({ isLive: true })
const owner = '000000000001'
let stranger: Caller
const at = { instance: '', volume: '', snapshot: '', image: '', subnet: '', group: '' }

beforeAll(async () => {
  const caller = await callerOf(served(), owner)
  stranger = await callerOf(served(), '000000000002')
  const [instance] = await caller.launch()
  at.instance = instance.InstanceId!
  at.subnet = instance.SubnetId!
  at.group = instance.SecurityGroups![0]!.GroupId!
  at.volume = instance.BlockDeviceMappings![0]!.Ebs!.VolumeId!
  at.image = (await caller.imageOf(at.instance, 'mine')).ImageId!
  at.snapshot = (await caller.ec2.send(new CreateSnapshotCommand({ VolumeId: at.volume }))).SnapshotId!
  await caller.quiet()
})

const ofInstances = { code: 'InvalidInstanceID.NotFound', named: () => at.instance }
const ofImages = { code: 'InvalidAMIID.NotFound', named: () => at.image }
const ofVolumes = { code: 'InvalidVolume.NotFound', named: () => at.volume }
const ofSnapshots = { code: 'InvalidSnapshot.NotFound', named: () => at.snapshot }

type Case = [operation: string, input: () => object, refusal: { code: string; named: () => string }]

const run = (more: object) => ({ InstanceType: 't3.nano', MinCount: 1, MaxCount: 1, ...more })
const withSnapshot = (DeviceName: string) => ({
  BlockDeviceMappings: [{ DeviceName, Ebs: { SnapshotId: at.snapshot } }],
})
const tags = (id: string) => ({ Resources: [id], Tags: [{ Key: 'a', Value: 'b' }] })

const cases: Case[] = [
  ...['DescribeInstances', 'DescribeInstanceStatus', 'StartInstances', 'StopInstances', 'RebootInstances'].map(
    (operation): Case => [operation, () => ({ InstanceIds: [at.instance] }), ofInstances],
  ),
  ['TerminateInstances', () => ({ InstanceIds: [at.instance] }), ofInstances],
  ['GetConsoleOutput', () => ({ InstanceId: at.instance }), ofInstances],
  ['DescribeInstanceAttribute', () => ({ InstanceId: at.instance, Attribute: 'userData' }), ofInstances],
  ['ModifyInstanceAttribute', () => ({ InstanceId: at.instance, DisableApiStop: { Value: true } }), ofInstances],
  ['ModifyInstanceAttribute', () => ({ InstanceId: at.instance, Groups: [at.group] }), ofInstances],
  ['ModifyInstanceMetadataOptions', () => ({ InstanceId: at.instance, HttpTokens: 'required' }), ofInstances],
  ['CreateImage', () => ({ InstanceId: at.instance, Name: 'theirs' }), ofInstances],
  ['CreateSnapshots', () => ({ InstanceSpecification: { InstanceId: at.instance } }), ofInstances],
  ['CreateTags', () => tags(at.instance), ofInstances],
  ['RunInstances', () => run({ ImageId: at.image }), ofImages],
  ['CopyImage', () => ({ Name: 'theirs', SourceRegion: 'eu-west-1', SourceImageId: at.image }), ofImages],
  ['DescribeImages', () => ({ ImageIds: [at.image] }), ofImages],
  ['DescribeImageAttribute', () => ({ ImageId: at.image, Attribute: 'description' }), ofImages],
  ['DeregisterImage', () => ({ ImageId: at.image }), ofImages],
  ['CreateTags', () => tags(at.image), ofImages],
  ['DescribeVolumes', () => ({ VolumeIds: [at.volume] }), ofVolumes],
  ['DeleteVolume', () => ({ VolumeId: at.volume }), ofVolumes],
  ['CreateSnapshot', () => ({ VolumeId: at.volume }), ofVolumes],
  ['CreateTags', () => tags(at.volume), ofVolumes],
  ['DescribeSnapshots', () => ({ SnapshotIds: [at.snapshot] }), ofSnapshots],
  ['DeleteSnapshot', () => ({ SnapshotId: at.snapshot }), ofSnapshots],
  ['CopySnapshot', () => ({ SourceRegion: 'eu-west-1', SourceSnapshotId: at.snapshot }), ofSnapshots],
  ['CreateTags', () => tags(at.snapshot), ofSnapshots],
  ['RegisterImage', () => ({ Name: 'theirs', RootDeviceName: '/dev/xvda', ...withSnapshot('/dev/xvda') }), ofSnapshots],
  ['RunInstances', () => run({ ImageId: stranger.seedImage, ...withSnapshot('/dev/sdf') }), ofSnapshots],
  [
    'RunInstances',
    () => run({ ImageId: stranger.seedImage, SubnetId: at.subnet }),
    { code: 'InvalidSubnetID.NotFound', named: () => at.subnet },
  ],
  [
    'RunInstances',
    () => run({ ImageId: stranger.seedImage, SecurityGroupIds: [at.group] }),
    { code: 'InvalidGroup.NotFound', named: () => at.group },
  ],
]

test.each(cases)('%s finds nothing of another account', async (operation, input, { code, named }) => {
  const before = await contentsOf(served())
  await expectRefusal(stranger.ec2.send(commandFor(operation, input())), code, named())
  expect(await contentsOf(served())).toEqual(before)
})

test.each([
  ['DescribeInstances', 'Reservations'],
  ['DescribeInstanceStatus', 'InstanceStatuses'],
  ['DescribeVolumes', 'Volumes'],
])('%s lists nothing of another account', async (operation, list) => {
  const answer = (await stranger.ec2.send(commandFor(operation, { IncludeAllInstances: undefined }))) as object
  expect(answer).toMatchObject({ [list]: [] })
})

test('another account’s images and snapshots are listed only when they are public', async () => {
  const { Images: images } = await stranger.ec2.send(new DescribeImagesCommand({}))
  expect(images!.map((image) => [image.ImageId, image.Public])).toEqual([[stranger.seedImage, true]])
  const ownSnapshots = (await stranger.ec2.send(commandFor('DescribeSnapshots', { OwnerIds: [owner] }))) as object
  expect(ownSnapshots).toMatchObject({ Snapshots: [] })
  const mine = await stranger.ec2.send(new DescribeImagesCommand({ Owners: [owner] }))
  expect(mine.Images).toEqual([])
})

test('who is given launch permission sees the image and launches it; only its owner deregisters it', async () => {
  const caller = await callerOf(served(), owner)
  const share = (change: 'Add' | 'Remove') =>
    caller.ec2.send(
      commandFor('ModifyImageAttribute', {
        ImageId: at.image,
        LaunchPermission: { [change]: [{ UserId: '000000000002' }] },
      }),
    )
  await share('Add')
  const { Images: seen } = await stranger.ec2.send(new DescribeImagesCommand({ ExecutableUsers: ['self'] }))
  expect(seen!.map((one) => [one.ImageId, one.OwnerId, one.Public])).toEqual([[at.image, owner, false]])
  const [launched] = await stranger.launch({ ImageId: at.image })
  expect(launched.ImageId).toBe(at.image)
  await expectRefusal(stranger.ec2.send(commandFor('DeregisterImage', { ImageId: at.image })), 'AuthFailure', at.image)
  const third = await callerOf(served(), '000000000003')
  await expectRefusal(
    third.ec2.send(commandFor('RunInstances', run({ ImageId: at.image }))),
    'InvalidAMIID.NotFound',
    at.image,
  )
  await share('Remove')
})

test('a public image’s snapshot can be copied by anyone, and is then the account’s own', async () => {
  const { Images: images } = await stranger.ec2.send(new DescribeImagesCommand({ ImageIds: [stranger.seedImage] }))
  const copy = await stranger.ec2.send(
    new CopySnapshotCommand({
      SourceRegion: 'eu-west-1',
      SourceSnapshotId: images![0]!.BlockDeviceMappings![0]!.Ebs!.SnapshotId,
    }),
  )
  await stranger.quiet()
  const own = (await stranger.ec2.send(commandFor('DescribeSnapshots', { OwnerIds: ['self'] }))) as {
    Snapshots: { SnapshotId: string; State: string }[]
  }
  expect(own.Snapshots.map((one) => [one.SnapshotId, one.State])).toEqual([[copy.SnapshotId, 'completed']])
})
