/**
 * Keeps what is metered true to what is there as time goes by: everything that changes a row is metered in the same
 * transaction (`state/usage`); here is what nobody's request brings about.
 */
import { limits } from '../../lib/limits.ts'
import type { UsageEnd } from '../../state/usage/usage-writer.ts'
import type { CloudDeps } from '../deps.ts'

type Deps = Pick<CloudDeps, 'state'>

export class Metering {
  readonly #deps: Deps
  /** Instances that this process has seen running. */
  readonly #seen = new Set<string>()
  /** Until when the process before this one is known to have lived. */
  #formerlyAliveMs: number | null = null

  constructor(deps: Deps) {
    this.#deps = deps
  }

  /** Before anything is adopted. A home that was not metered until now is from now on. */
  async start(): Promise<void> {
    const { state } = this.#deps
    this.#formerlyAliveMs = await state.usage.seenAtMs()
    await state.usage.noteClock()
    if (this.#formerlyAliveMs === null) await state.usage.followAll()
  }

  /** One pass: notes that this process is alive, and ends what ends by itself. */
  async pass(): Promise<void> {
    const { state } = this.#deps
    await state.usage.noteClock()
    await state.transaction((tx) => tx.usage.endRestores())
  }

  sawRunning(instanceId: string): void {
    if (this.#seen.size >= limits.instancesSeen) this.#seen.clear()
    this.#seen.add(instanceId)
  }

  /**
   * Until when an instance ran that was found not running. The host may know (ms). Otherwise it is the last time at which
   * it was seen, by this process or by the one before; that is marked as estimated, unless it was a moment ago.
   */
  endOf(instanceId: string, endedAtMs: number | null): UsageEnd | undefined {
    const wasSeen = this.#seen.delete(instanceId)
    if (endedAtMs !== null) return { atS: Math.floor(endedAtMs / 1000), isEstimated: false }
    if (wasSeen || this.#formerlyAliveMs === null) return undefined
    return { atS: Math.floor(this.#formerlyAliveMs / 1000), isEstimated: true }
  }
}
