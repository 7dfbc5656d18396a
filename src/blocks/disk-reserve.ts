/**
 * Room that a store leaves to others on its disk: to the state, which must be able to note that something failed for want
 * of room, and to guests, who wait when they cannot write. So a capture or a copy gives up before the disk is full.
 */
import type { StoreFiles } from './store-files.ts'

const mib = 1024 ** 2
/** Of the whole disk, within bounds: a small one needs some room as well, a large one not hundreds of gigabytes. */
const reserveShare = 1 / 100
const reserveBytes = { least: 16 * mib, most: 1024 * mib }
/** What may be written between two looks. Others write meanwhile too, but not that much more than the reserve bears. */
const allowanceBytes = 4 * mib

/** Reads as the disk's own refusal does, by code and by words. */
class NoRoom extends Error {
  readonly code = 'ENOSPC'
}

export class DiskReserve {
  readonly #path: string
  readonly #files: StoreFiles
  #allowedBytes = 0

  constructor(path: string, files: StoreFiles) {
    this.#path = path
    this.#files = files
  }

  /** Before so many bytes are written. Throws an error of code ENOSPC when they would touch the reserve. */
  async take(bytes: number): Promise<void> {
    if (bytes > this.#allowedBytes) {
      const { freeBytes, totalBytes } = await this.#files.room(this.#path)
      const reserve = Math.min(reserveBytes.most, Math.max(reserveBytes.least, totalBytes * reserveShare))
      const spare = freeBytes - reserve
      if (spare < bytes) {
        const left = `${Math.floor(freeBytes / mib)} MiB free, ${Math.floor(reserve / mib)} MiB are kept for guests`
        throw new NoRoom(`no space left on the disk for blocks (${left}): free some, or collect what no snapshot needs`)
      }
      this.#allowedBytes = Math.min(allowanceBytes, spare)
    }
    this.#allowedBytes -= bytes
  }
}
