/**
 * Named keys, as AWS KMS has them: what users make, rotate, disable and share. A key seals data keys and nothing else; its
 * versions lie in the state, each sealed under the master key. A rotation makes a new version, and the older ones stay to
 * open what they have sealed.
 *
 * Source: "Rotate AWS KMS keys", "Aliases in AWS KMS" and "Key states of AWS KMS keys" in the KMS developer guide.
 */
import { KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import { keyBytes } from '../../lib/sealing.ts'
import type { EncryptionKey, EncryptionKeyAlias } from '../../state/encryption.ts'
import type { Repositories } from '../../state/state.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import { checkMasterKey } from './master-key.ts'

export const managedAlias = 'alias/aws/ebs'

const uuidShape = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const arnShape = /^arn:aws:kms:([a-z0-9-]{1,40}):(\d{12}):(?:key\/([0-9a-f-]{36})|(alias\/.{1,250}))$/
const aliasShape = /^alias\/[a-zA-Z0-9:/_-]{1,250}$/
const reservedAlias = /^alias\/aws\//

export type KeyDeps = Pick<CloudDeps, 'state' | 'clock' | 'random' | 'masterKey'>

export interface KeyView extends EncryptionKey {
  arn: string
  aliases: string[]
  grantees: string[]
}

export const arnOf = ({ id, accountId, region }: Pick<EncryptionKey, 'id' | 'accountId' | 'region'>) =>
  `arn:aws:kms:${region}:${accountId}:key/${id}`

/** What a version of a key is sealed as. */
export const versionLabel = (keyId: string, version: number) => `key ${keyId} version ${version}`

export class NamedKeys {
  readonly #deps: KeyDeps

  constructor(deps: KeyDeps) {
    this.#deps = deps
  }

  async create(scope: Scope, request: { description: string; alias: string | null }): Promise<KeyView> {
    const { description, alias } = request
    if (description.length > limits.keyDescriptionLength) {
      throw new KilnError(
        'InvalidParameterValue',
        `The description is longer than ${limits.keyDescriptionLength} characters`,
      )
    }
    const name = alias === null ? null : readAlias(alias)
    const id = await this.#deps.state.transaction(async (tx) => {
      if ((await tx.encryption.countKeys(scope.accountId, scope.region)) >= limits.encryptionKeysPerRegion) {
        throw new KilnError(
          'ResourceLimitExceeded',
          `The account has ${limits.encryptionKeysPerRegion} encryption keys in ${scope.region}`,
        )
      }
      if (name !== null) await checkAliasIsFree(tx, scope, name)
      const key = await this.#insert(tx, scope, { description, isManaged: 0 })
      if (name !== null) await this.#insertAlias(tx, scope, name, key)
      return key
    })
    return await this.view(id)
  }

  /** All keys of all accounts, for whoever runs this Kiln. */
  async list(): Promise<KeyView[]> {
    const { encryption } = this.#deps.state
    const aliases = Map.groupBy(await encryption.aliases(), (alias) => alias.keyId)
    const keys = await encryption.keys()
    return Promise.all(
      keys.map(async (key) => ({
        ...key,
        arn: arnOf(key),
        aliases: (aliases.get(key.id) ?? []).map((alias) => alias.name),
        grantees: await encryption.granteesOf(key.id),
      })),
    )
  }

  ofAccount({ accountId, region }: Scope): Promise<EncryptionKey[]> {
    return this.#deps.state.encryption.keysIn(accountId, region)
  }

  aliasesOfAccount({ accountId, region }: Scope): Promise<EncryptionKeyAlias[]> {
    return this.#deps.state.encryption.aliasesIn(accountId, region)
  }

  async view(id: string): Promise<KeyView> {
    return (await this.list()).find((key) => key.id === id)!
  }

  /** A new version seals what is new from now on. Nothing is sealed anew. */
  async rotate(id: string): Promise<KeyView> {
    const { state, clock } = this.#deps
    await state.transaction(async (tx) => {
      const key = await present(tx, id)
      if (key.state === 'disabled') throw disabled(key)
      const version = key.currentVersion + 1
      await tx.encryption.addVersion(this.#newVersion(id, version))
      await tx.encryption.updateKey(id, { currentVersion: version, rotatedAt: clock.now() })
    })
    return await this.view(id)
  }

  /** A disabled key opens nothing; machines that run with what it sealed go on. */
  async setState(id: string, to: EncryptionKey['state']): Promise<KeyView> {
    await this.#deps.state.transaction(async (tx) => {
      const key = await present(tx, id)
      if (key.isManaged) {
        throw new KilnError(
          'InvalidParameterValue',
          `The key ${id} is the managed ${managedAlias} of its account: it cannot be disabled`,
        )
      }
      await tx.encryption.updateKey(id, { state: to })
    })
    return await this.view(id)
  }

  async addAlias(id: string, alias: string): Promise<KeyView> {
    const name = readAlias(alias)
    await this.#deps.state.transaction(async (tx) => {
      const key = await present(tx, id)
      await checkAliasIsFree(tx, key, name)
      await this.#insertAlias(tx, key, name, id)
    })
    return await this.view(id)
  }

  /** Lets another account use the key, or no longer. */
  async share(id: string, account: string, isShared: boolean): Promise<KeyView> {
    if (!/^\d{12}$/.test(account)) {
      throw new KilnError('InvalidParameterValue', `The account '${account}' is not a number of 12 digits`)
    }
    await this.#deps.state.transaction(async (tx) => {
      const key = await present(tx, id)
      if (key.isManaged) {
        throw new KilnError('InvalidParameterValue', `The key ${id} is managed, and cannot be shared`)
      }
      if (!isShared) return await tx.encryption.revoke(id, account)
      if ((await tx.encryption.granteesOf(id)).length >= limits.keyGrantees) {
        throw new KilnError('ResourceLimitExceeded', `A key can be shared with ${limits.keyGrantees} accounts`)
      }
      await tx.encryption.grant(id, account)
    })
    return await this.view(id)
  }

  /** The account's `alias/aws/ebs` in the region, made on its first use. */
  async managed(scope: Scope): Promise<EncryptionKey> {
    const { state } = this.#deps
    const find = async (tx: Repositories) => {
      const alias = await tx.encryption.alias(scope.accountId, scope.region, managedAlias)
      return alias && (await tx.encryption.key(alias.keyId))
    }
    const found = await find(state)
    if (found) return found
    return await state.transaction(async (tx) => {
      const made = await find(tx)
      if (made) return made
      const description = 'Default key that protects EBS volumes when no other key is defined'
      const id = await this.#insert(tx, scope, { description, isManaged: 1 })
      await this.#insertAlias(tx, scope, managedAlias, id)
      return await present(tx, id)
    })
  }

  /**
   * The key that a KmsKeyId means: an id, a key's ARN, an alias or an alias's ARN, of the account or shared with it. Throws
   * InvalidParameterValue, naming the parameter.
   */
  async resolve(scope: Scope, kmsKeyId: string, parameter = 'KmsKeyId'): Promise<EncryptionKey> {
    const none = () =>
      new KilnError(
        'InvalidParameterValue',
        `Value (${kmsKeyId.slice(0, 300)}) for parameter ${parameter} is invalid: the account has no such key in ${scope.region}`,
      )
    const [, region, accountId, idInArn, aliasInArn] = arnShape.exec(kmsKeyId) ?? []
    if (region !== undefined && region !== scope.region) throw none()
    const id = idInArn ?? (uuidShape.test(kmsKeyId) ? kmsKeyId : undefined)
    const alias = aliasInArn ?? (aliasShape.test(kmsKeyId) ? kmsKeyId : undefined)
    const owner = accountId ?? scope.accountId
    if (alias === managedAlias && owner === scope.accountId) return await this.managed(scope)
    const { encryption } = this.#deps.state
    const keyId = id ?? (alias && (await encryption.alias(owner, scope.region, alias))?.keyId)
    const key = keyId ? await encryption.key(keyId) : undefined
    if (!key || key.region !== scope.region || key.accountId !== owner) throw none()
    if (key.accountId === scope.accountId) return key
    if ((await encryption.granteesOf(key.id)).includes(scope.accountId)) return key
    throw none()
  }

  async #insert(tx: Repositories, scope: Scope, about: { description: string; isManaged: 0 | 1 }): Promise<string> {
    const { random, clock, masterKey } = this.#deps
    await checkMasterKey(tx, masterKey)
    const id = uuidOf(random.bytes(16))
    const row = { ...about, id, accountId: scope.accountId, region: scope.region, createdAt: clock.now() }
    await tx.encryption.insertKey(
      { ...row, state: 'enabled', currentVersion: 1, rotatedAt: null },
      this.#newVersion(id, 1),
    )
    return id
  }

  #newVersion(keyId: string, version: number) {
    const { random, clock, masterKey } = this.#deps
    const sealed = masterKey.seal(random.bytes(keyBytes), versionLabel(keyId, version)).toString('hex')
    return { keyId, version, sealed, createdAt: clock.now() }
  }

  async #insertAlias(tx: Repositories, { accountId, region }: Scope, name: string, keyId: string): Promise<void> {
    await tx.encryption.insertAlias({ accountId, region, name, keyId, createdAt: this.#deps.clock.now() })
  }
}

async function present(tx: Repositories, id: string): Promise<EncryptionKey> {
  const key = await tx.encryption.key(id)
  if (key) return key
  throw new KilnError('InvalidParameterValue', `There is no encryption key '${id.slice(0, 100)}'`)
}

async function checkAliasIsFree(tx: Repositories, { accountId, region }: Scope, name: string): Promise<void> {
  const taken = await tx.encryption.alias(accountId, region, name)
  if (!taken) return
  throw new KilnError('InvalidParameterValue', `The alias '${name}' is that of key ${taken.keyId} in ${region} already`)
}

/** `alias/` may be left out. */
function readAlias(text: string): string {
  const name = text.startsWith('alias/') ? text : `alias/${text}`
  if (aliasShape.test(name) && !reservedAlias.test(name)) return name
  throw new KilnError(
    'InvalidParameterValue',
    `The alias '${text.slice(0, 300)}' must be 1 to 250 letters, digits and the signs : / _ -, and not begin with aws/`,
  )
}

export const disabled = (key: Pick<EncryptionKey, 'id' | 'accountId' | 'region'>) =>
  new KilnError('CustomerKeyHasBeenRevoked', `The encryption key ${arnOf(key)} is disabled`)

/** A random UUID (RFC 9562, version 4). */
export function uuidOf(bytes: Buffer): string {
  const marked = Buffer.from(bytes)
  marked[6] = (marked[6]! & 0x0f) | 0x40
  marked[8] = (marked[8]! & 0x3f) | 0x80
  const digits = marked.toString('hex')
  return [digits.slice(0, 8), digits.slice(8, 12), digits.slice(12, 16), digits.slice(16, 20), digits.slice(20)].join(
    '-',
  )
}
