/**
 * Credentials for a while. All that is to be known of them is in their session token, sealed under the master key: nothing
 * is kept, so that none can be lost, and none has to be cleared away. They are good as long as whoever they stand for is
 * there.
 */
import { createHash } from 'node:crypto'
import { WrongKey } from '../../lib/sealing.ts'
import type { Identity } from '../../state/identities.ts'
import { accountCaller, type Caller, federatedCaller, roleCaller, userCaller } from './callers.ts'
import type { IdentityDeps } from './identities.ts'
import { accessKeyId } from './key-ids.ts'

/** Whom they stand for. */
export interface SessionHolder {
  accountId: string
  kind: Caller['kind']
  /** The user or role; null for the account itself. */
  identityId: string | null
  /** Of a role's session or a federated user. */
  name: string | null
}

export interface SessionCredentials {
  accessKeyId: string
  secret: string
  token: string
  expiresAt: number
}

export interface OpenedSession {
  secret: string
  expiresAt: number
  holder: SessionHolder
}

interface Contents {
  key: string
  secret: string
  expiresAt: number
  holder: SessionHolder
}

const sealedAs = 'session token'
/** Longer than any of ours. */
const tokenLengthMax = 4096

export class Sessions {
  readonly #deps: IdentityDeps

  constructor(deps: IdentityDeps) {
    this.#deps = deps
  }

  /** New ones, which end after so many seconds. */
  issue(holder: SessionHolder, seconds: number): SessionCredentials {
    const expiresAt = Math.floor(this.#deps.clock.now() / 1000 + seconds) * 1000
    return this.#credentials(holder, expiresAt, this.#deps.random.bytes(40))
  }

  /** The same for the same holder, end and purpose, whoever asks and whenever. */
  repeated(holder: SessionHolder, expiresAt: number, purpose: string): SessionCredentials {
    const about = JSON.stringify([holder, expiresAt])
    // Sealing is repeatable, and nobody without the master key can do it: its digest is a secret that need not be kept.
    const secret = createHash('sha512')
      .update(this.#deps.masterKey.seal(Buffer.from(about), purpose))
      .digest()
    return this.#credentials(holder, expiresAt, secret)
  }

  /** What a token says that Kiln made for that key; undefined for any other text. */
  open(keyId: string, token: string): OpenedSession | undefined {
    if (token.length > tokenLengthMax) return undefined
    try {
      const text = this.#deps.masterKey.unseal(Buffer.from(token, 'base64'), sealedAs).toString()
      const { key, ...session } = JSON.parse(text) as Contents
      return key === keyId ? session : undefined
    } catch (error) {
      if (error instanceof WrongKey) return undefined
      throw error
    }
  }

  /** Undefined when whoever they stood for is gone. */
  async callerOf(holder: SessionHolder): Promise<Caller | undefined> {
    const { accountId, kind, identityId, name } = holder
    const identity = identityId === null ? null : ((await this.#deps.state.identities.get(identityId)) ?? undefined)
    if (identity === undefined) return undefined
    if (kind === 'federated') return federatedCaller(accountId, name!, identity)
    if (identity === null) return accountCaller(accountId, true)
    return kind === 'role' ? roleCaller(identity, name!) : userCaller(identity, true)
  }

  #credentials(holder: SessionHolder, expiresAt: number, entropy: Uint8Array): SessionCredentials {
    const { masterKey } = this.#deps
    const key = accessKeyId('ASIA', holder.accountId, entropy)
    const secret = Buffer.from(entropy.subarray(10, 40)).toString('base64')
    const contents: Contents = { key, secret, expiresAt, holder }
    const token = masterKey.seal(Buffer.from(JSON.stringify(contents)), sealedAs).toString('base64')
    return { accessKeyId: key, secret, token, expiresAt }
  }
}

export const roleHolder = ({ accountId, id }: Identity, name: string): SessionHolder => ({
  ...{ accountId, kind: 'role', identityId: id, name },
})
