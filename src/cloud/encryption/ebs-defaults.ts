/** What an account has set about encryption for its volumes in a region. Source: "Enable Amazon EBS encryption by default". */
import type { EncryptionKey } from '../../state/encryption.ts'
import type { Repositories } from '../../state/state.ts'
import type { Scope } from '../deps.ts'
import type { KeyDeps, NamedKeys } from './named-keys.ts'

export class EbsDefaults {
  readonly #deps: KeyDeps
  readonly #keys: NamedKeys

  constructor(deps: KeyDeps, keys: NamedKeys) {
    this.#deps = deps
    this.#keys = keys
  }

  async encryptsByDefault({ accountId, region }: Scope, tx: Repositories = this.#deps.state): Promise<boolean> {
    return (await tx.encryption.defaults(accountId, region)).encryptsByDefault === 1
  }

  async setEncryptsByDefault({ accountId, region }: Scope, isOn: boolean): Promise<void> {
    await this.#deps.state.encryption.setDefaults(accountId, region, { encryptsByDefault: isOn ? 1 : 0 })
  }

  /** What encrypts when no key is named. */
  async key(scope: Scope): Promise<EncryptionKey> {
    const { encryption } = this.#deps.state
    const { defaultKeyId } = await encryption.defaults(scope.accountId, scope.region)
    const key = defaultKeyId === null ? undefined : await encryption.key(defaultKeyId)
    return key ?? (await this.#keys.managed(scope))
  }

  /** Throws InvalidParameterValue for a key that the account does not have. */
  async setKey(scope: Scope, kmsKeyId: string): Promise<EncryptionKey> {
    const key = await this.#keys.resolve(scope, kmsKeyId)
    const defaultKeyId = key.isManaged ? null : key.id
    await this.#deps.state.encryption.setDefaults(scope.accountId, scope.region, { defaultKeyId })
    return key
  }

  async resetKey(scope: Scope): Promise<EncryptionKey> {
    await this.#deps.state.encryption.setDefaults(scope.accountId, scope.region, { defaultKeyId: null })
    return await this.#keys.managed(scope)
  }
}
