import {
  CreateKeyPairCommand,
  DeleteKeyPairCommand,
  DescribeKeyPairsCommand,
  ImportKeyPairCommand,
} from '@aws-sdk/client-ec2'
import { expect, test } from 'vitest'
import { expectRefusal, useServedCloud } from '../../../../test/support/served-cloud.ts'

const served = useServedCloud()

test('a key pair is made, described, and deleted', async () => {
  const client = served().client('000000000001')
  const made = await client.send(
    new CreateKeyPairCommand({
      KeyName: 'one',
      KeyType: 'ed25519',
      TagSpecifications: [{ ResourceType: 'key-pair', Tags: [{ Key: 'team', Value: 'a' }] }],
    }),
  )
  expect(made.KeyMaterial).toMatch(/^-----BEGIN OPENSSH PRIVATE KEY-----\n/)
  expect(made.KeyPairId).toMatch(/^key-[0-9a-f]{17}$/)

  const described = await client.send(new DescribeKeyPairsCommand({ KeyNames: ['one'], IncludePublicKey: true }))
  expect(described.KeyPairs).toEqual([
    {
      KeyPairId: made.KeyPairId,
      KeyName: 'one',
      KeyType: 'ed25519',
      KeyFingerprint: made.KeyFingerprint,
      PublicKey: expect.stringMatching(/^ssh-ed25519 .* one$/),
      CreateTime: expect.any(Date),
      Tags: [{ Key: 'team', Value: 'a' }],
    },
  ])
  const filtered = await client.send(
    new DescribeKeyPairsCommand({ Filters: [{ Name: 'tag:team', Values: ['?'] }], KeyPairIds: [made.KeyPairId!] }),
  )
  expect(filtered.KeyPairs?.[0]?.PublicKey).toBeUndefined()
  expect(filtered.KeyPairs).toHaveLength(1)

  const deleted = await client.send(new DeleteKeyPairCommand({ KeyName: 'one' }))
  expect(deleted).toMatchObject({ Return: true, KeyPairId: made.KeyPairId })
  expect(await client.send(new DeleteKeyPairCommand({ KeyName: 'one' }))).toMatchObject({ Return: true })
  expect((await client.send(new DescribeKeyPairsCommand({}))).KeyPairs).toEqual([])
})

test('a public key that the SDK sends as bytes is imported', async () => {
  const client = served().client('000000000002')
  const line = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBeLt0fGPyFV92hzaUH8VMzWd/2u06WAlwOdx8AJK8fe me@here'
  const imported = await client.send(
    new ImportKeyPairCommand({ KeyName: 'mine', PublicKeyMaterial: Buffer.from(line) }),
  )
  expect(imported).toMatchObject({ KeyName: 'mine', KeyFingerprint: 'Vdbj0A5Xq+fBz7E6QFPwqw6EW824mxuxT82zKo6CzgQ=' })
})

test('wrong requests are refused in EC2’s words', async () => {
  const client = served().client('000000000003')
  const create = (input: object) => client.send(new CreateKeyPairCommand(input as never))
  const imported = (input: object) => client.send(new ImportKeyPairCommand(input as never))
  await create({ KeyName: 'taken', KeyType: 'ed25519' })

  await expectRefusal(create({}), 'MissingParameter', 'KeyName')
  await expectRefusal(create({ KeyName: 'taken' }), 'InvalidKeyPair.Duplicate', 'The keypair already exists')
  await expectRefusal(create({ KeyName: 'a\nb' }), 'InvalidParameterValue', 'KeyName')
  await expectRefusal(create({ KeyName: 'x', KeyType: 'dsa' }), 'InvalidParameterValue', 'KeyType')
  await expectRefusal(create({ KeyName: 'x', KeyFormat: 'ppk' }), 'InvalidParameterValue', 'KeyFormat')
  const forOthers = [{ ResourceType: 'image', Tags: [{ Key: 'a', Value: 'b' }] }]
  await expectRefusal(create({ KeyName: 'x', TagSpecifications: forOthers }), 'InvalidParameterValue', "'image'")
  await expectRefusal(create({ KeyName: 'x', DryRun: true }), 'DryRunOperation', 'DryRun')

  await expectRefusal(imported({ KeyName: 'x' }), 'MissingParameter', 'PublicKeyMaterial')
  const material = Buffer.from('no key')
  await expectRefusal(imported({ KeyName: 'x', PublicKeyMaterial: material }), 'InvalidKey.Format', 'PublicKeyMaterial')

  const describe = (input: object) => client.send(new DescribeKeyPairsCommand(input))
  await expectRefusal(describe({ KeyNames: ['nope'] }), 'InvalidKeyPair.NotFound', "'nope'")
  await expectRefusal(describe({ KeyPairIds: ['key-0123456789abcdef0'] }), 'InvalidKeyPair.NotFound', 'key-0123')
  const filters = (Name: string) => ({ Filters: [{ Name, Values: ['x'] }] })
  await expectRefusal(describe(filters('nope')), 'InvalidParameterValue', "The filter 'nope' is invalid")

  const remove = (input: object) => client.send(new DeleteKeyPairCommand(input))
  await expectRefusal(remove({}), 'MissingParameter', 'KeyName or KeyPairId')
  await expectRefusal(remove({ KeyName: 'a', KeyPairId: 'key-1' }), 'InvalidParameterCombination', 'KeyName')
  expect((await describe({})).KeyPairs).toHaveLength(1)
})
