/**
 * A copy of a snapshot under another key: every block is read, opened, sealed anew and written, so that nothing of the copy
 * can be read with the first key. Nothing can be passed over by name; repeated, it writes only what is not there yet.
 */
import type { Clock } from '../lib/clock.ts'
import { eachAtOnce } from './concurrency.ts'
import { blocksPerLeaf, encodeLeaf, encodeRoot, hashOf, type LeafRef, type Root } from './format.ts'
import type { CopyStats, Progress, RootInfo } from './ports.ts'
import { ProgressMeter } from './progress-meter.ts'
import { type BlockAccess, blockAccess } from './sealed-block.ts'
import { infoOf, readLeaf, readRoot } from './snapshot-objects.ts'
import type { BlockStore, Hash } from './store.ts'

const lanes = 8

export interface ResealRequest {
  root: Hash
  source: BlockStore
  target: BlockStore
  /** What opens the source's blocks; null when they are not sealed. */
  fromKey: Buffer | null
  toKey: Buffer | null
}

export interface ResealResult {
  root: Hash
  info: RootInfo
  stats: CopyStats
}

/** Throws MissingObject and CorruptObject of the source, also when a block does not open with `fromKey`. */
export async function resealSnapshot(request: ResealRequest, progress: Progress, clock: Clock): Promise<ResealResult> {
  const source = await readRoot(request.source, request.root)
  const meter = new ProgressMeter(infoOf(source).blockCount, progress, clock)
  const resealing = new Resealing(request, source, meter, progress.signal)
  const leaves: LeafRef[] = []
  for (const ref of source.leaves) leaves.push(await resealing.leaf(ref))
  const root: Root = { sizeBytes: source.sizeBytes, leaves }
  const content = encodeRoot(root)
  const hash = hashOf(content)
  resealing.stats.bytesMoved += await request.target.write('root', hash, content)
  await request.target.commit()
  await meter.finish()
  return { root: hash, info: infoOf(root), stats: resealing.stats }
}

class Resealing {
  readonly stats: CopyStats = { blocksMoved: 0, bytesMoved: 0, blocksPresent: 0 }
  readonly #request: ResealRequest
  readonly #root: Root
  readonly #meter: ProgressMeter
  readonly #signal: AbortSignal | undefined
  readonly #from: BlockAccess
  readonly #to: BlockAccess

  constructor(request: ResealRequest, root: Root, meter: ProgressMeter, signal: AbortSignal | undefined) {
    this.#request = request
    this.#root = root
    this.#meter = meter
    this.#signal = signal
    this.#from = blockAccess(request.fromKey)
    this.#to = blockAccess(request.toKey)
  }

  async leaf(ref: LeafRef): Promise<LeafRef> {
    const { source, target } = this.#request
    const leaf = await readLeaf(source, ref, this.#root.sizeBytes)
    const names = new Array<Hash | undefined>(blocksPerLeaf).fill(undefined)
    const slots = [...names.keys()].filter((slot) => leaf.has(slot))
    const reseal = async (slot: number) => {
      const { hash, storedBytes } = await this.#to.write(target, await this.#from.read(source, leaf.hashAt(slot)!))
      names[slot] = hash
      this.stats.bytesMoved += storedBytes
      if (storedBytes > 0) this.stats.blocksMoved++
      else this.stats.blocksPresent++
      this.#meter.advance(1)
    }
    await eachAtOnce(slots, lanes, reseal, this.#signal)
    const content = encodeLeaf(names)
    const hash = hashOf(content)
    this.stats.bytesMoved += await target.write('leaf', hash, content)
    return { index: ref.index, blockCount: ref.blockCount, hash }
  }
}
