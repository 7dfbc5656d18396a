import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { systemClock } from '../lib/clock.ts'
import { copySnapshot } from './copy.ts'
import { blockBytes, hashOf, leafSpanBytes } from './format.ts'
import { readLeaf, readRoot } from './snapshot-objects.ts'
import { type BlockStore, CorruptObject, type Hash, MissingObject } from './store.ts'
import { failingFiles } from './testing/failing-files.ts'
import { openStore, patternBlock, putSnapshot } from './testing/stores.ts'
import { temporaryFolder } from './testing/temporary-folder.ts'

const sizeBytes = 3 * leafSpanBytes
const blocksOf = (texts: readonly string[], place: (i: number) => number) =>
  new Map(texts.map((text, i) => [place(i), patternBlock(text)]))

/** Twelve different blocks over three leaves. */
const content = blocksOf(
  Array.from({ length: 12 }, (_, i) => `block ${i}`),
  (i) => i * 250,
)

async function setUp() {
  const folder = await temporaryFolder()
  const [source, target] = [await openStore(join(folder, 'source')), await openStore(join(folder, 'target'))]
  return { folder, source, target, root: await putSnapshot(source, sizeBytes, content) }
}

const copy = (source: BlockStore, target: BlockStore, root: Hash, mayLink = false) =>
  copySnapshot({ root, source, target, mayLink }, {}, systemClock)

/** Reads everything that the root names. */
async function readAll(store: BlockStore, rootHash: Hash): Promise<number> {
  const root = await readRoot(store, rootHash)
  let blocks = 0
  for (const ref of root.leaves)
    for (const hash of (await readLeaf(store, ref, root.sizeBytes)).hashes()) {
      await store.read('block', hash)
      blocks++
    }
  return blocks
}

test('a copy holds everything, also when the source is moved away', async () => {
  const { folder, source, target, root } = await setUp()
  const stats = await copy(source, target, root)
  expect(stats).toMatchObject({ blocksMoved: 12, blocksPresent: 0 })
  await rename(source.where, join(folder, 'elsewhere'))
  expect(await readAll(target, root)).toBe(12)
  // What is there needs no source.
  expect(await copy(source, target, root)).toEqual({ blocksMoved: 0, bytesMoved: 0, blocksPresent: 12 })
})

test('bytesMoved is what the target grew by', async () => {
  const { source, target, root } = await setUp()
  const { bytesMoved } = await copy(source, target, root)
  let bytes = 0
  for (const kind of ['block', 'leaf', 'root'] as const)
    for await (const hash of target.list(kind)) bytes += await target.storedBytes(kind, hash)
  expect(bytesMoved).toBe(bytes)
})

test('only what the target lacks is moved: blocks one by one, known leaves at once', async () => {
  const { source, target, root } = await setUp()
  await copy(source, target, root)
  const changed = new Map(content).set(0, patternBlock('changed')).set(1, patternBlock('block 7'))
  const next = await putSnapshot(source, sizeBytes, changed)
  expect(await copy(source, target, next)).toMatchObject({ blocksMoved: 1, blocksPresent: 12 })
  expect(await readAll(target, next)).toBe(13)
})

test('a block that stands in many places is moved once', async () => {
  const { source, target } = await setUp()
  const root = await putSnapshot(
    source,
    sizeBytes,
    blocksOf(Array(40).fill('same'), (i) => i),
  )
  expect(await copy(source, target, root)).toMatchObject({ blocksMoved: 1, blocksPresent: 39 })
})

test('a copy that a full disk broke off goes on where it was', async () => {
  const { folder, source, root } = await setUp()
  const files = failingFiles()
  const target = await openStore(join(folder, 'small'), { files })
  files.failAfter(30, 'ENOSPC')
  await expect(copy(source, target, root)).rejects.toThrow('ENOSPC')
  expect(await target.has('root', root)).toBe(false)
  // Whatever leaf is there has all its blocks.
  for (const ref of (await readRoot(source, root)).leaves)
    if (await target.has('leaf', ref.hash))
      for (const hash of (await readLeaf(target, ref, sizeBytes)).hashes())
        expect(await target.has('block', hash)).toBe(true)
  let there = 0
  for await (const _ of target.list('block')) there++
  expect(there).toBeGreaterThan(0)
  const stats = await copy(source, target, root)
  expect(stats).toMatchObject({ blocksMoved: 12 - there, blocksPresent: there })
  expect(await readAll(target, root)).toBe(12)
})

test.each([true, false])(
  'damage of the source stops the copy and is not carried over (linking: %s)',
  async (mayLink) => {
    const { source, target, root } = await setUp()
    const hash = hashOf(content.get(250 * 5)!)
    const path = join(source.where, 'block', hash.slice(0, 2), hash.slice(2, 4), hash)
    const intact = await readFile(path)
    await writeFile(path, Buffer.concat([intact.subarray(0, -2), Buffer.of(1, 2)]))
    await expect(copy(source, target, root, mayLink)).rejects.toThrow(CorruptObject)
    expect(await target.has('block', hash)).toBe(false)
    expect(await target.has('root', root)).toBe(false)
    await writeFile(path, intact)
    await copy(source, target, root, mayLink)
    expect(await readAll(target, root)).toBe(12)
  },
)

test('an unknown snapshot is reported', async () => {
  const { source, target } = await setUp()
  await expect(copy(source, target, 'f'.repeat(64))).rejects.toThrow(MissingObject)
})

test('an abort stops the copy', async () => {
  const { source, target, root } = await setUp()
  const request = { root, source, target, mayLink: false }
  await expect(copySnapshot(request, { signal: AbortSignal.abort(new Error('enough')) }, systemClock)).rejects.toThrow(
    'enough',
  )
  expect(await target.has('root', root)).toBe(false)
})

test('a snapshot without data is copied as well', async () => {
  const { source, target } = await setUp()
  const root = await putSnapshot(source, 5 * blockBytes, new Map())
  expect(await copy(source, target, root)).toMatchObject({ blocksMoved: 0, blocksPresent: 0 })
  expect(await readAll(target, root)).toBe(0)
})
