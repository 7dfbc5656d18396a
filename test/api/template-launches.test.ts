/** Instances that are launched from launch templates. */
import {
  CreateKeyPairCommand,
  CreateLaunchTemplateCommand,
  CreateLaunchTemplateVersionCommand,
  CreateSecurityGroupCommand,
  DeleteLaunchTemplateCommand,
  DeleteTagsCommand,
  DescribeInstanceAttributeCommand,
  DescribeSecurityGroupsCommand,
  DescribeSubnetsCommand,
  DescribeTagsCommand,
  DescribeVolumesCommand,
  GetLaunchTemplateDataCommand,
  type Instance,
  type RequestLaunchTemplateData,
  RunInstancesCommand,
  type RunInstancesCommandInput,
} from '@aws-sdk/client-ec2'
import { beforeAll, expect, test } from 'vitest'
import { type Caller, callerOf } from '../support/caller.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'

const served = useServedCloud({ isLive: true })
let caller: Caller
let base: RequestLaunchTemplateData

beforeAll(async () => {
  caller = await callerOf(served(), '000000000001')
  for (const KeyName of ['mine', 'other']) await caller.ec2.send(new CreateKeyPairCommand({ KeyName }))
  base = { ImageId: caller.seedImage, InstanceType: 't3.nano' }
})

let made = 0
async function template(data: RequestLaunchTemplateData): Promise<{ id: string; name: string }> {
  const name = `template-${++made}`
  const input = { LaunchTemplateName: name, LaunchTemplateData: { ...base, ...data } }
  const { LaunchTemplate: template } = await caller.ec2.send(new CreateLaunchTemplateCommand(input))
  return { id: template!.LaunchTemplateId!, name }
}

async function run(input: Partial<RunInstancesCommandInput>): Promise<Instance> {
  const { Instances: launched } = await caller.ec2.send(new RunInstancesCommand({ MinCount: 1, MaxCount: 1, ...input }))
  return caller.reaches(launched![0]!.InstanceId!, 'running')
}

const tagsOf = (resource: { Tags?: { Key?: string; Value?: string }[] | undefined }) =>
  Object.fromEntries(resource.Tags!.map((tag) => [tag.Key, tag.Value]))

async function rootOf(instance: Instance) {
  const id = instance.BlockDeviceMappings![0]!.Ebs!.VolumeId!
  return (await caller.ec2.send(new DescribeVolumesCommand({ VolumeIds: [id] }))).Volumes![0]!
}

async function attribute(instance: Instance, Attribute: 'userData' | 'disableApiStop') {
  const input = { InstanceId: instance.InstanceId!, Attribute }
  const found = await caller.ec2.send(new DescribeInstanceAttributeCommand(input))
  return (found.UserData ?? found.DisableApiStop)?.Value
}

test('a template says all of it: what it names, its user data, its disks, and tags of the instance and its volumes', async () => {
  const { id } = await template({
    KeyName: 'mine',
    UserData: 'aGVsbG8=',
    DisableApiStop: true,
    Monitoring: { Enabled: true },
    Placement: { AvailabilityZone: 'eu-west-1b' },
    MetadataOptions: { HttpTokens: 'required', HttpPutResponseHopLimit: 3 },
    BlockDeviceMappings: [{ DeviceName: '/dev/xvda', Ebs: { VolumeSize: 2, VolumeType: 'gp2' } }],
    TagSpecifications: [
      { ResourceType: 'instance', Tags: [{ Key: 'Name', Value: 'web' }] },
      { ResourceType: 'volume', Tags: [{ Key: 'disk', Value: 'root' }] },
    ],
  })
  const instance = await run({ LaunchTemplate: { LaunchTemplateId: id } })
  expect(instance).toMatchObject({
    ...{ ImageId: caller.seedImage, InstanceType: 't3.nano', KeyName: 'mine', Monitoring: { State: 'enabled' } },
    Placement: { AvailabilityZone: 'eu-west-1b' },
    MetadataOptions: { HttpTokens: 'required', HttpPutResponseHopLimit: 3, HttpEndpoint: 'enabled' },
  })
  expect(tagsOf(instance)).toEqual({
    ...{ Name: 'web', 'aws:ec2launchtemplate:id': id, 'aws:ec2launchtemplate:version': '1' },
  })
  expect(await attribute(instance, 'userData')).toBe('aGVsbG8=')
  expect(await attribute(instance, 'disableApiStop')).toBe(true)
  const root = await rootOf(instance)
  expect(root).toMatchObject({ Size: 2, VolumeType: 'gp2' })
  expect(tagsOf(root)).toEqual({ disk: 'root' })
})

test('what the caller names wins: values, disks, tags by their keys, single metadata options, groups', async () => {
  const group = await caller.ec2.send(new CreateSecurityGroupCommand({ GroupName: 'web', Description: 'x' }))
  const { name } = await template({
    KeyName: 'mine',
    InstanceType: 't3.micro',
    SecurityGroups: ['default'],
    MetadataOptions: { HttpTokens: 'required', HttpPutResponseHopLimit: 3 },
    BlockDeviceMappings: [
      { DeviceName: '/dev/xvda', Ebs: { VolumeSize: 2, VolumeType: 'gp2' } },
      { DeviceName: '/dev/sdf', Ebs: { VolumeSize: 1 } },
    ],
    TagSpecifications: [
      {
        ResourceType: 'instance',
        Tags: [
          { Key: 'Name', Value: 'web' },
          { Key: 'team', Value: 'a' },
        ],
      },
    ],
  })
  const instance = await run({
    LaunchTemplate: { LaunchTemplateName: name },
    ...{ KeyName: 'other', InstanceType: 't3.nano', SecurityGroupIds: [group.GroupId!] },
    MetadataOptions: { HttpPutResponseHopLimit: 5 },
    BlockDeviceMappings: [{ DeviceName: '/dev/xvda', Ebs: { VolumeSize: 3 } }],
    TagSpecifications: [
      { ResourceType: 'instance', Tags: [{ Key: 'Name', Value: 'mine' }] },
      { ResourceType: 'volume', Tags: [{ Key: 'disk', Value: 'any' }] },
    ],
  })
  expect(instance).toMatchObject({
    ...{ InstanceType: 't3.nano', KeyName: 'other', SecurityGroups: [{ GroupName: 'web' }] },
    MetadataOptions: { HttpTokens: 'required', HttpPutResponseHopLimit: 5 },
  })
  expect(instance.BlockDeviceMappings!.map((mapping) => mapping.DeviceName)).toEqual(['/dev/xvda', '/dev/sdf'])
  expect(tagsOf(instance)).toMatchObject({ Name: 'mine', team: 'a' })
  const root = await rootOf(instance)
  expect([root.Size, tagsOf(root)]).toEqual([3, { disk: 'any' }])
})

test('a version is chosen by number, $Latest or $Default, and the default one without', async () => {
  const { id } = await template({})
  await caller.ec2.send(
    new CreateLaunchTemplateVersionCommand({
      ...{ LaunchTemplateId: id, SourceVersion: '1', LaunchTemplateData: { InstanceType: 't3.micro' } },
    }),
  )
  const typeOf = async (Version?: string) =>
    (await run({ LaunchTemplate: { LaunchTemplateId: id, Version } })).InstanceType
  expect(await typeOf()).toBe('t3.nano')
  expect(await typeOf('$Default')).toBe('t3.nano')
  expect(await typeOf('$Latest')).toBe('t3.micro')
  expect(await typeOf('2')).toBe('t3.micro')
  await expectRefusal(typeOf('3'), 'InvalidLaunchTemplateId.VersionNotFound', 'version 3')
  await expectRefusal(typeOf('new'), 'InvalidParameterValue', 'LaunchTemplate.Version')
})

test('a request that was answered is answered the same, whatever became of its template', async () => {
  const { id } = await template({})
  const input = { LaunchTemplate: { LaunchTemplateId: id }, ClientToken: 'once' }
  const first = await run(input)
  await caller.ec2.send(new DeleteLaunchTemplateCommand({ LaunchTemplateId: id }))
  expect((await run(input)).InstanceId).toBe(first.InstanceId)
})

test('an interface of the template and a subnet of the request do not go together, as on EC2', async () => {
  const { Subnets: subnets } = await caller.ec2.send(new DescribeSubnetsCommand({}))
  const SubnetId = subnets![1]!.SubnetId!
  const { id } = await template({ NetworkInterfaces: [{ DeviceIndex: 0, SubnetId, AssociatePublicIpAddress: false }] })
  const LaunchTemplate = { LaunchTemplateId: id }
  const instance = await run({ LaunchTemplate })
  expect([instance.SubnetId, instance.PublicIpAddress]).toEqual([SubnetId, undefined])
  const both = run({ LaunchTemplate, SubnetId: subnets![0]!.SubnetId! })
  await expectRefusal(both, 'InvalidParameterCombination', 'NetworkInterface')
})

test('a template without an image needs one in the request; what Kiln has not is refused at the launch', async () => {
  const { LaunchTemplate: empty } = await caller.ec2.send(
    new CreateLaunchTemplateCommand({ LaunchTemplateName: 'empty', LaunchTemplateData: { KeyName: 'mine' } }),
  )
  const LaunchTemplate = { LaunchTemplateId: empty!.LaunchTemplateId! }
  await expectRefusal(run({ LaunchTemplate }), 'MissingParameter', 'ImageId')
  const instance = await run({ LaunchTemplate, ImageId: caller.seedImage, InstanceType: 't3.nano' })
  expect(instance.KeyName).toBe('mine')
  const { id } = await template({ CpuOptions: { CoreCount: 1 } })
  await expectRefusal(run({ LaunchTemplate: { LaunchTemplateId: id } }), 'UnsupportedOperation', 'CpuOptions')
  const needs = { VCpuCount: { Min: 1 }, MemoryMiB: { Min: 1 } }
  const wide = await template({ InstanceType: undefined, InstanceRequirements: needs })
  const launch = { LaunchTemplate: { LaunchTemplateId: wide.id } }
  await expectRefusal(run(launch), 'UnsupportedOperation', 'InstanceRequirements')
  expect((await run({ ...launch, InstanceType: 't3.nano' })).InstanceType).toBe('t3.nano')
})

test('the tags that name the template stay when all tags are deleted', async () => {
  const { id } = await template({
    TagSpecifications: [{ ResourceType: 'instance', Tags: [{ Key: 'Name', Value: 'web' }] }],
  })
  const instance = await run({ LaunchTemplate: { LaunchTemplateId: id } })
  const Resources = [instance.InstanceId!]
  await caller.ec2.send(new DeleteTagsCommand({ Resources }))
  const { Tags: left } = await caller.ec2.send(
    new DescribeTagsCommand({ Filters: [{ Name: 'resource-id', Values: Resources }] }),
  )
  expect(left!.map((tag) => tag.Key)).toEqual(['aws:ec2launchtemplate:id', 'aws:ec2launchtemplate:version'])
})

test('GetLaunchTemplateData of an instance launches another like it', async () => {
  const instance = await run({
    ...{ ImageId: caller.seedImage, InstanceType: 't3.nano', KeyName: 'mine', UserData: 'aGVsbG8=' },
    BlockDeviceMappings: [{ DeviceName: '/dev/sdf', Ebs: { VolumeSize: 2, VolumeType: 'gp3', Throughput: 200 } }],
    TagSpecifications: [{ ResourceType: 'instance', Tags: [{ Key: 'role', Value: 'web' }] }],
  })
  const { LaunchTemplateData: data } = await caller.ec2.send(
    new GetLaunchTemplateDataCommand({ InstanceId: instance.InstanceId! }),
  )
  expect(data).toMatchObject({ InstanceType: 't3.nano', KeyName: 'mine', UserData: 'aGVsbG8=' })
  const { id } = await template(data as RequestLaunchTemplateData)
  const twin = await run({ LaunchTemplate: { LaunchTemplateId: id } })
  expect(twin).toMatchObject({
    ...{ ImageId: caller.seedImage, KeyName: 'mine', SubnetId: instance.SubnetId },
    SecurityGroups: instance.SecurityGroups,
  })
  expect(tagsOf(twin)).toMatchObject({ role: 'web' })
  const volumes = await caller.ec2.send(
    new DescribeVolumesCommand({ Filters: [{ Name: 'attachment.instance-id', Values: [twin.InstanceId!] }] }),
  )
  expect(volumes.Volumes!.map((volume) => volume.Size).sort()).toEqual([1, 2])
  const { SecurityGroups: groups } = await caller.ec2.send(
    new DescribeSecurityGroupsCommand({ GroupNames: ['default'] }),
  )
  expect(data!.NetworkInterfaces![0]!.Groups).toEqual([groups![0]!.GroupId])
})
