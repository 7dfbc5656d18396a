/**
 * What the block server keeps in memory, for all exports together: decoded blocks and leaves, least recently used go
 * first. Content is named by its hash and was checked, so regions may share it; what is being fetched is fetched once.
 */
import { LRUCache } from 'lru-cache'
import type { Leaf, LeafRef } from './format.ts'
import type { BlockAccess } from './sealed-block.ts'
import { readLeaf } from './snapshot-objects.ts'
import type { BlockStore, Hash } from './store.ts'

/** 512 leaves speak for 256 GiB and take about 18 MB. */
const leavesMax = 512

export class BlockCache {
  /** By key and name: who asks with another key, or with none, does not get what this one opened. */
  readonly #blocks: LRUCache<string, Buffer>
  readonly #leaves = new LRUCache<Hash, Leaf>({ max: leavesMax })
  /** By store and name: one store's damage is not another's. */
  readonly #fetching = new Map<string, Promise<unknown>>()

  constructor(maxBytes: number) {
    this.#blocks = new LRUCache({ maxSize: maxBytes, sizeCalculation: (block) => block.length })
  }

  /** Throws MissingObject or CorruptObject. The buffer is shared: nobody may write into it. */
  async block(store: BlockStore, hash: Hash, access: BlockAccess): Promise<Buffer> {
    const key = `${access.keyId} ${hash}`
    return this.#blocks.get(key) ?? (await this.#once(store, key, this.#blocks, () => access.read(store, hash)))
  }

  /** Throws MissingObject or CorruptObject. */
  async leaf(store: BlockStore, ref: LeafRef, sizeBytes: number): Promise<Leaf> {
    const { hash } = ref
    return (
      this.#leaves.get(hash) ?? (await this.#once(store, hash, this.#leaves, () => readLeaf(store, ref, sizeBytes)))
    )
  }

  #once<T extends object>(
    store: BlockStore,
    name: string,
    cache: LRUCache<string, T>,
    fetch: () => Promise<T>,
  ): Promise<T> {
    const key = `${name} ${store.where}`
    const underway = this.#fetching.get(key) as Promise<T> | undefined
    if (underway) return underway
    const fetching = fetch()
      .then((value) => {
        cache.set(name, value)
        return value
      })
      .finally(() => this.#fetching.delete(key))
    this.#fetching.set(key, fetching)
    return fetching
  }
}
