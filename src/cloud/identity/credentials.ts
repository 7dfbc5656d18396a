/** Whose an access key is: of the keys that Kiln issued, an account's, a user's or those of a session. */
import { KilnError } from '../../lib/errors.ts'
import { accountCaller, type Caller, userCaller } from './callers.ts'
import type { IdentityDeps } from './identities.ts'
import type { Sessions } from './sessions.ts'
import { sealedAs } from './user-access-keys.ts'

export interface CredentialUse {
  accessKeyId: string
  /** What came with it; a key that lasts has none. */
  sessionToken: string | undefined
  /** What it is used for, and where. */
  service: string
  region: string
}

export interface Credential {
  secret: string
  caller: Caller
}

/** How exact the time of the last use is: it is not written more often. */
const lastUseMs = 5 * 60_000

export class Credentials {
  readonly #deps: IdentityDeps
  readonly #sessions: Sessions

  constructor(deps: IdentityDeps, sessions: Sessions) {
    this.#deps = deps
    this.#sessions = sessions
  }

  /**
   * Undefined for a key that Kiln has not issued, that is switched off, or whose owner is gone. Throws ExpiredToken for
   * one that was good once.
   */
  async find(use: CredentialUse): Promise<Credential | undefined> {
    const { accessKeyId, sessionToken } = use
    if (accessKeyId.startsWith('ASIA')) return sessionToken ? await this.#ofSession(use, sessionToken) : undefined
    if (!accessKeyId.startsWith('AKIA')) return undefined
    const key = await this.#deps.state.settings.accessKey(accessKeyId)
    return key ? { secret: key.secret, caller: accountCaller(key.accountId) } : await this.#ofUser(use)
  }

  async #ofSession(use: CredentialUse, token: string): Promise<Credential | undefined> {
    const session = this.#sessions.open(use.accessKeyId, token)
    if (!session) return undefined
    const now = this.#deps.clock.now()
    if (session.expiresAt <= now) {
      throw new KilnError('ExpiredToken', 'The security token included in the request is expired')
    }
    const caller = await this.#sessions.callerOf(session.holder)
    if (!caller) return undefined
    const { identity } = caller
    if (caller.kind === 'role' && (identity!.lastUsedAt ?? 0) <= now - lastUseMs) {
      await this.#deps.state.identities.update(identity!.id, { lastUsedAt: now, lastUsedRegion: use.region })
    }
    return { secret: session.secret, caller }
  }

  async #ofUser({ accessKeyId, service, region }: CredentialUse): Promise<Credential | undefined> {
    const { state, masterKey, clock } = this.#deps
    const key = await state.userAccessKeys.get(accessKeyId)
    if (key?.status !== 'active') return undefined
    const user = await state.identities.get(key.userId)
    if (!user) return undefined
    const now = clock.now()
    if ((key.lastUsedAt ?? 0) <= now - lastUseMs || key.lastUsedService !== service) {
      await state.userAccessKeys.update(key.id, {
        ...{ lastUsedAt: now, lastUsedService: service, lastUsedRegion: region },
      })
    }
    const secret = masterKey.unseal(Buffer.from(key.sealedSecret, 'hex'), sealedAs(key.id)).toString()
    return { secret, caller: userCaller(user, false) }
  }
}
