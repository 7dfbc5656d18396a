/**
 * Bad input to every operation on instances, images, snapshots and volumes: EC2's own code, a message that names what
 * was wrong, and nothing half made: no row, no file, no operation.
 */
import {
  CreateSecurityGroupCommand,
  DescribeSubnetsCommand,
  RunInstancesCommand,
  StopInstancesCommand,
  TerminateInstancesCommand,
} from '@aws-sdk/client-ec2'
import { beforeAll, describe, expect, test } from 'vitest'
import { commandFor } from '../../src/api/testing/official-client.ts'
import { type Caller, callerOf } from '../support/caller.ts'
import { contentsOf } from '../support/cloud-contents.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'

const served = useServedCloud({ isLive: true })
let caller: Caller
/** What the requests below are about. */
const at = {
  seed: '',
  running: '',
  stopped: '',
  terminated: '',
  image: '',
  imageSnapshot: '',
  deregistered: '',
  volume: '',
  subnet: '',
  foreignGroup: '',
  foreignSubnet: '',
}

beforeAll(async () => {
  caller = await callerOf(served(), '000000000001')
  const stranger = await callerOf(served(), '000000000002')
  const [running, stopped, terminated] = await caller.launch({ MaxCount: 3 })
  Object.assign(at, { seed: caller.seedImage, running: running.InstanceId })
  Object.assign(at, { stopped: stopped!.InstanceId, terminated: terminated!.InstanceId })
  at.volume = running.BlockDeviceMappings![0]!.Ebs!.VolumeId!
  const image = await caller.imageOf(at.running, 'taken')
  Object.assign(at, { image: image.ImageId, imageSnapshot: image.BlockDeviceMappings![0]!.Ebs!.SnapshotId })
  at.deregistered = (await caller.imageOf(at.running, 'left')).ImageId!
  await caller.ec2.send(commandFor('DeregisterImage', { ImageId: at.deregistered }))
  await caller.ec2.send(new StopInstancesCommand({ InstanceIds: [at.stopped] }))
  await caller.ec2.send(new TerminateInstancesCommand({ InstanceIds: [at.terminated] }))
  await caller.reaches(at.stopped, 'stopped')
  await caller.reaches(at.terminated, 'terminated')
  await caller.ec2.send(
    new RunInstancesCommand({
      ImageId: at.seed,
      InstanceType: 't3.nano',
      MinCount: 1,
      MaxCount: 1,
      ClientToken: 'used',
    }),
  )
  at.subnet = (await caller.ec2.send(new DescribeSubnetsCommand({}))).Subnets![0]!.SubnetId!
  at.foreignSubnet = (await stranger.ec2.send(new DescribeSubnetsCommand({}))).Subnets![0]!.SubnetId!
  const group = await stranger.ec2.send(new CreateSecurityGroupCommand({ GroupName: 'theirs', Description: 'x' }))
  at.foreignGroup = group.GroupId!
  await caller.quiet()
})

type Input = Record<string, unknown>
/** An operation, what differs from a good request, EC2's code, and what the message must hold. */
type Case = [operation: string, input: () => Input, code: string, named: string]

const nowhere = (prefix: string) => `${prefix}-0123456789abcdef0`
const run = (more: Input): Input => ({
  ImageId: at.seed,
  InstanceType: 't3.nano',
  MinCount: 1,
  MaxCount: 1,
  ...more,
})
const device = (more: Input): Input => run({ BlockDeviceMappings: [{ DeviceName: '/dev/sdf', ...more }] })
const image = (more: Input): Input => ({ InstanceId: at.running, Name: 'new', ...more })
const registered = (more: Input): Input => ({
  Name: 'new',
  RootDeviceName: '/dev/xvda',
  BlockDeviceMappings: [{ DeviceName: '/dev/xvda', Ebs: { SnapshotId: at.imageSnapshot } }],
  ...more,
})
const copied = (more: Input): Input => ({ Name: 'new', SourceRegion: 'eu-west-1', SourceImageId: at.image, ...more })
const tagged = (ResourceType: string, Tags: object[] = [{ Key: 'a', Value: 'b' }]) => ({
  TagSpecifications: [{ ResourceType, Tags }],
})
const filter = (Name: string, ...Values: string[]) => ({ Filters: [{ Name, Values }] })
const modified = (more: Input): Input => ({ InstanceId: at.stopped, ...more })

const launches: Case[] = [
  ['RunInstances', () => run({ ImageId: nowhere('ami') }), 'InvalidAMIID.NotFound', nowhere('ami')],
  ['RunInstances', () => run({ ImageId: 'ami-12' }), 'InvalidAMIID.Malformed', '"ami-12"'],
  ['RunInstances', () => run({ ImageId: undefined }), 'MissingParameter', 'ImageId'],
  ['RunInstances', () => run({ ImageId: at.deregistered }), 'InvalidAMIID.Unavailable', 'deregistered'],
  ['RunInstances', () => run({ MinCount: 0 }), 'InvalidParameterValue', 'MinCount'],
  ['RunInstances', () => run({ MinCount: -1, MaxCount: -1 }), 'InvalidParameterValue', 'MinCount'],
  ['RunInstances', () => run({ MaxCount: 0 }), 'InvalidParameterValue', 'MaxCount'],
  ['RunInstances', () => run({ MinCount: 3, MaxCount: 2 }), 'InvalidParameterCombination', 'MinCount (3)'],
  ['RunInstances', () => run({ MaxCount: 1001 }), 'InstanceLimitExceeded', 'MaxCount'],
  ['RunInstances', () => run({ MinCount: 5000, MaxCount: 5000 }), 'InstanceLimitExceeded', 'MinCount'],
  ['RunInstances', () => run({ MaxCount: undefined }), 'MissingParameter', 'MaxCount'],
  ['RunInstances', () => run({ InstanceType: 'x99.huge' }), 'InvalidParameterValue', 'InstanceType'],
  ['RunInstances', () => run({ KeyName: 'nobody' }), 'InvalidKeyPair.NotFound', "'nobody'"],
  ['RunInstances', () => run({ SubnetId: nowhere('subnet') }), 'InvalidSubnetID.NotFound', nowhere('subnet')],
  ['RunInstances', () => run({ SubnetId: at.foreignSubnet }), 'InvalidSubnetID.NotFound', 'subnet-'],
  ['RunInstances', () => run({ SubnetId: 'subnet-x' }), 'InvalidSubnetID.Malformed', 'subnet-x'],
  ['RunInstances', () => run({ SecurityGroupIds: [nowhere('sg')] }), 'InvalidGroup.NotFound', nowhere('sg')],
  ['RunInstances', () => run({ SecurityGroupIds: [at.foreignGroup] }), 'InvalidGroup.NotFound', 'sg-'],
  ['RunInstances', () => run({ SecurityGroupIds: ['web'] }), 'InvalidGroupId.Malformed', 'web'],
  ['RunInstances', () => run({ SecurityGroups: ['nobody'] }), 'InvalidGroup.NotFound', "'nobody'"],
  [
    'RunInstances',
    () => run({ SecurityGroups: Array(6).fill('default') }),
    'SecurityGroupsPerInterfaceLimitExceeded',
    'SecurityGroup',
  ],
  ['RunInstances', () => run({ Placement: { AvailabilityZone: 'eu-west-1z' } }), 'InvalidParameterValue', 'eu-west-1z'],
  ['RunInstances', () => run({ Placement: { Tenancy: 'dedicated' } }), 'UnsupportedOperation', 'Placement.Tenancy'],
  ['RunInstances', () => run({ Placement: { GroupName: 'g' } }), 'UnsupportedOperation', 'Placement.GroupName'],
  [
    'RunInstances',
    () => run({ SubnetId: at.subnet, Placement: { AvailabilityZone: 'eu-west-1z' } }),
    'InvalidParameterValue',
    'Placement.AvailabilityZone',
  ],
  ['RunInstances', () => run({ PrivateIpAddress: '10.0.0.9' }), 'InvalidParameterValue', '10.0.0.9'],
  [
    'RunInstances',
    () => run({ PrivateIpAddress: '172.31.0.9', MinCount: 2, MaxCount: 2 }),
    'InvalidParameterCombination',
    'PrivateIpAddress',
  ],
  ['RunInstances', () => run({ UserData: 'not base64!' }), 'InvalidParameterValue', 'UserData'],
  ['RunInstances', () => run({ UserData: 'YWJjZ' }), 'InvalidParameterValue', 'UserData'],
  [
    'RunInstances',
    () => run({ UserData: Buffer.alloc(16 * 1024 + 1).toString('base64') }),
    'InvalidParameterValue',
    'UserData',
  ],
  [
    'RunInstances',
    () => run({ SubnetId: at.subnet, NetworkInterfaces: [{ DeviceIndex: 0 }] }),
    'InvalidParameterCombination',
    'NetworkInterface',
  ],
  [
    'RunInstances',
    () => run({ InstanceInitiatedShutdownBehavior: 'nap' }),
    'InvalidParameterValue',
    'ShutdownBehavior',
  ],
  [
    'RunInstances',
    () => run({ MetadataOptions: { HttpPutResponseHopLimit: 65 } }),
    'InvalidParameterValue',
    'HttpPutResponseHopLimit',
  ],
  ['RunInstances', () => run(tagged('image')), 'InvalidParameterValue', "'image'"],
  ['RunInstances', () => run(tagged('instance', [{ Key: 'aws:x', Value: '' }])), 'InvalidParameterValue', 'aws:'],
  ['RunInstances', () => run(tagged('instance', [])), 'InvalidParameterValue', 'Tag specification'],
  [
    'RunInstances',
    () =>
      run(
        tagged(
          'volume',
          Array.from({ length: 51 }, (_, n) => ({ Key: `${n}`, Value: '' })),
        ),
      ),
    'TagLimitExceeded',
    '50',
  ],
  ['RunInstances', () => run({ ClientToken: 'used', MaxCount: 2 }), 'IdempotentParameterMismatch', "'used'"],
  ['RunInstances', () => run({ ClientToken: 'x'.repeat(65) }), 'InvalidParameterValue', 'client token'],
]

const devices: Case[] = [
  ['RunInstances', () => device({ DeviceName: 'c:' }), 'InvalidBlockDeviceMapping', 'c:'],
  ['RunInstances', () => device({}), 'InvalidBlockDeviceMapping', '/dev/sdf'],
  ['RunInstances', () => device({ Ebs: { VolumeType: 'gp3' } }), 'MissingParameter', '/dev/sdf'],
  ['RunInstances', () => device({ Ebs: { VolumeSize: 0 } }), 'InvalidParameterValue', 'VolumeSize'],
  ['RunInstances', () => device({ Ebs: { VolumeSize: 99_999 } }), 'InvalidParameterValue', 'VolumeSize'],
  ['RunInstances', () => device({ Ebs: { VolumeSize: 1, Iops: 100 } }), 'InvalidParameterCombination', 'Iops'],
  [
    'RunInstances',
    () => device({ Ebs: { VolumeSize: 8, VolumeType: 'gp3', Throughput: 1000 } }),
    'InvalidParameterValue',
    'Throughput',
  ],
  ['RunInstances', () => device({ Ebs: { VolumeSize: 8, VolumeType: 'io1' } }), 'MissingParameter', 'Iops'],
  ['RunInstances', () => device({ Ebs: { VolumeSize: 8, VolumeType: 'ssd' } }), 'InvalidParameterValue', 'VolumeType'],
  ['RunInstances', () => device({ Ebs: { SnapshotId: nowhere('snap') } }), 'InvalidSnapshot.NotFound', nowhere('snap')],
  ['RunInstances', () => device({ Ebs: { SnapshotId: 'snap-x' } }), 'InvalidSnapshotID.Malformed', 'snap-x'],
  ['RunInstances', () => device({ VirtualName: 'floppy0' }), 'InvalidBlockDeviceMapping', 'floppy0'],
  [
    'RunInstances',
    () => device({ DeviceName: '/dev/xvda', Ebs: { SnapshotId: at.imageSnapshot } }),
    'InvalidBlockDeviceMapping',
    'SnapshotId',
  ],
  ['RunInstances', () => device({ DeviceName: '/dev/xvda', NoDevice: '' }), 'InvalidBlockDeviceMapping', '/dev/xvda'],
  [
    'RunInstances',
    () => run({ BlockDeviceMappings: Array(2).fill({ DeviceName: '/dev/sdf', Ebs: { VolumeSize: 1 } }) }),
    'InvalidBlockDeviceMapping',
    'Duplicate',
  ],
  [
    'RunInstances',
    () =>
      run({
        BlockDeviceMappings: Array.from({ length: 24 }, (_, n) => ({
          DeviceName: `/dev/sd${String.fromCharCode(98 + n)}`,
          Ebs: { VolumeSize: 1 },
        })),
      }),
    'InvalidBlockDeviceMapping',
    '24',
  ],
]

const ofInstances: Case[] = [
  ...['StartInstances', 'StopInstances', 'RebootInstances', 'TerminateInstances'].flatMap((operation): Case[] => [
    [operation, () => ({ InstanceIds: [nowhere('i')] }), 'InvalidInstanceID.NotFound', nowhere('i')],
    [operation, () => ({ InstanceIds: [at.running, nowhere('i')] }), 'InvalidInstanceID.NotFound', nowhere('i')],
    [operation, () => ({ InstanceIds: ['i-x'] }), 'InvalidInstanceID.Malformed', 'i-x'],
    [operation, () => ({ InstanceIds: [] }), 'MissingParameter', 'InstanceId'],
  ]),
  ['StopInstances', () => ({ InstanceIds: [at.stopped] }), 'IncorrectInstanceState', 'stopped'],
  ['StopInstances', () => ({ InstanceIds: [at.running, at.stopped] }), 'IncorrectInstanceState', 'stopped'],
  ['StopInstances', () => ({ InstanceIds: [at.terminated] }), 'IncorrectInstanceState', 'terminated'],
  ['StopInstances', () => ({ InstanceIds: [at.running], Hibernate: true }), 'UnsupportedOperation', 'Hibernate'],
  ['StartInstances', () => ({ InstanceIds: [at.terminated] }), 'IncorrectInstanceState', 'i-'],
  ['RebootInstances', () => ({ InstanceIds: [at.stopped] }), 'IncorrectInstanceState', 'stopped'],
  ['GetConsoleOutput', () => ({ InstanceId: nowhere('i') }), 'InvalidInstanceID.NotFound', nowhere('i')],
  ['GetConsoleOutput', () => ({ InstanceId: 'x' }), 'InvalidInstanceID.Malformed', '"x"'],
  ['DescribeInstances', () => ({ InstanceIds: [nowhere('i')] }), 'InvalidInstanceID.NotFound', nowhere('i')],
  [
    'DescribeInstances',
    () => ({ InstanceIds: [nowhere('i')], ...filter('instance-type', 't3.nano') }),
    'InvalidInstanceID.NotFound',
    nowhere('i'),
  ],
  ['DescribeInstances', () => filter('colour', 'red'), 'InvalidParameterValue', "'colour'"],
  ['DescribeInstances', () => filter('toString', 'x'), 'InvalidParameterValue', "'toString'"],
  ['DescribeInstances', () => filter('launch-index', 'x'), 'InvalidParameterValue', 'launch-index'],
  ['DescribeInstances', () => filter('launch-time', 'noon'), 'InvalidParameterValue', 'launch-time'],
  ['DescribeInstances', () => filter('tag:a'), 'InvalidParameterValue', 'tag:a'],
  ['DescribeInstances', () => ({ MaxResults: 4 }), 'InvalidParameterValue', 'maxResults'],
  ['DescribeInstances', () => ({ MaxResults: 1001 }), 'InvalidParameterValue', 'maxResults'],
  ['DescribeInstances', () => ({ NextToken: 'x' }), 'InvalidPaginationToken', 'token'],
  [
    'DescribeInstances',
    () => ({ InstanceIds: [at.running], MaxResults: 10 }),
    'InvalidParameterCombination',
    'InstanceIds',
  ],
  ['DescribeInstanceStatus', () => ({ InstanceIds: [nowhere('i')] }), 'InvalidInstanceID.NotFound', nowhere('i')],
  ['DescribeInstanceStatus', () => filter('colour', 'red'), 'InvalidParameterValue', "'colour'"],
  ['DescribeInstanceAttribute', () => ({ InstanceId: at.running }), 'MissingParameter', 'Attribute'],
  [
    'DescribeInstanceAttribute',
    () => ({ InstanceId: at.running, Attribute: 'colour' }),
    'InvalidParameterValue',
    'Attribute',
  ],
  [
    'DescribeInstanceAttribute',
    () => ({ InstanceId: nowhere('i'), Attribute: 'userData' }),
    'InvalidInstanceID.NotFound',
    nowhere('i'),
  ],
  ['ModifyInstanceAttribute', () => modified({}), 'InvalidParameterCombination', 'No attributes'],
  [
    'ModifyInstanceAttribute',
    () => modified({ DisableApiStop: { Value: true }, InstanceType: { Value: 't3.micro' } }),
    'InvalidParameterCombination',
    'multiple attribute',
  ],
  ['ModifyInstanceAttribute', () => modified({ Attribute: 'disableApiStop' }), 'MissingParameter', 'Value'],
  [
    'ModifyInstanceAttribute',
    () => modified({ Attribute: 'disableApiStop', Value: 'maybe' }),
    'InvalidParameterValue',
    'DisableApiStop',
  ],
  [
    'ModifyInstanceAttribute',
    () => modified({ Attribute: 'rootDeviceName', Value: 'x' }),
    'InvalidParameterValue',
    'rootDeviceName',
  ],
  [
    'ModifyInstanceAttribute',
    () => modified({ InstanceType: { Value: 'x99.huge' } }),
    'InvalidInstanceAttributeValue',
    'InstanceType',
  ],
  [
    'ModifyInstanceAttribute',
    () => ({ InstanceId: at.running, InstanceType: { Value: 't3.micro' } }),
    'IncorrectInstanceState',
    "'stopped'",
  ],
  [
    'ModifyInstanceAttribute',
    () => modified({ UserData: { Value: Buffer.alloc(16 * 1024 + 1) } }),
    'InvalidParameterValue',
    'UserData',
  ],
  [
    'ModifyInstanceAttribute',
    () => modified({ Attribute: 'userData', Value: '%%%' }),
    'InvalidParameterValue',
    'UserData',
  ],
  ['ModifyInstanceAttribute', () => modified({ Kernel: { Value: 'aki-1' } }), 'UnsupportedOperation', 'Kernel'],
  ['ModifyInstanceAttribute', () => modified({ Groups: [nowhere('sg')] }), 'InvalidGroup.NotFound', nowhere('sg')],
  ['ModifyInstanceAttribute', () => modified({ Groups: [at.foreignGroup] }), 'InvalidGroup.NotFound', 'sg-'],
  [
    'ModifyInstanceAttribute',
    () => modified({ Groups: Array.from({ length: 6 }, (_, n) => `sg-0000000${n}`) }),
    'SecurityGroupsPerInterfaceLimitExceeded',
    'SecurityGroup',
  ],
  [
    'ModifyInstanceAttribute',
    () => modified({ BlockDeviceMappings: [{ DeviceName: '/dev/sdz', Ebs: { DeleteOnTermination: true } }] }),
    'InvalidInstanceAttributeValue',
    '/dev/sdz',
  ],
  [
    'ModifyInstanceAttribute',
    () => modified({ BlockDeviceMappings: [{ Ebs: { DeleteOnTermination: true } }] }),
    'MissingParameter',
    'DeviceName',
  ],
  [
    'ModifyInstanceAttribute',
    () => modified({ BlockDeviceMappings: [{ DeviceName: '/dev/xvda' }] }),
    'MissingParameter',
    'DeleteOnTermination',
  ],
  [
    'ModifyInstanceAttribute',
    () => ({ InstanceId: at.terminated, DisableApiStop: { Value: true } }),
    'IncorrectInstanceState',
    'terminated',
  ],
  [
    'ModifyInstanceMetadataOptions',
    () => modified({ HttpPutResponseHopLimit: 0 }),
    'InvalidParameterValue',
    'HttpPutResponseHopLimit',
  ],
  ['ModifyInstanceMetadataOptions', () => modified({ HttpTokens: 'never' }), 'InvalidParameterValue', 'HttpTokens'],
  [
    'ModifyInstanceMetadataOptions',
    () => ({ InstanceId: at.terminated, HttpTokens: 'required' }),
    'IncorrectInstanceState',
    'terminated',
  ],
]

const ofImages: Case[] = [
  ['CreateImage', () => image({ InstanceId: nowhere('i') }), 'InvalidInstanceID.NotFound', nowhere('i')],
  ['CreateImage', () => image({ InstanceId: at.terminated }), 'IncorrectState', 'terminated'],
  ['CreateImage', () => image({ Name: 'taken' }), 'InvalidAMIName.Duplicate', 'taken'],
  ['CreateImage', () => image({ Name: 'a' }), 'InvalidAMIName.Malformed', "'a'"],
  ['CreateImage', () => image({ Name: 'a*b*c' }), 'InvalidAMIName.Malformed', 'a*b*c'],
  ['CreateImage', () => image({ Name: 'x'.repeat(129) }), 'InvalidAMIName.Malformed', 'xxx'],
  ['CreateImage', () => image({ Name: undefined }), 'MissingParameter', 'Name'],
  ['CreateImage', () => image({ Description: 'x'.repeat(256) }), 'InvalidParameterValue', 'Description'],
  ['CreateImage', () => image(tagged('instance')), 'InvalidParameterValue', "'instance'"],
  ['CreateImage', () => image({ SnapshotLocation: 'local' }), 'UnsupportedOperation', 'SnapshotLocation'],
  [
    'CreateImage',
    () => image({ BlockDeviceMappings: [{ DeviceName: '/dev/xvda', NoDevice: '' }] }),
    'InvalidBlockDeviceMapping',
    '/dev/xvda',
  ],
  [
    'CreateImage',
    () => image({ BlockDeviceMappings: [{ DeviceName: '/dev/xvda', VirtualName: 'ephemeral0' }] }),
    'InvalidBlockDeviceMapping',
    '/dev/xvda',
  ],
  [
    'CreateImage',
    () => image({ BlockDeviceMappings: [{ DeviceName: '/dev/xvda', Ebs: { VolumeSize: 0 } }] }),
    'InvalidParameterValue',
    'VolumeSize',
  ],
  ['RegisterImage', () => registered({ Name: undefined }), 'MissingParameter', 'Name'],
  ['RegisterImage', () => registered({ Name: 'taken' }), 'InvalidAMIName.Duplicate', 'taken'],
  ['RegisterImage', () => registered({ RootDeviceName: '/dev/sda1' }), 'InvalidBlockDeviceMapping', 'RootDeviceName'],
  ['RegisterImage', () => registered({ BlockDeviceMappings: [] }), 'InvalidBlockDeviceMapping', 'root device'],
  ['RegisterImage', () => registered({ Architecture: 'arm64' }), 'UnsupportedOperation', 'arm64'],
  ['RegisterImage', () => registered({ BootMode: 'uefi' }), 'UnsupportedOperation', 'uefi'],
  ['RegisterImage', () => registered({ VirtualizationType: 'paravirtual' }), 'UnsupportedOperation', 'paravirtual'],
  ['RegisterImage', () => registered({ VirtualizationType: 'x' }), 'InvalidParameterValue', 'VirtualizationType'],
  ['RegisterImage', () => registered({ SriovNetSupport: 'x' }), 'InvalidParameterValue', 'SriovNetSupport'],
  ['RegisterImage', () => registered({ TpmSupport: 'v2.0' }), 'UnsupportedOperation', 'TpmSupport'],
  ['RegisterImage', () => registered({ ImageLocation: 'nowhere' }), 'InvalidManifest', 'ImageLocation'],
  [
    'RegisterImage',
    () => registered({ BlockDeviceMappings: [{ DeviceName: '/dev/xvda', Ebs: { SnapshotId: nowhere('snap') } }] }),
    'InvalidSnapshot.NotFound',
    nowhere('snap'),
  ],
  ['CopyImage', () => copied({ SourceImageId: nowhere('ami') }), 'InvalidAMIID.NotFound', nowhere('ami')],
  ['CopyImage', () => copied({ SourceImageId: at.deregistered }), 'InvalidAMIID.Unavailable', 'ami-'],
  ['CopyImage', () => copied({ SourceRegion: 'mars-north-1' }), 'InvalidRegion', 'SourceRegion'],
  ['CopyImage', () => copied({ SourceRegion: 'toString' }), 'InvalidRegion', 'SourceRegion'],
  ['CopyImage', () => copied({ SourceRegion: 'eu-north-1' }), 'InvalidAMIID.NotFound', 'ami-'],
  ['CopyImage', () => copied({ Name: 'taken' }), 'InvalidAMIName.Duplicate', 'taken'],
  ['CopyImage', () => copied({ Name: '?' }), 'InvalidAMIName.Malformed', "'?'"],
  ['CopyImage', () => copied({ KmsKeyId: 'k' }), 'InvalidParameterDependency', 'KmsKeyId'],
  ['CopyImage', () => copied({ DestinationOutpostArn: 'arn:x' }), 'UnsupportedOperation', 'DestinationOutpostArn'],
  ['DeregisterImage', () => ({ ImageId: nowhere('ami') }), 'InvalidAMIID.NotFound', nowhere('ami')],
  ['DeregisterImage', () => ({ ImageId: at.deregistered }), 'InvalidAMIID.Unavailable', 'ami-'],
  ['DeregisterImage', () => ({ ImageId: at.seed }), 'AuthFailure', 'ami-'],
  ['DescribeImages', () => ({ ImageIds: [nowhere('ami')] }), 'InvalidAMIID.NotFound', nowhere('ami')],
  ['DescribeImages', () => ({ ImageIds: [nowhere('ami')], Owners: ['self'] }), 'InvalidAMIID.NotFound', 'ami-'],
  ['DescribeImages', () => ({ ImageIds: ['ami-?'] }), 'InvalidAMIID.Malformed', 'ami-?'],
  ['DescribeImages', () => ({ Owners: ['me'] }), 'InvalidUserID.Malformed', '"me"'],
  ['DescribeImages', () => ({ ExecutableUsers: ['amazon'] }), 'InvalidUserID.Malformed', '"amazon"'],
  ['DescribeImages', () => filter('is-public', 'perhaps'), 'InvalidParameterValue', 'is-public'],
  ['DescribeImages', () => filter('colour', 'red'), 'InvalidParameterValue', "'colour'"],
  ['DescribeImageAttribute', () => ({ ImageId: at.image, Attribute: 'x' }), 'InvalidParameterValue', 'Attribute'],
  ['DescribeImageAttribute', () => ({ ImageId: at.seed, Attribute: 'launchPermission' }), 'AuthFailure', 'ami-'],
]

const ofDisks: Case[] = [
  ['CreateSnapshot', () => ({ VolumeId: nowhere('vol') }), 'InvalidVolume.NotFound', nowhere('vol')],
  ['CreateSnapshot', () => ({ VolumeId: 'vol-x' }), 'InvalidVolumeID.Malformed', 'vol-x'],
  ['CreateSnapshot', () => ({ VolumeId: at.volume, ...tagged('volume') }), 'InvalidParameterValue', "'volume'"],
  [
    'CreateSnapshot',
    () => ({ VolumeId: at.volume, Description: 'x'.repeat(256) }),
    'InvalidParameterValue',
    'Description',
  ],
  ['CreateSnapshot', () => ({ VolumeId: at.volume, OutpostArn: 'arn:x' }), 'UnsupportedOperation', 'OutpostArn'],
  [
    'CopySnapshot',
    () => ({ SourceRegion: 'eu-west-1', SourceSnapshotId: nowhere('snap') }),
    'InvalidSnapshot.NotFound',
    nowhere('snap'),
  ],
  [
    'CopySnapshot',
    () => ({ SourceRegion: 'mars', SourceSnapshotId: at.imageSnapshot }),
    'InvalidRegion',
    'SourceRegion',
  ],
  [
    'CopySnapshot',
    () => ({ SourceRegion: 'eu-west-1', SourceSnapshotId: at.imageSnapshot, KmsKeyId: 'k' }),
    'InvalidParameterDependency',
    'KmsKeyId',
  ],
  ['DeleteSnapshot', () => ({ SnapshotId: at.imageSnapshot }), 'InvalidSnapshot.InUse', 'ami-'],
  ['DeleteSnapshot', () => ({ SnapshotId: nowhere('snap') }), 'InvalidSnapshot.NotFound', nowhere('snap')],
  ['DescribeSnapshots', () => ({ SnapshotIds: [nowhere('snap')] }), 'InvalidSnapshot.NotFound', nowhere('snap')],
  ['DescribeSnapshots', () => ({ OwnerIds: ['all'] }), 'InvalidUserID.Malformed', '"all"'],
  ['DescribeSnapshots', () => ({ RestorableByUserIds: ['me'] }), 'InvalidUserID.Malformed', '"me"'],
  ['DescribeSnapshots', () => filter('colour', 'red'), 'InvalidParameterValue', "'colour'"],
  ['DescribeVolumes', () => ({ VolumeIds: [nowhere('vol')] }), 'InvalidVolume.NotFound', nowhere('vol')],
  ['DescribeVolumes', () => ({ VolumeIds: ['x'] }), 'InvalidVolumeID.Malformed', '"x"'],
  ['DescribeVolumes', () => filter('size', 'big'), 'InvalidParameterValue', 'size'],
  ['DeleteVolume', () => ({ VolumeId: at.volume }), 'VolumeInUse', 'vol-'],
  ['DeleteVolume', () => ({ VolumeId: nowhere('vol') }), 'InvalidVolume.NotFound', nowhere('vol')],
]

describe.each([
  ['launches', launches],
  ['block device mappings', devices],
  ['instances', ofInstances],
  ['images', ofImages],
  ['snapshots and volumes', ofDisks],
])('%s', (_, cases) => {
  test.each(cases)('%s %#', async (operation, input, code, named) => {
    const before = await contentsOf(served())
    await expectRefusal(caller.ec2.send(commandFor(operation, input())), code, named)
    expect(await contentsOf(served())).toEqual(before)
  })
})
