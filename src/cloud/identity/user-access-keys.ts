/** Access keys of users. Their secrets lie sealed under the master key. Source: CreateAccessKey, IAM API reference. */
import { KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import type { UserAccessKey } from '../../state/user-access-keys.ts'
import { type Identities, type Identity, type IdentityDeps, overQuota } from './identities.ts'
import { accessKeyId } from './key-ids.ts'

export class UserAccessKeys {
  readonly #deps: IdentityDeps
  readonly #identities: Identities

  constructor(deps: IdentityDeps, identities: Identities) {
    this.#deps = deps
    this.#identities = identities
  }

  /** The secret is shown this once. Throws LimitExceeded for a third. */
  async create(accountId: string, userName: string): Promise<UserAccessKey & { secret: string }> {
    const { state, random, clock, masterKey } = this.#deps
    const id = accessKeyId('AKIA', accountId, random.bytes(10))
    const secret = random.bytes(30).toString('base64')
    const sealedSecret = masterKey.seal(Buffer.from(secret), sealedAs(id)).toString('hex')
    const use = { lastUsedAt: null, lastUsedService: null, lastUsedRegion: null }
    return await state.transaction(async (tx) => {
      const user = await this.#identities.named(tx, accountId, 'user', userName)
      if ((await tx.userAccessKeys.of(user.id)).length >= limits.accessKeysPerUser) {
        throw overQuota('AccessKeysPerUser', limits.accessKeysPerUser)
      }
      const row = { id, accountId, userId: user.id, sealedSecret, status: 'active' as const, ...use }
      await tx.userAccessKeys.insert({ ...row, createdAt: clock.now() })
      return { ...row, createdAt: clock.now(), secret }
    })
  }

  async list(accountId: string, userName: string): Promise<UserAccessKey[]> {
    const user = await this.#identities.get(accountId, 'user', userName)
    return await this.#deps.state.userAccessKeys.of(user.id)
  }

  async setStatus(accountId: string, userName: string, id: string, status: UserAccessKey['status']): Promise<void> {
    await this.#owned(accountId, userName, id)
    await this.#deps.state.userAccessKeys.update(id, { status })
  }

  async remove(accountId: string, userName: string, id: string): Promise<void> {
    await this.#owned(accountId, userName, id)
    await this.#deps.state.userAccessKeys.remove(id)
  }

  /** Whose a key of the account is, and when it was last used. Throws NoSuchEntity. */
  async lastUse(accountId: string, id: string): Promise<{ key: UserAccessKey; user: Identity }> {
    const key = await this.#deps.state.userAccessKeys.get(id)
    const user = key?.accountId === accountId ? await this.#deps.state.identities.get(key.userId) : undefined
    if (key && user) return { key, user }
    throw noSuchKey(id)
  }

  /** The user whose key that is; undefined when no user of the account has it. */
  async userOf(accountId: string, id: string): Promise<Identity | undefined> {
    const key = await this.#deps.state.userAccessKeys.get(id)
    return key?.accountId === accountId ? await this.#deps.state.identities.get(key.userId) : undefined
  }

  async #owned(accountId: string, userName: string, id: string): Promise<void> {
    const user = await this.#identities.get(accountId, 'user', userName)
    const key = await this.#deps.state.userAccessKeys.get(id)
    if (key?.userId !== user.id) throw noSuchKey(id)
  }
}

/** What the secret of a key is sealed as. */
export const sealedAs = (id: string) => `access key ${id}`

const noSuchKey = (id: string) =>
  new KilnError('NoSuchEntity', `The Access Key with id ${id.slice(0, 128)} cannot be found`)
