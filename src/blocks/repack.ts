/**
 * Packs harder what one snapshot has for itself: the work of the archive tier.
 *
 * Only blocks that no other snapshot in use names are taken. Packing shared ones would be just as safe, because every
 * packing unpacks to the same content; but it costs two hundred times what the first packing did, and those blocks belong
 * to snapshots that stay in the standard tier. EC2 draws the same line: what others refer to is retained there.
 */
import type { Clock } from '../lib/clock.ts'
import { eachAtOnce } from './concurrency.ts'
import type { LeafRef, Root } from './format.ts'
import type { Progress, RepackResult } from './ports.ts'
import { ProgressMeter } from './progress-meter.ts'
import { infoOf, readLeaf, readRoot } from './snapshot-objects.ts'
import type { BlockStore, Hash } from './store.ts'

/** Half of the thread pool: captures and copies pack in it too. */
const lanes = 2
/** 8 GiB of volume: what a crash makes to be looked at again, and what bounds the names in memory. */
const leavesAtOnce = 16

export interface RepackRequest {
  store: BlockStore
  root: Hash
  others: readonly Hash[]
  fromLeaf: number
}

/** Throws MissingObject and CorruptObject. */
export async function repackSnapshot(request: RepackRequest, progress: Progress, clock: Clock): Promise<RepackResult> {
  const { store, others, fromLeaf } = request
  const root = await readRoot(store, request.root)
  const own = await ownBlocks(store, root, fromLeaf, others, progress.signal)
  const end = fromLeaf + leavesAtOnce
  const result: RepackResult = {
    blocksPacked: 0,
    bytesSaved: 0,
    nextLeaf: end < root.leaves.length ? end : null,
  }
  const meter = meterOf(root, fromLeaf, own.size, progress, clock)
  await eachAtOnce(
    own,
    lanes,
    async (hash) => {
      const saved = await store.repack('block', hash)
      result.bytesSaved += saved
      if (saved > 0) result.blocksPacked++
      meter.advance(1)
    },
    progress.signal,
  )
  if (result.nextLeaf === null) await meter.finish()
  return result
}

/** The names of blocks that only these leaves of the root have. */
async function ownBlocks(
  store: BlockStore,
  root: Root,
  fromLeaf: number,
  others: readonly Hash[],
  signal: AbortSignal | undefined,
): Promise<Set<Hash>> {
  const otherLeaves = new Map<Hash, { ref: LeafRef; sizeBytes: number }>()
  for (const other of others) {
    const { leaves, sizeBytes } = await readRoot(store, other)
    for (const ref of leaves) otherLeaves.set(ref.hash, { ref, sizeBytes })
  }
  const own = new Set<Hash>()
  for (const ref of root.leaves.slice(fromLeaf, fromLeaf + leavesAtOnce)) {
    if (otherLeaves.has(ref.hash)) continue
    for (const hash of (await readLeaf(store, ref, root.sizeBytes)).hashes()) own.add(hash)
  }
  for (const { ref, sizeBytes } of otherLeaves.values()) {
    signal?.throwIfAborted()
    if (own.size === 0) break
    for (const hash of (await readLeaf(store, ref, sizeBytes)).hashes()) own.delete(hash)
  }
  return own
}

/** Leaves that were done before count as a whole, and so do blocks that are not the snapshot's own. */
function meterOf(root: Root, fromLeaf: number, ownCount: number, progress: Progress, clock: Clock): ProgressMeter {
  const countOf = (leaves: Root['leaves']) => leaves.reduce((sum, leaf) => sum + leaf.blockCount, 0)
  const done = countOf(root.leaves.slice(0, fromLeaf))
  const here = countOf(root.leaves.slice(fromLeaf, fromLeaf + leavesAtOnce))
  const meter = new ProgressMeter(infoOf(root).blockCount, progress, clock)
  meter.advance(done + Math.max(0, here - ownCount))
  return meter
}
