/** One request on its way through the chain, and what the chain works with. */
import type { Caller } from '../../cloud/identity/callers.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import type { Random } from '../../lib/random.ts'
import type { ApiService, HttpAnswer } from '../service.ts'
import type { Authorization } from '../signature/authorization.ts'
import type { ChunkSeed, KeyLookup } from '../signature/verification.ts'
import type { Guest, GuestLookup } from './guests.ts'

/** What the chain asks of whoever received the request. */
export interface Incoming {
  method: string
  /** Path and query as sent. */
  target: string
  /** Headers in order, names as sent. */
  headers: readonly (readonly [name: string, value: string])[]
  /** The body, which may be read once. */
  body: AsyncIterable<Uint8Array>
  /** Where the request comes from within an instance: which one. */
  guest?: GuestLookup | undefined
}

export interface ControlRequest {
  method: string
  /** `/_kiln/health` */
  path: string
  query: string
  headers: ReadonlyMap<string, string>
  body: Buffer
}

/** Serves `/_kiln/…`; undefined when there is nothing of that name. */
export type ControlHandler = (request: ControlRequest) => Promise<HttpAnswer | undefined>

export type AuthSettings =
  /** Every access key is taken for what it says, or for whose it is if Kiln issued it: only for loopback. */
  { mode: 'open'; lookupKey?: KeyLookup } | { mode: 'verify'; lookupKey: KeyLookup }

export interface ChainSettings {
  services: readonly ApiService[]
  auth: AuthSettings
  control: ControlHandler
  log: Log
  clock: Clock
  random: Random
}

/** Each step of the chain adds what it found out; the first that sets an answer ends the chain. */
export interface Exchange {
  readonly requestId: string
  readonly incoming: Incoming
  /** Header names in lower case; the first value of each. */
  readonly headers: ReadonlyMap<string, string>
  readonly path: string
  readonly query: string
  readonly audit: { action: string | null; accountId: string | null; region: string | null; instanceId?: string }
  guest?: Guest
  authorization?: Authorization
  service?: ApiService
  /** Of a service that reads bodies at once. */
  body?: Buffer
  payloadHash?: string | undefined
  seed?: ChunkSeed
  caller?: Caller
  region?: string
  answer?: HttpAnswer
}
