import {
  DescribeInternetGatewaysCommand,
  DescribeNetworkInterfacesCommand,
  DescribeRouteTablesCommand,
  DescribeSecurityGroupsCommand,
  DescribeSubnetsCommand,
  DescribeVpcAttributeCommand,
  DescribeVpcsCommand,
  paginateDescribeSubnets,
} from '@aws-sdk/client-ec2'
import { expect, test } from 'vitest'
import { expectRefusal, useServedCloud } from '../../../../test/support/served-cloud.ts'
import { placeInstance } from '../../../../test/support/test-cloud.ts'
import { commandFor } from '../../testing/official-client.ts'

const served = useServedCloud()

test('an account has a default VPC with a subnet in each zone, in each region', async () => {
  const vpcIds = new Set<string>()
  for (const region of ['eu-west-1', 'us-east-1']) {
    const client = served().client('000000000001', region)
    const { Vpcs } = await client.send(new DescribeVpcsCommand({}))
    expect(Vpcs).toMatchObject([{ CidrBlock: '172.31.0.0/16', IsDefault: true, State: 'available' }])
    const VpcId = Vpcs![0]!.VpcId!
    vpcIds.add(VpcId)
    const { Subnets } = await client.send(
      new DescribeSubnetsCommand({ Filters: [{ Name: 'default-for-az', Values: ['true'] }] }),
    )
    expect(Subnets!.map((subnet) => subnet.AvailabilityZone).sort()).toEqual(
      ['a', 'b', 'c'].map((zone) => region + zone),
    )
    for (const subnet of Subnets!) {
      expect(subnet).toMatchObject({ VpcId, MapPublicIpOnLaunch: true, AvailableIpAddressCount: 4091 })
    }
  }
  expect(vpcIds.size).toBe(2)
})

test('subnets name their zones in both ways, and come in pages', async () => {
  const client = served().client('000000000002', 'ap-northeast-1')
  const { Subnets } = await client.send(
    new DescribeSubnetsCommand({ Filters: [{ Name: 'availability-zone', Values: ['*b'] }] }),
  )
  expect(Subnets).toMatchObject([{ AvailabilityZone: 'ap-northeast-1b', AvailabilityZoneId: 'apne1-az2' }])
  const pages = []
  for await (const page of paginateDescribeSubnets({ client, pageSize: 5 }, {})) pages.push(page.Subnets!.length)
  expect(pages).toEqual([3])
})

test('what a VPC does, and how traffic leaves it', async () => {
  const client = served().client('000000000003')
  const VpcId = (await client.send(new DescribeVpcsCommand({}))).Vpcs![0]!.VpcId!
  const attribute = (Attribute: 'enableDnsSupport' | 'enableDnsHostnames' | 'enableNetworkAddressUsageMetrics') =>
    client.send(new DescribeVpcAttributeCommand({ VpcId, Attribute }))
  expect(await attribute('enableDnsSupport')).toMatchObject({ VpcId, EnableDnsSupport: { Value: true } })
  expect(await attribute('enableDnsHostnames')).toMatchObject({ EnableDnsHostnames: { Value: false } })
  expect(await attribute('enableNetworkAddressUsageMetrics')).toMatchObject({
    EnableNetworkAddressUsageMetrics: { Value: false },
  })
  const { InternetGateways } = await client.send(
    new DescribeInternetGatewaysCommand({ Filters: [{ Name: 'attachment.vpc-id', Values: [VpcId] }] }),
  )
  expect(InternetGateways).toMatchObject([{ Attachments: [{ VpcId, State: 'available' }] }])
  const { RouteTables } = await client.send(
    new DescribeRouteTablesCommand({ Filters: [{ Name: 'association.main', Values: ['true'] }] }),
  )
  expect(RouteTables![0]!.Routes).toMatchObject([
    { DestinationCidrBlock: '172.31.0.0/16', GatewayId: 'local' },
    { DestinationCidrBlock: '0.0.0.0/0', GatewayId: InternetGateways![0]!.InternetGatewayId },
  ])
  const none = await client.send(new DescribeRouteTablesCommand({ Filters: [{ Name: 'tag:a', Values: ['*'] }] }))
  expect(none.RouteTables).toEqual([])
})

test('an instance’s network interface is described, and takes an address of its subnet', async () => {
  const accountId = '000000000004'
  const client = served().client(accountId)
  const { SecurityGroups } = await client.send(new DescribeSecurityGroupsCommand({ GroupNames: ['default'] }))
  const group = SecurityGroups![0]!
  const scope = { accountId, region: 'eu-west-1' }
  const placed = await placeInstance(served(), scope, { groupIds: [group.GroupId!], hostNumber: 20 })
  const { NetworkInterfaces } = await client.send(
    new DescribeNetworkInterfacesCommand({ Filters: [{ Name: 'group-id', Values: [group.GroupId!] }] }),
  )
  expect(NetworkInterfaces).toMatchObject([
    {
      NetworkInterfaceId: placed.networkInterfaceId,
      PrivateIpAddress: placed.privateIp,
      Status: 'in-use',
      SourceDestCheck: true,
      Groups: [{ GroupId: group.GroupId, GroupName: 'default' }],
      Attachment: { InstanceId: placed.instanceId, DeviceIndex: 0, Status: 'attached', DeleteOnTermination: true },
    },
  ])
  expect(NetworkInterfaces![0]!.Association).toBeUndefined()
  const { Subnets } = await client.send(new DescribeSubnetsCommand({ SubnetIds: [NetworkInterfaces![0]!.SubnetId!] }))
  expect(Subnets).toMatchObject([{ AvailableIpAddressCount: 4090 }])
})

const digits = '0123456789abcdef0'
test.each([
  ['DescribeVpcs', { VpcIds: ['x'] }, 'InvalidVpcID.Malformed', '"x"'],
  ['DescribeVpcs', { VpcIds: [`vpc-${digits}`] }, 'InvalidVpcID.NotFound', `vpc-${digits}`],
  ['DescribeSubnets', { SubnetIds: ['x'] }, 'InvalidSubnetID.Malformed', '"x"'],
  ['DescribeSubnets', { SubnetIds: [`subnet-${digits}`] }, 'InvalidSubnetID.NotFound', `subnet-${digits}`],
  ['DescribeNetworkInterfaces', { NetworkInterfaceIds: ['x'] }, 'InvalidNetworkInterfaceId.Malformed', '"x"'],
  [
    'DescribeNetworkInterfaces',
    { NetworkInterfaceIds: [`eni-${digits}`] },
    'InvalidNetworkInterfaceID.NotFound',
    'eni-',
  ],
  ['DescribeRouteTables', { RouteTableIds: ['rtb-1'] }, 'InvalidRouteTableId.Malformed', '"rtb-1"'],
  ['DescribeRouteTables', { RouteTableIds: [`rtb-${digits}`] }, 'InvalidRouteTableID.NotFound', `rtb-${digits}`],
  ['DescribeRouteTables', { MaxResults: 101 }, 'InvalidParameterValue', 'maxResults'],
  ['DescribeInternetGateways', { InternetGatewayIds: ['igw-1'] }, 'InvalidInternetGatewayId.Malformed', '"igw-1"'],
  [
    'DescribeInternetGateways',
    { InternetGatewayIds: [`igw-${digits}`] },
    'InvalidInternetGatewayID.NotFound',
    `igw-${digits}`,
  ],
  ['DescribeVpcAttribute', { Attribute: 'enableDnsSupport' }, 'MissingParameter', 'VpcId'],
  ['DescribeVpcAttribute', { VpcId: `vpc-${digits}` }, 'MissingParameter', 'Attribute'],
  ['DescribeVpcAttribute', { VpcId: `vpc-${digits}`, Attribute: 'x' }, 'InvalidParameterValue', 'Attribute'],
  ['DescribeVpcAttribute', { VpcId: `vpc-${digits}`, Attribute: 'enableDnsSupport' }, 'InvalidVpcID.NotFound', 'vpc-'],
])('%s with %j is refused: %s that names %s', async (operation, input, code, named) => {
  await expectRefusal(served().client('000000000005').send(commandFor(operation, input)), code, named)
})

test.each([
  'DescribeVpcs',
  'DescribeSubnets',
  'DescribeNetworkInterfaces',
  'DescribeRouteTables',
  'DescribeInternetGateways',
])('%s refuses filters that it has not, and pages that are too small', async (operation) => {
  const client = served().client('000000000006')
  const filters = { Filters: [{ Name: 'nope', Values: ['x'] }] }
  await expectRefusal(client.send(commandFor(operation, filters)), 'InvalidParameterValue', "The filter 'nope'")
  await expectRefusal(client.send(commandFor(operation, { MaxResults: 1 })), 'InvalidParameterValue', 'maxResults')
})
