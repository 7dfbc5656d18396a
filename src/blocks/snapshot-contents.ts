/** The blocks of snapshots one by one, as the EBS direct APIs read and write them, on the region stores. */
import { LRUCache } from 'lru-cache'
import type { Clock } from '../lib/clock.ts'
import {
  blockBytes,
  blocksIn,
  blocksPerLeaf,
  hashOf,
  isZeroBlock,
  type Leaf,
  type LeafRef,
  type Root,
  zeroBlock,
  zeroHash,
} from './format.ts'
import type { BlockAt, BlockPage, BlockRange, ChangedBlockAt, SnapshotContents } from './ports.ts'
import type { RegionStores } from './region-stores.ts'
import { blockAccess } from './sealed-block.ts'
import { assembleSnapshot } from './snapshot-assembly.ts'
import { readLeaf, readRoot } from './snapshot-objects.ts'
import type { BlockStore, Hash } from './store.ts'

/** Who reads a snapshot asks for its blocks one after the other: its root and a leaf or two are wanted again and again. */
const rootsKept = 16
const leavesKept = 128

/** A page looks at no more leaves, that is 128 GiB of volume, however few blocks it finds there. */
const leavesPerPage = 256

export function createSnapshotContents(stores: RegionStores, clock: Clock): SnapshotContents {
  const roots = new LRUCache<string, Root>({ max: rootsKept })
  const leaves = new LRUCache<string, Leaf>({ max: leavesKept })

  /** A snapshot opened for reading. By store and name: one store's damage is not another's. */
  async function open(region: string, hash: Hash): Promise<OpenSnapshot> {
    const store = await stores.existing(region)
    const root = await kept(roots, `${store.where} ${hash}`, () => readRoot(store, hash))
    const leafOf = (ref: LeafRef) =>
      kept(leaves, `${store.where} ${ref.hash}`, () => readLeaf(store, ref, root.sizeBytes))
    return { root, leafOf }
  }

  /** Writes a block that its sender is told to be kept. */
  const keep = (region: string, write: (store: BlockStore) => Promise<{ hash: Hash; storedBytes: number }>) =>
    stores.holding([region], async () => {
      const store: BlockStore = await stores.existing(region)
      const written = await write(store)
      // Also when it was there: it may have come by a capture that has not committed yet.
      await (store.settle ? store.settle('block', written.hash) : store.commit())
      stores.recent(region).remember('blocks', written.hash)
      return written
    })

  return {
    blockBytes,
    zeroHash,
    hashOf,

    async blocksFrom({ region, root, fromIndex, limit }) {
      return await pageOf(dataSpans(await open(region, root), fromIndex), { fromIndex, limit })
    },

    async changesFrom({ region, first, second, fromIndex, limit }) {
      const spans = changedSpans(await open(region, first), await open(region, second), fromIndex)
      return await pageOf(spans, { fromIndex, limit })
    },

    async hashAt(region, rootHash, index) {
      const { root, leafOf } = await open(region, rootHash)
      if (index >= blocksIn(root.sizeBytes)) return undefined
      const ref = leafRefAt(root, Math.floor(index / blocksPerLeaf))
      return (ref && (await leafOf(ref)).hashAt(index % blocksPerLeaf)) ?? zeroHash
    },

    async read(region, hash, sealKey = null) {
      return hash === zeroHash ? zeroBlock : await blockAccess(sealKey).read(await stores.existing(region), hash)
    },

    async put(region, hash, content) {
      if (content.length !== blockBytes) throw new RangeError(`a block has ${blockBytes} bytes, not ${content.length}`)
      if (hash === zeroHash) return 0
      const write = async (store: BlockStore) => ({ hash, storedBytes: await store.write('block', hash, content) })
      return (await keep(region, write)).storedBytes
    },

    async putSealed(region, content, sealKey) {
      if (content.length !== blockBytes) throw new RangeError(`a block has ${blockBytes} bytes, not ${content.length}`)
      if (isZeroBlock(content)) return { hash: zeroHash, storedBytes: 0 }
      return await keep(region, (store) => blockAccess(sealKey).write(store, content))
    },

    assemble: (request, progress = {}) =>
      stores.holding([request.region], async () => {
        const store = await stores.existing(request.region)
        const assembled = await assembleSnapshot(store, request, progress, clock)
        stores.recent(request.region).remember('roots', assembled.root)
        return assembled
      }),
  }
}

interface OpenSnapshot {
  root: Root
  leafOf(ref: LeafRef): Promise<Leaf>
}

/** What one leaf's place has to offer to a page. */
interface Span<T> {
  /** The first index that was looked at. */
  fromIndex: number
  items: T[]
}

async function kept<T extends object>(cache: LRUCache<string, T>, key: string, read: () => Promise<T>): Promise<T> {
  const known = cache.get(key)
  if (known) return known
  const value = await read()
  cache.set(key, value)
  return value
}

function leafRefAt(root: Root, leafIndex: number): LeafRef | undefined {
  return root.leaves.find((ref) => ref.index === leafIndex)
}

async function pageOf<T extends { index: number }>(
  spans: AsyncIterable<Span<T>>,
  { limit }: BlockRange,
): Promise<BlockPage<T>> {
  const items: T[] = []
  let spansSeen = 0
  for await (const span of spans) {
    if (spansSeen++ === leavesPerPage) return { items, next: span.fromIndex }
    const room = limit - items.length
    items.push(...span.items.slice(0, room))
    if (span.items.length > room) return { items, next: span.items[room]!.index }
  }
  return { items, next: null }
}

/** The slots of a leaf from the wanted index on. */
function* indexesOf(leafIndex: number, fromIndex: number): Generator<number> {
  const first = leafIndex * blocksPerLeaf
  for (let index = Math.max(first, fromIndex); index < first + blocksPerLeaf; index++) yield index
}

const leafEnd = (leafIndex: number) => (leafIndex + 1) * blocksPerLeaf

async function* dataSpans({ root, leafOf }: OpenSnapshot, fromIndex: number): AsyncGenerator<Span<BlockAt>> {
  for (const ref of root.leaves) {
    if (leafEnd(ref.index) <= fromIndex) continue
    const leaf = await leafOf(ref)
    const items: BlockAt[] = []
    for (const index of indexesOf(ref.index, fromIndex)) {
      const hash = leaf.hashAt(index % blocksPerLeaf)
      if (hash !== undefined) items.push({ index, hash })
    }
    yield { fromIndex: Math.max(ref.index * blocksPerLeaf, fromIndex), items }
  }
}

async function* changedSpans(
  first: OpenSnapshot,
  second: OpenSnapshot,
  fromIndex: number,
): AsyncGenerator<Span<ChangedBlockAt>> {
  const [before, after] = [first, second].map(({ root }) => new Map(root.leaves.map((ref) => [ref.index, ref])))
  const end = blocksIn(second.root.sizeBytes)
  const places = [...new Set([...before!.keys(), ...after!.keys()])].sort((a, b) => a - b)
  for (const place of places) {
    const [one, other] = [before!.get(place), after!.get(place)]
    if (one?.hash === other?.hash || leafEnd(place) <= fromIndex) continue
    const [oneLeaf, otherLeaf] = [one && (await first.leafOf(one)), other && (await second.leafOf(other))]
    const items: ChangedBlockAt[] = []
    for (const index of indexesOf(place, fromIndex)) {
      const was = oneLeaf?.hashAt(index % blocksPerLeaf)
      const is = otherLeaf?.hashAt(index % blocksPerLeaf)
      if (was !== is && index < end) items.push({ index, first: was ?? null, second: is ?? zeroHash })
    }
    yield { fromIndex: Math.max(place * blocksPerLeaf, fromIndex), items }
  }
}
