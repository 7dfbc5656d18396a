/** Stores of every version that was ever written must be read for ever. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { blocksIn, blocksPerLeaf, type Leaf } from './format.ts'
import { openLocalStore } from './local-store.ts'
import { readLeaf, readRoot } from './snapshot-objects.ts'
import { openStore, putSnapshot } from './testing/stores.ts'
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
