/** Is everything there that snapshots, images and volumes need, and is it what was written? In the words of whoever owns them. */
import type { StoreDeps } from '../deps.ts'
import type { Flaw, Progress } from '../ports.ts'
import type { Collection } from './collection.ts'
import type { LiveSet } from './live-set.ts'
import { type RootOwners, rootOwners } from './root-owners.ts'

/** A flaw, and everything that cannot be read whole because of it. */
export interface NamedFlaw extends Omit<Flaw, 'roots'>, RootOwners {}

export interface RegionChecked {
  region: string
  objects: number
  bytes: number
  flaws: NamedFlaw[]
}

export class StoreCheck {
  readonly #deps: StoreDeps
  readonly #live: LiveSet
  readonly #collection: Collection

  constructor(deps: StoreDeps, live: LiveSet, collection: Collection) {
    this.#deps = deps
    this.#live = live
    this.#collection = collection
  }

  /** Reads every object that anything needs. With `repair`, what another region's store has intact is taken from there. */
  async check(request: { region?: string; repair: boolean }, progress: Progress = {}): Promise<RegionChecked[]> {
    const all = await this.#collection.regions()
    const regions = await this.#collection.regions(request.region)
    const results: RegionChecked[] = []
    for (const [index, region] of regions.entries()) {
      const onPercent = (percent: number) => progress.onPercent?.((index * 100 + percent) / regions.length)
      const repairFrom = request.repair ? all.filter((other) => other !== region) : undefined
      results.push(await this.#checkRegion(region, repairFrom, { onPercent, signal: progress.signal }))
    }
    return results
  }

  async #checkRegion(
    region: string,
    repairFrom: readonly string[] | undefined,
    progress: Progress,
  ): Promise<RegionChecked> {
    const { blocks, log } = this.#deps
    const live = () => this.#live.of(region)
    const { objects, bytes, flaws } = await blocks.check({ region, live, repairFrom }, progress)
    if (flaws.length === 0) return { region, objects, bytes, flaws: [] }
    const owners = await rootOwners(this.#deps, region)
    const named = flaws.map(({ roots, ...flaw }) => ({ ...flaw, ...owners.ofAll(roots) }))
    for (const flaw of named) {
      const message = flaw.repairedFrom ? 'was restored' : 'cannot be read'
      log.error({ region, ...flaw }, `${flaw.kind} ${flaw.hash} in the store of ${region} ${message}`)
    }
    return { region, objects, bytes, flaws: named }
  }
}
