/**
 * Reads a frozen disk from an NBD export into a store, as a snapshot. Blocks are read, hashed, packed and written by
 * several lanes at once, each with one buffer; what is zeros, or the parent's, is not read.
 *
 * A leaf is written after its blocks, the root after its leaves, and everything is committed before the root's name is
 * given: who knows a root has all of it. A capture that fails leaves blocks behind that nobody names, no torn snapshot.
 */
import type { Clock } from '../lib/clock.ts'
import { eachAtOnce } from './concurrency.ts'
import { allocationContext, depthContext, type ExtentMap, scanExtents } from './extent-map.ts'
import {
  blockBytes,
  blocksPerLeaf,
  encodeLeaf,
  encodeRoot,
  hashOf,
  isZeroBlock,
  type Leaf,
  type LeafRef,
  type Root,
  volumeBytesMax,
} from './format.ts'
import { connectNbd, type NbdClient } from './nbd/client.ts'
import type { CaptureSource, CaptureStats, Progress, RootInfo } from './ports.ts'
import { ProgressMeter } from './progress-meter.ts'
import { type BlockAccess, blockAccess } from './sealed-block.ts'
import { infoOf, readLeaf, readRoot } from './snapshot-objects.ts'
import type { BlockStore, Hash } from './store.ts'

/** Enough to keep the thread pool's four threads packing while others read; 16 half-mebibyte buffers. */
const lanes = 16

export interface CaptureRequest {
  store: BlockStore
  source: CaptureSource
  /** The export must be of exactly this size. */
  sizeBytes: number
  /** Its blocks, if it has any, must be sealed with the same key. */
  parent: { root: Hash; changedDepth: number } | null
  /** Seals the blocks; they are stored as they are without it. */
  sealKey?: Buffer | null
}

export interface CaptureResult {
  root: Hash
  info: RootInfo
  stats: CaptureStats
}

/** Throws when the source is lost, refuses a read or has another size, and when parent or store fail. */
export async function capture(request: CaptureRequest, progress: Progress, clock: Clock): Promise<CaptureResult> {
  const { store, sizeBytes, parent } = request
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 1 || sizeBytes > volumeBytesMax)
    throw new RangeError(`a volume cannot have ${sizeBytes} bytes`)
  const parentRoot = parent ? await readRoot(store, parent.root) : null
  if (parentRoot && parentRoot.sizeBytes > sizeBytes)
    throw new RangeError(`a volume of ${sizeBytes} bytes is smaller than its parent of ${parentRoot.sizeBytes}`)
  const client = await connectNbd({
    ...request.source,
    contexts: parent ? [allocationContext, depthContext] : [allocationContext],
    signal: progress.signal,
  })
  try {
    if (client.sizeBytes !== sizeBytes)
      throw new Error(`the export has ${client.sizeBytes} bytes, the volume should have ${sizeBytes}`)
    const map = await scanExtents(client, parent ? parent.changedDepth : null, progress.signal)
    const access = blockAccess(request.sealKey ?? null)
    return await new Capture(store, access, client, map, parentRoot).run(progress, clock)
  } finally {
    await client.close()
  }
}

/** A leaf in the making. */
interface Draft {
  index: number
  hashes: (Hash | undefined)[]
  /** Blocks still to be read. */
  missing: number
}

interface BlockTask {
  draft: Draft
  slot: number
}

class Capture {
  readonly #store: BlockStore
  readonly #access: BlockAccess
  readonly #client: NbdClient
  readonly #map: ExtentMap
  readonly #parent: Root | null
  readonly #parentLeaves: ReadonlyMap<number, LeafRef>
  readonly #leaves: LeafRef[] = []
  readonly #stats: CaptureStats = { blocksRead: 0, blocksWritten: 0, bytesStored: 0 }
  readonly #freeBuffers = Array.from({ length: lanes }, () => Buffer.allocUnsafeSlow(blockBytes))

  constructor(store: BlockStore, access: BlockAccess, client: NbdClient, map: ExtentMap, parent: Root | null) {
    this.#store = store
    this.#access = access
    this.#client = client
    this.#map = map
    this.#parent = parent
    this.#parentLeaves = new Map(parent?.leaves.map((leaf) => [leaf.index, leaf]))
  }

  async run(progress: Progress, clock: Clock): Promise<CaptureResult> {
    const indexes = this.#map.leafIndexes
    const total = indexes.reduce((sum, index) => sum + this.#map.slotsToRead(index).length, 0)
    const meter = new ProgressMeter(total, progress, clock)
    await eachAtOnce(
      this.#tasks(indexes),
      lanes,
      async (task) => {
        await this.#take(task)
        meter.advance(1)
      },
      progress.signal,
    )
    this.#inheritLeaves(new Set(indexes))
    this.#leaves.sort((a, b) => a.index - b.index)
    const root: Root = { sizeBytes: this.#client.sizeBytes, leaves: this.#leaves }
    const content = encodeRoot(root)
    const hash = hashOf(content)
    this.#stats.bytesStored += await this.#store.write('root', hash, content)
    await this.#store.commit()
    await meter.finish()
    return { root: hash, info: infoOf(root), stats: this.#stats }
  }

  /** All blocks to read, leaf by leaf; a leaf of which nothing is to be read is finished on the way. */
  async *#tasks(indexes: readonly number[]): AsyncGenerator<BlockTask> {
    for (const index of indexes) {
      const slots = this.#map.slotsToRead(index)
      const draft: Draft = { index, hashes: await this.#inheritedHashes(index), missing: slots.length }
      if (draft.missing === 0) await this.#finishLeaf(draft)
      for (const slot of slots) yield { draft, slot }
    }
  }

  async #inheritedHashes(index: number): Promise<(Hash | undefined)[]> {
    const ref = this.#parentLeaves.get(index)
    const leaf: Leaf | null = ref ? await readLeaf(this.#store, ref, this.#parent!.sizeBytes) : null
    return Array.from({ length: blocksPerLeaf }, (_, slot) =>
      leaf && this.#map.fateOf(index, slot) === 'inherit' ? leaf.hashAt(slot) : undefined,
    )
  }

  /** Leaves in which nothing changed keep their names, and are not even read. */
  #inheritLeaves(changed: ReadonlySet<number>): void {
    for (const ref of this.#parentLeaves.values()) if (!changed.has(ref.index)) this.#leaves.push(ref)
  }

  async #take({ draft, slot }: BlockTask): Promise<void> {
    const buffer = this.#freeBuffers.pop()!
    try {
      await this.#readBlock(buffer, (draft.index * blocksPerLeaf + slot) * blockBytes)
      this.#stats.blocksRead++
      if (!isZeroBlock(buffer)) {
        const { hash, storedBytes } = await this.#access.write(this.#store, buffer)
        draft.hashes[slot] = hash
        this.#stats.bytesStored += storedBytes
        if (storedBytes > 0) this.#stats.blocksWritten++
      }
    } finally {
      this.#freeBuffers.push(buffer)
    }
    draft.missing--
    if (draft.missing === 0) await this.#finishLeaf(draft)
  }

  /** The block at that offset; the volume's last one is padded with zeros. */
  async #readBlock(buffer: Buffer, offsetBytes: number): Promise<void> {
    const lengthBytes = Math.min(blockBytes, this.#client.sizeBytes - offsetBytes)
    await this.#client.readInto(buffer.subarray(0, lengthBytes), offsetBytes)
    buffer.fill(0, lengthBytes)
  }

  async #finishLeaf({ index, hashes }: Draft): Promise<void> {
    const blockCount = hashes.reduce((count, name) => (name === undefined ? count : count + 1), 0)
    if (blockCount === 0) return
    const content = encodeLeaf(hashes)
    const hash = hashOf(content)
    // Not `+= await`: that would take the sum from before the wait, and blocks are counted meanwhile.
    const storedBytes = await this.#store.write('leaf', hash, content)
    this.#stats.bytesStored += storedBytes
    this.#leaves.push({ index, blockCount, hash })
  }
}
