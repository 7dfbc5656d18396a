/** Network interfaces of one's own: made, described, changed, given to instances, and outliving them. */
import {
  AllocateAddressCommand,
  AssociateAddressCommand,
  AttachNetworkInterfaceCommand,
  CreateNetworkInterfaceCommand,
  CreateSecurityGroupCommand,
  CreateSubnetCommand,
  CreateVpcCommand,
  DeleteNetworkInterfaceCommand,
  DeleteSecurityGroupCommand,
  DeleteSubnetCommand,
  DescribeAddressesCommand,
  DescribeInstanceAttributeCommand,
  DescribeInstancesCommand,
  DescribeNetworkInterfaceAttributeCommand,
  DescribeNetworkInterfacesCommand,
  DescribeSubnetsCommand,
  DetachNetworkInterfaceCommand,
  GetConsoleOutputCommand,
  ModifyInstanceAttributeCommand,
  ModifyNetworkInterfaceAttributeCommand,
  ResetNetworkInterfaceAttributeCommand,
  StartInstancesCommand,
  StopInstancesCommand,
  TerminateInstancesCommand,
} from '@aws-sdk/client-ec2'
import { beforeAll, expect, test } from 'vitest'
import { type Caller, callerOf } from '../support/caller.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'

const served = useServedCloud({ isLive: true })
let caller: Caller
let SubnetId: string
let VpcId: string
const send: Caller['ec2']['send'] = ((command: never) => caller.ec2.send(command)) as never
beforeAll(async () => {
  caller = await callerOf(served(), '000000000001')
  const Filters = [{ Name: 'cidr-block', Values: ['172.31.0.0/20'] }]
  const [subnet] = (await send(new DescribeSubnetsCommand({ Filters }))).Subnets!
  SubnetId = subnet!.SubnetId!
  VpcId = subnet!.VpcId!
})

const make = async (more = {}) =>
  (await send(new CreateNetworkInterfaceCommand({ SubnetId, ...more }))).NetworkInterface!
const told = async (id: string) =>
  (await send(new DescribeNetworkInterfacesCommand({ NetworkInterfaceIds: [id] }))).NetworkInterfaces![0]!
const found = async (Name: string, ...Values: string[]) =>
  (await send(new DescribeNetworkInterfacesCommand({ Filters: [{ Name, Values }] }))).NetworkInterfaces!.map(
    (nic) => nic.NetworkInterfaceId!,
  )
const destroy = (NetworkInterfaceId: string) => send(new DeleteNetworkInterfaceCommand({ NetworkInterfaceId }))
const modify = (NetworkInterfaceId: string, change: object) =>
  send(new ModifyNetworkInterfaceAttributeCommand({ NetworkInterfaceId, ...change }))
const newGroup = async (GroupName: string) =>
  (await send(new CreateSecurityGroupCommand({ VpcId, GroupName, Description: GroupName }))).GroupId!
const terminate = async (id: string) => {
  await send(new TerminateInstancesCommand({ InstanceIds: [id] }))
  await caller.reaches(id, 'terminated')
  await caller.quiet()
}
/** How the network was told last of that interface, if it was. */
const planned = (id: string) =>
  served()
    .plans.findLast((plan) => plan.id === VpcId)!
    .nics.find((nic) => nic.id === id)
const nowhere = 'eni-0123456789abcdef0'

test('an interface is made in a subnet, found by what it is, and gone', async () => {
  const PrivateIpAddress = '172.31.0.77'
  const TagSpecifications = [{ ResourceType: 'network-interface' as const, Tags: [{ Key: 'Name', Value: 'lab' }] }]
  const made = await make({ PrivateIpAddress, Description: 'a spare one', TagSpecifications })
  const id = made.NetworkInterfaceId!
  expect(made).toMatchObject({
    ...{ PrivateIpAddress, Description: 'a spare one', Status: 'available', InterfaceType: 'interface', SubnetId },
    ...{ SourceDestCheck: true, RequesterManaged: false, Groups: [{ GroupName: 'default' }] },
  })
  expect(await told(id)).toEqual({ ...made, TagSet: [{ Key: 'Name', Value: 'lab' }] })
  expect((await told(id)).Attachment).toBeUndefined()
  for (const [name, value] of [
    ['description', 'a spare *'],
    ['status', 'available'],
    ['private-ip-address', PrivateIpAddress],
    ['tag:Name', 'lab'],
  ] as const) {
    expect(await found(name, value)).toEqual([id])
  }
  expect(await found('attachment.device-index', '0')).not.toContain(id)
  await expectRefusal(make({ PrivateIpAddress }), 'InvalidIPAddress.InUse', PrivateIpAddress)
  await destroy(id)
  await expectRefusal(told(id), 'InvalidNetworkInterfaceID.NotFound', id)
  await expectRefusal(destroy(id), 'InvalidNetworkInterfaceID.NotFound', id)
})

test('what an interface says of itself is changed, one attribute at a time', async () => {
  const [group, id] = [await newGroup('changed'), (await make()).NetworkInterfaceId!]
  const attribute = async (Attribute: 'description' | 'groupSet' | 'sourceDestCheck') =>
    await send(new DescribeNetworkInterfaceAttributeCommand({ NetworkInterfaceId: id, Attribute }))
  await modify(id, { Description: { Value: 'renamed' } })
  expect((await attribute('description')).Description).toEqual({ Value: 'renamed' })
  await modify(id, { SourceDestCheck: { Value: false } })
  expect((await attribute('sourceDestCheck')).SourceDestCheck).toEqual({ Value: false })
  await send(new ResetNetworkInterfaceAttributeCommand({ NetworkInterfaceId: id }))
  expect((await attribute('sourceDestCheck')).SourceDestCheck).toEqual({ Value: true })
  await modify(id, { Groups: [group] })
  expect((await attribute('groupSet')).Groups).toMatchObject([{ GroupId: group, GroupName: 'changed' }])
  expect(await found('group-id', group)).toEqual([id])
  await expectRefusal(send(new DeleteSecurityGroupCommand({ GroupId: group })), 'DependencyViolation', group)
  await expectRefusal(modify(id, {}), 'MissingParameter', 'Description')
  const two = { Description: { Value: 'x' }, Groups: [group] }
  await expectRefusal(modify(id, two), 'InvalidParameterCombination', 'Description')
  await expectRefusal(modify(id, { Description: { Value: 'x'.repeat(256) } }), 'InvalidParameterValue', 'Description')
  const attachment = { AttachmentId: 'eni-attach-0123456789abcdef0', DeleteOnTermination: true }
  await expectRefusal(modify(id, { Attachment: attachment }), 'InvalidAttachmentID.NotFound', attachment.AttachmentId)
  await destroy(id)
  await send(new DeleteSecurityGroupCommand({ GroupId: group }))
})

test('an interface goes from one instance to the next, and keeps its addresses and groups', async () => {
  const group = await newGroup('moving')
  const nic = await make({ Groups: [group] })
  const id = nic.NetworkInterfaceId!
  const { AllocationId, PublicIp } = await send(new AllocateAddressCommand({}))
  const { AssociationId } = await send(new AssociateAddressCommand({ AllocationId, NetworkInterfaceId: id }))
  expect(planned(id)).toBeUndefined()
  const NetworkInterfaces = [{ DeviceIndex: 0, NetworkInterfaceId: id }]
  const identity = { PrivateIpAddress: nic.PrivateIpAddress, PublicIpAddress: PublicIp }
  for (const turn of ['the first', 'the second']) {
    const [instance] = await caller.launch({ NetworkInterfaces })
    const InstanceId = instance.InstanceId!
    const { Reservations } = await send(new DescribeInstancesCommand({ InstanceIds: [InstanceId] }))
    expect(Reservations![0]!.Instances![0], turn).toMatchObject({
      ...identity,
      SecurityGroups: [{ GroupId: group }],
      NetworkInterfaces: [{ NetworkInterfaceId: id, MacAddress: nic.MacAddress }],
    })
    const attached = await told(id)
    expect(attached).toMatchObject({
      Status: 'in-use',
      Attachment: { InstanceId, DeviceIndex: 0, DeleteOnTermination: false, Status: 'attached' },
    })
    expect(planned(id)).toMatchObject({ instanceId: InstanceId, mac: nic.MacAddress, publicIp: PublicIp })
    await expectRefusal(caller.launch({ NetworkInterfaces }), 'InvalidNetworkInterface.InUse', id)
    await expectRefusal(destroy(id), 'InvalidNetworkInterface.InUse', id)
    const detach = new DetachNetworkInterfaceCommand({ AttachmentId: attached.Attachment!.AttachmentId! })
    await expectRefusal(send(detach), 'OperationNotPermitted', 'device index 0')
    await terminate(InstanceId)
    expect(await told(id)).toMatchObject({ Status: 'available', Association: { AssociationId, PublicIp } })
    expect(planned(id)).toBeUndefined()
  }
  await destroy(id)
  const [address] = (await send(new DescribeAddressesCommand({ AllocationIds: [AllocationId!] }))).Addresses!
  expect(address!.AssociationId).toBeUndefined()
})

test('whether an interface goes with its instance is said at the launch, and changed', async () => {
  const [kept] = await caller.launch({ NetworkInterfaces: [{ DeviceIndex: 0, SubnetId, DeleteOnTermination: false }] })
  const [gone] = await caller.launch({ SubnetId })
  const [one, other] = [kept, gone].map((instance) => instance!.NetworkInterfaces![0]!)
  expect(one!.Attachment).toMatchObject({ DeleteOnTermination: false })
  const { AttachmentId } = other!.Attachment!
  await modify(other!.NetworkInterfaceId!, { Attachment: { AttachmentId, DeleteOnTermination: false } })
  for (const instance of [kept, gone]) await terminate(instance!.InstanceId!)
  for (const id of [one!.NetworkInterfaceId!, other!.NetworkInterfaceId!]) {
    const left = await told(id)
    expect([left.Status, left.Association, left.Attachment]).toEqual(['available', undefined, undefined])
    await destroy(id)
  }
})

test('an instance checks source and destination as its primary interface does', async () => {
  const [instance] = await caller.launch({ SubnetId })
  const InstanceId = instance.InstanceId!
  const id = instance.NetworkInterfaces![0]!.NetworkInterfaceId!
  await send(new ModifyInstanceAttributeCommand({ InstanceId, SourceDestCheck: { Value: false } }))
  expect((await told(id)).SourceDestCheck).toBe(false)
  expect(await found('source-dest-check', 'false')).toEqual([id])
  const asked = { InstanceId, Attribute: 'sourceDestCheck' } as const
  const { SourceDestCheck } = await send(new DescribeInstanceAttributeCommand(asked))
  expect(SourceDestCheck).toEqual({ Value: false })
  const unchecked = { Filters: [{ Name: 'source-dest-check', Values: ['false'] }] }
  const { Reservations } = await send(new DescribeInstancesCommand(unchecked))
  expect(Reservations!.flatMap(({ Instances }) => Instances!.map((one) => one.InstanceId))).toEqual([InstanceId])
})

test('a running instance gets a second interface, keeps it over a stop, and lets go of it', async () => {
  const nic = await make({ Description: 'the second' })
  const id = nic.NetworkInterfaceId!
  const [instance] = await caller.launch({ SubnetId })
  const InstanceId = instance.InstanceId!
  const attach = (change = {}) =>
    send(new AttachNetworkInterfaceCommand({ NetworkInterfaceId: id, InstanceId, DeviceIndex: 1, ...change }))
  const { AttachmentId } = await attach()
  await caller.quiet()
  expect(await told(id)).toMatchObject({
    Status: 'in-use',
    Attachment: { AttachmentId, InstanceId, DeviceIndex: 1, Status: 'attached', DeleteOnTermination: false },
  })
  expect(await found('attachment.device-index', '1')).toEqual([id])
  expect(planned(id)).toMatchObject({ instanceId: InstanceId, mac: nic.MacAddress })
  const { Reservations } = await send(new DescribeInstancesCommand({ InstanceIds: [InstanceId] }))
  const described = Reservations![0]!.Instances![0]!
  expect(described.PrivateIpAddress).toBe(instance.PrivateIpAddress)
  expect(described.NetworkInterfaces!.map((one) => one.Attachment!.DeviceIndex)).toEqual([0, 1])
  const console = async () => {
    const { Output } = await send(new GetConsoleOutputCommand({ InstanceId, Latest: true }))
    return Buffer.from(Output!, 'base64').toString()
  }
  expect(await console()).toContain('network card 1 came')

  // Another place is free, this one is not, and there are only so many.
  const more = [await make(), await make(), await make()]
  const other = { NetworkInterfaceId: more[0]!.NetworkInterfaceId! }
  await expectRefusal(attach(other), 'InvalidParameterValue', 'DeviceIndex')
  await expectRefusal(attach({ ...other, DeviceIndex: 4 }), 'InvalidParameterValue', 'DeviceIndex')
  for (const [index, { NetworkInterfaceId }] of more.slice(0, 2).entries()) {
    await attach({ NetworkInterfaceId, DeviceIndex: 2 + index })
  }
  const last = { NetworkInterfaceId: more[2]!.NetworkInterfaceId!, DeviceIndex: 4 }
  await expectRefusal(attach(last), 'AttachmentLimitExceeded', '4')
  await caller.quiet()

  await send(new StopInstancesCommand({ InstanceIds: [InstanceId] }))
  await caller.reaches(InstanceId, 'stopped')
  expect(await told(id)).toMatchObject({ Attachment: { Status: 'attached' } })
  expect(planned(id)).toBeUndefined()
  await send(new StartInstancesCommand({ InstanceIds: [InstanceId] }))
  await caller.reaches(InstanceId, 'running')
  expect(planned(id)).toBeDefined()

  const detach = () => send(new DetachNetworkInterfaceCommand({ AttachmentId }))
  await detach()
  await caller.quiet()
  expect(await told(id)).toMatchObject({ Status: 'available', Description: 'the second' })
  expect(planned(id)).toBeUndefined()
  await expectRefusal(detach(), 'InvalidAttachmentID.NotFound', AttachmentId!)
  // Its place is free again, and what is there goes with the instance if that is asked for.
  const again = await attach()
  const change = { AttachmentId: again.AttachmentId, DeleteOnTermination: true }
  await modify(id, { Attachment: change })
  await terminate(InstanceId)
  await expectRefusal(told(id), 'InvalidNetworkInterfaceID.NotFound', id)
  for (const { NetworkInterfaceId } of more) {
    expect(await told(NetworkInterfaceId!)).toMatchObject({ Status: 'available' })
    await destroy(NetworkInterfaceId!)
  }
})

test('what cannot be attached or detached is refused by name', async () => {
  const id = (await make()).NetworkInterfaceId!
  const [instance] = await caller.launch({ SubnetId })
  const attach = (change: object) =>
    send(
      new AttachNetworkInterfaceCommand({
        ...{ NetworkInterfaceId: id, InstanceId: instance.InstanceId!, DeviceIndex: 1, ...change },
      }),
    )
  await expectRefusal(attach({ DeviceIndex: 0 }), 'InvalidParameterValue', 'DeviceIndex')
  await expectRefusal(attach({ NetworkInterfaceId: nowhere }), 'InvalidNetworkInterfaceID.NotFound', nowhere)
  await expectRefusal(
    attach({ InstanceId: 'i-0123456789abcdef0' }),
    'InvalidInstanceID.NotFound',
    'i-0123456789abcdef0',
  )
  const Filters = [{ Name: 'cidr-block', Values: ['172.31.16.0/20'] }]
  const [elsewhere] = (await send(new DescribeSubnetsCommand({ Filters }))).Subnets!
  const far = await make({ SubnetId: elsewhere!.SubnetId })
  const toFar = { NetworkInterfaceId: far.NetworkInterfaceId! }
  await expectRefusal(attach(toFar), 'InvalidParameterCombination', far.NetworkInterfaceId!)
  const detach = (AttachmentId: string) => send(new DetachNetworkInterfaceCommand({ AttachmentId }))
  await expectRefusal(detach('eni-attach-0123456789abcdef0'), 'InvalidAttachmentID.NotFound', 'eni-attach-0123')
  await expectRefusal(detach('eni-attach-x'), 'InvalidNetworkInterfaceAttachmentId.Malformed', 'eni-attach-x')
  await terminate(instance.InstanceId!)
  await expectRefusal(attach({}), 'IncorrectInstanceState', instance.InstanceId!)
  for (const one of [id, far.NetworkInterfaceId!]) await destroy(one)
})

test('what cannot be is refused by name, and a token makes one interface', async () => {
  const other = (await send(new CreateVpcCommand({ CidrBlock: '10.0.0.0/16' }))).Vpc!.VpcId!
  const subnet = { VpcId: other, CidrBlock: '10.0.1.0/24' }
  const elsewhere = (await send(new CreateSubnetCommand(subnet))).Subnet!.SubnetId!
  const group = await newGroup('not there')
  await expectRefusal(make({ SubnetId: elsewhere, Groups: [group] }), 'InvalidParameterValue', group)
  await expectRefusal(make({ Groups: ['sg-0123456789abcdef0'] }), 'InvalidGroup.NotFound', 'sg-0123456789abcdef0')
  await expectRefusal(make({ SubnetId: 'subnet-0123456789abcdef0' }), 'InvalidSubnetID.NotFound', 'subnet-0123')
  await expectRefusal(make({ PrivateIpAddress: '10.9.9.9' }), 'InvalidParameterValue', '10.9.9.9')
  const listed = await make({ PrivateIpAddresses: [{ Primary: true, PrivateIpAddress: '172.31.0.99' }] })
  expect(listed.PrivateIpAddress).toBe('172.31.0.99')
  const two = ['172.31.0.100', '172.31.0.101'].map((PrivateIpAddress) => ({ PrivateIpAddress }))
  await expectRefusal(make({ PrivateIpAddresses: two }), 'UnsupportedOperation', 'PrivateIpAddresses.2')
  await destroy(listed.NetworkInterfaceId!)
  await expectRefusal(make({ InterfaceType: 'efa' }), 'UnsupportedOperation', 'InterfaceType')
  await expectRefusal(make({ Ipv6AddressCount: 1 }), 'UnsupportedOperation', 'Ipv6AddressCount')
  const [one, again] = [await make({ ClientToken: 'once' }), await make({ ClientToken: 'once' })]
  expect(again.NetworkInterfaceId).toBe(one.NetworkInterfaceId)
  const beside = [{ DeviceIndex: 0, NetworkInterfaceId: one.NetworkInterfaceId, SubnetId }]
  await expectRefusal(caller.launch({ NetworkInterfaces: beside }), 'InvalidParameterCombination', 'SubnetId')
  const twice = { NetworkInterfaces: [{ DeviceIndex: 0, NetworkInterfaceId: one.NetworkInterfaceId }], MaxCount: 2 }
  await expectRefusal(caller.launch(twice), 'InvalidParameterCombination', 'MaxCount')
  const stranger = served().client('000000000002')
  const theft = new DeleteNetworkInterfaceCommand({ NetworkInterfaceId: one.NetworkInterfaceId })
  await expectRefusal(stranger.send(theft), 'InvalidNetworkInterfaceID.NotFound', one.NetworkInterfaceId!)
  const inIt = await make({ SubnetId: elsewhere })
  await expectRefusal(send(new DeleteSubnetCommand({ SubnetId: elsewhere })), 'DependencyViolation', elsewhere)
  for (const { NetworkInterfaceId } of [one, inIt]) await destroy(NetworkInterfaceId!)
})
