/**
 * What is encrypted, and under which key: decided once for volumes and once for copies. Sources: "Use encryption with EBS"
 * and "Amazon EBS encryption examples" (its table of outcomes) in the EBS user guide, and CreateVolume, CopySnapshot and
 * EbsBlockDevice in the EC2 API reference.
 */
import { isKilnError, KilnError } from '../../lib/errors.ts'
import type { EncryptionKey } from '../../state/encryption.ts'
import type { Snapshot } from '../../state/snapshots.ts'
import type { Repositories } from '../../state/state.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import { dataKeyUnder, newDataKey } from './data-keys.ts'
import type { EbsDefaults } from './ebs-defaults.ts'
import { arnOf, type NamedKeys } from './named-keys.ts'

/** What a request says; null is what it leaves out. */
export interface EncryptionWish {
  encrypted: boolean | null
  kmsKeyId: string | null
}

export const noWish: EncryptionWish = { encrypted: null, kmsKeyId: null }

/** What a row of a volume says of its encryption. */
export interface VolumeEncryption {
  encrypted: 0 | 1
  dataKeyId: string | null
  baseDataKeyId: string | null
}

/** What is to become of a copy. */
export interface CopyPlan {
  /** Null for a copy that is not encrypted. */
  keyId: string | null
  /** Its blocks are the source's as they are; otherwise they are sealed anew. */
  keepsBlocks: boolean
}

/** How a request calls the two parameters. */
export interface ParameterNames {
  encrypted: string
  kmsKeyId: string
}

const plainNames: ParameterNames = { encrypted: 'Encrypted', kmsKeyId: 'KmsKeyId' }

export class Encryption {
  readonly #deps: CloudDeps
  readonly #keys: NamedKeys
  readonly #defaults: EbsDefaults

  constructor(deps: CloudDeps, keys: NamedKeys, defaults: EbsDefaults) {
    this.#deps = deps
    this.#keys = keys
    this.#defaults = defaults
  }

  /**
   * The id of the named key that a new volume is encrypted under; null when it is not encrypted. A volume of an encrypted
   * snapshot is always encrypted: under the snapshot's key when that is the account's own, and else under its default.
   */
  async keyForVolume(
    scope: Scope,
    wish: EncryptionWish,
    snapshot: Snapshot | undefined,
    names = plainNames,
  ): Promise<string | null> {
    checkDependency(wish, names)
    if (wish.kmsKeyId !== null) return (await this.#keys.resolve(scope, wish.kmsKeyId, names.kmsKeyId)).id
    if (snapshot?.dataKeyId) {
      if (wish.encrypted === false) throw cannotDecrypt(snapshot.id, names)
      const key = await this.#keyOf(snapshot.dataKeyId)
      return key.accountId === scope.accountId ? key.id : (await this.#defaults.key(scope)).id
    }
    const isEncrypted = wish.encrypted || (await this.#defaults.encryptsByDefault(scope))
    return isEncrypted ? (await this.#defaults.key(scope)).id : null
  }

  /** The same for what takes the place of a volume: encrypted if that is. */
  async keyForReplacement(
    scope: Scope,
    { dataKeyId }: { dataKeyId: string | null },
    snapshot: Snapshot,
  ): Promise<string | null> {
    if (dataKeyId === null || snapshot.dataKeyId !== null) return await this.keyForVolume(scope, noWish, snapshot)
    return (await this.#keyOf(dataKeyId)).id
  }

  /**
   * The columns of a new volume's row, in the caller's transaction. A volume stays in its snapshot's lineage when both have
   * the same named key, and begins a new one otherwise.
   */
  async volumeColumns(
    tx: Repositories,
    keyId: string | null,
    snapshot: Pick<Snapshot, 'dataKeyId'> | undefined,
  ): Promise<VolumeEncryption> {
    const baseDataKeyId = snapshot?.dataKeyId ?? null
    if (keyId === null) return { encrypted: 0, dataKeyId: null, baseDataKeyId }
    const base = baseDataKeyId === null ? undefined : await tx.encryption.dataKey(baseDataKeyId)
    const dataKeyId = base?.keyId === keyId ? base.id : await newDataKey(this.#deps, tx, keyId)
    return { encrypted: 1, dataKeyId, baseDataKeyId }
  }

  /**
   * What is to become of a copy into the scope's region. Under the same key the blocks stay as they are, and so they do in
   * another region when no key is named there: the data key is sealed by that region's key. A key that is named encrypts
   * anew, as does every key on what was not encrypted, or was another account's.
   */
  async planCopy(scope: Scope, wish: EncryptionWish, source: Snapshot): Promise<CopyPlan> {
    checkDependency(wish, plainNames)
    const named = wish.kmsKeyId === null ? undefined : await this.#keys.resolve(scope, wish.kmsKeyId)
    if (source.dataKeyId === null) {
      const isEncrypted = wish.encrypted || (await this.#defaults.encryptsByDefault(scope))
      if (!isEncrypted) return { keyId: null, keepsBlocks: true }
      return { keyId: (named ?? (await this.#defaults.key(scope))).id, keepsBlocks: false }
    }
    if (wish.encrypted === false) throw cannotDecrypt(source.id, plainNames)
    const key = await this.#keyOf(source.dataKeyId)
    const isOwn = key.accountId === scope.accountId
    if (named) return { keyId: named.id, keepsBlocks: named.id === key.id }
    if (isOwn && key.region === scope.region) return { keyId: key.id, keepsBlocks: true }
    return { keyId: (await this.#defaults.key(scope)).id, keepsBlocks: isOwn }
  }

  /** The data key of a copy, in the caller's transaction, and whether its blocks must be sealed anew. */
  async copyDataKey(
    tx: Repositories,
    { accountId }: Scope,
    { keyId, keepsBlocks }: CopyPlan,
    source: Snapshot,
  ): Promise<{ dataKeyId: string | null; reseals: boolean }> {
    if (keyId === null) return { dataKeyId: null, reseals: false }
    if (keepsBlocks && source.dataKeyId !== null) {
      try {
        const dataKeyId = await dataKeyUnder(this.#deps, tx, { accountId, dataKeyId: source.dataKeyId, keyId })
        return { dataKeyId, reseals: false }
      } catch (error) {
        // A key that cannot be used now: the operation tells, as it would of one that is disabled a moment later.
        if (!isKilnError(error, 'CustomerKeyHasBeenRevoked')) throw error
      }
    }
    return { dataKeyId: await newDataKey(this.#deps, tx, keyId), reseals: true }
  }

  /** The data key of a snapshot that is written block by block, in the caller's transaction. */
  async uploadDataKey(tx: Repositories, keyId: string | null, parent: Snapshot | null): Promise<string | null> {
    if (parent) return parent.dataKeyId
    return keyId === null ? null : await newDataKey(this.#deps, tx, keyId)
  }

  /** The ARNs of the named keys that seal those data keys. */
  async arnsOf(rows: readonly { dataKeyId: string | null }[]): Promise<Map<string, string>> {
    const ids = rows.flatMap((row) => row.dataKeyId ?? [])
    const keys = await this.#deps.state.encryption.keysOf(ids)
    return new Map([...keys].map(([id, key]) => [id, arnOf(key)]))
  }

  /**
   * Throws OperationNotPermitted when a snapshot of that data key cannot be given to those grantees: encrypted ones are
   * for accounts, not for all, and never under a managed key, which nobody else can use.
   */
  async checkSharing(what: string, dataKeyIds: readonly (string | null)[], grantees: readonly string[]): Promise<void> {
    const ids = dataKeyIds.flatMap((id) => id ?? [])
    if (ids.length === 0 || grantees.length === 0) return
    if (grantees.includes('all')) {
      throw new KilnError('OperationNotPermitted', `${what} is encrypted and cannot be shared with all (UserGroup)`)
    }
    const keys = [...(await this.#deps.state.encryption.keysOf(ids)).values()]
    if (!keys.some((key) => key.isManaged)) return
    throw new KilnError(
      'OperationNotPermitted',
      `${what} is encrypted under the managed key alias/aws/ebs and cannot be shared: copy it under a key of your own`,
    )
  }

  async #keyOf(dataKeyId: string): Promise<EncryptionKey> {
    return (await this.#deps.state.encryption.keysOf([dataKeyId])).get(dataKeyId)!
  }
}

function checkDependency({ encrypted, kmsKeyId }: EncryptionWish, names: ParameterNames): void {
  if (kmsKeyId === null || encrypted) return
  throw new KilnError(
    'InvalidParameterDependency',
    `The parameter ${names.kmsKeyId} requires the parameter ${names.encrypted} to be set.`,
  )
}

const cannotDecrypt = (snapshotId: string, names: ParameterNames) =>
  new KilnError(
    'InvalidParameterValue',
    `Value (false) for parameter ${names.encrypted} is invalid: the snapshot '${snapshotId}' is encrypted, and so is all that is made of it.`,
  )
