/**
 * What was just brought into a store and handed to a caller, who is about to write it down. Until that is done, or so
 * long that it will not be done any more, the collector must take it for needed.
 */
import type { Clock } from '../lib/clock.ts'
import type { LiveObjects } from './ports.ts'
import type { Hash } from './store.ts'

/** A caller writes it down in the next transaction; when it has died instead, it brings the same anew. */
const rememberedMs = 10 * 60_000
/** Looking through all claims costs what there are; thousands may come in a second. */
const dropEveryMs = 1000

type RecentKind = keyof LiveObjects

export class RecentObjects {
  readonly #clock: Clock
  /** For each object when its claims run out: the same object may have been handed out several times. */
  #droppedAtMs = Number.NEGATIVE_INFINITY
  readonly #claims: Record<RecentKind, Map<Hash, number[]>> = { roots: new Map(), blocks: new Map() }

  constructor(clock: Clock) {
    this.#clock = clock
  }

  remember(kind: RecentKind, hash: Hash): void {
    if (this.#clock.now() - this.#droppedAtMs >= dropEveryMs) this.#drop()
    const claims = this.#claims[kind].get(hash) ?? []
    this.#claims[kind].set(hash, [...claims, this.#clock.now() + rememberedMs])
  }

  /** One claim on the object is written down now. */
  settle(kind: RecentKind, hash: Hash): void {
    const claims = this.#claims[kind].get(hash)?.slice(1) ?? []
    if (claims.length > 0) this.#claims[kind].set(hash, claims)
    else this.#claims[kind].delete(hash)
  }

  all(): LiveObjects {
    this.#drop()
    return { roots: [...this.#claims.roots.keys()], blocks: [...this.#claims.blocks.keys()] }
  }

  #drop(): void {
    const now = this.#clock.now()
    this.#droppedAtMs = now
    for (const claims of Object.values(this.#claims))
      for (const [hash, untils] of claims) {
        const left = untils.filter((until) => until > now)
        if (left.length > 0) claims.set(hash, left)
        else claims.delete(hash)
      }
  }
}
