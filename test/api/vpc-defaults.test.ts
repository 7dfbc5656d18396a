/** What comes with a VPC. */
import {
  DescribeDhcpOptionsCommand,
  DescribeNetworkAclsCommand,
  DescribeSubnetsCommand,
  DescribeVpcsCommand,
  type EC2Client,
  type Vpc,
} from '@aws-sdk/client-ec2'
import { beforeAll, expect, test } from 'vitest'
import { commandFor } from '../../src/api/testing/official-client.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'

const served = useServedCloud()
let ec2: EC2Client
let vpc: Vpc

beforeAll(async () => {
  ec2 = served().client('000000000001')
  vpc = (await ec2.send(new DescribeVpcsCommand({}))).Vpcs![0]!
})

test('the network ACL of the default VPC lets everything through, in all of its subnets', async () => {
  const { NetworkAcls: acls } = await ec2.send(new DescribeNetworkAclsCommand({}))
  expect(acls).toMatchObject([{ VpcId: vpc.VpcId, IsDefault: true, OwnerId: '000000000001' }])
  const { Subnets: subnets } = await ec2.send(new DescribeSubnetsCommand({}))
  const associated = acls![0]!.Associations!.map((association) => association.SubnetId).sort()
  expect(associated).toEqual(subnets!.map((subnet) => subnet.SubnetId).sort())
  const rules = acls![0]!.Entries!.map((entry) => [entry.Egress, entry.RuleNumber, entry.RuleAction])
  expect(rules).toEqual([
    [true, 100, 'allow'],
    [true, 32767, 'deny'],
    [false, 100, 'allow'],
    [false, 32767, 'deny'],
  ])
  const bySubnet = [{ Name: 'association.subnet-id', Values: [associated[0]!] }]
  expect((await ec2.send(new DescribeNetworkAclsCommand({ Filters: bySubnet }))).NetworkAcls).toEqual(acls)
  const made = [{ Name: 'default', Values: ['false'] }]
  expect((await ec2.send(new DescribeNetworkAclsCommand({ Filters: made }))).NetworkAcls).toEqual([])
})

test('its DHCP options tell what guests are told', async () => {
  const DhcpOptionsIds = [vpc.DhcpOptionsId!]
  const { DhcpOptions: sets } = await ec2.send(new DescribeDhcpOptionsCommand({ DhcpOptionsIds }))
  expect(sets).toEqual([
    {
      ...{ DhcpOptionsId: vpc.DhcpOptionsId, OwnerId: '000000000001', Tags: [] },
      DhcpConfigurations: [
        { Key: 'domain-name', Values: [{ Value: 'eu-west-1.compute.internal' }] },
        { Key: 'domain-name-servers', Values: [{ Value: 'AmazonProvidedDNS' }] },
      ],
    },
  ])
  const elsewhere = served().client('000000000001', 'us-east-1')
  const Filters = [{ Name: 'value', Values: ['ec2.internal'] }]
  expect((await elsewhere.send(new DescribeDhcpOptionsCommand({ Filters }))).DhcpOptions).toHaveLength(1)
})

test.each<[operation: string, input: object, code: string, named: string]>([
  ['DescribeNetworkAcls', { NetworkAclIds: ['acl-0123456789abcdef0'] }, 'InvalidNetworkAclID.NotFound', 'acl-'],
  ['DescribeNetworkAcls', { NetworkAclIds: ['x'] }, 'InvalidNetworkAclId.Malformed', 'acl-'],
  ['DescribeNetworkAcls', { Filters: [{ Name: 'x', Values: ['y'] }] }, 'InvalidParameterValue', "'x'"],
  ['DescribeDhcpOptions', { DhcpOptionsIds: ['dopt-0123456789abcdef0'] }, 'InvalidDhcpOptionID.NotFound', 'dopt-'],
  ['DescribeDhcpOptions', { DhcpOptionsIds: ['x'] }, 'InvalidDhcpOptionsId.Malformed', 'dopt-'],
  ['DescribeDhcpOptions', { MaxResults: 1001 }, 'InvalidParameterValue', '1001'],
  ['DescribeVpcEndpoints', { VpcEndpointIds: ['vpce-1'] }, 'InvalidVpcEndpointId.Malformed', 'vpce-1'],
  ['DescribeVpcEndpoints', { Filters: [{ Name: 'x', Values: ['y'] }] }, 'InvalidParameterValue', "'x'"],
  ['DescribePrefixLists', { PrefixListIds: ['pl-1'] }, 'InvalidPrefixListId.Malformed', 'pl-1'],
  ['DescribeManagedPrefixLists', { NextToken: 'x' }, 'InvalidPaginationToken', 'token'],
])('%s refuses %j', async (operation, input, code, named) => {
  await expectRefusal(ec2.send(commandFor(operation, input)), code, named)
})
