/**
 * Blocks that nothing needs any more go: now and then by themselves, and when somebody asks. See `blocks/collector.ts` for
 * how that never takes what a writer counts on.
 */
import { KilnError } from '../../lib/errors.ts'
import type { Random } from '../../lib/random.ts'
import { idsWithout } from '../asked-ids.ts'
import type { StoreDeps } from '../deps.ts'
import type { Collected, Progress } from '../ports.ts'
import type { LiveSet } from './live-set.ts'

/** Objects stay so long at least; the time in which a mistake of ours could still be seen and stopped. */
export const defaultGraceMs = 3600_000

export interface RegionCollected extends Collected {
  region: string
}

/** Volumes asked about at once. */
const volumesPerQuery = 1000

export class Collection {
  readonly #deps: StoreDeps
  readonly #live: LiveSet
  readonly #publicStores: readonly string[]
  readonly #random: Random

  constructor(deps: StoreDeps, live: LiveSet, publicStores: readonly string[], random: Random) {
    this.#deps = deps
    this.#live = live
    this.#publicStores = publicStores
    this.#random = random
  }

  /**
   * Stores of this host that the state knows: regions that were opened, and those that public images come from. A store
   * that this state never opened may be another's, and is left alone. Throws when `region` is none of them.
   */
  async regions(region?: string): Promise<string[]> {
    const { state, blocks } = this.#deps
    const known = new Set([...(await state.settings.openRegions()), ...this.#publicStores])
    const regions = (await blocks.storedRegions()).filter((name) => known.has(name))
    if (region === undefined) return regions
    if (regions.includes(region)) return [region]
    throw new KilnError(
      'InvalidParameterValue',
      `Region '${region}' has no block store here; these have: ${regions.join(', ') || 'none'}`,
    )
  }

  /** One region after another; each says for itself how far it came. */
  async collect(request: { region?: string; graceMs: number }, progress: Progress = {}): Promise<RegionCollected[]> {
    const { blocks, log, state } = this.#deps
    const regions = await this.regions(request.region)
    const owner = await state.settings.getOrMake('state id', () => this.#random.bytes(16).toString('hex'))
    const results: RegionCollected[] = []
    for (const [index, region] of regions.entries()) {
      progress.signal?.throwIfAborted()
      const onPercent = (percent: number) => progress.onPercent?.((index * 100 + percent) / regions.length)
      const live = () => this.#live.of(region)
      const collected = await blocks.collect(
        { region, owner, live, graceMs: request.graceMs },
        { onPercent, signal: progress.signal },
      )
      if (collected.bytesFreed > 0) log.info({ region, ...collected }, 'unneeded blocks were removed')
      if (collected.stopped?.reason === 'foreign') log.error({ region }, collected.stopped.message)
      if (collected.stopped?.reason === 'damaged') {
        log.error({ region, ...collected }, `${collected.stopped.message}; 'kiln check' says what it touches`)
      }
      results.push({ region, ...collected })
    }
    if (request.region === undefined) await this.#forgetCounters()
    return results
  }

  /** Counters of reads whose volume is gone. */
  async #forgetCounters(): Promise<void> {
    const { state, blocks } = this.#deps
    const counted = await blocks.countedVolumes()
    for (let from = 0; from < counted.length; from += volumesPerQuery) {
      const ids = counted.slice(from, from + volumesPerQuery)
      for (const id of idsWithout(ids, await state.volumes.many(ids))) await blocks.forgetVolume(id)
    }
  }
}
