/** Network ACLs of one's own: entries by number, associations with subnets, and what the network is told of them. */
import {
  CreateNetworkAclCommand,
  CreateNetworkAclEntryCommand,
  CreateSubnetCommand,
  CreateVpcCommand,
  DeleteNetworkAclCommand,
  DeleteNetworkAclEntryCommand,
  DeleteSubnetCommand,
  DeleteVpcCommand,
  DescribeNetworkAclsCommand,
  DescribeSubnetsCommand,
  ReplaceNetworkAclAssociationCommand,
  ReplaceNetworkAclEntryCommand,
} from '@aws-sdk/client-ec2'
import { beforeAll, expect, test } from 'vitest'
import { type Caller, callerOf } from '../support/caller.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'

const served = useServedCloud({ isLive: true })
let caller: Caller
let VpcId: string
const send: Caller['ec2']['send'] = ((command: never) => caller.ec2.send(command)) as never
beforeAll(async () => {
  caller = await callerOf(served(), '000000000001')
  VpcId = (await send(new CreateVpcCommand({ CidrBlock: '10.0.0.0/16' }))).Vpc!.VpcId!
})

const newAcl = async (more = {}) => (await send(new CreateNetworkAclCommand({ VpcId, ...more }))).NetworkAcl!
const told = async (id: string) =>
  (await send(new DescribeNetworkAclsCommand({ NetworkAclIds: [id] }))).NetworkAcls![0]!
const web = {
  ...{ RuleNumber: 100, Protocol: '6', RuleAction: 'allow' as const, Egress: false, CidrBlock: '10.1.2.3/8' },
  PortRange: { From: 80, To: 443 },
}
const nowhere = 'acl-0123456789abcdef0'

test('an ACL begins closed, takes entries by number, and shows them in the order in which they count', async () => {
  const TagSpecifications = [{ ResourceType: 'network-acl' as const, Tags: [{ Key: 'Name', Value: 'lab' }] }]
  const NetworkAclId = (await newAcl({ TagSpecifications })).NetworkAclId!
  const numbers = async () =>
    (await told(NetworkAclId)).Entries!.map((entry) => [entry.Egress, entry.RuleNumber, entry.RuleAction])
  const last = { egress: [true, 32_767, 'deny'], ingress: [false, 32_767, 'deny'] }
  expect(await numbers()).toEqual([last.egress, last.ingress])
  await send(new CreateNetworkAclEntryCommand({ NetworkAclId, ...web }))
  const ping = { RuleNumber: 90, Protocol: 'icmp', RuleAction: 'deny' as const, Egress: false, CidrBlock: '0.0.0.0/0' }
  await send(new CreateNetworkAclEntryCommand({ NetworkAclId, ...ping, IcmpTypeCode: { Type: 8, Code: -1 } }))
  const ipv6 = { RuleNumber: 90, Protocol: '-1', RuleAction: 'allow' as const, Egress: true, Ipv6CidrBlock: '::/0' }
  await send(new CreateNetworkAclEntryCommand({ NetworkAclId, ...ipv6 }))
  expect(await numbers()).toEqual([
    [true, 90, 'allow'],
    last.egress,
    [false, 90, 'deny'],
    [false, 100, 'allow'],
    last.ingress,
  ])
  expect((await told(NetworkAclId)).Entries).toMatchObject([
    { Ipv6CidrBlock: '::/0', Protocol: '-1' },
    { CidrBlock: '0.0.0.0/0' },
    { Protocol: '1', IcmpTypeCode: { Type: 8, Code: -1 } },
    { Protocol: '6', CidrBlock: '10.0.0.0/8', PortRange: { From: 80, To: 443 } },
    { CidrBlock: '0.0.0.0/0' },
  ])
  await expectRefusal(
    send(new CreateNetworkAclEntryCommand({ NetworkAclId, ...web })),
    'NetworkAclEntryAlreadyExists',
    '100',
  )
  await send(new ReplaceNetworkAclEntryCommand({ NetworkAclId, ...web, RuleAction: 'deny' }))
  expect((await numbers())[3]).toEqual([false, 100, 'deny'])
  const absent = { NetworkAclId, ...web, RuleNumber: 7 }
  await expectRefusal(send(new ReplaceNetworkAclEntryCommand(absent)), 'InvalidNetworkAclEntry.NotFound', '7')
  await expectRefusal(send(new DeleteNetworkAclEntryCommand(absent)), 'InvalidNetworkAclEntry.NotFound', '7')
  const found = async (Name: string, ...Values: string[]) =>
    (await send(new DescribeNetworkAclsCommand({ Filters: [{ Name, Values }] }))).NetworkAcls!.map(
      (acl) => acl.NetworkAclId,
    )
  for (const [name, value] of [
    ['entry.port-range.to', '443'],
    ['entry.icmp.type', '8'],
    ['entry.ipv6-cidr', '::/0'],
    ['tag:Name', 'lab'],
  ] as const) {
    expect(await found(name, value)).toEqual([NetworkAclId])
  }
  await send(new DeleteNetworkAclEntryCommand({ NetworkAclId, ...web }))
  expect(await found('entry.port-range.to', '443')).toEqual([])
  await send(new DeleteNetworkAclCommand({ NetworkAclId }))
  await expectRefusal(told(NetworkAclId), 'InvalidNetworkAclID.NotFound', NetworkAclId)
})

test('a token makes one ACL, however often it is sent', async () => {
  const [one, again] = [await newAcl({ ClientToken: 'once' }), await newAcl({ ClientToken: 'once' })]
  expect(again.NetworkAclId).toBe(one.NetworkAclId)
  await expectRefusal(
    newAcl({ ClientToken: 'once', TagSpecifications: [{ ResourceType: 'network-acl', Tags: [{ Key: 'a' }] }] }),
    'IdempotentParameterMismatch',
    'once',
  )
  await send(new DeleteNetworkAclCommand({ NetworkAclId: one.NetworkAclId }))
})

test('a subnet has one ACL: the default one, or another that takes its place', async () => {
  const SubnetId = (await send(new CreateSubnetCommand({ VpcId, CidrBlock: '10.0.1.0/24' }))).Subnet!.SubnetId!
  const bySubnet = { Filters: [{ Name: 'association.subnet-id', Values: [SubnetId] }] }
  const associated = async () => {
    const [acl] = (await send(new DescribeNetworkAclsCommand(bySubnet))).NetworkAcls!
    const { NetworkAclAssociationId } = acl!.Associations!.find((one) => one.SubnetId === SubnetId)!
    return { acl: acl!, AssociationId: NetworkAclAssociationId! }
  }
  const first = await associated()
  expect(first.acl.IsDefault).toBe(true)
  const NetworkAclId = (await newAcl()).NetworkAclId!
  const replaced = await send(
    new ReplaceNetworkAclAssociationCommand({ AssociationId: first.AssociationId, NetworkAclId }),
  )
  expect(await associated()).toMatchObject({
    acl: { NetworkAclId, IsDefault: false },
    AssociationId: replaced.NewAssociationId,
  })
  const stale = new ReplaceNetworkAclAssociationCommand({ AssociationId: first.AssociationId, NetworkAclId })
  await expectRefusal(send(stale), 'InvalidAssociationID.NotFound', first.AssociationId)
  await expectRefusal(send(new DeleteNetworkAclCommand({ NetworkAclId })), 'DependencyViolation', NetworkAclId)
  await send(new DeleteSubnetCommand({ SubnetId }))
  await expectRefusal(send(new DeleteVpcCommand({ VpcId })), 'DependencyViolation', VpcId)
  await send(new DeleteNetworkAclCommand({ NetworkAclId }))
  const byDefault = { Filters: [{ Name: 'default', Values: ['true'] }] }
  const defaults = (await send(new DescribeNetworkAclsCommand(byDefault))).NetworkAcls!
  const own = defaults.find((acl) => acl.VpcId === VpcId)!.NetworkAclId!
  await expectRefusal(send(new DeleteNetworkAclCommand({ NetworkAclId: own })), 'InvalidParameterValue', own)
})

test('the network is told of the borders that do not let everything through', async () => {
  const [instance] = await caller.launch()
  const [subnet] = (await send(new DescribeSubnetsCommand({ SubnetIds: [instance.SubnetId!] }))).Subnets!
  const borders = () => served().plans.findLast((plan) => plan.id === instance.VpcId)!.borders
  expect(borders()).toEqual([])
  const inVpc = { Filters: [{ Name: 'vpc-id', Values: [instance.VpcId!] }] }
  const [acl] = (await send(new DescribeNetworkAclsCommand(inVpc))).NetworkAcls!
  const NetworkAclId = acl!.NetworkAclId!
  const deny = { NetworkAclId, ...web, RuleNumber: 50, RuleAction: 'deny' as const }
  await send(new CreateNetworkAclEntryCommand(deny))
  const everything = { verdict: 'allow', protocol: 'all', fromPort: -1, toPort: -1, peers: ['0.0.0.0/0'] }
  const nothing = { ...everything, verdict: 'deny' }
  expect(borders().find(({ cidr }) => cidr === subnet!.CidrBlock)).toEqual({
    cidr: subnet!.CidrBlock,
    ingress: [{ verdict: 'deny', protocol: 6, fromPort: 80, toPort: 443, peers: ['10.0.0.0/8'] }, everything, nothing],
    egress: [everything, nothing],
  })
  await send(new DeleteNetworkAclEntryCommand(deny))
  expect(borders()).toEqual([])
})

test.each<[change: object, code: string, named: string]>([
  [{ RuleNumber: 0 }, 'InvalidParameterValue', 'ruleNumber'],
  [{ RuleNumber: 32_767 }, 'InvalidParameterValue', '32767'],
  [{ Protocol: '256' }, 'InvalidParameterValue', '256'],
  [{ Protocol: 'carrier-pigeon' }, 'InvalidParameterValue', 'carrier-pigeon'],
  [{ CidrBlock: '10.0.0.0/33' }, 'InvalidParameterValue', '10.0.0.0/33'],
  [{ CidrBlock: undefined }, 'MissingParameter', 'cidrBlock'],
  [{ Ipv6CidrBlock: '::/0' }, 'InvalidParameterCombination', 'ipv6CidrBlock'],
  [{ PortRange: undefined }, 'MissingParameter', 'portRange'],
  [{ PortRange: { From: 443, To: 80 } }, 'InvalidParameterValue', '443-80'],
  [{ PortRange: { From: 0, To: 65_536 } }, 'InvalidParameterValue', '65536'],
  [{ Protocol: '1' }, 'MissingParameter', 'icmp'],
  [{ Protocol: '1', IcmpTypeCode: { Type: 256, Code: 0 } }, 'InvalidParameterValue', '256'],
  [{ RuleAction: 'maybe' }, 'InvalidParameterValue', 'RuleAction'],
  [{ NetworkAclId: nowhere }, 'InvalidNetworkAclID.NotFound', nowhere],
  [{ NetworkAclId: 'acl-x' }, 'InvalidNetworkAclId.Malformed', 'acl-x'],
])('an entry with %j is refused', async (change, code, named) => {
  const NetworkAclId = (await newAcl()).NetworkAclId!
  await expectRefusal(send(new CreateNetworkAclEntryCommand({ NetworkAclId, ...web, ...change })), code, named)
  await send(new DeleteNetworkAclCommand({ NetworkAclId }))
})

test('other accounts and other networks are kept apart', async () => {
  const NetworkAclId = (await newAcl()).NetworkAclId!
  const stranger = served().client('000000000002')
  await expectRefusal(
    stranger.send(new DeleteNetworkAclCommand({ NetworkAclId })),
    'InvalidNetworkAclID.NotFound',
    NetworkAclId,
  )
  const [foreign] = (await stranger.send(new DescribeNetworkAclsCommand({}))).NetworkAcls!
  const AssociationId = foreign!.Associations![0]!.NetworkAclAssociationId!
  const replace = new ReplaceNetworkAclAssociationCommand({ AssociationId, NetworkAclId })
  await expectRefusal(send(replace), 'InvalidAssociationID.NotFound', AssociationId)
  const byDefault = { Filters: [{ Name: 'default', Values: ['true'] }] }
  const others = (await send(new DescribeNetworkAclsCommand(byDefault))).NetworkAcls!
  const elsewhere = others.find((acl) => acl.VpcId !== VpcId)!.Associations![0]!.NetworkAclAssociationId!
  await expectRefusal(
    send(new ReplaceNetworkAclAssociationCommand({ AssociationId: elsewhere, NetworkAclId })),
    'InvalidParameterValue',
    'different networks',
  )
  await send(new DeleteNetworkAclCommand({ NetworkAclId }))
})
