/** VPC endpoints of the gateway type: routes to S3 in the tables that are named. */
import {
  CreateRouteTableCommand,
  CreateVpcCommand,
  CreateVpcEndpointCommand,
  DeleteRouteCommand,
  DeleteVpcCommand,
  DeleteVpcEndpointsCommand,
  DescribePrefixListsCommand,
  DescribeRouteTablesCommand,
  DescribeVpcEndpointServicesCommand,
  DescribeVpcEndpointsCommand,
  type EC2Client,
  ModifyVpcEndpointCommand,
} from '@aws-sdk/client-ec2'
import { beforeAll, expect, test } from 'vitest'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'

const served = useServedCloud()
let ec2: EC2Client
let VpcId: string
beforeAll(async () => {
  ec2 = served().client('000000000001')
  VpcId = (await ec2.send(new CreateVpcCommand({ CidrBlock: '10.0.0.0/16' }))).Vpc!.VpcId!
})

const ServiceName = 'com.amazonaws.eu-west-1.s3'
const create = async (more = {}) =>
  (await ec2.send(new CreateVpcEndpointCommand({ VpcId, ServiceName, ...more }))).VpcEndpoint!
const newTable = async () => (await ec2.send(new CreateRouteTableCommand({ VpcId }))).RouteTable!.RouteTableId!
const destroy = async (...VpcEndpointIds: string[]) =>
  (await ec2.send(new DeleteVpcEndpointsCommand({ VpcEndpointIds }))).Unsuccessful
const nowhere = 'vpce-0123456789abcdef0'

test('an endpoint stands in the route tables that it is given, and goes from them again', async () => {
  const [one, two] = [await newTable(), await newTable()]
  const TagSpecifications = [{ ResourceType: 'vpc-endpoint' as const, Tags: [{ Key: 'Name', Value: 'lab' }] }]
  const made = await create({ RouteTableIds: [one], TagSpecifications })
  const id = made.VpcEndpointId!
  expect(made).toMatchObject({ VpcEndpointType: 'Gateway', State: 'available', RouteTableIds: [one], ServiceName })
  const [list] = (
    await ec2.send(new DescribePrefixListsCommand({ Filters: [{ Name: 'prefix-list-name', Values: [ServiceName] }] }))
  ).PrefixLists!
  const routesOf = async (table: string) =>
    (await ec2.send(new DescribeRouteTablesCommand({ RouteTableIds: [table] }))).RouteTables![0]!.Routes!
  const route = { DestinationPrefixListId: list!.PrefixListId, GatewayId: id, State: 'active', Origin: 'CreateRoute' }
  expect(await routesOf(one)).toContainEqual(route)
  await expectRefusal(create({ RouteTableIds: [one] }), 'RouteAlreadyExists', one)
  const byHand = { RouteTableId: one, DestinationPrefixListId: list!.PrefixListId }
  await expectRefusal(ec2.send(new DeleteRouteCommand(byHand)), 'InvalidParameterValue', id)
  const move = { VpcEndpointId: id, AddRouteTableIds: [two], RemoveRouteTableIds: [one] }
  await ec2.send(new ModifyVpcEndpointCommand(move))
  expect([(await routesOf(one)).length, await routesOf(two)]).toEqual([1, expect.arrayContaining([route])])
  const byTag = { Filters: [{ Name: 'tag:Name', Values: ['lab'] }] }
  const found = (await ec2.send(new DescribeVpcEndpointsCommand(byTag))).VpcEndpoints
  expect(found).toMatchObject([{ VpcEndpointId: id, RouteTableIds: [two], Tags: [{ Key: 'Name', Value: 'lab' }] }])
  await expectRefusal(ec2.send(new DeleteVpcCommand({ VpcId })), 'DependencyViolation', VpcId)
  expect(await destroy(id, nowhere)).toMatchObject([
    { ResourceId: nowhere, Error: { Code: 'InvalidVpcEndpointId.NotFound' } },
  ])
  expect(await routesOf(two)).toHaveLength(1)
  await expectRefusal(
    ec2.send(new DescribeVpcEndpointsCommand({ VpcEndpointIds: [id] })),
    'InvalidVpcEndpointId.NotFound',
    id,
  )
})

test('the services that endpoints can lead to are told', async () => {
  const { ServiceNames, ServiceDetails } = await ec2.send(new DescribeVpcEndpointServicesCommand({}))
  expect(ServiceNames).toEqual([ServiceName])
  expect(ServiceDetails).toMatchObject([{ ServiceType: [{ ServiceType: 'Gateway' }], Owner: 'amazon' }])
  const interfaces = { Filters: [{ Name: 'service-type', Values: ['Interface'] }] }
  expect((await ec2.send(new DescribeVpcEndpointServicesCommand(interfaces))).ServiceNames).toEqual([])
  const unknown = new DescribeVpcEndpointServicesCommand({ ServiceNames: ['com.amazonaws.eu-west-1.sqs'] })
  await expectRefusal(ec2.send(unknown), 'InvalidServiceName', 'sqs')
})

test('a token makes one endpoint, and the policy that says nothing may be said', async () => {
  const PolicyDocument = JSON.stringify({
    Version: '2012-10-17',
    Statement: [{ Effect: 'Allow', Principal: '*', Action: '*', Resource: '*' }],
  })
  const asked = { ClientToken: 'once', PolicyDocument }
  const [one, again] = [await create(asked), await create(asked)]
  expect(again.VpcEndpointId).toBe(one.VpcEndpointId)
  await destroy(one.VpcEndpointId!)
})

test.each<[more: object, code: string, named: string]>([
  [{ ServiceName: 'com.amazonaws.eu-west-1.dynamodb' }, 'InvalidServiceName', 'dynamodb'],
  [{ ServiceName: 'com.amazonaws.us-east-1.s3' }, 'InvalidServiceName', 'us-east-1'],
  [{ VpcEndpointType: 'Interface' }, 'UnsupportedOperation', 'Interface'],
  [{ SubnetIds: ['subnet-0123456789abcdef0'] }, 'UnsupportedOperation', 'SubnetIds'],
  [{ PolicyDocument: '{"Statement":[]}' }, 'UnsupportedOperation', 'PolicyDocument'],
  [{ PolicyDocument: '{' }, 'InvalidParameterValue', 'PolicyDocument'],
  [{ RouteTableIds: ['rtb-0123456789abcdef0'] }, 'InvalidRouteTableID.NotFound', 'rtb-0123456789abcdef0'],
  [{ VpcId: 'vpc-0123456789abcdef0' }, 'InvalidVpcID.NotFound', 'vpc-0123456789abcdef0'],
])('an endpoint with %j is refused', async (more, code, named) => {
  await expectRefusal(create(more), code, named)
})
