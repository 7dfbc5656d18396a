/** NAT gateways: private subnets get out through one, and nobody gets in. */
import {
  AllocateAddressCommand,
  AssociateRouteTableCommand,
  AttachInternetGatewayCommand,
  CreateInternetGatewayCommand,
  CreateNatGatewayCommand,
  CreateRouteCommand,
  CreateRouteTableCommand,
  CreateSubnetCommand,
  CreateVpcCommand,
  DeleteNatGatewayCommand,
  DeleteNetworkInterfaceCommand,
  DeleteSubnetCommand,
  DescribeAddressesCommand,
  DescribeNatGatewaysCommand,
  DescribeNetworkInterfacesCommand,
  DescribeRouteTablesCommand,
  DetachInternetGatewayCommand,
  DisassociateAddressCommand,
  ReleaseAddressCommand,
  TerminateInstancesCommand,
} from '@aws-sdk/client-ec2'
import { beforeAll, expect, test } from 'vitest'
import { type Caller, callerOf } from '../support/caller.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'

const served = useServedCloud({ isLive: true })
let caller: Caller
let VpcId: string
let open: string
let closed: string
const send: Caller['ec2']['send'] = ((command: never) => caller.ec2.send(command)) as never
const newSubnet = async (CidrBlock: string) =>
  (await send(new CreateSubnetCommand({ VpcId, CidrBlock }))).Subnet!.SubnetId!
const newTable = async () => (await send(new CreateRouteTableCommand({ VpcId }))).RouteTable!.RouteTableId!
const newAddress = async () => (await send(new AllocateAddressCommand({}))).AllocationId!
const create = async (request: { SubnetId?: string; AllocationId?: string }) =>
  (await send(new CreateNatGatewayCommand(request))).NatGateway!
const destroy = (NatGatewayId: string) => send(new DeleteNatGatewayCommand({ NatGatewayId }))
const everywhere = '0.0.0.0/0'
const nowhere = 'nat-0123456789abcdef0'

beforeAll(async () => {
  caller = await callerOf(served(), '000000000001')
  VpcId = (await send(new CreateVpcCommand({ CidrBlock: '10.0.0.0/16' }))).Vpc!.VpcId!
  open = await newSubnet('10.0.1.0/24')
  closed = await newSubnet('10.0.2.0/24')
})

test('a private subnet whose routes lead to a NAT gateway gets out through it, and only as long as that has a way', async () => {
  const AllocationId = await newAddress()
  await expectRefusal(create({ SubnetId: open, AllocationId }), 'Gateway.NotAttached', VpcId)
  const { InternetGatewayId } = (await send(new CreateInternetGatewayCommand({}))).InternetGateway!
  await send(new AttachInternetGatewayCommand({ InternetGatewayId, VpcId }))
  const gateway = await create({ SubnetId: open, AllocationId })
  const NatGatewayId = gateway.NatGatewayId!
  expect(gateway).toMatchObject({ VpcId, SubnetId: open, State: 'available', ConnectivityType: 'public' })
  const [address] = gateway.NatGatewayAddresses!
  expect(address!.PrivateIp).toMatch(/^10\.0\.1\./)

  const [instance] = await caller.launch({ SubnetId: closed })
  const told = () => {
    const plan = served().plans.findLast((one) => one.id === VpcId)!
    const { outside, publicIp } = plan.nics.find((nic) => nic.instanceId === instance.InstanceId)!
    return { outside, publicIp }
  }
  expect(told()).toEqual({ outside: [], publicIp: null })
  const [front, back] = [await newTable(), await newTable()]
  await send(new AssociateRouteTableCommand({ RouteTableId: back, SubnetId: closed }))
  const through = { RouteTableId: back, DestinationCidrBlock: everywhere, NatGatewayId }
  await send(new CreateRouteCommand(through))
  // The gateway's own subnet leads nowhere yet.
  expect(told().outside).toEqual([])
  await send(new AssociateRouteTableCommand({ RouteTableId: front, SubnetId: open }))
  await send(
    new CreateRouteCommand({ RouteTableId: front, DestinationCidrBlock: everywhere, GatewayId: InternetGatewayId }),
  )
  expect(told()).toEqual({ outside: [everywhere], publicIp: null })
  const byNat = { Filters: [{ Name: 'route.nat-gateway-id', Values: [NatGatewayId] }] }
  const tables = async () => (await send(new DescribeRouteTablesCommand(byNat))).RouteTables!
  const route = { DestinationCidrBlock: everywhere, NatGatewayId, State: 'active' }
  expect(await tables()).toMatchObject([{ RouteTableId: back, Routes: [{}, route] }])

  // Its interface and its address are its own.
  const ofGateway = { NetworkInterfaceIds: [address!.NetworkInterfaceId!] }
  const [nic] = (await send(new DescribeNetworkInterfacesCommand(ofGateway))).NetworkInterfaces!
  expect(nic).toMatchObject({ InterfaceType: 'nat_gateway', Status: 'in-use', RequesterManaged: true })
  const NetworkInterfaceId = address!.NetworkInterfaceId!
  await expectRefusal(
    send(new DeleteNetworkInterfaceCommand({ NetworkInterfaceId })),
    'OperationNotPermitted',
    NetworkInterfaceId,
  )
  const disassociate = new DisassociateAddressCommand({ AssociationId: address!.AssociationId })
  await expectRefusal(send(disassociate), 'OperationNotPermitted', address!.PublicIp!)
  await expectRefusal(send(new ReleaseAddressCommand({ AllocationId })), 'InvalidIPAddress.InUse', address!.PublicIp!)
  await expectRefusal(create({ SubnetId: open, AllocationId }), 'Resource.AlreadyAssociated', AllocationId)
  await expectRefusal(send(new DeleteSubnetCommand({ SubnetId: open })), 'DependencyViolation', open)
  const detach = new DetachInternetGatewayCommand({ InternetGatewayId, VpcId })
  await expectRefusal(send(detach), 'DependencyViolation', VpcId)

  expect((await destroy(NatGatewayId)).NatGatewayId).toBe(NatGatewayId)
  expect(told().outside).toEqual([])
  expect((await tables())[0]!.Routes![1]).toMatchObject({ State: 'blackhole' })
  const byState = { Filter: [{ Name: 'state', Values: ['deleted'] }] }
  const { NatGateways } = await send(new DescribeNatGatewaysCommand(byState))
  expect(NatGateways).toMatchObject([{ NatGatewayId, State: 'deleted', DeleteTime: expect.any(Date) }])
  const [free] = (await send(new DescribeAddressesCommand({ AllocationIds: [AllocationId] }))).Addresses!
  expect(free!.AssociationId).toBeUndefined()
  await send(new ReleaseAddressCommand({ AllocationId }))
  await expectRefusal(
    send(new CreateRouteCommand({ ...through, DestinationCidrBlock: '198.51.100.0/24' })),
    'InvalidNatGatewayID.NotFound',
    NatGatewayId,
  )
  await send(new TerminateInstancesCommand({ InstanceIds: [instance.InstanceId!] }))
  await caller.reaches(instance.InstanceId!, 'terminated')
})

test('what is missing, wrong or another’s is refused by name', async () => {
  const AllocationId = await newAddress()
  await expectRefusal(create({ AllocationId }), 'MissingParameter', 'SubnetId')
  await expectRefusal(create({ SubnetId: open }), 'MissingParameter', 'AllocationId')
  const absent = 'eipalloc-0123456789abcdef0'
  await expectRefusal(create({ SubnetId: open, AllocationId: absent }), 'InvalidAllocationID.NotFound', absent)
  const noSubnet = { SubnetId: 'subnet-0123456789abcdef0', AllocationId }
  await expectRefusal(create(noSubnet), 'InvalidSubnetID.NotFound', noSubnet.SubnetId)
  const isPrivate = new CreateNatGatewayCommand({ SubnetId: open, ConnectivityType: 'private' })
  await expectRefusal(send(isPrivate), 'UnsupportedOperation', 'ConnectivityType')
  await expectRefusal(destroy(nowhere), 'NatGatewayNotFound', nowhere)
  await expectRefusal(destroy('nat-x'), 'NatGatewayMalformed', 'nat-x')
  const { NatGatewayId } = await create({ SubnetId: open, AllocationId })
  const stranger = served().client('000000000002')
  await expectRefusal(stranger.send(new DeleteNatGatewayCommand({ NatGatewayId })), 'NatGatewayNotFound', NatGatewayId!)
  const listed = await stranger.send(new DescribeNatGatewaysCommand({}))
  expect(listed.NatGateways).toEqual([])
})
