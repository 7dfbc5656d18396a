/** Launches with several network interfaces: each in its place, new ones gone with the instance, given ones kept. */
import {
  CreateNetworkInterfaceCommand,
  CreateSecurityGroupCommand,
  CreateSubnetCommand,
  DescribeNetworkInterfacesCommand,
  DescribeSubnetsCommand,
  GetLaunchTemplateDataCommand,
  TerminateInstancesCommand,
} from '@aws-sdk/client-ec2'
import { beforeAll, expect, test } from 'vitest'
import { type Caller, callerOf } from '../support/caller.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'

const served = useServedCloud({ isLive: true })
let caller: Caller
let subnets: Map<string, string>
let VpcId: string
beforeAll(async () => {
  caller = await callerOf(served(), '000000000001')
  const { Subnets: all } = await caller.ec2.send(new DescribeSubnetsCommand({}))
  subnets = new Map(all!.map((subnet) => [subnet.AvailabilityZone!, subnet.SubnetId!]))
  VpcId = all![0]!.VpcId!
})

const interfaces = async (ids: readonly string[]) => {
  const Filters = [{ Name: 'network-interface-id', Values: [...ids] }]
  return (await caller.ec2.send(new DescribeNetworkInterfacesCommand({ Filters }))).NetworkInterfaces!
}

test('an instance comes with a new interface in another subnet and with one that was there', async () => {
  const { ec2 } = caller
  const SubnetId = subnets.get('eu-west-1a')!
  const inner = await ec2.send(
    new CreateSubnetCommand({ VpcId, CidrBlock: '172.31.200.0/24', AvailabilityZone: 'eu-west-1a' }),
  )
  const innerId = inner.Subnet!.SubnetId!
  const group = await ec2.send(new CreateSecurityGroupCommand({ VpcId, GroupName: 'inner', Description: 'inner' }))
  const GroupId = group.GroupId!
  const given = (await ec2.send(new CreateNetworkInterfaceCommand({ SubnetId }))).NetworkInterface!
  const [instance] = await caller.launch({
    NetworkInterfaces: [
      { DeviceIndex: 2, NetworkInterfaceId: given.NetworkInterfaceId },
      { DeviceIndex: 0, SubnetId, Description: 'outer' },
      { DeviceIndex: 1, SubnetId: innerId, Groups: [GroupId], PrivateIpAddress: '172.31.200.20', Description: 'inner' },
    ],
    TagSpecifications: [{ ResourceType: 'network-interface', Tags: [{ Key: 'Name', Value: 'nic' }] }],
  })
  expect(instance.SubnetId).toBe(SubnetId)
  expect(instance.PublicIpAddress).toBeUndefined()
  const nics = instance.NetworkInterfaces!
  expect(nics).toMatchObject([
    { Attachment: { DeviceIndex: 0, DeleteOnTermination: true, Status: 'attached' }, Description: 'outer', SubnetId },
    {
      ...{ Attachment: { DeviceIndex: 1, DeleteOnTermination: true }, SubnetId: innerId, Description: 'inner' },
      ...{ PrivateIpAddress: '172.31.200.20', Groups: [{ GroupId }] },
    },
    { Attachment: { DeviceIndex: 2, DeleteOnTermination: false }, NetworkInterfaceId: given.NetworkInterfaceId },
  ])
  const ids = nics.map((nic) => nic.NetworkInterfaceId!)
  const tagged = await interfaces(ids)
  const names = new Map(tagged.map((nic) => [nic.NetworkInterfaceId!, nic.TagSet!.map((tag) => tag.Value)]))
  expect(ids.map((id) => names.get(id))).toEqual([['nic'], ['nic'], []])
  // The network was told of all three, each at its place.
  const plan = served().plans.findLast(({ id }) => id === VpcId)!
  expect(plan.nics.map((nic) => nic.id).sort()).toEqual([...ids].sort())

  const { LaunchTemplateData: data } = await ec2.send(
    new GetLaunchTemplateDataCommand({ InstanceId: instance.InstanceId }),
  )
  expect(data!.NetworkInterfaces!.map((nic) => nic.DeviceIndex)).toEqual([0, 1, 2])

  await ec2.send(new TerminateInstancesCommand({ InstanceIds: [instance.InstanceId!] }))
  await caller.reaches(instance.InstanceId!, 'terminated')
  await caller.quiet()
  expect(await interfaces(ids)).toMatchObject([{ NetworkInterfaceId: given.NetworkInterfaceId, Status: 'available' }])
})

test('several instances each have their own, and a subnet that is too small for all takes as many as fit', async () => {
  const { ec2 } = caller
  const small = await ec2.send(
    new CreateSubnetCommand({ VpcId, CidrBlock: '172.31.201.0/28', AvailabilityZone: 'eu-west-1a' }),
  )
  const SubnetId = small.Subnet!.SubnetId!
  // Eleven addresses: five pairs.
  const NetworkInterfaces = [0, 1].map((DeviceIndex) => ({ DeviceIndex, SubnetId }))
  const launched = await caller.launch({ NetworkInterfaces, MinCount: 1, MaxCount: 7 })
  expect(launched).toHaveLength(5)
  const addresses = launched.flatMap((one) => one.NetworkInterfaces!.map((nic) => nic.PrivateIpAddress))
  expect(new Set(addresses).size).toBe(10)
  const more = caller.launch({ NetworkInterfaces })
  await expectRefusal(more, 'InsufficientFreeAddressesInSubnet', SubnetId)
})

test('all interfaces of an instance are in one zone and free', async () => {
  const { ec2 } = caller
  const away = { DeviceIndex: 1, SubnetId: subnets.get('eu-west-1b')! }
  const home = { DeviceIndex: 0, SubnetId: subnets.get('eu-west-1a')! }
  await expectRefusal(
    caller.launch({ NetworkInterfaces: [home, away] }),
    'InvalidParameterCombination',
    'availability zone',
  )
  const made = await ec2.send(new CreateNetworkInterfaceCommand({ SubnetId: home.SubnetId }))
  const NetworkInterfaceId = made.NetworkInterface!.NetworkInterfaceId!
  const twice = [0, 1].map((DeviceIndex) => ({ DeviceIndex, NetworkInterfaceId }))
  await expectRefusal(caller.launch({ NetworkInterfaces: twice }), 'InvalidNetworkInterface.InUse', NetworkInterfaceId)
  expect(await interfaces([NetworkInterfaceId])).toMatchObject([{ Status: 'available' }])
})
