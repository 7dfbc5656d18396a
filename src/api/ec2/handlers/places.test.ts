import {
  DescribeAccountAttributesCommand,
  DescribeAvailabilityZonesCommand,
  DescribeInstanceTypeOfferingsCommand,
  DescribeInstanceTypesCommand,
  DescribeRegionsCommand,
  DescribeVpcsCommand,
  paginateDescribeInstanceTypes,
} from '@aws-sdk/client-ec2'
import { expect, test } from 'vitest'
import { expectRefusal, useServedCloud } from '../../../../test/support/served-cloud.ts'
import { instanceTypes } from '../../../cloud/instances/instance-types.ts'
import { regionNames } from '../../../lib/regions.ts'
import { commandFor } from '../../testing/official-client.ts'

const served = useServedCloud()
const client = () => served().client('000000000001')

test('all regions can be used at once', async () => {
  const { Regions } = await client().send(new DescribeRegionsCommand({ AllRegions: true }))
  expect(Regions!.map((region) => region.RegionName).sort()).toEqual(Object.keys(regionNames).sort())
  const some = await client().send(
    new DescribeRegionsCommand({
      RegionNames: ['eu-west-1', 'us-east-1'],
      Filters: [
        { Name: 'region-name', Values: ['eu-*', 'ap-*'] },
        { Name: 'opt-in-status', Values: ['opt-in-not-required'] },
      ],
    }),
  )
  expect(some.Regions).toEqual([
    { RegionName: 'eu-west-1', Endpoint: 'ec2.eu-west-1.amazonaws.com', OptInStatus: 'opt-in-not-required' },
  ])
})

test('a region has three zones with ids', async () => {
  const { AvailabilityZones } = await client().send(new DescribeAvailabilityZonesCommand({}))
  expect(AvailabilityZones!.map((zone) => [zone.ZoneName, zone.ZoneId, zone.State])).toEqual([
    ['eu-west-1a', 'euw1-az1', 'available'],
    ['eu-west-1b', 'euw1-az2', 'available'],
    ['eu-west-1c', 'euw1-az3', 'available'],
  ])
  const one = await client().send(
    new DescribeAvailabilityZonesCommand({
      ZoneIds: ['euw1-az2', 'euw1-az3'],
      Filters: [
        { Name: 'zone-name', Values: ['eu-west-1[b]', 'eu-west-1?'] },
        { Name: 'zone-id', Values: ['*3'] },
      ],
    }),
  )
  expect(one.AvailabilityZones!.map((zone) => zone.ZoneName)).toEqual(['eu-west-1c'])
})

test('instance types are described as they will run', async () => {
  const { InstanceTypes } = await client().send(new DescribeInstanceTypesCommand({ InstanceTypes: ['t3.micro'] }))
  expect(InstanceTypes).toMatchObject([
    {
      InstanceType: 't3.micro',
      BurstablePerformanceSupported: true,
      VCpuInfo: { DefaultVCpus: 2, DefaultCores: 1, DefaultThreadsPerCore: 2 },
      MemoryInfo: { SizeInMiB: 1024 },
      ProcessorInfo: { SupportedArchitectures: ['x86_64'] },
    },
  ])
  const filtered = await client().send(
    new DescribeInstanceTypesCommand({
      Filters: [
        { Name: 'instance-type', Values: ['m5.*'] },
        { Name: 'vcpu-info.default-vcpus', Values: ['2', '4'] },
        { Name: 'current-generation', Values: ['true'] },
      ],
    }),
  )
  expect(filtered.InstanceTypes!.map((type) => type.InstanceType).sort()).toEqual(['m5.large', 'm5.xlarge'])
})

test('every instance type comes once over all pages, and is offered in every zone', async () => {
  const names: string[] = []
  for await (const page of paginateDescribeInstanceTypes({ client: client(), pageSize: 7 }, {})) {
    names.push(...page.InstanceTypes!.map((type) => type.InstanceType!))
  }
  expect(names.sort()).toEqual([...instanceTypes.keys()].sort())
  const offered = await client().send(
    new DescribeInstanceTypeOfferingsCommand({
      LocationType: 'availability-zone',
      Filters: [{ Name: 'instance-type', Values: ['t3.micro'] }],
    }),
  )
  expect(offered.InstanceTypeOfferings!.map((offering) => offering.Location)).toEqual([
    'eu-west-1a',
    'eu-west-1b',
    'eu-west-1c',
  ])
  const outposts = await client().send(new DescribeInstanceTypeOfferingsCommand({ LocationType: 'outpost' }))
  expect(outposts.InstanceTypeOfferings).toEqual([])
})

test('an account knows its default VPC', async () => {
  const { Vpcs } = await client().send(new DescribeVpcsCommand({}))
  const { AccountAttributes } = await client().send(
    new DescribeAccountAttributesCommand({ AttributeNames: ['default-vpc'] }),
  )
  expect(AccountAttributes).toEqual([
    { AttributeName: 'default-vpc', AttributeValues: [{ AttributeValue: Vpcs![0]!.VpcId }] },
  ])
  const all = await client().send(new DescribeAccountAttributesCommand({}))
  expect(all.AccountAttributes!.map((attribute) => attribute.AttributeName)).toContain('max-instances')
})

test.each([
  ['DescribeRegions', { RegionNames: ['eu-west-9'] }, 'InvalidParameterValue', 'eu-west-9'],
  ['DescribeAvailabilityZones', { ZoneNames: ['eu-west-1z'] }, 'InvalidParameterValue', 'eu-west-1z'],
  ['DescribeAvailabilityZones', { ZoneIds: ['use1-az1'] }, 'InvalidParameterValue', 'use1-az1'],
  ['DescribeInstanceTypes', { InstanceTypes: ['t9.tiny'] }, 'InvalidInstanceType', 't9.tiny'],
  ['DescribeInstanceTypes', { InstanceTypes: Array(101).fill('t3.micro') }, 'InvalidParameterValue', 'InstanceType'],
  ['DescribeInstanceTypes', { MaxResults: 101 }, 'InvalidParameterValue', 'maxResults'],
  [
    'DescribeInstanceTypes',
    { MaxResults: 5, InstanceTypes: ['t3.micro'] },
    'InvalidParameterCombination',
    'InstanceTypes',
  ],
  ['DescribeInstanceTypeOfferings', { LocationType: 'x' }, 'InvalidParameterValue', 'LocationType'],
  ['DescribeInstanceTypeOfferings', { NextToken: 'x' }, 'InvalidPaginationToken', 'token'],
  ['DescribeAccountAttributes', { AttributeNames: ['x'] }, 'InvalidParameterValue', 'AttributeName'],
])('%s is refused wrong input, case %#', async (operation, input, code, named) => {
  await expectRefusal(client().send(commandFor(operation, input)), code, named)
})

test.each(['DescribeRegions', 'DescribeAvailabilityZones', 'DescribeInstanceTypes', 'DescribeInstanceTypeOfferings'])(
  '%s refuses filters that it has not, even behind one that matches nothing',
  async (operation) => {
    const known =
      { DescribeRegions: 'region-name', DescribeAvailabilityZones: 'zone-name' }[operation] ?? 'instance-type'
    const Filters = [
      { Name: known, Values: ['nothing'] },
      { Name: 'nope', Values: ['x'] },
    ]
    await expectRefusal(client().send(commandFor(operation, { Filters })), 'InvalidParameterValue', "The filter 'nope'")
  },
)
