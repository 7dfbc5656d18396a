import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openTestCloud, placeInstance, type TestCloud } from '../../../test/support/test-cloud.ts'
import { limits } from '../../lib/limits.ts'
import type { SecurityGroups } from './security-groups.ts'

const scope = { accountId: '111122223333', region: 'eu-west-1' }
const stranger = { accountId: '444455556666', region: 'eu-west-1' }

let testCloud: TestCloud
let groups: SecurityGroups
let vpcId: string

beforeEach(async () => {
  testCloud = await openTestCloud()
  groups = testCloud.cloud.securityGroups
  vpcId = (await testCloud.cloud.vpcs.openDefault(scope)).id
})
afterEach(() => testCloud.close())

const create = (name: string) => groups.create(scope, { name, description: 'for tests', tags: [] })

describe('a new security group', () => {
  test('lies in the default VPC, lets everything out and nothing in', async () => {
    const { id } = await groups.create(scope, {
      name: 'web ',
      description: 'web servers',
      tags: [{ key: 'team', value: 'a' }],
    })
    const { items } = await groups.list(scope, { ids: [id] })
    expect(items).toMatchObject([{ id, name: 'web', description: 'web servers', vpcId }])
    expect(items[0]!.rules).toMatchObject([{ isEgress: 1, protocol: '-1', cidrIpv4: '0.0.0.0/0' }])
    expect((await testCloud.cloud.tags.of(scope, [id])).get(id)).toEqual([{ key: 'team', value: 'a' }])
  })

  test('has a name that no other one of its VPC has', async () => {
    await create('web')
    await expect(create('web')).rejects.toMatchObject({
      code: 'InvalidGroup.Duplicate',
      message: `The security group 'web' already exists for VPC '${vpcId}'`,
    })
    await testCloud.cloud.vpcs.openDefault(stranger)
    await groups.create(stranger, { name: 'web', description: 'of another account', tags: [] })
  })

  test('is made once, when many ask for it at once', async () => {
    const results = await Promise.allSettled(Array.from({ length: 5 }, () => create('web')))
    expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1)
    expect((await groups.list(scope, { names: ['web'] })).items).toHaveLength(1)
  })

  test.each([
    [{ name: 'sg-web' }, 'InvalidParameterValue', 'GroupName'],
    [{ name: 'wéb' }, 'InvalidParameterValue', 'GroupName'],
    [{ name: 'a"b' }, 'InvalidParameterValue', 'GroupName'],
    [{ name: ' ' }, 'MissingParameter', 'GroupName'],
    [{ name: 'default' }, 'InvalidGroup.Reserved', "'default'"],
    [{ description: '' }, 'MissingParameter', 'GroupDescription'],
    [{ description: 'a\nb' }, 'InvalidParameterValue', 'GroupDescription'],
    [{ vpcId: 'vpc-0123456789abcdef0' }, 'InvalidVpcID.NotFound', 'vpc-0123456789abcdef0'],
  ])('is refused with %j: %s that names %s', async (wrong, code, named) => {
    const request = { name: 'x', description: 'x', tags: [], ...wrong }
    await expect(groups.create(scope, request)).rejects.toMatchObject({ code, message: expect.stringContaining(named) })
    expect((await groups.list(scope, {})).items).toHaveLength(1)
  })

  test('has a name and a description of at most 255 characters', async () => {
    const request = { name: 'x'.repeat(255), description: 'x'.repeat(255), tags: [] }
    await groups.create(scope, request)
    for (const longer of [{ name: 'y'.repeat(256) }, { name: 'y', description: 'x'.repeat(256) }]) {
      await expect(groups.create(scope, { ...request, ...longer })).rejects.toMatchObject({
        code: 'InvalidParameterValue',
        message: expect.stringContaining('at most 255 characters'),
      })
    }
  })

  test('cannot lie in the VPC of another account', async () => {
    const request = { name: 'x', description: 'x', vpcId, tags: [] }
    await expect(groups.create(stranger, request)).rejects.toMatchObject({ code: 'InvalidVpcID.NotFound' })
  })

  test('is refused when the VPC has as many as it can have', async () => {
    const { state } = testCloud.deps
    await state.transaction(async (tx) => {
      for (let n = 1; n < limits.securityGroupsPerVpc; n++) {
        const row = {
          ...scope,
          id: `sg-${String(n).padStart(17, '0')}`,
          vpcId,
          name: `g${n}`,
          description: '',
          createdAt: 0,
        }
        await tx.networks.insertSecurityGroup(row)
      }
    })
    await expect(create('one-more')).rejects.toMatchObject({
      code: 'SecurityGroupLimitExceeded',
      message: expect.stringContaining(vpcId),
    })
  })
})

describe('a list of security groups', () => {
  test('has those that ids and names ask for, and filters choose among them', async () => {
    const [web, db] = [await create('web'), await create('db')]
    const names = async (request: Parameters<SecurityGroups['list']>[1]) =>
      (await groups.list(scope, request)).items.map((group) => group.name).sort()
    expect(await names({})).toEqual(['db', 'default', 'web'])
    expect(await names({ ids: [web.id], names: ['db'] })).toEqual(['db', 'web'])
    expect(await names({ ids: [web.id, db.id], filters: [{ name: 'group-name', values: ['w*'] }] })).toEqual(['web'])
    expect(await names({ filters: [{ name: 'egress.ip-permission.cidr', values: ['0.0.0.0/0'] }] })).toHaveLength(3)
  })

  test('is refused for a group that is not there, or is of another account', async () => {
    const { id } = await create('web')
    await testCloud.cloud.vpcs.openDefault(stranger)
    const code = 'InvalidGroup.NotFound'
    await expect(groups.list(stranger, { ids: [id] })).rejects.toMatchObject({ code })
    await expect(groups.list(scope, { names: ['nope'] })).rejects.toMatchObject({
      code,
      message: `The security group 'nope' does not exist in default VPC '${vpcId}'`,
    })
  })
})

describe('deleting a security group', () => {
  test('takes its rules and all tags with it', async () => {
    const { id } = await create('web')
    const [rule] = await groups.rules.authorize(
      scope,
      { id },
      {
        direction: 'ingress',
        permissions: [{ protocol: 'tcp', fromPort: 22, toPort: 22, peers: [{ groupId: id }] }],
        tags: [{ key: 'a', value: 'b' }],
      },
    )
    await groups.delete(scope, { name: 'web' })
    await expect(groups.list(scope, { ids: [id] })).rejects.toMatchObject({ code: 'InvalidGroup.NotFound' })
    await expect(groups.rules.list(scope, { ids: [rule!.id] })).rejects.toMatchObject({
      code: 'InvalidSecurityGroupRuleId.NotFound',
    })
    expect((await testCloud.cloud.tags.list(scope, {})).items).toEqual([])
  })

  test('is refused while an instance is in it', async () => {
    const { id } = await create('web')
    await placeInstance(testCloud, scope, { groupIds: [id], hostNumber: 10 })
    await expect(groups.delete(scope, { id })).rejects.toMatchObject({
      code: 'DependencyViolation',
      message: `resource ${id} has a dependent object`,
    })
  })

  test('is refused while a rule of another group names it', async () => {
    const [web, db] = [await create('web'), await create('db')]
    const permissions = [{ protocol: '-1', peers: [{ groupId: web.id }] }]
    await groups.rules.authorize(scope, { id: db.id }, { direction: 'ingress', permissions, tags: [] })
    await expect(groups.delete(scope, { id: web.id })).rejects.toMatchObject({ code: 'DependencyViolation' })
    await groups.rules.revoke(scope, { id: db.id }, { direction: 'ingress', permissions })
    await groups.delete(scope, { id: web.id })
  })

  test('is refused for the default group', async () => {
    await expect(groups.delete(scope, { name: 'default' })).rejects.toMatchObject({
      code: 'CannotDelete',
      message: expect.stringMatching(
        /^the specified group: "sg-[0-9a-f]{17}" name: "default" cannot be deleted by a user$/,
      ),
    })
  })

  test('is refused for a group of another account', async () => {
    const { id } = await create('web')
    await expect(groups.delete(stranger, { id })).rejects.toMatchObject({ code: 'InvalidGroup.NotFound' })
    expect((await groups.list(scope, { ids: [id] })).items).toHaveLength(1)
  })
})
