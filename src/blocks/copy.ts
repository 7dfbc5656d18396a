/**
 * Brings a snapshot from one store into another: only what the target lacks is moved.
 *
 * In every store a leaf is there only when all its blocks are, and a root only when all its leaves are. So a leaf that the
 * target has is passed over with all its blocks, and a copy that broke off goes on where it was. Whoever removes objects
 * must keep that order backwards: roots, then leaves, then blocks. A target that knows of gaps is not believed: there each
 * block is looked for, and the copy fills the gaps on its way.
 */
import type { Clock } from '../lib/clock.ts'
import { eachAtOnce } from './concurrency.ts'
import type { LeafRef, Root } from './format.ts'
import type { CopyStats, Progress } from './ports.ts'
import { ProgressMeter } from './progress-meter.ts'
import { infoOf, readLeaf, readRoot } from './snapshot-objects.ts'
import type { BlockStore, Hash, ObjectKind } from './store.ts'

const lanes = 8

export interface CopyRequest {
  root: Hash
  source: BlockStore
  target: BlockStore
  /** The two stores may share files afterwards, where the target can do so (see {@link BlockStore.linkFrom}). */
  mayLink: boolean
}

/** Throws MissingObject and CorruptObject of the source, whose damage is never carried over. */
export async function copySnapshot(request: CopyRequest, progress: Progress, clock: Clock): Promise<CopyStats> {
  const stats: CopyStats = { blocksMoved: 0, bytesMoved: 0, blocksPresent: 0 }
  const isTrusted = !(await request.target.hasGaps())
  const present = isTrusted && (await request.target.has('root', request.root))
  const root = await readRoot(present ? request.target : request.source, request.root)
  const { blockCount } = infoOf(root)
  const meter = new ProgressMeter(blockCount, progress, clock)
  if (present) {
    stats.blocksPresent = blockCount
  } else {
    for (const leaf of root.leaves) {
      progress.signal?.throwIfAborted()
      if (isTrusted && (await request.target.has('leaf', leaf.hash))) passOver(leaf, stats, meter)
      else await copyLeaf(request, root, leaf, stats, meter, progress.signal)
    }
    stats.bytesMoved += await moveObject(request, 'root', request.root)
  }
  // Also when nothing was moved: what is there may have come by an operation that has not committed yet.
  await request.target.commit()
  await meter.finish()
  return stats
}

/** Where the leaf is, its blocks are. */
function passOver(ref: LeafRef, stats: CopyStats, meter: ProgressMeter): void {
  stats.blocksPresent += ref.blockCount
  meter.advance(ref.blockCount)
}

async function copyLeaf(
  request: CopyRequest,
  root: Root,
  ref: LeafRef,
  stats: CopyStats,
  meter: ProgressMeter,
  signal: AbortSignal | undefined,
): Promise<void> {
  const leaf = await readLeaf(request.source, ref, root.sizeBytes)
  await eachAtOnce(
    leaf.hashes(),
    lanes,
    async (hash) => {
      const bytes = (await request.target.has('block', hash)) ? 0 : await moveObject(request, 'block', hash)
      stats.bytesMoved += bytes
      if (bytes > 0) stats.blocksMoved++
      else stats.blocksPresent++
      meter.advance(1)
    },
    signal,
  )
  stats.bytesMoved += await moveObject(request, 'leaf', ref.hash)
}

async function moveObject({ source, target, mayLink }: CopyRequest, kind: ObjectKind, hash: Hash): Promise<number> {
  if (mayLink && target.linkFrom) return await target.linkFrom(source, kind, hash)
  return await target.writeEncoded(kind, hash, await source.readEncoded(kind, hash))
}
