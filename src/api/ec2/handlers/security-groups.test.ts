import {
  AuthorizeSecurityGroupEgressCommand,
  AuthorizeSecurityGroupIngressCommand,
  CreateSecurityGroupCommand,
  DeleteSecurityGroupCommand,
  DescribeSecurityGroupRulesCommand,
  DescribeSecurityGroupsCommand,
  DescribeVpcsCommand,
  type EC2Client,
  ModifySecurityGroupRulesCommand,
  paginateDescribeSecurityGroups,
  RevokeSecurityGroupEgressCommand,
  RevokeSecurityGroupIngressCommand,
  UpdateSecurityGroupRuleDescriptionsEgressCommand,
  UpdateSecurityGroupRuleDescriptionsIngressCommand,
} from '@aws-sdk/client-ec2'
import { expect, test } from 'vitest'
import { expectRefusal, useServedCloud } from '../../../../test/support/served-cloud.ts'
import { commandFor } from '../../testing/official-client.ts'

const served = useServedCloud()

async function newGroup(client: EC2Client, name = 'web'): Promise<string> {
  const made = await client.send(new CreateSecurityGroupCommand({ GroupName: name, Description: 'for tests' }))
  return made.GroupId!
}
const ssh = { IpProtocol: 'tcp', FromPort: 22, ToPort: 22 }
const anywhere = { IpRanges: [{ CidrIp: '0.0.0.0/0' }] }
const unknownGroup = 'sg-0123456789abcdef0'
const unknownRule = 'sgr-0123456789abcdef0'

test('a group is made, described with its permissions, and deleted', async () => {
  const client = served().client('000000000001')
  const made = await client.send(
    new CreateSecurityGroupCommand({
      GroupName: 'web',
      Description: 'web servers',
      TagSpecifications: [{ ResourceType: 'security-group', Tags: [{ Key: 'a', Value: 'b' }] }],
    }),
  )
  const GroupId = made.GroupId!
  expect(made.SecurityGroupArn).toBe(`arn:aws:ec2:eu-west-1:000000000001:security-group/${GroupId}`)
  await client.send(
    new AuthorizeSecurityGroupIngressCommand({
      GroupId,
      IpPermissions: [
        { ...ssh, IpRanges: [{ CidrIp: '10.0.0.0/8', Description: 'office' }], UserIdGroupPairs: [{ GroupId }] },
        { ...ssh, Ipv6Ranges: [{ CidrIpv6: '::/0' }] },
      ],
    }),
  )
  const { SecurityGroups } = await client.send(new DescribeSecurityGroupsCommand({ GroupNames: ['web'] }))
  const [vpc] = (await client.send(new DescribeVpcsCommand({}))).Vpcs!
  expect(SecurityGroups).toEqual([
    {
      GroupId,
      GroupName: 'web',
      Description: 'web servers',
      OwnerId: '000000000001',
      VpcId: vpc!.VpcId,
      SecurityGroupArn: made.SecurityGroupArn,
      Tags: [{ Key: 'a', Value: 'b' }],
      IpPermissions: [
        {
          ...ssh,
          IpRanges: [{ CidrIp: '10.0.0.0/8', Description: 'office' }],
          Ipv6Ranges: [{ CidrIpv6: '::/0' }],
          PrefixListIds: [],
          UserIdGroupPairs: [{ GroupId, UserId: '000000000001' }],
        },
      ],
      IpPermissionsEgress: [{ IpProtocol: '-1', ...anywhere, Ipv6Ranges: [], PrefixListIds: [], UserIdGroupPairs: [] }],
    },
  ])
  // What was described can be revoked as it is.
  const IpPermissions = SecurityGroups![0]!.IpPermissions!
  const revoked = await client.send(new RevokeSecurityGroupIngressCommand({ GroupId, IpPermissions }))
  expect(revoked.RevokedSecurityGroupRules).toHaveLength(3)
  expect(await client.send(new DeleteSecurityGroupCommand({ GroupId }))).toMatchObject({ Return: true, GroupId })
})

test('groups come in pages', async () => {
  const client = served().client('000000000002')
  for (let n = 0; n < 6; n++) await newGroup(client, `group ${n}`)
  const sizes: number[] = []
  for await (const page of paginateDescribeSecurityGroups({ client, pageSize: 5 }, {})) {
    sizes.push(page.SecurityGroups!.length)
  }
  expect(sizes).toEqual([5, 2])
})

test('rules are authorized in both directions, described, modified, and revoked', async () => {
  const client = served().client('000000000003')
  const GroupId = await newGroup(client)
  const authorized = await client.send(
    new AuthorizeSecurityGroupEgressCommand({
      GroupId,
      IpPermissions: [{ IpProtocol: '47', UserIdGroupPairs: [{ GroupName: 'default' }] }],
      TagSpecifications: [{ ResourceType: 'security-group-rule', Tags: [{ Key: 'a', Value: 'b' }] }],
    }),
  )
  const [rule] = authorized.SecurityGroupRules!
  const SecurityGroupRuleIds = [rule!.SecurityGroupRuleId!]
  const describe = async () =>
    (await client.send(new DescribeSecurityGroupRulesCommand({ SecurityGroupRuleIds }))).SecurityGroupRules
  expect(rule).toMatchObject({ IpProtocol: '47', FromPort: -1, ToPort: -1, IsEgress: true, GroupId })
  expect(rule!.ReferencedGroupInfo).toMatchObject({ UserId: '000000000003', VpcId: expect.stringMatching(/^vpc-/) })
  expect(await describe()).toEqual([rule])

  await client.send(
    new ModifySecurityGroupRulesCommand({
      GroupId,
      SecurityGroupRules: [
        {
          SecurityGroupRuleId: rule!.SecurityGroupRuleId,
          SecurityGroupRule: { ...ssh, CidrIpv4: '10.0.0.0/8', Description: 'new' },
        },
      ],
    }),
  )
  expect(await describe()).toMatchObject([{ ...ssh, CidrIpv4: '10.0.0.0/8', Description: 'new', Tags: rule!.Tags }])

  await client.send(
    new UpdateSecurityGroupRuleDescriptionsEgressCommand({
      GroupId,
      SecurityGroupRuleDescriptions: [{ SecurityGroupRuleId: rule!.SecurityGroupRuleId, Description: 'newer' }],
    }),
  )
  expect(await describe()).toMatchObject([{ Description: 'newer' }])
  const revoked = await client.send(new RevokeSecurityGroupEgressCommand({ GroupId, SecurityGroupRuleIds }))
  expect(revoked).toMatchObject({ Return: true, RevokedSecurityGroupRules: [{ CidrIpv4: '10.0.0.0/8' }] })
  await expectRefusal(describe(), 'InvalidSecurityGroupRuleId.NotFound', SecurityGroupRuleIds[0]!)
})

test('the older flat parameters stand for one permission, or for all of a group’s traffic', async () => {
  const client = served().client('000000000004')
  const GroupId = await newGroup(client)
  const flat = { GroupName: 'web', ...ssh, CidrIp: '10.0.0.0/8' }
  const one = await client.send(new AuthorizeSecurityGroupIngressCommand(flat))
  expect(one.SecurityGroupRules).toMatchObject([{ ...ssh, CidrIpv4: '10.0.0.0/8', GroupId }])
  const source = { GroupId, SourceSecurityGroupName: 'default' }
  const all = await client.send(new AuthorizeSecurityGroupIngressCommand(source))
  expect(all.SecurityGroupRules!.map((rule) => `${rule.IpProtocol} ${rule.FromPort} ${rule.ToPort}`).sort()).toEqual([
    'icmp -1 -1',
    'tcp 0 65535',
    'udp 0 65535',
  ])
  const described = { ...ssh, IpRanges: [{ CidrIp: '10.0.0.0/8', Description: 'office' }] }
  await client.send(new UpdateSecurityGroupRuleDescriptionsIngressCommand({ GroupId, IpPermissions: [described] }))
  await client.send(new RevokeSecurityGroupIngressCommand(flat))
  const again = await client.send(new RevokeSecurityGroupIngressCommand(source))
  expect(again.RevokedSecurityGroupRules).toHaveLength(3)
})

test('a group whose VPC is an empty text, as Packer sends it, is in the default VPC', async () => {
  const client = served().client('000000000008')
  const made = await client.send(new CreateSecurityGroupCommand({ GroupName: 'x', Description: 'x', VpcId: '' }))
  const { SecurityGroups } = await client.send(new DescribeSecurityGroupsCommand({ GroupIds: [made.GroupId!] }))
  const { Vpcs } = await client.send(new DescribeVpcsCommand({ Filters: [{ Name: 'is-default', Values: ['true'] }] }))
  expect(SecurityGroups![0]!.VpcId).toBe(Vpcs![0]!.VpcId)
})

test('wrong requests for groups are refused in EC2’s words', async () => {
  const client = served().client('000000000005')
  const GroupId = await newGroup(client)
  const create = (input: object) =>
    client.send(new CreateSecurityGroupCommand({ GroupName: 'x', Description: 'x', ...input }))
  await expectRefusal(create({ GroupName: undefined }), 'MissingParameter', 'GroupName')
  await expectRefusal(create({ Description: undefined }), 'MissingParameter', 'GroupDescription')
  await expectRefusal(create({ GroupName: 'sg-x' }), 'InvalidParameterValue', 'GroupName')
  await expectRefusal(create({ GroupName: 'web' }), 'InvalidGroup.Duplicate', "'web' already exists for VPC 'vpc-")
  await expectRefusal(create({ VpcId: 'vpc' }), 'InvalidVpcID.Malformed', '"vpc"')
  await expectRefusal(create({ VpcId: 'vpc-0123456789abcdef0' }), 'InvalidVpcID.NotFound', 'vpc-0123456789abcdef0')

  const describe = (input: object) => client.send(new DescribeSecurityGroupsCommand(input))
  await expectRefusal(describe({ GroupIds: ['web'] }), 'InvalidGroupId.Malformed', '"web"')
  await expectRefusal(describe({ GroupIds: [unknownGroup] }), 'InvalidGroup.NotFound', unknownGroup)
  await expectRefusal(describe({ GroupNames: ['nope'] }), 'InvalidGroup.NotFound', "'nope'")
  await expectRefusal(describe({ MaxResults: 4 }), 'InvalidParameterValue', 'maxResults')
  await expectRefusal(describe({ MaxResults: 5, GroupIds: [GroupId] }), 'InvalidParameterCombination', 'GroupIds')
  await expectRefusal(describe({ NextToken: 'x' }), 'InvalidPaginationToken', 'token')
  await expectRefusal(describe({ Filters: [{ Name: 'x', Values: ['y'] }] }), 'InvalidParameterValue', "'x'")

  const remove = (input: object) => client.send(new DeleteSecurityGroupCommand(input))
  await expectRefusal(remove({}), 'MissingParameter', 'GroupName or GroupId')
  await expectRefusal(remove({ GroupId, GroupName: 'web' }), 'InvalidParameterCombination', 'GroupName')
  await expectRefusal(remove({ GroupId: unknownGroup }), 'InvalidGroup.NotFound', unknownGroup)
  await expectRefusal(remove({ GroupName: 'default' }), 'CannotDelete', 'cannot be deleted by a user')
})

test('wrong permissions are refused in EC2’s words, for every operation that takes them', async () => {
  const client = served().client('000000000006')
  const GroupId = await newGroup(client)
  const operations = [
    'AuthorizeSecurityGroupIngress',
    'AuthorizeSecurityGroupEgress',
    'RevokeSecurityGroupIngress',
    'RevokeSecurityGroupEgress',
  ]
  const cases: [input: object, code: string, named: string][] = [
    [{ GroupId }, 'MissingParameter', 'IpPermissions'],
    [{ GroupId: 'web', IpPermissions: [{ ...ssh, ...anywhere }] }, 'InvalidGroupId.Malformed', '"web"'],
    [{ GroupId: unknownGroup, IpPermissions: [{ ...ssh, ...anywhere }] }, 'InvalidGroup.NotFound', unknownGroup],
    [{ GroupId, IpPermissions: [anywhere] }, 'MissingParameter', 'IpPermissions.1.IpProtocol'],
    [{ GroupId, IpPermissions: [ssh] }, 'MissingParameter', 'IpPermissions.1.IpRanges'],
    [{ GroupId, IpPermissions: [{ ...ssh, IpRanges: [{}, {}] }] }, 'MissingParameter', 'IpPermissions.1.'],
    [{ GroupId, IpPermissions: [{ ...ssh, IpRanges: [{ CidrIp: '10.0.0.1' }] }] }, 'InvalidParameterValue', '10.0.0.1'],
    [{ GroupId, IpPermissions: [{ ...ssh, ToPort: 21, ...anywhere }] }, 'InvalidPermission.Malformed', '(22:21)'],
    [{ GroupId, IpPermissions: [{ IpProtocol: 'x', ...anywhere }] }, 'InvalidParameterValue', 'IP protocol'],
    [{ GroupId, IpPermissions: [{ ...ssh, UserIdGroupPairs: [{ GroupId: 'x' }] }] }, 'InvalidGroupId.Malformed', '"x"'],
    [
      { GroupId, IpPermissions: [{ ...ssh, UserIdGroupPairs: [{ GroupId, VpcPeeringConnectionId: 'pcx-1' }] }] },
      'UnsupportedOperation',
      'IpPermissions.1.Groups.1.VpcPeeringConnectionId',
    ],
    [
      { GroupId, IpPermissions: [{ ...ssh, PrefixListIds: [{ PrefixListId: 'pl-12345678' }] }] },
      'InvalidPrefixListID.NotFound',
      'pl-12345678',
    ],
    [{ GroupId, ...ssh, IpPermissions: [{ ...ssh, ...anywhere }] }, 'InvalidParameterCombination', 'IpProtocol'],
    [{ GroupId, ...ssh }, 'MissingParameter', 'CidrIp'],
    [{ GroupId, CidrIp: '10.0.0.0/8' }, 'MissingParameter', 'IpProtocol'],
    [{ GroupId, CidrIp: '10.0.0.0/8', SourceSecurityGroupName: 'a' }, 'InvalidParameterCombination', 'CidrIp'],
    [{ GroupId, SourceSecurityGroupOwnerId: '1' }, 'MissingParameter', 'SourceSecurityGroupName'],
  ]
  for (const operation of operations) {
    for (const [input, code, named] of cases) {
      await expectRefusal(client.send(commandFor(operation, input)), code, named)
    }
  }
  const { SecurityGroupRules: rules } = await client.send(
    new DescribeSecurityGroupRulesCommand({ Filters: [{ Name: 'group-id', Values: [GroupId] }] }),
  )
  expect(rules).toHaveLength(1)
})

test('wrong requests for single rules are refused in EC2’s words', async () => {
  const client = served().client('000000000007')
  const GroupId = await newGroup(client)
  const permission = { ...ssh, ...anywhere }
  const again = () => client.send(new AuthorizeSecurityGroupIngressCommand({ GroupId, IpPermissions: [permission] }))
  const made = await again()
  const SecurityGroupRuleId = made.SecurityGroupRules![0]!.SecurityGroupRuleId!
  await expectRefusal(
    again(),
    'InvalidPermission.Duplicate',
    '"peer: 0.0.0.0/0, TCP, from port: 22, to port: 22, ALLOW"',
  )

  const revoke = (input: object) => client.send(new RevokeSecurityGroupIngressCommand({ GroupId, ...input }))
  await expectRefusal(
    revoke({ IpPermissions: [{ ...permission, ToPort: 23 }] }),
    'InvalidPermission.NotFound',
    'does not exist in this security group',
  )
  await expectRefusal(revoke({ SecurityGroupRuleIds: ['x'] }), 'InvalidSecurityGroupRuleId.Malformed', '"x"')
  await expectRefusal(
    revoke({ SecurityGroupRuleIds: [unknownRule] }),
    'InvalidSecurityGroupRuleId.NotFound',
    unknownRule,
  )
  await expectRefusal(
    revoke({ SecurityGroupRuleIds: [SecurityGroupRuleId], IpPermissions: [permission] }),
    'InvalidParameterCombination',
    'SecurityGroupRuleId',
  )

  const modify = (SecurityGroupRule: object | undefined, id = SecurityGroupRuleId) =>
    client.send(
      new ModifySecurityGroupRulesCommand({
        GroupId,
        SecurityGroupRules: [{ SecurityGroupRuleId: id, SecurityGroupRule }],
      }),
    )
  const path = 'SecurityGroupRule.1.SecurityGroupRule'
  await expectRefusal(modify(undefined), 'MissingParameter', path)
  await expectRefusal(modify(ssh), 'MissingParameter', `${path}.CidrIpv4`)
  await expectRefusal(modify({ CidrIpv4: '10.0.0.0/8' }), 'MissingParameter', `${path}.IpProtocol`)
  await expectRefusal(
    modify({ ...ssh, CidrIpv4: '10.0.0.0/8', CidrIpv6: '::/0' }),
    'InvalidParameterCombination',
    'CidrIpv4',
  )
  await expectRefusal(modify({ ...ssh, CidrIpv4: '10.0.0.1/8' }), 'InvalidParameterValue', '10.0.0.1/8')
  await expectRefusal(
    modify({ ...ssh, CidrIpv4: '10.0.0.0/8' }, unknownRule),
    'InvalidSecurityGroupRuleId.NotFound',
    unknownRule,
  )

  for (const Operation of [
    UpdateSecurityGroupRuleDescriptionsIngressCommand,
    UpdateSecurityGroupRuleDescriptionsEgressCommand,
  ]) {
    const update = (input: object) => client.send(new Operation({ GroupId, ...input }))
    await expectRefusal(update({}), 'MissingParameter', 'SecurityGroupRuleDescription')
    const nameless = { SecurityGroupRuleDescriptions: [{ Description: 'x' }] }
    await expectRefusal(update(nameless), 'MissingParameter', 'SecurityGroupRuleDescription.1.SecurityGroupRuleId')
    const unknown = { SecurityGroupRuleDescriptions: [{ SecurityGroupRuleId: unknownRule }] }
    await expectRefusal(update(unknown), 'InvalidSecurityGroupRuleId.NotFound', unknownRule)
    await expectRefusal(
      update({ IpPermissions: [permission], ...unknown }),
      'InvalidParameterCombination',
      'IpPermissions',
    )
    const other = { IpPermissions: [{ ...permission, FromPort: 1 }] }
    await expectRefusal(update(other), 'InvalidPermission.NotFound', 'does not exist')
  }
})
