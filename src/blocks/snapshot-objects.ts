/** Reading a snapshot's root and leaves from a store, checked against each other. */
import { blockBytes, checkLeafInRoot, decodeLeaf, decodeRoot, type Leaf, type LeafRef, type Root } from './format.ts'
import type { RootInfo } from './ports.ts'
import type { BlockStore, Hash } from './store.ts'

/** Throws MissingObject or CorruptObject. */
export async function readRoot(store: BlockStore, hash: Hash): Promise<Root> {
  return decodeRoot(await store.read('root', hash), hash, store.where)
}

/** The leaf at that place of a volume of that size. Throws MissingObject or CorruptObject. */
export async function readLeaf(store: BlockStore, ref: LeafRef, sizeBytes: number): Promise<Leaf> {
  const leaf = decodeLeaf(await store.read('leaf', ref.hash), ref.hash, store.where)
  checkLeafInRoot(leaf, ref, sizeBytes, store.where)
  return leaf
}

export function infoOf(root: Root): RootInfo {
  const blockCount = root.leaves.reduce((sum, leaf) => sum + leaf.blockCount, 0)
  return { sizeBytes: root.sizeBytes, blockCount, dataBytes: blockCount * blockBytes }
}
