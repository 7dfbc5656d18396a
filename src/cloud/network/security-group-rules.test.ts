import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openTestCloud, placeInstance, type TestCloud } from '../../../test/support/test-cloud.ts'
import { limits } from '../../lib/limits.ts'
import type { Permission } from './permissions.ts'
import type { SecurityGroupRules } from './security-group-rules.ts'

const scope = { accountId: '111122223333', region: 'eu-west-1' }

let testCloud: TestCloud
let rules: SecurityGroupRules
let group: { id: string }

beforeEach(async () => {
  testCloud = await openTestCloud()
  rules = testCloud.cloud.securityGroups.rules
  await testCloud.cloud.vpcs.openDefault(scope)
  group = await newGroup('web')
})
afterEach(() => testCloud.close())

async function newGroup(name: string): Promise<{ id: string }> {
  const { id } = await testCloud.cloud.securityGroups.create(scope, { name, description: name, tags: [] })
  return { id }
}

const tcp = (port: number, ...peers: Permission['peers']): Permission => ({
  protocol: 'tcp',
  fromPort: port,
  toPort: port,
  peers,
})
const anywhere = { cidrIpv4: '0.0.0.0/0' }
const letIn = (...permissions: Permission[]) =>
  rules.authorize(scope, group, { direction: 'ingress', permissions, tags: [] })
const ingress = async () => {
  const { items } = await rules.list(scope, { filters: [{ name: 'group-id', values: [group.id] }] })
  return items.filter((rule) => rule.isEgress === 0)
}

describe('authorizing', () => {
  test('makes one rule of each pair of traffic and peer', async () => {
    const added = await letIn(
      tcp(
        22,
        { cidrIpv4: '195.1.1.1/26', description: 'office' },
        { cidrIpv6: '2001:DB8::/32' },
        { groupId: group.id },
      ),
      { protocol: 'icmp', fromPort: -1, toPort: -1, peers: [{ groupName: 'default' }] },
    )
    const ofDefault = await testCloud.cloud.securityGroups.list(scope, { names: ['default'] })
    expect(await ingress()).toHaveLength(4)
    expect(added).toMatchObject([
      { protocol: 'tcp', fromPort: 22, cidrIpv4: '195.1.1.0/26', description: 'office' },
      { cidrIpv6: '2001:db8::/32', description: null },
      { referencedGroupId: group.id },
      { protocol: 'icmp', fromPort: -1, referencedGroupId: ofDefault.items[0]!.id },
    ])
  })

  test('is on the host before it is answered', async () => {
    const { networkInterfaceId } = await placeInstance(testCloud, scope, { groupIds: [group.id], hostNumber: 10 })
    const peer = await placeInstance(testCloud, scope, { groupIds: [(await newGroup('db')).id], hostNumber: 11 })
    await letIn(tcp(22, anywhere), tcp(5432, { groupName: 'db' }))
    const nic = testCloud.plans.at(-1)!.nics.find(({ id }) => id === networkInterfaceId)!
    const byPort = nic.ingress.toSorted((a, b) => a.fromPort - b.fromPort)
    expect(byPort).toEqual([
      { protocol: 'tcp', fromPort: 22, toPort: 22, peers: ['0.0.0.0/0'] },
      { protocol: 'tcp', fromPort: 5432, toPort: 5432, peers: [`${peer.privateIp}/32`] },
    ])
  })

  test('stands when the network fails: the reconciler brings it about', async () => {
    testCloud.breakNetwork()
    await letIn(tcp(22, anywhere))
    expect(await ingress()).toHaveLength(1)
  })

  test('refuses a rule that is there already, whatever its description', async () => {
    await letIn(tcp(22, anywhere))
    await expect(letIn(tcp(80, anywhere), tcp(22, { ...anywhere, description: 'again' }))).rejects.toMatchObject({
      code: 'InvalidPermission.Duplicate',
      message: 'the specified rule "peer: 0.0.0.0/0, TCP, from port: 22, to port: 22, ALLOW" already exists',
    })
    expect(await ingress()).toHaveLength(1)
  })

  test('knows the same rule in two spellings', async () => {
    const twice = tcp(22, { cidrIpv4: '10.0.0.1/8' }, { cidrIpv4: '10.0.0.0/8' })
    await expect(letIn(twice)).rejects.toMatchObject({
      code: 'InvalidParameterValue',
      message: 'The same permission must not appear multiple times',
    })
  })

  test('keeps directions apart', async () => {
    const permissions = [{ protocol: '-1', peers: [anywhere] }]
    await letIn(...permissions)
    const out = rules.authorize(scope, group, { direction: 'egress', permissions, tags: [] })
    await expect(out).rejects.toMatchObject({
      code: 'InvalidPermission.Duplicate',
      message: expect.stringContaining('"peer: 0.0.0.0/0, ALL, ALLOW"'),
    })
  })

  test('ends at the limit, which IPv4 and IPv6 have apart and groups count in both', async () => {
    const ports = (first: number, count: number, peer: Permission['peers'][number]) =>
      Array.from({ length: count }, (_, index) => tcp(first + index, peer))
    const half = limits.rulesPerSecurityGroup / 2
    await letIn(...ports(1, limits.rulesPerSecurityGroup, { cidrIpv6: '::/0' }))
    await letIn(...ports(1, half, anywhere))
    await expect(letIn(...ports(1000, 1, { groupId: group.id }))).rejects.toMatchObject({
      code: 'RulesPerSecurityGroupLimitExceeded',
      message: expect.stringContaining(String(limits.rulesPerSecurityGroup)),
    })
    await letIn(...ports(1 + half, half, anywhere))
    await expect(letIn(tcp(9999, anywhere))).rejects.toMatchObject({ code: 'RulesPerSecurityGroupLimitExceeded' })
    expect(await ingress()).toHaveLength(2 * limits.rulesPerSecurityGroup)
  })

  test.each<[Permission['peers'][number], string, string]>([
    [{ cidrIpv4: '10.0.0.0/33' }, 'InvalidParameterValue', 'CIDR block 10.0.0.0/33 is malformed'],
    [{ cidrIpv6: '::' }, 'InvalidParameterValue', 'CIDR block :: is malformed'],
    [{ groupId: 'sg-0123456789abcdef0' }, 'InvalidGroup.NotFound', "'sg-0123456789abcdef0'"],
    [{ groupName: 'nope' }, 'InvalidGroup.NotFound', "'nope'"],
    [{ groupName: 'default', accountId: '444455556666' }, 'InvalidGroup.NotFound', "'default'"],
    [{ prefixListId: 'pl-12345678' }, 'InvalidPrefixListID.NotFound', 'pl-12345678'],
    [{ ...anywhere, description: 'a\tb' }, 'InvalidParameterValue', 'Description'],
  ])('refuses %j: %s that says %s, and adds nothing', async (peer, code, named) => {
    await expect(letIn(tcp(80, anywhere), tcp(22, peer))).rejects.toMatchObject({
      code,
      message: expect.stringContaining(named),
    })
    expect(await ingress()).toEqual([])
  })
})

test('descriptions end at 255 characters', async () => {
  await letIn(tcp(22, { ...anywhere, description: 'x'.repeat(255) }))
  await expect(letIn(tcp(23, { ...anywhere, description: 'x'.repeat(256) }))).rejects.toMatchObject({
    code: 'InvalidParameterValue',
    message: expect.stringContaining('Description'),
  })
})

describe('revoking', () => {
  test('takes rules away by what they say, and from the host', async () => {
    const { networkInterfaceId } = await placeInstance(testCloud, scope, { groupIds: [group.id], hostNumber: 10 })
    await letIn(tcp(22, { ...anywhere, description: 'ssh' }), tcp(80, anywhere))
    const revoked = await rules.revoke(scope, group, { direction: 'ingress', permissions: [tcp(22, anywhere)] })
    expect(revoked).toMatchObject([{ fromPort: 22, description: 'ssh' }])
    const nic = testCloud.plans.at(-1)!.nics.find(({ id }) => id === networkInterfaceId)!
    expect(nic.ingress.map((rule) => rule.fromPort)).toEqual([80])
  })

  test('takes rules away by id, with their tags', async () => {
    const [rule] = await rules.authorize(scope, group, {
      direction: 'ingress',
      permissions: [tcp(22, anywhere)],
      tags: [{ key: 'a', value: 'b' }],
    })
    await rules.revoke(scope, group, { direction: 'ingress', ruleIds: [rule!.id, rule!.id] })
    expect(await ingress()).toEqual([])
    expect((await testCloud.cloud.tags.list(scope, {})).items).toEqual([])
  })

  test('takes nothing when one of them is not there', async () => {
    const [rule] = await letIn(tcp(22, anywhere))
    const permissions = [tcp(22, anywhere), tcp(23, anywhere)]
    await expect(rules.revoke(scope, group, { direction: 'ingress', permissions })).rejects.toMatchObject({
      code: 'InvalidPermission.NotFound',
      message: 'The specified rule does not exist in this security group.',
    })
    const ruleIds = [rule!.id, 'sgr-0123456789abcdef0']
    await expect(rules.revoke(scope, group, { direction: 'ingress', ruleIds })).rejects.toMatchObject({
      code: 'InvalidSecurityGroupRuleId.NotFound',
      message: "The security group rule ID 'sgr-0123456789abcdef0' does not exist",
    })
    await expect(rules.revoke(scope, group, { direction: 'egress', ruleIds: [rule!.id] })).rejects.toMatchObject({
      code: 'InvalidSecurityGroupRuleId.NotFound',
    })
    expect(await ingress()).toHaveLength(1)
  })
})

describe('modifying', () => {
  test('replaces what a rule says, on the host too', async () => {
    const { networkInterfaceId } = await placeInstance(testCloud, scope, { groupIds: [group.id], hostNumber: 10 })
    const [rule] = await letIn(tcp(22, { ...anywhere, description: 'ssh' }))
    const permission = { protocol: 'udp', fromPort: 53, toPort: 54, peers: [{ cidrIpv4: '10.0.0.0/8' }] }
    await rules.modify(scope, group, [{ ruleId: rule!.id, permission }])
    expect(await ingress()).toMatchObject([
      { id: rule!.id, protocol: 'udp', toPort: 54, cidrIpv4: '10.0.0.0/8', description: null },
    ])
    const nic = testCloud.plans.at(-1)!.nics.find(({ id }) => id === networkInterfaceId)!
    expect(nic.ingress).toEqual([{ protocol: 'udp', fromPort: 53, toPort: 54, peers: ['10.0.0.0/8'] }])
  })

  test('may exchange two rules, but not make them the same', async () => {
    const [one, other] = await letIn(tcp(22, anywhere), tcp(80, anywhere))
    await rules.modify(scope, group, [
      { ruleId: one!.id, permission: tcp(80, anywhere) },
      { ruleId: other!.id, permission: tcp(22, anywhere) },
    ])
    const portOf = async (id: string) => (await rules.list(scope, { ids: [id] })).items[0]!.fromPort
    expect([await portOf(one!.id), await portOf(other!.id)]).toEqual([80, 22])
    const same = rules.modify(scope, group, [{ ruleId: one!.id, permission: tcp(22, anywhere) }])
    await expect(same).rejects.toMatchObject({ code: 'InvalidPermission.Duplicate' })
    expect(await portOf(one!.id)).toBe(80)
  })

  test('refuses host bits, unknown rules, and rules of other groups', async () => {
    const [rule] = await letIn(tcp(22, anywhere))
    const modify = (ruleId: string, cidrIpv4: string, ref = group) =>
      rules.modify(scope, ref, [{ ruleId, permission: tcp(22, { cidrIpv4 }) }])
    await expect(modify(rule!.id, '10.0.0.1/8')).rejects.toMatchObject({
      code: 'InvalidParameterValue',
      message: 'CIDR block 10.0.0.1/8 is malformed',
    })
    const code = 'InvalidSecurityGroupRuleId.NotFound'
    await expect(modify('sgr-0123456789abcdef0', '10.0.0.0/8')).rejects.toMatchObject({ code })
    await expect(modify(rule!.id, '10.0.0.0/8', await newGroup('db'))).rejects.toMatchObject({ code })
    expect(await ingress()).toMatchObject([{ cidrIpv4: '0.0.0.0/0' }])
  })
})

describe('describing', () => {
  test('replaces and removes descriptions, and leaves the network alone', async () => {
    const [ssh] = await letIn(tcp(22, { ...anywhere, description: 'old' }), tcp(80, anywhere))
    const applied = testCloud.plans.length
    const permissions = [tcp(80, { ...anywhere, description: 'http' })]
    await rules.describe(scope, group, { direction: 'ingress', permissions })
    await rules.describe(scope, group, {
      direction: 'ingress',
      descriptions: [{ ruleId: ssh!.id, description: undefined }],
    })
    expect((await ingress()).map((rule) => [rule.fromPort, rule.description]).sort()).toEqual([
      [22, null],
      [80, 'http'],
    ])
    expect(testCloud.plans).toHaveLength(applied)
  })

  test('refuses what is not there', async () => {
    const permissions = [tcp(80, { ...anywhere, description: 'http' })]
    await expect(rules.describe(scope, group, { direction: 'ingress', permissions })).rejects.toMatchObject({
      code: 'InvalidPermission.NotFound',
    })
  })
})
