/** DHCP options of one's own: made, associated, told to the network, taken apart. */
import {
  AssociateDhcpOptionsCommand,
  CreateDhcpOptionsCommand,
  CreateTagsCommand,
  CreateVpcCommand,
  DeleteDhcpOptionsCommand,
  DescribeDhcpOptionsCommand,
  DescribeVpcsCommand,
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

const configured = (options: Record<string, string[]>) => ({
  DhcpConfigurations: Object.entries(options).map(([Key, Values]) => ({ Key, Values })),
})
const make = async (options: Record<string, string[]>, more = {}) =>
  (await send(new CreateDhcpOptionsCommand({ ...configured(options), ...more }))).DhcpOptions!
const nowhere = 'dopt-0123456789abcdef0'

test('a set is made, told, found by what it says, and gone', async () => {
  const TagSpecifications = [{ ResourceType: 'dhcp-options' as const, Tags: [{ Key: 'Name', Value: 'lab' }] }]
  const options = {
    'domain-name': ['lab.example'],
    'domain-name-servers': ['10.2.5.1,10.2.5.2', 'AmazonProvidedDNS'],
    'ntp-servers': ['10.2.5.3', 'fd00::7b'],
    'netbios-name-servers': ['10.2.5.4'],
    'netbios-node-type': ['2'],
  }
  const made = await make(options, { TagSpecifications })
  const id = made.DhcpOptionsId!
  const told = (await send(new DescribeDhcpOptionsCommand({ DhcpOptionsIds: [id] }))).DhcpOptions![0]!
  expect(told).toMatchObject({ OwnerId: '000000000001', Tags: [{ Key: 'Name', Value: 'lab' }] })
  const said = told.DhcpConfigurations!.map(({ Key, Values }) => [Key, Values!.map(({ Value }) => Value)])
  expect(Object.fromEntries(said)).toEqual({
    ...options,
    'domain-name-servers': ['10.2.5.1', '10.2.5.2', 'AmazonProvidedDNS'],
  })
  const found = async (Name: string, ...Values: string[]) =>
    (await send(new DescribeDhcpOptionsCommand({ Filters: [{ Name, Values }] }))).DhcpOptions!.map(
      (set) => set.DhcpOptionsId,
    )
  expect(await found('value', '10.2.5.?')).toEqual([id])
  expect(await found('key', 'ntp-servers')).toEqual([id])
  expect(await found('tag:Name', 'lab')).toEqual([id])
  await send(new CreateTagsCommand({ Resources: [id], Tags: [{ Key: 'Name', Value: 'other' }] }))
  expect(await found('tag:Name', 'lab')).toEqual([])
  await send(new DeleteDhcpOptionsCommand({ DhcpOptionsId: id }))
  await expectRefusal(
    send(new DescribeDhcpOptionsCommand({ DhcpOptionsIds: [id] })),
    'InvalidDhcpOptionID.NotFound',
    id,
  )
})

test('guests are told what the set of their VPC says, the one that it has now', async () => {
  const [instance] = await caller.launch()
  const VpcId = instance.VpcId!
  const told = () => served().plans.findLast((plan) => plan.id === VpcId)!.dhcp
  const nothing = { ntpServers: [], netbiosNameServers: [], netbiosNodeType: null }
  const asEver = { domainName: 'eu-west-1.compute.internal', nameServers: ['resolver'], ...nothing }
  expect(told()).toEqual(asEver)
  const [former] = (await send(new DescribeVpcsCommand({ VpcIds: [VpcId] }))).Vpcs!
  const { DhcpOptionsId } = await make({ 'domain-name': ['lab.example'], 'ntp-servers': ['10.0.0.9', 'fd00::1'] })
  await send(new AssociateDhcpOptionsCommand({ DhcpOptionsId, VpcId }))
  expect(told()).toEqual({ ...nothing, domainName: 'lab.example', nameServers: [], ntpServers: ['10.0.0.9'] })
  await expectRefusal(send(new DeleteDhcpOptionsCommand({ DhcpOptionsId })), 'DependencyViolation', DhcpOptionsId!)
  await send(new AssociateDhcpOptionsCommand({ DhcpOptionsId: 'default', VpcId }))
  expect(told()).toEqual({ ...nothing, domainName: null, nameServers: [] })
  const [vpc] = (await send(new DescribeVpcsCommand({ VpcIds: [VpcId] }))).Vpcs!
  expect(vpc!.DhcpOptionsId).toBe('default')
  await send(new DeleteDhcpOptionsCommand({ DhcpOptionsId }))
  await send(new AssociateDhcpOptionsCommand({ DhcpOptionsId: former!.DhcpOptionsId, VpcId }))
  expect(told()).toEqual(asEver)
})

test('new VPCs share one set, and each account has its own', async () => {
  const made = [await send(new CreateVpcCommand({ CidrBlock: '10.1.0.0/16' }))]
  made.push(await send(new CreateVpcCommand({ CidrBlock: '10.2.0.0/16' })))
  const { Vpcs } = await send(new DescribeVpcsCommand({}))
  const [id, ...others] = new Set([...made.map(({ Vpc }) => Vpc!), ...Vpcs!].map((vpc) => vpc.DhcpOptionsId))
  expect(others).toEqual([])
  const stranger = served().client('000000000002')
  await expectRefusal(
    stranger.send(new DeleteDhcpOptionsCommand({ DhcpOptionsId: id })),
    'InvalidDhcpOptionID.NotFound',
    id!,
  )
})

test.each<[options: Record<string, string[]>, named: string]>([
  [{ 'domain-name-server': ['10.0.0.1'] }, 'domain-name-server'],
  [{ 'domain-name': ['a\ndhcp-script=/bin/sh'] }, 'domain-name'],
  [{ 'domain-name': ['a', 'b'] }, 'a,b'],
  [{ 'domain-name-servers': ['10.0.0.256'] }, '10.0.0.256'],
  [{ 'domain-name-servers': ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5'] }, 'at most 4'],
  [{ 'ntp-servers': ['time.example'] }, 'time.example'],
  [{ 'ntp-servers': [] }, 'ntp-servers'],
  [{ 'netbios-node-type': ['3'] }, 'netbios-node-type'],
  [{ 'ipv6-address-preferred-lease-time': ['139'] }, '139'],
])('%j is refused', async (options, named) => {
  await expectRefusal(make(options), 'InvalidParameterValue', named)
})

test('what is missing, or not there, is refused by name', async () => {
  const { Vpcs } = await send(new DescribeVpcsCommand({}))
  const VpcId = Vpcs![0]!.VpcId!
  await expectRefusal(make({}), 'MissingParameter', 'DhcpConfiguration')
  const twice = {
    DhcpConfigurations: ['a.example', 'b.example'].map((name) => ({ Key: 'domain-name', Values: [name] })),
  }
  await expectRefusal(send(new CreateDhcpOptionsCommand(twice)), 'InvalidParameterValue', 'domain-name')
  const associate = (DhcpOptionsId: string, vpc = VpcId) =>
    send(new AssociateDhcpOptionsCommand({ DhcpOptionsId, VpcId: vpc }))
  await expectRefusal(associate(nowhere), 'InvalidDhcpOptionID.NotFound', nowhere)
  await expectRefusal(associate('default', 'vpc-0123456789abcdef0'), 'InvalidVpcID.NotFound', 'vpc-0123456789abcdef0')
  await expectRefusal(associate('dopt-x'), 'InvalidDhcpOptionsId.Malformed', 'dopt-x')
})
