import {
  CreateSecurityGroupCommand,
  CreateTagsCommand,
  DeleteTagsCommand,
  DescribeSubnetsCommand,
  DescribeTagsCommand,
  DescribeVpcsCommand,
  type EC2Client,
  paginateDescribeTags,
} from '@aws-sdk/client-ec2'
import { expect, test } from 'vitest'
import { expectRefusal, useServedCloud } from '../../../../test/support/served-cloud.ts'
import { limits } from '../../../lib/limits.ts'
import { commandFor } from '../../testing/official-client.ts'

const served = useServedCloud()

const vpcOf = async (client: EC2Client) => (await client.send(new DescribeVpcsCommand({}))).Vpcs![0]!.VpcId!

test('tags are put on several resources, replaced, found by, and taken away', async () => {
  const client = served().client('000000000001')
  const vpc = await vpcOf(client)
  const subnet = (await client.send(new DescribeSubnetsCommand({}))).Subnets![0]!.SubnetId!
  const tag = (Key: string, Value: string) =>
    client.send(new CreateTagsCommand({ Resources: [vpc, subnet], Tags: [{ Key, Value }] }))
  await tag('team', 'a')
  await tag('team', 'b')
  await tag('empty', '')
  const { Tags } = await client.send(new DescribeTagsCommand({ Filters: [{ Name: 'key', Values: ['team'] }] }))
  expect(Tags).toHaveLength(2)
  expect(Tags).toContainEqual({ ResourceId: subnet, ResourceType: 'subnet', Key: 'team', Value: 'b' })
  const found = await client.send(new DescribeVpcsCommand({ Filters: [{ Name: 'tag:team', Values: ['b'] }] }))
  expect(found.Vpcs!.map((row) => row.VpcId)).toEqual([vpc])

  const remaining = async () => (await client.send(new DescribeVpcsCommand({}))).Vpcs![0]!.Tags!.map(({ Key }) => Key)
  const remove = (Tags?: { Key: string; Value?: string }[]) =>
    client.send(new DeleteTagsCommand({ Resources: [vpc], Tags }))
  await remove([{ Key: 'team', Value: 'other' }])
  expect(await remaining()).toEqual(['empty', 'team'])
  await remove([{ Key: 'team' }])
  expect(await remaining()).toEqual(['empty'])
  await remove()
  expect(await remaining()).toEqual([])
})

test('tags come in pages, each once', async () => {
  const client = served().client('000000000002')
  const Tags = Array.from({ length: 12 }, (_, n) => ({ Key: `key/${n}`, Value: 'x' }))
  await client.send(new CreateTagsCommand({ Resources: [await vpcOf(client)], Tags }))
  const keys: string[] = []
  for await (const page of paginateDescribeTags({ client, pageSize: 5 }, {}))
    keys.push(...page.Tags!.map((tag) => tag.Key!))
  expect(keys.sort()).toEqual(Tags.map((tag) => tag.Key).sort())
})

test('one account does not tag another’s resources, nor see its tags', async () => {
  const [owner, stranger] = [served().client('000000000003'), served().client('000000000004')]
  const Resources = [await vpcOf(owner)]
  const Tags = [{ Key: 'a', Value: 'b' }]
  await owner.send(new CreateTagsCommand({ Resources, Tags }))
  await expectRefusal(stranger.send(new CreateTagsCommand({ Resources, Tags })), 'InvalidVpcID.NotFound', Resources[0]!)
  await expectRefusal(stranger.send(new DeleteTagsCommand({ Resources })), 'InvalidVpcID.NotFound', Resources[0]!)
  expect((await stranger.send(new DescribeTagsCommand({}))).Tags).toEqual([])
})

test('wrong requests are refused in EC2’s words, and put no tag anywhere', async () => {
  const client = served().client('000000000005')
  const vpc = await vpcOf(client)
  const good = [{ Key: 'a', Value: 'b' }]
  const many = Array.from({ length: limits.tagsPerResource + 1 }, (_, n) => ({ Key: `k${n}`, Value: '' }))
  const cases: [operation: string, input: object, code: string, named: string][] = [
    ['CreateTags', { Tags: good }, 'MissingParameter', 'ResourceId'],
    ['CreateTags', { Resources: [vpc] }, 'MissingParameter', 'Tag'],
    ['CreateTags', { Resources: ['x'], Tags: good }, 'InvalidID', "'x'"],
    ['CreateTags', { Resources: [vpc, 'vpc-0123456789abcdef0'], Tags: good }, 'InvalidVpcID.NotFound', 'vpc-0123'],
    ['CreateTags', { Resources: [vpc], Tags: [{ Key: 'aws:x', Value: '' }] }, 'InvalidParameterValue', 'aws:'],
    ['CreateTags', { Resources: [vpc], Tags: [{ Value: 'b' }] }, 'InvalidParameterValue', 'Tag key'],
    ['CreateTags', { Resources: [vpc], Tags: [...good, ...good] }, 'InvalidParameterValue', "'a'"],
    ['CreateTags', { Resources: [vpc], Tags: many }, 'TagLimitExceeded', '50'],
    ['CreateTags', { Resources: Array(1001).fill(vpc), Tags: good }, 'InvalidParameterValue', 'ResourceId'],
    ['DeleteTags', {}, 'MissingParameter', 'ResourceId'],
    ['DeleteTags', { Resources: [vpc], Tags: [{ Value: 'b' }] }, 'InvalidParameterValue', 'Tag key'],
    ['DeleteTags', { Resources: [vpc], Tags: [{ Key: 'aws:x' }] }, 'InvalidParameterValue', 'aws:'],
    ['DeleteTags', { Resources: [vpc], Tags: Array(1001).fill({ Key: 'a' }) }, 'InvalidParameterValue', 'Tag'],
    ['CreateTags', { Resources: [vpc], Tags: [{ Key: 'a', Value: '\u0000' }] }, 'InvalidParameterValue', 'Tag.1.Value'],
    [
      'DescribeTags',
      { Filters: [{ Name: 'key', Values: [`${'x'.repeat(60_000)}*`] }] },
      'InvalidParameterValue',
      '1024',
    ],
    ['DescribeTags', { Filters: [{ Name: 'nope', Values: ['x'] }] }, 'InvalidParameterValue', "'nope'"],
    ['DescribeTags', { MaxResults: 4 }, 'InvalidParameterValue', 'maxResults'],
    ['DescribeTags', { NextToken: 'x' }, 'InvalidPaginationToken', 'token'],
  ]
  for (const [operation, input, code, named] of cases) {
    await expectRefusal(client.send(commandFor(operation, input)), code, named)
  }
  expect((await client.send(new DescribeTagsCommand({}))).Tags).toEqual([])
})

test('a tag is found by its key and value together', async () => {
  const client = served().client('000000000007')
  const vpc = await vpcOf(client)
  const Tags = [
    { Key: 'a*', Value: 'one' },
    { Key: 'ab', Value: 'one' },
  ]
  await client.send(new CreateTagsCommand({ Resources: [vpc], Tags }))
  const keys = async (Name: string, Value: string) => {
    const found = await client.send(new DescribeTagsCommand({ Filters: [{ Name, Values: [Value] }] }))
    return found.Tags!.map((tag) => tag.Key)
  }
  expect(await keys('tag:a*', 'o?e')).toEqual(['a*'])
  expect(await keys('tag:ab', 'two')).toEqual([])
})

test('hundreds of tags are deleted in one request, those that are there and those that are not', async () => {
  const client = served().client('000000000008')
  const vpc = await vpcOf(client)
  const put = Array.from({ length: limits.tagsPerResource }, (_, n) => ({ Key: `k${n}`, Value: 'v' }))
  await client.send(new CreateTagsCommand({ Resources: [vpc], Tags: put }))
  const gone = Array.from({ length: 1000 }, (_, n) => ({ Key: `k${999 - n}`, Value: 'v' })).slice(0, 999)
  await client.send(new DeleteTagsCommand({ Resources: [vpc], Tags: gone }))
  expect((await client.send(new DescribeTagsCommand({}))).Tags!.map((tag) => tag.Key)).toEqual(['k0'])
})

test('a resource holds at most fifty tags, over all requests', async () => {
  const client = served().client('000000000006')
  const made = await client.send(new CreateSecurityGroupCommand({ GroupName: 'x', Description: 'x' }))
  const put = (from: number, count: number) =>
    client.send(
      new CreateTagsCommand({
        Resources: [made.GroupId!],
        Tags: Array.from({ length: count }, (_, n) => ({ Key: `k${from + n}`, Value: '' })),
      }),
    )
  await put(0, limits.tagsPerResource)
  await put(0, 1)
  await expectRefusal(put(limits.tagsPerResource, 1), 'TagLimitExceeded', made.GroupId!)
})
