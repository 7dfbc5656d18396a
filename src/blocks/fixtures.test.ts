/** Stores of every version that was ever written must be read for ever. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { blockBytes, blocksIn, blocksPerLeaf, type Leaf } from './format.ts'
import { openLocalStore } from './local-store.ts'
import { blockAccess } from './sealed-block.ts'
import { readLeaf, readRoot } from './snapshot-objects.ts'
import { openStore, patternBlock, putSnapshot } from './testing/stores.ts'
import { temporaryFolder } from './testing/temporary-folder.ts'

interface Fixture {
  root: string
  sizeBytes: number
  blocks: { [place: string]: string }
}

test('version 1 is read, and the same content written today has the same name', async () => {
  const directory = join(import.meta.dirname, 'fixtures', 'v1')
  const fixture = JSON.parse(await readFile(join(directory, 'snapshot.json'), 'utf8')) as Fixture
  const store = await openLocalStore({ directory: join(directory, 'store'), access: 'read' })
  const root = await readRoot(store, fixture.root)
  expect(root.sizeBytes).toBe(fixture.sizeBytes)
  const leaves = new Map<number, Leaf>()
  for (const ref of root.leaves) leaves.set(ref.index, await readLeaf(store, ref, root.sizeBytes))
  const contents = new Map<number, Buffer>()
  for (let place = 0; place < blocksIn(root.sizeBytes); place++) {
    const hash = leaves.get(Math.floor(place / blocksPerLeaf))?.hashAt(place % blocksPerLeaf)
    expect(hash).toBe(fixture.blocks[place])
    if (hash !== undefined) contents.set(place, await store.read('block', hash))
  }
  expect([...contents.keys()].map(String)).toEqual(Object.keys(fixture.blocks))
  expect(contents.get(0)!.toString('latin1', 0, 10)).toBe('firstfirst')
  const today = await openStore(await temporaryFolder())
  expect(await putSnapshot(today, root.sizeBytes, contents)).toBe(fixture.root)
})

test('sealed blocks are read with their key, and sealed today as they were', async () => {
  const directory = join(import.meta.dirname, 'fixtures', 'v1-sealed')
  const fixture = JSON.parse(await readFile(join(directory, 'snapshot.json'), 'utf8')) as Fixture & {
    sealKey: string
    noiseName: string
  }
  const access = blockAccess(Buffer.from(fixture.sealKey, 'hex'))
  const store = await openLocalStore({ directory: join(directory, 'store'), access: 'read' })
  const root = await readRoot(store, fixture.root)
  for (const [place, name] of Object.entries(fixture.blocks)) {
    const ref = root.leaves.find(({ index }) => index === Math.floor(Number(place) / blocksPerLeaf))!
    const leaf = await readLeaf(store, ref, root.sizeBytes)
    expect(leaf.hashAt(Number(place) % blocksPerLeaf)).toBe(name)
    expect(await access.read(store, name)).toEqual(patternBlock('sealed '))
  }
  // What does not pack is sealed as it is: its name depends on no packer.
  const digests = Array.from({ length: blockBytes / 32 }, (_, i) => createHash('sha256').update(`noise ${i}`).digest())
  const today = await openStore(await temporaryFolder())
  expect((await access.write(today, Buffer.concat(digests))).hash).toBe(fixture.noiseName)
})
