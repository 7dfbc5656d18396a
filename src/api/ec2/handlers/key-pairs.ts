import type { KeyPairInfo } from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import type { KeyPair, KeyPairRef } from '../../../cloud/key-pairs.ts'
import { KilnError } from '../../../lib/errors.ts'
import type { Ec2Handlers } from '../handler.ts'
import { readFilters } from '../shared/filters.ts'
import { scopeOf } from '../shared/scope.ts'
import { readTagSpecifications, type Tag } from '../shared/tag-specifications.ts'
import { ec2Tags } from '../shared/views.ts'

export const keyPairHandlers = {
  async CreateKeyPair(input, context) {
    if (input.KeyFormat !== undefined && input.KeyFormat !== 'pem') {
      throw new KilnError(
        'InvalidParameterValue',
        `Value (${input.KeyFormat}) for parameter KeyFormat is invalid. Kiln gives private keys as pem; puttygen turns them into ppk.`,
      )
    }
    const { 'key-pair': tags } = readTagSpecifications(input.TagSpecifications, ['key-pair'])
    const { keyPair, privateKey } = await context.cloud.keyPairs.create(scopeOf(context), {
      name: input.KeyName!,
      type: input.KeyType ?? 'rsa',
      tags,
    })
    return { ...ec2KeyPair(keyPair, tags), KeyMaterial: privateKey }
  },

  async ImportKeyPair(input, context) {
    const { 'key-pair': tags } = readTagSpecifications(input.TagSpecifications, ['key-pair'])
    const keyPair = await context.cloud.keyPairs.import(scopeOf(context), {
      name: input.KeyName!,
      material: input.PublicKeyMaterial!,
      tags,
    })
    return ec2KeyPair(keyPair, tags)
  },

  async DescribeKeyPairs(input, context) {
    const { cloud } = context
    const scope = scopeOf(context)
    const rows = await cloud.keyPairs.list(scope, {
      names: input.KeyNames?.length ? input.KeyNames : undefined,
      ids: input.KeyPairIds?.length ? input.KeyPairIds : undefined,
      filters: readFilters(input.Filters),
    })
    const tags = await cloud.tags.of(
      scope,
      rows.map((row) => row.id),
    )
    return { KeyPairs: rows.map((row) => ec2KeyPairInfo(row, tags.get(row.id), input.IncludePublicKey ?? false)) }
  },

  async DeleteKeyPair(input, context) {
    const deleted = await context.cloud.keyPairs.delete(scopeOf(context), keyPairRef(input))
    return { Return: true, KeyPairId: deleted?.id }
  },
} satisfies Ec2Handlers<Pick<Cloud, 'keyPairs' | 'tags'>>

function keyPairRef({ KeyName: name, KeyPairId: id }: { KeyName?: string; KeyPairId?: string }): KeyPairRef {
  if (name && id) {
    throw new KilnError(
      'InvalidParameterCombination',
      'The parameter KeyName may not be used in combination with KeyPairId',
    )
  }
  if (id) return { id }
  if (name) return { name }
  throw new KilnError('MissingParameter', 'The request must contain the parameter KeyName or KeyPairId')
}

/** What every answer about a key pair has. */
function ec2KeyPair(row: KeyPair, tags: readonly Tag[] | undefined) {
  return { KeyPairId: row.id, KeyName: row.name, KeyFingerprint: row.fingerprint, Tags: ec2Tags(tags) }
}

function ec2KeyPairInfo(row: KeyPair, tags: readonly Tag[] | undefined, includePublicKey: boolean): KeyPairInfo {
  return {
    ...ec2KeyPair(row, tags),
    KeyType: row.type,
    CreateTime: new Date(row.createdAt),
    PublicKey: includePublicKey ? row.publicKey : undefined,
  }
}
