/** VPCs of one's own: made, connected, taken apart again. What leads out of them is what the network is told. */
import {
  AllocateAddressCommand,
  AssociateAddressCommand,
  AssociateRouteTableCommand,
  AttachInternetGatewayCommand,
  CreateInternetGatewayCommand,
  CreateRouteCommand,
  CreateRouteTableCommand,
  CreateSecurityGroupCommand,
  CreateSubnetCommand,
  CreateTagsCommand,
  CreateVpcCommand,
  DeleteInternetGatewayCommand,
  DeleteRouteCommand,
  DeleteRouteTableCommand,
  DeleteSecurityGroupCommand,
  DeleteSubnetCommand,
  DeleteVpcCommand,
  DescribeInternetGatewaysCommand,
  DescribeNetworkAclsCommand,
  DescribeRouteTablesCommand,
  DescribeSecurityGroupsCommand,
  DescribeSubnetsCommand,
  DescribeVpcAttributeCommand,
  DescribeVpcsCommand,
  DetachInternetGatewayCommand,
  DisassociateRouteTableCommand,
  ModifySubnetAttributeCommand,
  ModifyVpcAttributeCommand,
  ReplaceRouteCommand,
  ReplaceRouteTableAssociationCommand,
  TerminateInstancesCommand,
} from '@aws-sdk/client-ec2'
import { beforeAll, expect, test } from 'vitest'
import { type Caller, callerOf } from '../support/caller.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'

const served = useServedCloud({ isLive: true })
let caller: Caller
const send: Caller['ec2']['send'] = ((command: never) => caller.ec2.send(command)) as never
beforeAll(async () => {
  caller = await callerOf(served(), '000000000001')
})

const newVpc = async (CidrBlock: string) => (await send(new CreateVpcCommand({ CidrBlock }))).Vpc!
const newSubnet = async (VpcId: string, CidrBlock: string, more = {}) =>
  (await send(new CreateSubnetCommand({ VpcId, CidrBlock, ...more }))).Subnet!
const newGateway = async () => (await send(new CreateInternetGatewayCommand({}))).InternetGateway!.InternetGatewayId!
const newTable = async (VpcId: string) => (await send(new CreateRouteTableCommand({ VpcId }))).RouteTable!.RouteTableId!
const inVpc = (VpcId: string) => ({ Filters: [{ Name: 'vpc-id', Values: [VpcId] }] })
const mainTable = async (VpcId: string) =>
  (await send(new DescribeRouteTablesCommand(inVpc(VpcId)))).RouteTables!.find((table) =>
    table.Associations!.some((association) => association.Main),
  )!
const nowhere = (prefix: string) => `${prefix}-0123456789abcdef0`

test('a VPC comes with what none is without, and goes when nothing else is in it', async () => {
  const TagSpecifications = [{ ResourceType: 'vpc' as const, Tags: [{ Key: 'Name', Value: 'lab' }] }]
  const made = await send(new CreateVpcCommand({ CidrBlock: '10.1.2.3/16', TagSpecifications }))
  const VpcId = made.Vpc!.VpcId!
  expect(made.Vpc).toMatchObject({ CidrBlock: '10.1.0.0/16', IsDefault: false, Tags: [{ Key: 'Name', Value: 'lab' }] })
  const byTag = { Filters: [{ Name: 'tag:Name', Values: ['lab'] }] }
  expect((await send(new DescribeVpcsCommand(byTag))).Vpcs).toMatchObject([{ VpcId, State: 'available' }])
  const { SecurityGroups: groups } = await send(new DescribeSecurityGroupsCommand(inVpc(VpcId)))
  expect(groups!.map((group) => group.GroupName)).toEqual(['default'])
  expect((await mainTable(VpcId)).Routes).toMatchObject([{ DestinationCidrBlock: '10.1.0.0/16', GatewayId: 'local' }])
  const { NetworkAcls: acls } = await send(new DescribeNetworkAclsCommand(inVpc(VpcId)))
  expect(acls).toMatchObject([{ IsDefault: true }])

  const subnet = await newSubnet(VpcId, '10.1.7.0/24', { AvailabilityZone: 'eu-west-1b' })
  expect(subnet).toMatchObject({ AvailabilityZone: 'eu-west-1b', MapPublicIpOnLaunch: false, DefaultForAz: false })
  expect(subnet.AvailableIpAddressCount).toBe(251)
  await expectRefusal(send(new DeleteVpcCommand({ VpcId })), 'DependencyViolation', VpcId)
  await send(new DeleteSubnetCommand({ SubnetId: subnet.SubnetId! }))
  const { GroupId } = await send(new CreateSecurityGroupCommand({ VpcId, GroupName: 'web', Description: 'web' }))
  await expectRefusal(send(new DeleteVpcCommand({ VpcId })), 'DependencyViolation', VpcId)
  await send(new DeleteSecurityGroupCommand({ GroupId }))
  await send(new DeleteVpcCommand({ VpcId }))
  await expectRefusal(send(new DescribeVpcsCommand({ VpcIds: [VpcId] })), 'InvalidVpcID.NotFound', VpcId)
  expect((await send(new DescribeSecurityGroupsCommand(inVpc(VpcId)))).SecurityGroups).toEqual([])
  expect((await send(new DescribeRouteTablesCommand(inVpc(VpcId)))).RouteTables).toEqual([])
})

test('what a VPC and a subnet say of themselves is changed', async () => {
  const { VpcId } = await newVpc('10.2.0.0/16')
  const said = async (Attribute: 'enableDnsSupport' | 'enableDnsHostnames') => {
    const answer = await send(new DescribeVpcAttributeCommand({ VpcId, Attribute }))
    return (answer.EnableDnsSupport ?? answer.EnableDnsHostnames)!.Value
  }
  expect([await said('enableDnsSupport'), await said('enableDnsHostnames')]).toEqual([true, false])
  await send(new ModifyVpcAttributeCommand({ VpcId, EnableDnsHostnames: { Value: true } }))
  await send(new ModifyVpcAttributeCommand({ VpcId, EnableDnsSupport: { Value: false } }))
  expect([await said('enableDnsSupport'), await said('enableDnsHostnames')]).toEqual([false, true])
  await expectRefusal(send(new ModifyVpcAttributeCommand({ VpcId })), 'InvalidParameterCombination', 'EnableDnsSupport')

  const { SubnetId } = await newSubnet(VpcId!, '10.2.1.0/24')
  await send(new ModifySubnetAttributeCommand({ SubnetId, MapPublicIpOnLaunch: { Value: true } }))
  const { Subnets } = await send(new DescribeSubnetsCommand({ SubnetIds: [SubnetId!] }))
  expect(Subnets).toMatchObject([{ MapPublicIpOnLaunch: true }])
  await expectRefusal(
    send(new ModifySubnetAttributeCommand({ SubnetId, AssignIpv6AddressOnCreation: { Value: true } })),
    'UnsupportedOperation',
    'AssignIpv6AddressOnCreation',
  )
})

test('a gateway leads out of one VPC, by the routes that name it', async () => {
  const VpcId = (await newVpc('10.3.0.0/16')).VpcId!
  const gateway = await newGateway()
  const table = await newTable(VpcId)
  const route = { RouteTableId: table, DestinationCidrBlock: '0.0.0.0/0', GatewayId: gateway }
  await expectRefusal(send(new CreateRouteCommand(route)), 'InvalidParameterValue', 'different networks')
  await send(new AttachInternetGatewayCommand({ InternetGatewayId: gateway, VpcId }))
  const other = (await newVpc('10.4.0.0/16')).VpcId!
  await expectRefusal(
    send(new AttachInternetGatewayCommand({ InternetGatewayId: gateway, VpcId: other })),
    'Resource.AlreadyAssociated',
    gateway,
  )
  await send(new CreateRouteCommand(route))
  await expectRefusal(send(new CreateRouteCommand(route)), 'RouteAlreadyExists', '0.0.0.0/0')
  const only = { RouteTableIds: [table] }
  const routes = async () => (await send(new DescribeRouteTablesCommand(only))).RouteTables![0]!.Routes
  expect(await routes()).toMatchObject([
    { GatewayId: 'local', State: 'active' },
    { DestinationCidrBlock: '0.0.0.0/0', GatewayId: gateway, State: 'active' },
  ])
  await expectRefusal(
    send(new DeleteInternetGatewayCommand({ InternetGatewayId: gateway })),
    'DependencyViolation',
    gateway,
  )
  await send(new DetachInternetGatewayCommand({ InternetGatewayId: gateway, VpcId }))
  expect((await routes())![1]).toMatchObject({ State: 'blackhole' })
  await expectRefusal(
    send(new DetachInternetGatewayCommand({ InternetGatewayId: gateway, VpcId })),
    'Gateway.NotAttached',
    gateway,
  )
  await send(new DeleteRouteCommand({ RouteTableId: table, DestinationCidrBlock: '0.0.0.0/0' }))
  await expectRefusal(
    send(new DeleteRouteCommand({ RouteTableId: table, DestinationCidrBlock: '0.0.0.0/0' })),
    'InvalidRoute.NotFound',
    '0.0.0.0/0',
  )
  await send(new CreateTagsCommand({ Resources: [gateway, table], Tags: [{ Key: 'of', Value: 'me' }] }))
  const mine = { Filters: [{ Name: 'tag:of', Values: ['me'] }] }
  const { InternetGateways: gateways } = await send(new DescribeInternetGatewaysCommand(mine))
  expect(gateways).toMatchObject([{ InternetGatewayId: gateway, Attachments: [], Tags: [{ Key: 'of', Value: 'me' }] }])
  expect((await send(new DescribeRouteTablesCommand(mine))).RouteTables).toMatchObject([{ RouteTableId: table }])
  await send(new DeleteRouteTableCommand({ RouteTableId: table }))
  await send(new DeleteInternetGatewayCommand({ InternetGatewayId: gateway }))
  await expectRefusal(
    send(new DescribeInternetGatewaysCommand({ InternetGatewayIds: [gateway] })),
    'InvalidInternetGatewayID.NotFound',
    gateway,
  )
  for (const id of [VpcId, other]) await send(new DeleteVpcCommand({ VpcId: id }))
})

test('a subnet follows its own table, or the main one, which another may become', async () => {
  const VpcId = (await newVpc('10.5.0.0/16')).VpcId!
  const SubnetId = (await newSubnet(VpcId, '10.5.1.0/24')).SubnetId!
  const [main, own] = [await mainTable(VpcId), await newTable(VpcId)]
  const associated = await send(new AssociateRouteTableCommand({ RouteTableId: own, SubnetId }))
  const again = await send(new AssociateRouteTableCommand({ RouteTableId: own, SubnetId }))
  expect(again.AssociationId).toBe(associated.AssociationId)
  await expectRefusal(
    send(new AssociateRouteTableCommand({ RouteTableId: main.RouteTableId!, SubnetId })),
    'Resource.AlreadyAssociated',
    main.RouteTableId!,
  )
  await expectRefusal(send(new DeleteRouteTableCommand({ RouteTableId: own })), 'DependencyViolation', own)
  const bySubnet = { Filters: [{ Name: 'association.subnet-id', Values: [SubnetId] }] }
  expect((await send(new DescribeRouteTablesCommand(bySubnet))).RouteTables).toMatchObject([{ RouteTableId: own }])
  const AssociationId = associated.AssociationId!
  await send(new DisassociateRouteTableCommand({ AssociationId }))
  await expectRefusal(
    send(new DisassociateRouteTableCommand({ AssociationId })),
    'InvalidAssociationID.NotFound',
    AssociationId,
  )
  const mainAssociation = main.Associations![0]!.RouteTableAssociationId!
  await expectRefusal(
    send(new DisassociateRouteTableCommand({ AssociationId: mainAssociation })),
    'InvalidParameterValue',
    mainAssociation,
  )
  await send(new ReplaceRouteTableAssociationCommand({ AssociationId: mainAssociation, RouteTableId: own }))
  expect((await mainTable(VpcId)).RouteTableId).toBe(own)
  await send(new DeleteRouteTableCommand({ RouteTableId: main.RouteTableId! }))
  await send(new DeleteSubnetCommand({ SubnetId }))
  await send(new DeleteVpcCommand({ VpcId }))
})

test('the network is told who gets out: a public subnet by its route, and never a private one', async () => {
  const VpcId = (await newVpc('10.6.0.0/16')).VpcId!
  const [open, closed] = [await newSubnet(VpcId, '10.6.1.0/24'), await newSubnet(VpcId, '10.6.2.0/24')]
  await send(new ModifySubnetAttributeCommand({ SubnetId: open.SubnetId, MapPublicIpOnLaunch: { Value: true } }))
  const [gateway, table] = [await newGateway(), await newTable(VpcId)]
  const launch = async (subnet: { SubnetId?: string }) =>
    (await caller.launch({ SubnetId: subnet.SubnetId }))[0].InstanceId!
  const [front, back] = [await launch(open), await launch(closed)]
  const told = (id: string) => {
    const plan = served().plans.findLast((one) => one.id === VpcId)!
    const { subnetCidr, outside, publicIp } = plan.nics.find((nic) => nic.instanceId === id)!
    return { subnetCidr, outside, isPublic: publicIp !== null }
  }
  expect(told(front)).toEqual({ subnetCidr: '10.6.1.0/24', outside: [], isPublic: true })
  expect(told(back)).toEqual({ subnetCidr: '10.6.2.0/24', outside: [], isPublic: false })

  const { AllocationId } = await send(new AllocateAddressCommand({}))
  const address = { AllocationId, InstanceId: back }
  await expectRefusal(send(new AssociateAddressCommand(address)), 'Gateway.NotAttached', VpcId)
  await send(new AttachInternetGatewayCommand({ InternetGatewayId: gateway, VpcId }))
  await send(new AssociateRouteTableCommand({ RouteTableId: table, SubnetId: open.SubnetId }))
  const route = { RouteTableId: table, DestinationCidrBlock: '0.0.0.0/0', GatewayId: gateway }
  await send(new CreateRouteCommand(route))
  expect(told(front).outside).toEqual(['0.0.0.0/0'])
  await send(new AssociateAddressCommand(address))
  // A public address is of no use where no route leads out.
  expect(told(back)).toMatchObject({ outside: [], isPublic: true })
  await expectRefusal(
    send(new DetachInternetGatewayCommand({ InternetGatewayId: gateway, VpcId })),
    'DependencyViolation',
    VpcId,
  )
  await send(new DeleteRouteCommand({ RouteTableId: table, DestinationCidrBlock: '0.0.0.0/0' }))
  expect(told(front).outside).toEqual([])
  await expectRefusal(send(new DeleteSubnetCommand({ SubnetId: open.SubnetId })), 'DependencyViolation', open.SubnetId!)
  await send(new TerminateInstancesCommand({ InstanceIds: [front, back] }))
  for (const id of [front, back]) await caller.reaches(id, 'terminated')
  await caller.quiet()
  for (const { SubnetId } of [open, closed]) await send(new DeleteSubnetCommand({ SubnetId }))
})

test('instances of the default VPC get out as ever, and those without a public address do not', async () => {
  const [instance] = await caller.launch()
  const told = () =>
    served()
      .plans.flatMap((plan) => plan.nics)
      .findLast((nic) => nic.instanceId === instance.InstanceId)!
  expect(told().outside).toEqual(['0.0.0.0/0'])
  const { Vpcs } = await send(new DescribeVpcsCommand({ Filters: [{ Name: 'is-default', Values: ['true'] }] }))
  await expectRefusal(send(new DeleteVpcCommand({ VpcId: Vpcs![0]!.VpcId! })), 'OperationNotPermitted', 'default')
})

test('blocks that cannot be are refused', async () => {
  for (const cidr of ['10.0.0.0/15', '10.0.0.0/29', '127.0.0.0/16', '169.254.0.0/16', '224.0.0.0/16']) {
    await expectRefusal(newVpc(cidr), 'InvalidVpc.Range', cidr)
  }
  for (const cidr of ['10.0.0.0', '10.0.0.0/33', '10.0.0/16', 'fd00::/64', '1.2.3.4/x']) {
    await expectRefusal(newVpc(cidr), 'InvalidParameterValue', 'cidrBlock')
  }
  const VpcId = (await newVpc('10.7.0.0/20')).VpcId!
  await newSubnet(VpcId, '10.7.0.0/24')
  await expectRefusal(newSubnet(VpcId, '10.7.0.128/25'), 'InvalidSubnet.Conflict', '10.7.0.128/25')
  await expectRefusal(newSubnet(VpcId, '10.7.16.0/24'), 'InvalidSubnet.Range', '10.7.16.0/24')
  await expectRefusal(newSubnet(VpcId, '10.7.0.0/19'), 'InvalidSubnet.Range', '10.7.0.0/19')
  await expectRefusal(
    newSubnet(VpcId, '10.7.1.0/24', { AvailabilityZone: 'eu-west-1z' }),
    'InvalidParameterValue',
    'availabilityZone',
  )
  await expectRefusal(newSubnet(nowhere('vpc'), '10.7.1.0/24'), 'InvalidVpcID.NotFound', nowhere('vpc'))
})

test('what is not there, or another account’s, is refused by name', async () => {
  const VpcId = (await newVpc('10.8.0.0/16')).VpcId!
  const [table, gateway] = [(await mainTable(VpcId)).RouteTableId!, await newGateway()]
  const stranger = served().client('000000000002')
  await expectRefusal(stranger.send(new DeleteVpcCommand({ VpcId })), 'InvalidVpcID.NotFound', VpcId)
  await expectRefusal(
    stranger.send(new DeleteInternetGatewayCommand({ InternetGatewayId: gateway })),
    'InvalidInternetGatewayID.NotFound',
    gateway,
  )
  await expectRefusal(
    stranger.send(new DeleteRouteTableCommand({ RouteTableId: table })),
    'InvalidRouteTableID.NotFound',
    table,
  )
  const to = { RouteTableId: table, DestinationCidrBlock: '0.0.0.0/0' }
  await expectRefusal(
    send(new CreateRouteCommand({ ...to, GatewayId: nowhere('igw') })),
    'InvalidGatewayID.NotFound',
    nowhere('igw'),
  )
  await expectRefusal(send(new CreateRouteCommand(to)), 'MissingParameter', 'gatewayId')
  await expectRefusal(
    send(new CreateRouteCommand({ ...to, NatGatewayId: 'nat-0123456789abcdef0' })),
    'InvalidNatGatewayID.NotFound',
    'nat-0123456789abcdef0',
  )
  await expectRefusal(
    send(new ReplaceRouteCommand({ ...to, GatewayId: gateway })),
    'InvalidParameterValue',
    'different networks',
  )
  const local = { RouteTableId: table, DestinationCidrBlock: '10.8.0.0/16' }
  await expectRefusal(send(new DeleteRouteCommand(local)), 'InvalidParameterValue', '10.8.0.0/16')
  await expectRefusal(send(new DeleteRouteTableCommand({ RouteTableId: table })), 'DependencyViolation', table)
})
