/** Every filter that the lists of instances, images, snapshots and volumes know: a value that hits, one that misses. */
import {
  CreateSnapshotCommand,
  type DescribeImagesCommandOutput,
  type DescribeInstanceStatusCommandOutput,
  type DescribeInstancesCommandOutput,
  type DescribeSnapshotsCommandOutput,
  type DescribeVolumesCommandOutput,
  type Image,
  ImportKeyPairCommand,
  type Instance,
  paginateDescribeInstances,
  paginateDescribeVolumes,
  type Snapshot,
} from '@aws-sdk/client-ec2'
import { beforeAll, describe, expect, test } from 'vitest'
import { commandFor } from '../../src/api/testing/official-client.ts'
import { type Caller, callerOf } from '../support/caller.ts'
import { useServedCloud } from '../support/served-cloud.ts'

const served = useServedCloud({ isLive: true })
let caller: Caller
let instance: Instance
let image: Image
let snapshot: Snapshot

beforeAll(async () => {
  caller = await callerOf(served(), '000000000001')
  const tag = (ResourceType: 'instance' | 'volume') => ({ ResourceType, Tags: [{ Key: 'team', Value: 'a*b' }] })
  const key = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBeLt0fGPyFV92hzaUH8VMzWd/2u06WAlwOdx8AJK8fe me@here'
  await caller.ec2.send(new ImportKeyPairCommand({ KeyName: 'key', PublicKeyMaterial: Buffer.from(key) }))
  ;[instance] = await caller.launch({
    ClientToken: 'token',
    KeyName: 'key',
    TagSpecifications: [tag('instance'), tag('volume')],
  })
  await caller.ec2.send(
    commandFor('CreateImage', {
      InstanceId: instance.InstanceId,
      Name: 'filtered',
      Description: 'an image',
      TagSpecifications: [{ ResourceType: 'image', Tags: [{ Key: 'team', Value: 'a*b' }] }],
    }),
  )
  const { Images: images } = (await caller.ec2.send(
    commandFor('DescribeImages', { Owners: ['self'] }),
  )) as DescribeImagesCommandOutput
  image = await caller.image(images![0]!.ImageId!)
  snapshot = await caller.ec2.send(
    new CreateSnapshotCommand({
      VolumeId: instance.BlockDeviceMappings![0]!.Ebs!.VolumeId,
      Description: 'a snapshot',
      TagSpecifications: [{ ResourceType: 'snapshot', Tags: [{ Key: 'team', Value: 'a*b' }] }],
    }),
  )
  await caller.quiet()
  instance = await caller.describe(instance.InstanceId!)
})

type Table = Record<string, [hit: () => string | undefined, miss: string]>

const tags: Table = {
  'tag:team': [() => 'a\\*b', 'a\\*'],
  'tag-key': [() => 'te?m', 'tea'],
  'tag-value': [() => 'a*', 'b*'],
}
const year = () => `${new Date().getUTCFullYear()}-*`
const nic = () => instance.NetworkInterfaces![0]!
const group = () => instance.SecurityGroups![0]!
const disk = () => instance.BlockDeviceMappings![0]!

const ofInstances: Table = {
  ...tags,
  architecture: [() => 'x86_64', 'arm64'],
  'availability-zone': [() => instance.Placement!.AvailabilityZone, 'eu-west-1z'],
  'block-device-mapping.device-name': [() => '/dev/xvda', '/dev/sdz'],
  'block-device-mapping.status': [() => 'attached', 'detaching'],
  'block-device-mapping.volume-id': [() => disk().Ebs!.VolumeId, 'vol-0'],
  'client-token': [() => 'token', 'other'],
  'dns-name': [() => '127.*', 'x'],
  'group-id': [() => group().GroupId, 'sg-0'],
  'group-name': [() => 'default', 'web'],
  hypervisor: [() => 'xen', 'ovm'],
  'image-id': [() => caller.seedImage, 'ami-0'],
  'instance-id': [() => instance.InstanceId, 'i-0'],
  'instance-state-code': [() => '16', '80'],
  'instance-state-name': [() => 'running', 'stopped'],
  'instance-type': [() => 't3.*', 't3.micro'],
  'instance.group-id': [() => group().GroupId, 'sg-0'],
  'instance.group-name': [() => 'default', 'web'],
  'ip-address': [() => instance.PublicIpAddress, '1.2.3.4'],
  'key-name': [() => 'key', 'lock'],
  'launch-index': [() => '0', '1'],
  'launch-time': [year, '2001-*'],
  'metadata-options.http-endpoint': [() => 'enabled', 'disabled'],
  'metadata-options.http-tokens': [() => 'optional', 'required'],
  'metadata-options.instance-metadata-tags': [() => 'disabled', 'enabled'],
  'network-interface.network-interface-id': [() => nic().NetworkInterfaceId, 'eni-0'],
  'network-interface.private-ip-address': [() => instance.PrivateIpAddress, '1.2.3.4'],
  'network-interface.subnet-id': [() => instance.SubnetId, 'subnet-0'],
  'network-interface.vpc-id': [() => instance.VpcId, 'vpc-0'],
  'owner-id': [() => '000000000001', '000000000002'],
  'platform-details': [() => 'Linux/UNIX', 'Windows'],
  'private-ip-address': [() => instance.PrivateIpAddress, '1.2.3.4'],
  'reservation-id': [() => 'r-*', 'r-0'],
  'root-device-name': [() => '/dev/xvda', '/dev/sda1'],
  'root-device-type': [() => 'ebs', 'instance-store'],
  'source-dest-check': [() => 'true', 'false'],
  'subnet-id': [() => instance.SubnetId, 'subnet-0'],
  tenancy: [() => 'default', 'dedicated'],
  'virtualization-type': [() => 'hvm', 'paravirtual'],
  'vpc-id': [() => instance.VpcId, 'vpc-0'],
}

const ofStatus: Table = {
  'availability-zone': [() => instance.Placement!.AvailabilityZone, 'eu-west-1z'],
  'instance-state-code': [() => '16', '0'],
  'instance-state-name': [() => 'running', 'pending'],
  'instance-status.reachability': [() => 'passed', 'failed'],
  'instance-status.status': [() => 'ok', 'impaired'],
  'system-status.reachability': [() => 'passed', 'failed'],
  'system-status.status': [() => 'ok', 'impaired'],
}

const ofImages: Table = {
  ...tags,
  architecture: [() => 'x86_64', 'arm64'],
  'block-device-mapping.device-name': [() => '/dev/xvda', '/dev/sdz'],
  'block-device-mapping.snapshot-id': [() => image.BlockDeviceMappings![0]!.Ebs!.SnapshotId, 'snap-0'],
  'block-device-mapping.volume-type': [() => 'gp3', 'gp2'],
  'creation-date': [year, '2001-*'],
  description: [() => 'an *', 'an'],
  'ena-support': [() => 'true', 'false'],
  hypervisor: [() => 'xen', 'ovm'],
  'image-id': [() => image.ImageId, 'ami-0'],
  'image-type': [() => 'machine', 'kernel'],
  'is-public': [() => 'false', 'true'],
  name: [() => 'filt?red', 'filt'],
  'owner-id': [() => '000000000001', '000000000002'],
  'platform-details': [() => 'Linux/UNIX', 'Windows'],
  'root-device-name': [() => '/dev/xvda', '/dev/sda1'],
  'root-device-type': [() => 'ebs', 'instance-store'],
  'source-instance-id': [() => instance.InstanceId, 'i-0'],
  'source-image-id': [() => caller.seedImage, 'ami-0'],
  'source-image-region': [() => 'eu-west-1', 'us-east-1'],
  state: [() => 'available', 'pending'],
  'virtualization-type': [() => 'hvm', 'paravirtual'],
}

const ofSnapshots: Table = {
  ...tags,
  description: [() => 'a snap*', 'a'],
  encrypted: [() => 'false', 'true'],
  'owner-id': [() => '000000000001', '000000000002'],
  progress: [() => '100%', '50%'],
  'snapshot-id': [() => snapshot.SnapshotId, 'snap-0'],
  'start-time': [year, '2001-*'],
  status: [() => 'completed', 'pending'],
  'storage-tier': [() => 'standard', 'archive'],
  'volume-id': [() => snapshot.VolumeId, 'vol-0'],
  'volume-size': [() => '1', '2'],
}

const ofVolumes: Table = {
  ...tags,
  'attachment.delete-on-termination': [() => 'true', 'false'],
  'attachment.device': [() => '/dev/xvda', '/dev/sdz'],
  'attachment.instance-id': [() => instance.InstanceId, 'i-0'],
  'attachment.status': [() => 'attached', 'detaching'],
  'availability-zone': [() => instance.Placement!.AvailabilityZone, 'eu-west-1z'],
  'create-time': [year, '2001-*'],
  encrypted: [() => 'false', 'true'],
  size: [() => '1', '2'],
  'snapshot-id': [() => 'snap-*', 'snap-0'],
  status: [() => 'in-use', 'available'],
  'volume-id': [() => disk().Ebs!.VolumeId, 'vol-0'],
  'volume-type': [() => 'gp3', 'gp2'],
}

/** How each operation says which resources it found. */
const found: Record<string, (answer: never) => (string | undefined)[]> = {
  DescribeInstances: (answer: DescribeInstancesCommandOutput) =>
    answer.Reservations!.flatMap((one) => one.Instances!.map((each) => each.InstanceId)),
  DescribeInstanceStatus: (answer: DescribeInstanceStatusCommandOutput) =>
    answer.InstanceStatuses!.map((one) => one.InstanceId),
  DescribeImages: (answer: DescribeImagesCommandOutput) => answer.Images!.map((one) => one.ImageId),
  DescribeSnapshots: (answer: DescribeSnapshotsCommandOutput) => answer.Snapshots!.map((one) => one.SnapshotId),
  DescribeVolumes: (answer: DescribeVolumesCommandOutput) => answer.Volumes!.map((one) => one.VolumeId),
}

describe.each<[string, Table, () => string | undefined, object]>([
  ['DescribeInstances', ofInstances, () => instance.InstanceId, {}],
  ['DescribeInstanceStatus', ofStatus, () => instance.InstanceId, {}],
  ['DescribeImages', ofImages, () => image.ImageId, { Owners: ['self'] }],
  ['DescribeSnapshots', ofSnapshots, () => snapshot.SnapshotId, { OwnerIds: ['self'] }],
  ['DescribeVolumes', ofVolumes, () => disk().Ebs!.VolumeId, {}],
])('%s', (operation, table, id, more) => {
  const ask = async (Filters: object[]) =>
    found[operation]!((await caller.ec2.send(commandFor(operation, { ...more, Filters }))) as never)

  test.each(Object.entries(table))('%s', async (Name, [hit, miss]) => {
    const value = hit()!
    expect(await ask([{ Name, Values: [value] }])).toContain(id())
    expect(await ask([{ Name, Values: [miss] }])).not.toContain(id())
    expect(await ask([{ Name, Values: [miss, value] }])).toContain(id())
  })
})

test.each([
  ['DescribeImages', 'Images'],
  ['DescribeSnapshots', 'Snapshots'],
])('%s finds what an alias owns', async (operation, list) => {
  const ask = async (value: string) => {
    const answer = await caller.ec2.send(commandFor(operation, { Filters: [{ Name: 'owner-alias', Values: [value] }] }))
    return (answer as unknown as Record<string, { OwnerAlias?: string; ImageOwnerAlias?: string }[]>)[list]!
  }
  expect((await ask('ama*')).map((one) => one.ImageOwnerAlias ?? one.OwnerAlias)).toEqual(['amazon'])
  expect(await ask('self')).toEqual([])
})

test('instances are found by the reason of their state', async () => {
  const [other] = await caller.launch()
  const id = other.InstanceId!
  await caller.ec2.send(commandFor('StopInstances', { InstanceIds: [id] }))
  await caller.reaches(id, 'stopped')
  const ask = async (value: string) =>
    found.DescribeInstances!(
      (await caller.ec2.send(
        commandFor('DescribeInstances', { Filters: [{ Name: 'state-reason-code', Values: [value] }] }),
      )) as never,
    )
  expect(await ask('Client.*')).toEqual([id])
  expect(await ask('Server.*')).toEqual([])
})

test('ids that exist are found or left out by a filter, without an error', async () => {
  const volume = { VolumeIds: [disk().Ebs!.VolumeId], Filters: [{ Name: 'status', Values: ['available'] }] }
  expect(await caller.ec2.send(commandFor('DescribeVolumes', volume))).toMatchObject({ Volumes: [] })
})

test('pages hold every instance and volume once, those of one millisecond too', async () => {
  const pager = await callerOf(served(), '000000000009')
  const made = await pager.launch({ MaxCount: 13 })
  const expected = made.map((one) => one.InstanceId!).sort()
  const instances: string[] = []
  for await (const page of paginateDescribeInstances({ client: pager.ec2, pageSize: 5 }, {})) {
    const ids = page.Reservations!.flatMap((one) => one.Instances!.map((each) => each.InstanceId!))
    expect(ids.length).toBeLessThanOrEqual(5)
    instances.push(...ids)
  }
  expect(instances.sort()).toEqual(expected)
  const volumes: string[] = []
  for await (const page of paginateDescribeVolumes({ client: pager.ec2, pageSize: 6 }, {})) {
    volumes.push(...page.Volumes!.map((one) => one.VolumeId!))
  }
  expect(volumes.sort()).toEqual(made.map((one) => one.BlockDeviceMappings![0]!.Ebs!.VolumeId!).sort())
})
