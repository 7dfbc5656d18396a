/**
 * A snapshot put together from blocks that are in the store already: the parent's, with some of them replaced. Only
 * leaves in which something changes are read and written; all others keep their names.
 */
import type { Clock } from '../lib/clock.ts'
import {
  blocksIn,
  blocksPerLeaf,
  encodeLeaf,
  encodeRoot,
  hashOf,
  type LeafRef,
  type Root,
  volumeBytesMax,
  zeroHash,
} from './format.ts'
import type { AssemblyRequest, AssemblyResult, BlockAt, Progress } from './ports.ts'
import { ProgressMeter } from './progress-meter.ts'
import { infoOf, readLeaf, readRoot } from './snapshot-objects.ts'
import { type BlockStore, type Hash, MissingObject } from './store.ts'

/** Throws MissingObject and CorruptObject of the store, and RangeError for changes that are out of order or place. */
export async function assembleSnapshot(
  store: BlockStore,
  request: AssemblyRequest,
  progress: Progress,
  clock: Clock,
): Promise<AssemblyResult> {
  const { sizeBytes, parent } = request
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 1 || sizeBytes > volumeBytesMax)
    throw new RangeError(`a volume cannot have ${sizeBytes} bytes`)
  const parentRoot = parent === null ? null : await readRoot(store, parent)
  if (parentRoot && parentRoot.sizeBytes > sizeBytes)
    throw new RangeError(`a volume of ${sizeBytes} bytes is smaller than its parent of ${parentRoot.sizeBytes}`)
  const assembly = new Assembly(store, sizeBytes, parentRoot)
  const meter = new ProgressMeter(Math.max(1, request.changeCount), progress, clock)
  for await (const changes of byLeaf(request.changes, blocksIn(sizeBytes))) {
    progress.signal?.throwIfAborted()
    await assembly.replace(changes)
    meter.advance(changes.length)
  }
  const result = await assembly.finish()
  await meter.finish()
  return result
}

/** The changes of one leaf at a time. */
async function* byLeaf(changes: AsyncIterable<BlockAt>, end: number): AsyncGenerator<BlockAt[]> {
  let group: BlockAt[] = []
  let previous = -1
  for await (const change of changes) {
    if (change.index <= previous || change.index >= end)
      throw new RangeError(`block ${change.index} follows block ${previous} in a volume of ${end} blocks`)
    previous = change.index
    if (group.length > 0 && leafOf(group[0]!) !== leafOf(change)) {
      yield group
      group = []
    }
    group.push(change)
  }
  if (group.length > 0) yield group
}

const leafOf = ({ index }: BlockAt) => Math.floor(index / blocksPerLeaf)

class Assembly {
  readonly #store: BlockStore
  readonly #sizeBytes: number
  readonly #parent: Root | null
  /** Of the new snapshot; at first all of the parent's. */
  readonly #leaves: Map<number, LeafRef>
  #bytesStored = 0

  constructor(store: BlockStore, sizeBytes: number, parent: Root | null) {
    this.#store = store
    this.#sizeBytes = sizeBytes
    this.#parent = parent
    this.#leaves = new Map(parent?.leaves.map((ref) => [ref.index, ref]))
  }

  /** Puts changes of one leaf in their places. */
  async replace(changes: readonly BlockAt[]): Promise<void> {
    const place = leafOf(changes[0]!)
    const names = await this.#parentNames(place)
    for (const { index, hash } of changes) {
      names[index % blocksPerLeaf] = hash === zeroHash ? undefined : await this.#present(hash)
    }
    const blockCount = names.reduce((count, name) => (name === undefined ? count : count + 1), 0)
    if (blockCount === 0) {
      this.#leaves.delete(place)
      return
    }
    const content = encodeLeaf(names)
    const hash = hashOf(content)
    this.#bytesStored += await this.#store.write('leaf', hash, content)
    this.#leaves.set(place, { index: place, blockCount, hash })
  }

  async finish(): Promise<AssemblyResult> {
    const leaves = [...this.#leaves.values()].sort((a, b) => a.index - b.index)
    const root: Root = { sizeBytes: this.#sizeBytes, leaves }
    const content = encodeRoot(root)
    const hash = hashOf(content)
    this.#bytesStored += await this.#store.write('root', hash, content)
    await this.#store.commit()
    return { root: hash, info: infoOf(root), bytesStored: this.#bytesStored }
  }

  async #parentNames(place: number): Promise<(Hash | undefined)[]> {
    const ref = this.#leaves.get(place)
    const leaf = ref && (await readLeaf(this.#store, ref, this.#parent!.sizeBytes))
    return Array.from({ length: blocksPerLeaf }, (_, slot) => leaf?.hashAt(slot))
  }

  /** No leaf may name what is not there. */
  async #present(hash: Hash): Promise<Hash> {
    if (await this.#store.has('block', hash)) return hash
    throw new MissingObject('block', hash, this.#store.where)
  }
}
