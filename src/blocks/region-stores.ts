import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { regionStorePath } from './export-name.ts'
import { formatFile, type LocalStore, openLocalStore } from './local-store.ts'

/** Opens each region's store once, for writing: this process is the only writer. */
export class RegionStores {
  readonly #regionsDir: string
  readonly #syncFilesystem: (path: string) => Promise<void>
  readonly #open = new Map<string, Promise<LocalStore>>()

  constructor(regionsDir: string, syncFilesystem: (path: string) => Promise<void>) {
    this.#regionsDir = regionsDir
    this.#syncFilesystem = syncFilesystem
  }

  async existing(region: string): Promise<LocalStore> {
    const directory = regionStorePath(this.#regionsDir, region)
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
    const opening = openLocalStore({
      directory: regionStorePath(this.#regionsDir, region),
      access: 'write',
      syncFilesystem: this.#syncFilesystem,
    })
    this.#open.set(region, opening)
    try {
      return await opening
    } catch (error) {
      this.#open.delete(region)
      throw error
    }
  }
}
