/** What differs between two snapshots of one store, walking only that: equal leaves are passed over by their names. */
import { blockBytes, blocksPerLeaf, type Leaf, type LeafRef, type Root } from './format.ts'
import type { RootDifference } from './ports.ts'
import { readLeaf, readRoot } from './snapshot-objects.ts'
import type { BlockStore, Hash } from './store.ts'

/** Throws MissingObject or CorruptObject. */
export async function difference(store: BlockStore, before: Hash, after: Hash): Promise<RootDifference> {
  const [a, b] = [await readRoot(store, before), await readRoot(store, after)]
  const found: RootDifference = {
    sizeBytes: { before: a.sizeBytes, after: b.sizeBytes },
    blocks: { changed: 0, added: 0, removed: 0 },
    bytes: 0,
    leavesRead: 0,
  }
  const read = async (ref: LeafRef | undefined, root: Root) => {
    if (!ref) return undefined
    found.leavesRead++
    return await readLeaf(store, ref, root.sizeBytes)
  }
  const [leavesOfA, leavesOfB] = [leavesByIndex(a), leavesByIndex(b)]
  for (const index of new Set([...leavesOfA.keys(), ...leavesOfB.keys()])) {
    const [refA, refB] = [leavesOfA.get(index), leavesOfB.get(index)]
    if (refA?.hash === refB?.hash) continue
    compareLeaves(await read(refA, a), await read(refB, b), index, found)
  }
  return found
}

/**
 * Bytes of the blocks that a snapshot has and its parent does not have at the same place. Only leaves that stand at one
 * place and differ are read. Throws MissingObject or CorruptObject.
 */
export async function ownBytes(store: BlockStore, hash: Hash, parent: Hash): Promise<number> {
  if (hash === parent) return 0
  const [root, before] = [await readRoot(store, hash), await readRoot(store, parent)]
  const leavesBefore = leavesByIndex(before)
  let blockCount = 0
  for (const ref of root.leaves) {
    const other = leavesBefore.get(ref.index)
    if (other?.hash === ref.hash) continue
    if (other === undefined) blockCount += ref.blockCount
    else {
      const [leaf, leafBefore] = [
        await readLeaf(store, ref, root.sizeBytes),
        await readLeaf(store, other, before.sizeBytes),
      ]
      blockCount += ownBlocks(leaf, leafBefore)
    }
  }
  return blockCount * blockBytes
}

function ownBlocks(leaf: Leaf, before: Leaf): number {
  let count = 0
  for (let slot = 0; slot < blocksPerLeaf; slot++) {
    if (leaf.has(slot) && leaf.hashAt(slot) !== before.hashAt(slot)) count++
  }
  return count
}

const leavesByIndex = (root: Root) => new Map(root.leaves.map((leaf) => [leaf.index, leaf]))

function compareLeaves(a: Leaf | undefined, b: Leaf | undefined, index: number, found: RootDifference): void {
  const endBytes = Math.max(found.sizeBytes.before, found.sizeBytes.after)
  for (let slot = 0; slot < blocksPerLeaf; slot++) {
    const [blockA, blockB] = [a?.hashAt(slot), b?.hashAt(slot)]
    if (blockA === blockB) continue
    found.blocks[blockA === undefined ? 'added' : blockB === undefined ? 'removed' : 'changed']++
    // The last block of a volume may reach beyond its end.
    found.bytes += Math.min(blockBytes, endBytes - (index * blocksPerLeaf + slot) * blockBytes)
  }
}
