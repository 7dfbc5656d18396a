/** Real local stores for tests, and snapshots made without a disk. */
import { run } from '../../lib/programs.ts'
import { blockBytes, blocksPerLeaf, encodeLeaf, encodeRoot, hashOf, isZeroBlock, type LeafRef } from '../format.ts'
import { type LocalStore, type LocalStoreOptions, openLocalStore } from '../local-store.ts'
import { blockAccess } from '../sealed-block.ts'
import type { BlockStore, Hash } from '../store.ts'

/** As the composition root gives it. */
export const syncFilesystem = async (path: string) => {
  await run('sync', ['-f', path])
}

/** Opened for writing; without syncing, which would wait for everything that other tests write. */
export async function openStore(directory: string, options: Partial<LocalStoreOptions> = {}): Promise<LocalStore> {
  return await openLocalStore({ directory, access: 'write', syncFilesystem: async () => {}, ...options })
}

/** The store, with some of its calls replaced. */
export function withCalls(store: BlockStore, calls: Partial<BlockStore>): BlockStore {
  return new Proxy(store, {
    get(target, name) {
      const own = Reflect.get(calls, name)
      if (own !== undefined) return own
      const value = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

/** A block of one repeated text: it packs well, and another text gives another block. */
export function patternBlock(text: string): Buffer {
  return Buffer.alloc(blockBytes, text)
}

/** A block of words in no order: it packs the better the harder it is tried. */
export function wordyBlock(text: string): Buffer {
  let state = 1
  const lines = Array.from({ length: blockBytes / 4 }, (_, index) => {
    state = (state * 48_271) % 2_147_483_647
    return index === 0 ? text : (state % 3000).toString(36).padStart(4, 'word')
  })
  return Buffer.from(lines.join(' ')).subarray(0, blockBytes)
}

/** Writes a snapshot of the given blocks (by place; the others are zeros) the way a capture does. */
export async function putSnapshot(
  store: BlockStore,
  sizeBytes: number,
  blocks: ReadonlyMap<number, Buffer>,
  sealKey: Buffer | null = null,
): Promise<Hash> {
  const access = blockAccess(sealKey)
  const drafts = new Map<number, (Hash | undefined)[]>()
  for (const [place, content] of blocks) {
    if (isZeroBlock(content)) continue
    const index = Math.floor(place / blocksPerLeaf)
    const names = drafts.get(index) ?? []
    names[place % blocksPerLeaf] = (await access.write(store, content)).hash
    drafts.set(index, names)
  }
  const leaves: LeafRef[] = []
  for (const [index, names] of [...drafts].sort(([a], [b]) => a - b)) {
    const content = encodeLeaf(Array.from(names))
    await store.write('leaf', hashOf(content), content)
    leaves.push({ index, blockCount: names.filter((name) => name !== undefined).length, hash: hashOf(content) })
  }
  const root = encodeRoot({ sizeBytes, leaves })
  await store.write('root', hashOf(root), root)
  await store.commit()
  return hashOf(root)
}
