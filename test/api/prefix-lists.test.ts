/** Managed prefix lists: versions, entries, and the rules and routes that follow them. */
import {
  AuthorizeSecurityGroupIngressCommand,
  CreateManagedPrefixListCommand,
  CreateRouteCommand,
  CreateRouteTableCommand,
  CreateSecurityGroupCommand,
  DeleteManagedPrefixListCommand,
  DeleteRouteCommand,
  DescribeInternetGatewaysCommand,
  DescribeManagedPrefixListsCommand,
  DescribePrefixListsCommand,
  DescribeRouteTablesCommand,
  DescribeSecurityGroupRulesCommand,
  DescribeSecurityGroupsCommand,
  DescribeVpcsCommand,
  GetManagedPrefixListAssociationsCommand,
  GetManagedPrefixListEntriesCommand,
  ModifyManagedPrefixListCommand,
  ReplaceRouteTableAssociationCommand,
  RestoreManagedPrefixListVersionCommand,
  RevokeSecurityGroupIngressCommand,
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
  VpcId = (await send(new DescribeVpcsCommand({}))).Vpcs![0]!.VpcId!
})

const offices = ['203.0.113.0/24', '198.51.100.7/32']
const make = async (cidrs = offices, more = {}) =>
  (
    await send(
      new CreateManagedPrefixListCommand({
        ...{ PrefixListName: 'offices', AddressFamily: 'IPv4', MaxEntries: 5 },
        ...{ Entries: cidrs.map((Cidr) => ({ Cidr, Description: 'an office' })), ...more },
      }),
    )
  ).PrefixList!
const entriesOf = async (PrefixListId: string, TargetVersion?: number) =>
  (await send(new GetManagedPrefixListEntriesCommand({ PrefixListId, TargetVersion }))).Entries!.map(({ Cidr }) => Cidr)
const sorted = (cidrs: readonly string[]) => [...cidrs].sort()
const remove = (PrefixListId: string) => send(new DeleteManagedPrefixListCommand({ PrefixListId }))
const nowhere = 'pl-0123456789abcdef0'

test('a list has versions: entries come and go, an old version returns, and each can be read', async () => {
  const TagSpecifications = [{ ResourceType: 'prefix-list' as const, Tags: [{ Key: 'Name', Value: 'lab' }] }]
  const made = await make(offices, { TagSpecifications })
  expect(made).toMatchObject({
    ...{ PrefixListName: 'offices', AddressFamily: 'IPv4', MaxEntries: 5, Version: 1, State: 'create-complete' },
    ...{ OwnerId: '000000000001', Tags: [{ Key: 'Name', Value: 'lab' }] },
  })
  const PrefixListId = made.PrefixListId!
  expect(made.PrefixListArn).toBe(`arn:aws:ec2:eu-west-1:000000000001:prefix-list/${PrefixListId}`)
  const change = {
    ...{ PrefixListId, CurrentVersion: 1, AddEntries: [{ Cidr: '192.0.2.9/28' }] },
    RemoveEntries: [{ Cidr: '203.0.113.0/24' }],
  }
  const changed = await send(new ModifyManagedPrefixListCommand(change))
  expect(changed.PrefixList).toMatchObject({ Version: 2, State: 'modify-complete' })
  expect(await entriesOf(PrefixListId)).toEqual(['192.0.2.0/28', '198.51.100.7/32'])
  expect(await entriesOf(PrefixListId, 1)).toEqual(sorted(offices))
  await expectRefusal(entriesOf(PrefixListId, 3), 'InvalidParameterValue', 'TargetVersion')
  await expectRefusal(send(new ModifyManagedPrefixListCommand(change)), 'PrefixListVersionMismatch', '2')

  const restore = { PrefixListId, PreviousVersion: 1, CurrentVersion: 2 }
  const restored = await send(new RestoreManagedPrefixListVersionCommand(restore))
  expect(restored.PrefixList).toMatchObject({ Version: 3, State: 'restore-complete' })
  expect(await entriesOf(PrefixListId)).toEqual(sorted(offices))
  expect(await entriesOf(PrefixListId, 2)).toEqual(['192.0.2.0/28', '198.51.100.7/32'])
  const renamed = await send(new ModifyManagedPrefixListCommand({ PrefixListId, PrefixListName: 'branches' }))
  expect(renamed.PrefixList).toMatchObject({ Version: 3, PrefixListName: 'branches' })

  const byTag = { Filters: [{ Name: 'tag:Name', Values: ['lab'] }] }
  const found = (await send(new DescribeManagedPrefixListsCommand(byTag))).PrefixLists
  expect(found).toMatchObject([{ PrefixListId, PrefixListName: 'branches', Version: 3 }])
  const first = await send(new GetManagedPrefixListEntriesCommand({ PrefixListId, MaxResults: 1 }))
  expect(first.Entries).toEqual([{ Cidr: '198.51.100.7/32', Description: 'an office' }])
  const second = await send(new GetManagedPrefixListEntriesCommand({ PrefixListId, NextToken: first.NextToken }))
  expect([second.Entries!.length, second.NextToken]).toEqual([1, undefined])
  expect((await remove(PrefixListId)).PrefixList).toMatchObject({ State: 'delete-complete' })
  await expectRefusal(remove(PrefixListId), 'InvalidPrefixListID.NotFound', PrefixListId)
})

test('a rule that names a list lets in who is on it, as it changes', async () => {
  const group = { VpcId, GroupName: 'offices', Description: 'offices' }
  const GroupId = (await send(new CreateSecurityGroupCommand(group))).GroupId!
  const PrefixListId = (await make()).PrefixListId!
  const from = { PrefixListIds: [{ PrefixListId, Description: 'all of them' }] }
  const IpPermissions = [{ IpProtocol: 'tcp', FromPort: 22, ToPort: 22, ...from }]
  const { SecurityGroupRules } = await send(new AuthorizeSecurityGroupIngressCommand({ GroupId, IpPermissions }))
  expect(SecurityGroupRules).toMatchObject([{ PrefixListId, Description: 'all of them' }])
  await expectRefusal(
    send(new AuthorizeSecurityGroupIngressCommand({ GroupId, IpPermissions })),
    'InvalidPermission.Duplicate',
    PrefixListId,
  )
  const [instance] = await caller.launch({ SecurityGroupIds: [GroupId] })
  const peers = () =>
    served()
      .plans.findLast((plan) => plan.id === VpcId)!
      .nics.find((nic) => nic.instanceId === instance.InstanceId)!
      .ingress.flatMap((rule) => rule.peers)
  expect(peers()).toEqual(sorted(offices))
  await send(new ModifyManagedPrefixListCommand({ PrefixListId, RemoveEntries: [{ Cidr: offices[0] }] }))
  expect(peers()).toEqual([offices[1]])
  await send(new ModifyManagedPrefixListCommand({ PrefixListId, RemoveEntries: [{ Cidr: offices[1] }] }))
  expect(peers()).toEqual([])

  const byList = { Filters: [{ Name: 'ip-permission.prefix-list-id', Values: [PrefixListId] }] }
  const { SecurityGroups } = await send(new DescribeSecurityGroupsCommand(byList))
  expect(SecurityGroups).toMatchObject([{ GroupId, IpPermissions: [from] }])
  const { PrefixListAssociations } = await send(new GetManagedPrefixListAssociationsCommand({ PrefixListId }))
  expect(PrefixListAssociations).toEqual([{ ResourceId: GroupId, ResourceOwner: '000000000001' }])
  await expectRefusal(remove(PrefixListId), 'DependencyViolation', PrefixListId)
  // A group counts it as many rules as it may have entries.
  const tooMany = new ModifyManagedPrefixListCommand({ PrefixListId, MaxEntries: 61 })
  await expectRefusal(send(tooMany), 'RulesPerSecurityGroupLimitExceeded', '60')
  await send(new ModifyManagedPrefixListCommand({ PrefixListId, MaxEntries: 60 }))
  const one = [{ IpProtocol: 'tcp', FromPort: 23, ToPort: 23, IpRanges: [{ CidrIp: '10.0.0.0/8' }] }]
  await expectRefusal(
    send(new AuthorizeSecurityGroupIngressCommand({ GroupId, IpPermissions: one })),
    'RulesPerSecurityGroupLimitExceeded',
    '60',
  )
  await send(new RevokeSecurityGroupIngressCommand({ GroupId, IpPermissions }))
  const ofGroup = { Filters: [{ Name: 'group-id', Values: [GroupId] }] }
  expect((await send(new DescribeSecurityGroupRulesCommand(ofGroup))).SecurityGroupRules).toHaveLength(1)
  await remove(PrefixListId)
})

test('a route that names a list leads to what is on it, as it changes', async () => {
  const [instance] = await caller.launch()
  const outside = () =>
    served()
      .plans.findLast((plan) => plan.id === VpcId)!
      .nics.find((nic) => nic.instanceId === instance.InstanceId)!.outside
  const inVpc = { Filters: [{ Name: 'vpc-id', Values: [VpcId] }] }
  const [main] = (await send(new DescribeRouteTablesCommand(inVpc))).RouteTables!
  const { RouteTableId } = (await send(new CreateRouteTableCommand({ VpcId }))).RouteTable!
  const replaced = await send(
    new ReplaceRouteTableAssociationCommand({
      AssociationId: main!.Associations![0]!.RouteTableAssociationId,
      RouteTableId,
    }),
  )
  expect(outside()).toEqual([])
  const [gateway] = (await send(new DescribeInternetGatewaysCommand({}))).InternetGateways!
  const PrefixListId = (await make()).PrefixListId!
  const route = { RouteTableId, DestinationPrefixListId: PrefixListId, GatewayId: gateway!.InternetGatewayId }
  await send(new CreateRouteCommand(route))
  await expectRefusal(send(new CreateRouteCommand(route)), 'RouteAlreadyExists', PrefixListId)
  expect(outside()).toEqual(sorted(offices))
  await send(new ModifyManagedPrefixListCommand({ PrefixListId, AddEntries: [{ Cidr: '192.0.2.0/24' }] }))
  expect(outside()).toEqual(sorted([...offices, '192.0.2.0/24']))
  const byList = { Filters: [{ Name: 'route.destination-prefix-list-id', Values: [PrefixListId] }] }
  const [table] = (await send(new DescribeRouteTablesCommand(byList))).RouteTables!
  expect(table).toMatchObject({ RouteTableId })
  expect(table!.Routes).toContainEqual({
    ...{ DestinationPrefixListId: PrefixListId, GatewayId: gateway!.InternetGatewayId },
    ...{ Origin: 'CreateRoute', State: 'active' },
  })
  const { PrefixListAssociations } = await send(new GetManagedPrefixListAssociationsCommand({ PrefixListId }))
  expect(PrefixListAssociations).toEqual([{ ResourceId: RouteTableId, ResourceOwner: '000000000001' }])
  await expectRefusal(remove(PrefixListId), 'DependencyViolation', PrefixListId)
  await send(new DeleteRouteCommand({ RouteTableId, DestinationPrefixListId: PrefixListId }))
  expect(outside()).toEqual([])
  await remove(PrefixListId)
  await send(
    new ReplaceRouteTableAssociationCommand({
      AssociationId: replaced.NewAssociationId,
      RouteTableId: main!.RouteTableId,
    }),
  )
})

test('the lists of AWS are there in every region, for reading', async () => {
  const elsewhere = served().client('000000000003', 'us-east-1')
  const named = { Filters: [{ Name: 'prefix-list-name', Values: ['com.amazonaws.us-east-1.*'] }] }
  const lists = (await elsewhere.send(new DescribePrefixListsCommand(named))).PrefixLists!
  expect(lists.map((list) => [list.PrefixListName, list.Cidrs]).sort()).toEqual([
    ['com.amazonaws.us-east-1.dynamodb', []],
    ['com.amazonaws.us-east-1.s3', ['169.254.169.254/32']],
  ])
  const ofAws = { Filters: [{ Name: 'owner-id', Values: ['AWS'] }] }
  const [list] = (await send(new DescribeManagedPrefixListsCommand(ofAws))).PrefixLists!
  expect(list).toMatchObject({ OwnerId: 'AWS', AddressFamily: 'IPv4', State: 'create-complete' })
  expect([list!.Version, list!.MaxEntries]).toEqual([undefined, undefined])
  await expectRefusal(remove(list!.PrefixListId!), 'InvalidPrefixListID.NotFound', list!.PrefixListId!)
  const own = (await make()).PrefixListId!
  await expectRefusal(
    elsewhere.send(new GetManagedPrefixListEntriesCommand({ PrefixListId: own })),
    'InvalidPrefixListID.NotFound',
    own,
  )
  expect((await send(new DescribePrefixListsCommand({}))).PrefixLists!.map((one) => one.PrefixListId)).not.toContain(
    own,
  )
  await remove(own)
})

test.each<[change: object, code: string, named: string]>([
  [{ PrefixListName: 'com.amazonaws.mine' }, 'InvalidParameterValue', 'PrefixListName'],
  [{ AddressFamily: 'IPX' }, 'InvalidParameterValue', 'AddressFamily'],
  [{ MaxEntries: 0 }, 'InvalidParameterValue', 'MaxEntries'],
  [{ MaxEntries: 1001 }, 'InvalidParameterValue', 'MaxEntries'],
  [{ MaxEntries: 1 }, 'PrefixListMaxEntriesExceeded', 'MaxEntries'],
  [{ Entries: [{ Cidr: 'fd00::/8' }] }, 'InvalidParameterValue', 'fd00::/8'],
  [{ Entries: [{ Cidr: '10.0.0.1/8' }, { Cidr: '10.0.0.2/8' }] }, 'InvalidParameterValue', '10.0.0.0/8'],
  [{ Entries: [{ Cidr: '10.0.0.0/8', Description: 'x'.repeat(256) }] }, 'InvalidParameterValue', 'Description'],
])('a list with %j is refused', async (change, code, named) => {
  await expectRefusal(make(offices, change), code, named)
})

test('changes that cannot be are refused, and change nothing', async () => {
  const PrefixListId = (await make()).PrefixListId!
  const change = (more: object) => send(new ModifyManagedPrefixListCommand({ PrefixListId, ...more }))
  const [office] = offices
  await expectRefusal(change({ AddEntries: [{ Cidr: office }] }), 'InvalidParameterValue', office!)
  await expectRefusal(change({ RemoveEntries: [{ Cidr: '10.0.0.0/8' }] }), 'InvalidParameterValue', '10.0.0.0/8')
  const both = { AddEntries: [{ Cidr: office }], RemoveEntries: [{ Cidr: office }] }
  await expectRefusal(change(both), 'InvalidParameterValue', office!)
  const resized = { AddEntries: [{ Cidr: '10.0.0.0/8' }], MaxEntries: 9 }
  await expectRefusal(change(resized), 'InvalidParameterCombination', 'MaxEntries')
  await expectRefusal(change({ MaxEntries: 1 }), 'PrefixListMaxEntriesExceeded', 'MaxEntries')
  await expectRefusal(change({ PrefixListId: nowhere }), 'InvalidPrefixListID.NotFound', nowhere)
  await expectRefusal(change({ PrefixListId: 'pl-x' }), 'InvalidPrefixListId.Malformed', 'pl-x')
  const restore = { PrefixListId, PreviousVersion: 2, CurrentVersion: 1 }
  await expectRefusal(
    send(new RestoreManagedPrefixListVersionCommand(restore)),
    'InvalidParameterValue',
    'PreviousVersion',
  )
  const lists = await send(new DescribeManagedPrefixListsCommand({ PrefixListIds: [PrefixListId] }))
  expect(lists.PrefixLists).toMatchObject([{ Version: 1, MaxEntries: 5 }])
  expect(await entriesOf(PrefixListId)).toEqual(sorted(offices))
  const again = [await make(['10.0.0.0/8'], { ClientToken: 'one' }), await make(['10.0.0.0/8'], { ClientToken: 'one' })]
  expect(again[1]!.PrefixListId).toBe(again[0]!.PrefixListId)
})
