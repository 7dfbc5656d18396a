/** The operations of KMS that are served. Source: the AWS KMS API reference. */
import type { Scope } from '../../cloud/deps.ts'
import { arnOf, type NamedKeys } from '../../cloud/encryption/named-keys.ts'
import { isKilnError, KilnError } from '../../lib/errors.ts'
import { clipped } from '../ec2/codec/form.ts'

type Input = Record<string, unknown>
type Handler = (input: Input, request: { scope: Scope; keys: NamedKeys }) => Promise<object>
type Key = Awaited<ReturnType<NamedKeys['resolve']>>

const listMax = 1000
const listDefault = 100

export const kmsHandlers: Readonly<Record<string, Handler>> = {
  async CreateKey(input, { scope, keys }) {
    refuseOther(input, 'KeyUsage', 'ENCRYPT_DECRYPT')
    refuseOther(input, 'KeySpec', 'SYMMETRIC_DEFAULT')
    refuseOther(input, 'CustomerMasterKeySpec', 'SYMMETRIC_DEFAULT')
    refuseOther(input, 'Origin', 'AWS_KMS')
    for (const name of ['CustomKeyStoreId', 'MultiRegion', 'Policy', 'Tags', 'XksKeyId']) refuseGiven(input, name)
    const description = text(input, 'Description') ?? ''
    return { KeyMetadata: metadata(await keys.create(scope, { description, alias: null })) }
  },

  async DescribeKey(input, request) {
    return { KeyMetadata: metadata(await keyOf(input, request, 'KeyId')) }
  },

  async ListKeys(input, { scope, keys }) {
    const page = pageOf(await keys.ofAccount(scope), input, (key) => key.id)
    return { Keys: page.items.map((key) => ({ KeyId: key.id, KeyArn: arnOf(key) })), ...page.about }
  },

  async CreateAlias(input, request) {
    const name = required(input, 'AliasName')
    if (!name.startsWith('alias/')) throw new KilnError('InvalidAliasNameException', 'AliasName must begin with alias/')
    const key = await ownKeyOf(input, request, 'TargetKeyId')
    await request.keys.addAlias(key.id, name).catch((error) => {
      if (isKilnError(error, 'InvalidParameterValue')) {
        const code = error.message.includes('already') ? 'AlreadyExistsException' : 'InvalidAliasNameException'
        throw new KilnError(code, error.message, { cause: error })
      }
      throw error
    })
    return {}
  },

  async ListAliases(input, request) {
    const { scope, keys } = request
    const only = input.KeyId === undefined ? undefined : (await keyOf(input, request, 'KeyId')).id
    const aliases = (await keys.aliasesOfAccount(scope)).filter(({ keyId }) => only === undefined || keyId === only)
    const page = pageOf(aliases, input, (alias) => alias.name)
    const shown = page.items.map(({ name, keyId, createdAt }) => ({
      ...{ AliasName: name, AliasArn: `arn:aws:kms:${scope.region}:${scope.accountId}:${name}` },
      ...{ TargetKeyId: keyId, CreationDate: createdAt / 1000, LastUpdatedDate: createdAt / 1000 },
    }))
    return { Aliases: shown, ...page.about }
  },

  async EnableKey(input, request) {
    await request.keys.setState((await ownKeyOf(input, request, 'KeyId')).id, 'enabled')
    return {}
  },

  async DisableKey(input, request) {
    await request.keys.setState((await ownKeyOf(input, request, 'KeyId')).id, 'disabled')
    return {}
  },

  async RotateKeyOnDemand(input, request) {
    const key = await ownKeyOf(input, request, 'KeyId')
    await request.keys.rotate(key.id)
    return { KeyId: key.id }
  },

  /** Keys rotate when somebody asks; nothing does so once a year. */
  async GetKeyRotationStatus(input, request) {
    const key = await ownKeyOf(input, request, 'KeyId')
    return { KeyId: key.id, KeyRotationEnabled: false }
  },

  /** What a key that is shared with nobody has on AWS; `kiln key grant` stands for other policies. */
  async GetKeyPolicy(input, request) {
    const { accountId } = await ownKeyOf(input, request, 'KeyId')
    const statement = { Sid: 'Enable IAM User Permissions', Effect: 'Allow', Action: 'kms:*', Resource: '*' }
    const Principal = { AWS: `arn:aws:iam::${accountId}:root` }
    const policy = { Version: '2012-10-17', Id: 'key-default-1', Statement: [{ ...statement, Principal }] }
    return { Policy: JSON.stringify(policy), PolicyName: 'default' }
  },

  async ListResourceTags(input, request) {
    await ownKeyOf(input, request, 'KeyId')
    return { Tags: [], Truncated: false }
  },
}

/** A key that the account has, or that is shared with it. */
async function keyOf(input: Input, { scope, keys }: Parameters<Handler>[1], parameter: string): Promise<Key> {
  const name = required(input, parameter)
  return await keys.resolve(scope, name, parameter).catch((error) => {
    if (!isKilnError(error, 'InvalidParameterValue')) throw error
    throw new KilnError('NotFoundException', `Key '${clipped(name)}' does not exist`, { cause: error })
  })
}

async function ownKeyOf(input: Input, request: Parameters<Handler>[1], parameter: string): Promise<Key> {
  const key = await keyOf(input, request, parameter)
  if (key.accountId === request.scope.accountId) return key
  throw new KilnError('AccessDeniedException', `The key ${arnOf(key)} belongs to another account`)
}

function metadata(key: Key) {
  const isEnabled = key.state === 'enabled'
  return {
    AWSAccountId: key.accountId,
    KeyId: key.id,
    Arn: arnOf(key),
    CreationDate: key.createdAt / 1000,
    Enabled: isEnabled,
    Description: key.description,
    KeyUsage: 'ENCRYPT_DECRYPT',
    KeyState: isEnabled ? 'Enabled' : 'Disabled',
    Origin: 'AWS_KMS',
    KeyManager: key.isManaged ? 'AWS' : 'CUSTOMER',
    CustomerMasterKeySpec: 'SYMMETRIC_DEFAULT',
    KeySpec: 'SYMMETRIC_DEFAULT',
    EncryptionAlgorithms: ['SYMMETRIC_DEFAULT'],
    MultiRegion: false,
  }
}

/** In the order of the marks, from behind the one that the request names. */
function pageOf<T>(all: readonly T[], input: Input, markOf: (item: T) => string) {
  const limit = input.Limit ?? listDefault
  if (typeof limit !== 'number' || !Number.isInteger(limit) || limit < 1 || limit > listMax) {
    throw new KilnError('InvalidParameterValue', `Limit must be a whole number from 1 to ${listMax}`)
  }
  const marker = text(input, 'Marker')
  const rest = [...all]
    .sort((a, b) => (markOf(a) < markOf(b) ? -1 : 1))
    .filter((item) => marker === undefined || markOf(item) > marker)
  const items = rest.slice(0, limit)
  const isWhole = items.length === rest.length
  return { items, about: { Truncated: !isWhole, NextMarker: isWhole ? undefined : markOf(items.at(-1)!) } }
}

function text(input: Input, name: string): string | undefined {
  const value = input[name] ?? undefined
  if (value === undefined || (typeof value === 'string' && value.length <= 8192)) return value
  throw new KilnError('InvalidParameterValue', `${name} must be a text of at most 8192 characters`)
}

function required(input: Input, name: string): string {
  const value = text(input, name)
  if (value) return value
  throw new KilnError('InvalidParameterValue', `The request must contain ${name}`)
}

function refuseOther(input: Input, name: string, only: string): void {
  const value = text(input, name)
  if (value === undefined || value === only) return
  throw new KilnError(
    'UnsupportedOperationException',
    `${name} '${clipped(value)}' is not supported by Kiln: ${only} is`,
  )
}

function refuseGiven(input: Input, name: string): void {
  const value = input[name]
  const isAbsent = value === undefined || value === null || value === false || value === ''
  if (isAbsent || (Array.isArray(value) && value.length === 0)) return
  throw new KilnError('UnsupportedOperationException', `${name} is not supported by Kiln`)
}
