/** Which blocks of an NBD export must be read for a snapshot, found out without reading any. */
import { eachAtOnce } from './concurrency.ts'
import { blockBytes, blocksPerLeaf, leafSpanBytes } from './format.ts'
import type { Extent, NbdClient } from './nbd/client.ts'
import { allocation } from './nbd/protocol.ts'

export const allocationContext = 'base:allocation'
export const depthContext = 'qemu:allocation-depth'

/** Bytes asked about at once; a multiple of a leaf's span below the protocol's 4 GiB. */
const statusSpanBytes = 4 * leafSpanBytes
/** Questions in flight: a volume of 16 TiB takes thousands, and each alone mostly waits. */
const spansAtOnce = 16

const hasData = 1
const isChanged = 2

/** What the new snapshot's leaf does with one block. */
export type BlockFate = 'zero' | 'read' | 'inherit'

/** Fates by leaf. A leaf without an entry is wholly zeros, or wholly inherited when there is a parent. */
export class ExtentMap {
  readonly #flags = new Map<number, Uint8Array>()
  readonly #withParent: boolean

  constructor(withParent: boolean) {
    this.#withParent = withParent
  }

  /** Leaves of which some block is not what a missing entry says, in ascending order. */
  get leafIndexes(): number[] {
    return [...this.#flags.keys()].sort((a, b) => a - b)
  }

  fateOf(leafIndex: number, slot: number): BlockFate {
    const flags = this.#flags.get(leafIndex)?.[slot] ?? 0
    if (this.#withParent && !(flags & isChanged)) return 'inherit'
    return flags & hasData ? 'read' : 'zero'
  }

  slotsToRead(leafIndex: number): number[] {
    const slots: number[] = []
    for (let slot = 0; slot < blocksPerLeaf; slot++) if (this.fateOf(leafIndex, slot) === 'read') slots.push(slot)
    return slots
  }

  /** Marks every block that the byte range touches. */
  mark(fromBytes: number, toBytes: number, flag: number): void {
    for (let block = Math.floor(fromBytes / blockBytes); block * blockBytes < toBytes; block++) {
      const leafIndex = Math.floor(block / blocksPerLeaf)
      let flags = this.#flags.get(leafIndex)
      if (!flags) {
        flags = new Uint8Array(blocksPerLeaf)
        this.#flags.set(leafIndex, flags)
      }
      flags[block % blocksPerLeaf]! |= flag
    }
  }

  /** Drops leaves in which nothing changed: all of such a leaf is inherited. */
  dropUnchanged(): void {
    for (const [index, flags] of this.#flags) if (!flags.some((flag) => flag & isChanged)) this.#flags.delete(index)
  }
}

/**
 * Asks the server about the whole export. `changedDepth` is how many of the topmost layers may differ from the parent,
 * or null when there is no parent and everything counts. Throws when a context is not on offer that is needed.
 */
export async function scanExtents(
  client: NbdClient,
  changedDepth: number | null,
  signal?: AbortSignal,
): Promise<ExtentMap> {
  const map = new ExtentMap(changedDepth !== null)
  for (const context of changedDepth === null ? [allocationContext] : [allocationContext, depthContext])
    if (!client.contexts.has(context)) throw new Error(`the NBD server does not offer ${context}`)
  await eachAtOnce(
    spans(client.sizeBytes),
    spansAtOnce,
    async (span) => {
      for (let at = span.from; at < span.to; ) at = await scanPart(client, map, changedDepth, at, span.to)
    },
    signal,
  )
  if (changedDepth !== null) map.dropUnchanged()
  return map
}

function* spans(sizeBytes: number): Generator<{ from: number; to: number }> {
  for (let from = 0; from < sizeBytes; from += statusSpanBytes) {
    yield { from, to: Math.min(from + statusSpanBytes, sizeBytes) }
  }
}

/** Marks what the server says of the bytes from `at` on, and tells how far it spoke. */
async function scanPart(
  client: NbdClient,
  map: ExtentMap,
  changedDepth: number | null,
  at: number,
  to: number,
): Promise<number> {
  const status = await client.blockStatus(at, to - at)
  // Contexts may reach differently far; where one stops, the next question begins.
  const end = at + Math.min(to - at, ...[...status.values()].map(totalBytes))
  eachExtent(status.get(allocationContext)!, at, end, (from, until, flags) => {
    if (!(flags & allocation.zero)) map.mark(from, until, hasData)
  })
  if (changedDepth !== null)
    eachExtent(status.get(depthContext)!, at, end, (from, until, depth) => {
      // Depth 0 is held by no layer, and so was not held by the parent's either.
      if (depth >= 1 && depth <= changedDepth) map.mark(from, until, isChanged)
    })
  return end
}

function totalBytes(extents: readonly Extent[]): number {
  return extents.reduce((sum, extent) => sum + extent.lengthBytes, 0)
}

function eachExtent(
  extents: readonly Extent[],
  startBytes: number,
  endBytes: number,
  visit: (fromBytes: number, toBytes: number, value: number) => void,
): void {
  let from = startBytes
  for (const { lengthBytes, value } of extents) {
    const to = Math.min(from + lengthBytes, endBytes)
    if (from < to) visit(from, to, value)
    from = to
  }
}
