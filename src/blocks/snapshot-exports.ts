/** Serves snapshots from the regions' stores as NBD exports, block by block as they are asked for. */
import type { Log } from '../lib/log.ts'
import type { MasterKey } from '../lib/master-key.ts'
import type { BlockCache } from './block-cache.ts'
import { type ExportName, parseExportName, regionStorePath, unwrapKey } from './export-name.ts'
import { blockBytes, blocksPerLeaf, type LeafRef, leafSpanBytes, type Root } from './format.ts'
import { openLocalStore } from './local-store.ts'
import type { Extent } from './nbd/client.ts'
import type { NbdExport, NbdExports, Piece } from './nbd/exports.ts'
import { allocation } from './nbd/protocol.ts'
import { type BlockAccess, blockAccess } from './sealed-block.ts'
import { readRoot } from './snapshot-objects.ts'
import type { BlockStore } from './store.ts'
import type { VolumeCounter, VolumeCounters } from './volume-reads.ts'

/** Blocks fetched beyond the one that a sequential reader is at: hides the store's delay (measured best: 4). */
const readAheadBlocks = 4
/** Extents in one answer; a client asks on from where the answer ends. */
const extentsMax = 4096

export interface SnapshotExportsOptions {
  regionsDir: string
  cache: BlockCache
  counters: VolumeCounters
  /** Reads the master key, which opens the keys of sealed snapshots. Throws when there is none. */
  masterKey: () => Promise<MasterKey>
  log: Log
}

export class SnapshotExports implements NbdExports {
  readonly #options: SnapshotExportsOptions

  constructor(options: SnapshotExportsOptions) {
    this.#options = options
  }

  async open(text: string): Promise<NbdExport> {
    const name = parseExportName(text)
    if (!name) throw new Error('export names are REGION/ROOT/VOLUME or REGION/ROOT/VOLUME/KEY')
    const { regionsDir, cache, counters, masterKey, log } = this.#options
    const { wrappedKey, ...about } = name
    try {
      const access = blockAccess(wrappedKey === null ? null : unwrapKey(await masterKey(), name))
      const store = await openLocalStore({ directory: regionStorePath(regionsDir, name.region), access: 'read' })
      const root = await readRoot(store, name.root)
      const counter = await counters.acquire(name.volumeId, name.root)
      return new SnapshotExport(about, root, { store, access, cache, counter, counters, log })
    } catch (error) {
      log.error({ ...about, err: error }, `root ${name.root} cannot be served`)
      throw error
    }
  }
}

interface ExportParts {
  store: BlockStore
  access: BlockAccess
  cache: BlockCache
  counter: VolumeCounter
  counters: VolumeCounters
  log: Log
}

class SnapshotExport implements NbdExport {
  readonly sizeBytes: number
  readonly #name: Omit<ExportName, 'wrappedKey'>
  readonly #leaves: ReadonlyMap<number, LeafRef>
  readonly #parts: ExportParts
  /** Where the last read ended; none yet. */
  #lastBlock: number | undefined
  #readingAhead = 0

  constructor(name: Omit<ExportName, 'wrappedKey'>, root: Root, parts: ExportParts) {
    this.sizeBytes = root.sizeBytes
    this.#name = name
    this.#leaves = new Map(root.leaves.map((leaf) => [leaf.index, leaf]))
    this.#parts = parts
  }

  async read(offsetBytes: number, lengthBytes: number): Promise<Piece[]> {
    const end = offsetBytes + lengthBytes
    const first = Math.floor(offsetBytes / blockBytes)
    const last = Math.floor((end - 1) / blockBytes)
    const blocks = Array.from({ length: last - first + 1 }, (_, i) => first + i)
    const contents = await Promise.all(blocks.map((block) => this.#fetch(block)))
    this.#readAhead(first, last)
    this.#parts.counter.countServed(lengthBytes)
    return blocks.map((block, i) => {
      const from = Math.max(offsetBytes - block * blockBytes, 0)
      const to = Math.min(end - block * blockBytes, blockBytes)
      return { lengthBytes: to - from, bytes: contents[i]?.subarray(from, to) ?? null }
    })
  }

  async allocation(offsetBytes: number, lengthBytes: number): Promise<Extent[]> {
    const end = offsetBytes + lengthBytes
    const extents: Extent[] = []
    for (let at = offsetBytes; at < end; ) {
      const { stop, isZero } = await this.#runAt(at)
      const value = isZero ? allocation.hole | allocation.zero : 0
      const length = Math.min(stop, end) - at
      const previous = extents.at(-1)
      if (previous?.value === value) previous.lengthBytes += length
      else if (extents.length === extentsMax) break
      else extents.push({ lengthBytes: length, value })
      at += length
    }
    return extents
  }

  async close(): Promise<void> {
    await this.#parts.counters.release(this.#parts.counter)
  }

  /** Up to where the volume is of one kind from that offset on; never beyond the leaf. */
  async #runAt(offsetBytes: number): Promise<{ stop: number; isZero: boolean }> {
    const leafIndex = Math.floor(offsetBytes / leafSpanBytes)
    const ref = this.#leaves.get(leafIndex)
    if (!ref) return { stop: (leafIndex + 1) * leafSpanBytes, isZero: true }
    const leaf = await this.#parts.cache.leaf(this.#parts.store, ref, this.sizeBytes)
    const first = Math.floor(offsetBytes / blockBytes) % blocksPerLeaf
    const isData = leaf.has(first)
    let slot = first + 1
    while (slot < blocksPerLeaf && leaf.has(slot) === isData) slot++
    return { stop: leafIndex * leafSpanBytes + slot * blockBytes, isZero: !isData }
  }

  /** The block's content, null for zeros. Whatever is wrong with it is logged here, where the block is known. */
  async #fetch(block: number): Promise<Buffer | null> {
    const { store, access, cache, counter, log } = this.#parts
    const ref = this.#leaves.get(Math.floor(block / blocksPerLeaf))
    if (!ref) return null
    try {
      const hash = (await cache.leaf(store, ref, this.sizeBytes)).hashAt(block % blocksPerLeaf)
      if (hash === undefined) return null
      const content = await cache.block(store, hash, access)
      counter.countFetched(block)
      return content
    } catch (error) {
      log.error({ ...this.#name, block, err: error }, `block ${block} of root ${this.#name.root} cannot be served`)
      throw error
    }
  }

  /** Fetches on in the background for a reader that goes from block to block; at most one such run a connection. */
  #readAhead(first: number, last: number): void {
    const previous = this.#lastBlock
    this.#lastBlock = last
    const sequential = previous !== undefined && (first === previous || first === previous + 1) && last > previous
    if (!sequential || this.#readingAhead > 0) return
    const end = Math.min(last + readAheadBlocks, Math.ceil(this.sizeBytes / blockBytes) - 1)
    for (let block = last + 1; block <= end; block++) {
      this.#readingAhead++
      this.#fetch(block)
        // Logged already; it is an error only to who reads it.
        .catch(() => {})
        .finally(() => this.#readingAhead--)
    }
  }
}
