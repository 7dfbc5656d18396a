/** The stores of all regions, as the one process that writes them has them open. */
import { access, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../lib/clock.ts'
import { isRegionName, regionStorePath } from './export-name.ts'
import { formatFile, type LocalStore, openLocalStore } from './local-store.ts'
import { RecentObjects } from './recent-objects.ts'
import { RegionGate, StoreBusy } from './region-gate.ts'
import { hasCode, type StoreFiles } from './store-files.ts'

export interface RegionStoresOptions {
  regionsDir: string
  syncFilesystem: (path: string) => Promise<void>
  clock: Clock
  files?: StoreFiles
}

export class RegionStores {
  readonly #options: RegionStoresOptions
  readonly #open = new Map<string, Promise<LocalStore>>()
  readonly #gates = new Map<string, RegionGate>()
  readonly #recent = new Map<string, RecentObjects>()
  /** Regions that are being collected or checked. */
  readonly #inCare = new Map<string, string>()

  constructor(options: RegionStoresOptions) {
    this.#options = options
  }

  async existing(region: string): Promise<LocalStore> {
    const directory = regionStorePath(this.#options.regionsDir, region)
    // The folder alone may be the place where a disk is mounted at other times.
    await access(join(directory, formatFile)).catch((error) => {
      throw new Error(`region ${region} has no block store in ${directory}`, { cause: error })
    })
    return await this.open(region)
  }

  /** Makes the store where there is none. */
  async open(region: string): Promise<LocalStore> {
    const opened = this.#open.get(region)
    if (opened) return await opened
    const { regionsDir, syncFilesystem, files } = this.#options
    const directory = regionStorePath(regionsDir, region)
    const opening = openLocalStore({ directory, access: 'write', syncFilesystem, files })
    this.#open.set(region, opening)
    try {
      return await opening
    } catch (error) {
      this.#open.delete(region)
      throw error
    }
  }

  /** Regions that have a store in the folder. */
  async names(): Promise<string[]> {
    const { regionsDir } = this.#options
    const names = await readdir(regionsDir).catch((error) => {
      if (hasCode(error, 'ENOENT')) return []
      throw error
    })
    const isStore = (region: string) =>
      access(join(regionStorePath(regionsDir, region), formatFile)).then(
        () => true,
        () => false,
      )
    const regions = names.filter(isRegionName).sort()
    const stored = await Promise.all(regions.map(isStore))
    return regions.filter((_, i) => stored[i])
  }

  gate(region: string): RegionGate {
    const gate = this.#gates.get(region) ?? new RegionGate(this.#options.clock)
    this.#gates.set(region, gate)
    return gate
  }

  /** What was brought into the region's store lately and may not be written down yet. */
  recent(region: string): RecentObjects {
    const recent = this.#recent.get(region) ?? new RecentObjects(this.#options.clock)
    this.#recent.set(region, recent)
    return recent
  }

  /**
   * Keeps the collector out of those regions' stores while `work` writes to them, or relies on what it found in them. What
   * it brings must be in {@link recent} before it ends.
   */
  async holding<T>(regions: readonly string[], work: () => Promise<T>): Promise<T> {
    const nested = [...new Set(regions)].reduceRight((inner, region) => () => this.gate(region).shared(inner), work)
    return await nested()
  }

  /** Runs one collection or check of a region at a time. Throws {@link StoreBusy} instead of waiting for another. */
  async caring<T>(region: string, what: string, work: () => Promise<T>): Promise<T> {
    const other = this.#inCare.get(region)
    if (other) throw new StoreBusy(`the store of ${region} is being ${other}; try again when that is done`)
    this.#inCare.set(region, what)
    try {
      return await work()
    } finally {
      this.#inCare.delete(region)
    }
  }
}
