/** The files that changed between two snapshots, read from the file systems inside. */
import type { Snapshot } from '../../state/snapshots.ts'
import type { CloudDeps } from '../deps.ts'
import { blockKeyOf } from '../encryption/data-keys.ts'
import { DiskBytes, partOf, UnreadableFileSystem } from '../file-systems/disk-bytes.ts'
import { type FileChange, fileDifference } from '../file-systems/file-difference.ts'
import { kindOf, type Partition, partitionsOf } from '../file-systems/partitions.ts'
import type { Progress, RootDifference } from '../ports.ts'

export interface FileSystemDifference {
  /** As the kernel counts partitions; 0 is the whole disk. */
  partition: number
  /** `ext4`, `xfs`, `empty` …; null where the partition is not there. */
  kind: { before: string | null; after: string | null }
  label: string | null
  /** Why its files were not compared. */
  unread: string | null
  counts: { added: number; removed: number; changed: number }
  /** The first of them, in the order of their paths. */
  changes: FileChange[]
}

/** What it takes to read a snapshot. */
export type ReadableSnapshot = Pick<Snapshot, 'accountId' | 'dataKeyId'> & { rootHash: string }

const changesTold = 10_000
const pageBlocks = 5000

export class SnapshotFiles {
  readonly #deps: CloudDeps

  constructor(deps: CloudDeps) {
    this.#deps = deps
  }

  async difference(
    region: string,
    sides: { before: ReadableSnapshot; after: ReadableSnapshot },
    { sizeBytes }: Pick<RootDifference, 'sizeBytes'>,
    { onPercent, signal }: Progress = {},
  ): Promise<FileSystemDifference[]> {
    const before = await this.#bytesOf(region, sides.before, sizeBytes.before)
    const after = await this.#bytesOf(region, sides.after, sizeBytes.after)
    const differsIn = await this.#changedRanges(region, sides.before.rootHash, sides.after.rootHash)
    const pairs = pairsOf(await partitionsOf(before), await partitionsOf(after))
    const found: FileSystemDifference[] = []
    for (const [index, [a, b]] of pairs.entries()) {
      signal?.throwIfAborted()
      await onPercent?.((100 * index) / pairs.length)
      found.push(await comparePartition(before, a, after, b, differsIn, signal))
    }
    return found
  }

  /** Throws CustomerKeyHasBeenRevoked when the snapshot is encrypted and its key cannot be used. */
  async #bytesOf(region: string, snapshot: ReadableSnapshot, sizeBytes: number): Promise<DiskBytes> {
    const { rootHash: root, accountId, dataKeyId } = snapshot
    const sealKey = await blockKeyOf(this.#deps, accountId, dataKeyId)
    return new DiskBytes(this.#deps.blocks, { region, root, sealKey }, sizeBytes)
  }

  /** Whether the two disks may differ in a range of bytes, to the block. Sealed under two keys, all of them may. */
  async #changedRanges(region: string, before: string, after: string) {
    const { contents } = this.#deps.blocks
    const changed = new Set<number>()
    for (let from: number | null = 0; from !== null; ) {
      const page: { items: { index: number }[]; next: number | null } = await contents.changesFrom({
        ...{ region, first: before, second: after, fromIndex: from, limit: pageBlocks },
      })
      for (const { index } of page.items) changed.add(index)
      from = page.next
    }
    return (offsetBytes: number, lengthBytes: number) => {
      if (changed.size === 0) return false
      const last = Math.floor((offsetBytes + lengthBytes - 1) / contents.blockBytes)
      const first = Math.floor(offsetBytes / contents.blockBytes)
      if (last - first > changed.size) return [...changed].some((index) => index >= first && index <= last)
      for (let index = first; index <= last; index++) if (changed.has(index)) return true
      return false
    }
  }
}

/** Partitions of the same number on both sides; undefined where one side has none of it. */
function pairsOf(before: readonly Partition[], after: readonly Partition[]) {
  const numbers = [...new Set([...before, ...after].map(({ number }) => number))].sort((a, b) => a - b)
  const of = (side: readonly Partition[], number: number) => side.find((part) => part.number === number)
  return numbers.map((number) => [of(before, number), of(after, number)] as const)
}

async function comparePartition(
  before: DiskBytes,
  a: Partition | undefined,
  after: DiskBytes,
  b: Partition | undefined,
  differsIn: (offsetBytes: number, lengthBytes: number) => boolean,
  signal?: AbortSignal,
): Promise<FileSystemDifference> {
  const one = a && partOf(before, a.offsetBytes, a.sizeBytes)
  const other = b && partOf(after, b.offsetBytes, b.sizeBytes)
  const kind = { before: one ? await kindOf(one) : null, after: other ? await kindOf(other) : null }
  const found: FileSystemDifference = {
    partition: (a ?? b)!.number,
    kind,
    label: null,
    unread: null,
    counts: { added: 0, removed: 0, changed: 0 },
    changes: [],
  }
  if (!one || !other) return { ...found, unread: `it is only in the ${one ? 'first' : 'second'} snapshot` }
  if (kind.before !== kind.after) return { ...found, unread: 'its kind has changed' }
  if (kind.after !== 'ext') {
    return { ...found, unread: kind.after === 'empty' ? null : `${kind.after}: only ext2, ext3 and ext4 are read` }
  }
  // Where the partition itself moved, all of its bytes may be others.
  const isMoved = a!.offsetBytes !== b!.offsetBytes
  const differs = (at: number, length: number) => isMoved || differsIn(b!.offsetBytes + at, length)
  try {
    const { changes, label, ...told } = await fileDifference(one, other, differs, signal)
    for (const { change } of changes) found.counts[change]++
    return { ...found, kind: told.kind, label, changes: changes.slice(0, changesTold) }
  } catch (error) {
    if (!(error instanceof UnreadableFileSystem)) throw error
    return { ...found, unread: error.message }
  }
}
