/** What a region's store holds, read without any daemon, against what is needed there and what was once written. */
import { type FileHandle, open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { blockBytes, blocksPerLeaf, hashOf, isZeroBlock } from '../../src/blocks/format.ts'
import { openLocalStore } from '../../src/blocks/local-store.ts'
import { readLeaf, readRoot } from '../../src/blocks/snapshot-objects.ts'
import type { Hash } from '../../src/blocks/store.ts'

/** The names of a disk's blocks, undefined where there are zeros. */
export type BlockNames = (Hash | undefined)[]

export async function blockNamesOf(rawPath: string): Promise<BlockNames> {
  const file = await open(rawPath)
  try {
    const names: BlockNames = []
    for await (const block of blocksIn(file)) names.push(isZeroBlock(block) ? undefined : hashOf(block))
    return names
  } finally {
    await file.close()
  }
}

async function* blocksIn(file: FileHandle): AsyncGenerator<Buffer> {
  const buffer = Buffer.alloc(blockBytes)
  for (;;) {
    const { bytesRead } = await file.read(buffer, 0, blockBytes)
    if (bytesRead === 0) return
    yield buffer.fill(0, bytesRead)
  }
}

/** The names of a snapshot's blocks as its leaves have them; every block is read and compared with its name. */
export async function snapshotBlocks(store: string, root: Hash, count: number): Promise<BlockNames> {
  const opened = await openLocalStore({ directory: store, access: 'read' })
  const { sizeBytes, leaves } = await readRoot(opened, root)
  const names: BlockNames = Array.from({ length: count }, () => undefined)
  for (const ref of leaves) {
    const leaf = await readLeaf(opened, ref, sizeBytes)
    for (let slot = 0; slot < blocksPerLeaf; slot++) {
      const name = leaf.hashAt(slot)
      if (name === undefined) continue
      await opened.read('block', name)
      names[ref.index * blocksPerLeaf + slot] = name
    }
  }
  return names
}

/** Every file below a store, and every one that should be there: what these roots name, and nothing beside it. */
export async function filesOfStore(store: string, roots: readonly Hash[]): Promise<{ held: string[]; due: string[] }> {
  const opened = await openLocalStore({ directory: store, access: 'read' })
  const due = new Set<string>()
  for (const root of roots) {
    due.add(`root ${root}`)
    const { sizeBytes, leaves } = await readRoot(opened, root)
    for (const ref of leaves) {
      due.add(`leaf ${ref.hash}`)
      for (const block of (await readLeaf(opened, ref, sizeBytes)).hashes()) due.add(`block ${block}`)
    }
  }
  const entries = await readdir(store, { recursive: true, withFileTypes: true })
  const held = entries
    .filter((entry) => !entry.isDirectory() && entry.parentPath !== store)
    .map((entry) => join(entry.parentPath, entry.name).slice(store.length + 1))
    .map((path) => path.replace(/^(\w+)\/(..)\/(..)\/(\2\3[0-9a-f]{60})$/, '$1 $4'))
  return { held: held.sort(), due: [...due].sort() }
}
