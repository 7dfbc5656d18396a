/** Snapshots read, compared and made block by block. What is expected is computed from the blocks themselves. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { systemClock } from '../lib/clock.ts'
import { blockBytes, blocksPerLeaf, encodeLeaf, hashOf, leafSpanBytes, zeroBlock, zeroHash } from './format.ts'
import type { BlockAt, BlockPage, SnapshotContents } from './ports.ts'
import { RegionStores } from './region-stores.ts'
import { createSnapshotContents } from './snapshot-contents.ts'
import { CorruptObject, MissingObject } from './store.ts'
import { patternBlock, putSnapshot } from './testing/stores.ts'
import { temporaryFolder } from './testing/temporary-folder.ts'

const region = 'eu-west-1'
const leafCount = 4
const sizeBytes = leafCount * leafSpanBytes

async function setUp() {
  const stores = new RegionStores({
    regionsDir: await temporaryFolder(),
    syncFilesystem: async () => {},
    clock: systemClock,
  })
  const store = await stores.open(region)
  return { contents: createSnapshotContents(stores, systemClock), store }
}

type Disk = ReadonlyMap<number, Buffer>

const diskOf = (texts: Readonly<Record<number, string>>): Disk =>
  new Map(Object.entries(texts).map(([index, text]) => [Number(index), patternBlock(text)]))

/** Every page after the other, each bounded. */
async function allPages<T>(limit: number, ask: (fromIndex: number) => Promise<BlockPage<T>>): Promise<T[]> {
  const items: T[] = []
  for (let from: number | null = 0; from !== null; ) {
    const page: BlockPage<T> = await ask(from)
    expect(page.items.length).toBeLessThanOrEqual(limit)
    expect(page.next ?? Number.POSITIVE_INFINITY).toBeGreaterThan(from)
    items.push(...page.items)
    from = page.next
  }
  return items
}

const listed = (contents: SnapshotContents, root: string, limit: number) =>
  allPages(limit, (fromIndex) => contents.blocksFrom({ region, root, fromIndex, limit }))

const compared = (contents: SnapshotContents, first: string, second: string, limit: number) =>
  allPages(limit, (fromIndex) => contents.changesFrom({ region, first, second, fromIndex, limit }))

const put = (contents: SnapshotContents, content: Buffer) => contents.put(region, hashOf(content), content)

async function* inOrder(changes: Disk): AsyncGenerator<BlockAt> {
  for (const [index, content] of [...changes].sort(([a], [b]) => a - b)) yield { index, hash: hashOf(content) }
}

const assemble = (contents: SnapshotContents, parent: string | null, changes: Disk, bytes = sizeBytes) =>
  contents.assemble({ region, sizeBytes: bytes, parent, changes: inOrder(changes), changeCount: changes.size })

test('blocks are listed in order from any index, in pages, without zeros', async () => {
  const { contents, store } = await setUp()
  const disk = diskOf({ 0: 'a', 5: 'b', 1023: 'c', 1024: 'd', 3000: 'e' })
  const root = await putSnapshot(store, sizeBytes, disk)
  const all = [...disk].map(([index, content]) => ({ index, hash: hashOf(content) }))
  for (const limit of [1, 2, 5, 100]) expect(await listed(contents, root, limit)).toEqual(all)
  expect(await contents.blocksFrom({ region, root, fromIndex: 6, limit: 2 })).toEqual({
    items: all.slice(2, 4),
    next: 3000,
  })
  expect(await contents.blocksFrom({ region, root, fromIndex: 3001, limit: 2 })).toEqual({ items: [], next: null })
})

test('a page that would look at too many leaves ends early, and the next goes on', async () => {
  const { contents, store } = await setUp()
  const disk = new Map(Array.from({ length: 300 }, (_, leaf) => [leaf * blocksPerLeaf, patternBlock('same')] as const))
  const root = await putSnapshot(store, 300 * leafSpanBytes, disk)
  const first = await contents.blocksFrom({ region, root, fromIndex: 0, limit: 10_000 })
  expect([first.items.length, first.next]).toEqual([256, 256 * blocksPerLeaf])
  expect(await listed(contents, root, 10_000)).toHaveLength(300)
})

test('a block is read as it was written, zeros too, and a damaged one not at all', async () => {
  const { contents, store } = await setUp()
  const root = await putSnapshot(store, sizeBytes, diskOf({ 7: 'seven' }))
  const hash = (await contents.hashAt(region, root, 7))!
  expect(await contents.read(region, hash)).toEqual(patternBlock('seven'))
  expect(await contents.hashAt(region, root, 8)).toBe(zeroHash)
  expect(await contents.read(region, zeroHash)).toEqual(zeroBlock)
  expect(await contents.hashAt(region, root, leafCount * blocksPerLeaf)).toBeUndefined()
  const path = join(store.where, 'block', hash.slice(0, 2), hash.slice(2, 4), hash)
  const stored = await readFile(path)
  stored[stored.length - 3]! ^= 1
  await writeFile(path, stored)
  await expect(contents.read(region, hash)).rejects.toThrow(CorruptObject)
  await expect(contents.read('us-east-1', hash)).rejects.toThrow('no block store')
})

test('a block that was put is on stable storage before it is answered; zeros are named and not stored', async () => {
  const { contents, store } = await setUp()
  const settle = vi.spyOn(store, 'settle')
  const [content, name] = [patternBlock('one'), hashOf(patternBlock('one'))]
  expect(contents.hashOf(content)).toBe(name)
  const storedBytes = await contents.put(region, name, content)
  expect(storedBytes).toBe(await store.storedBytes('block', name))
  expect(settle.mock.calls).toEqual([['block', name]])
  expect(await contents.put(region, name, content)).toBe(0)
  // It was there already, yet perhaps not on stable storage.
  expect(settle).toHaveBeenCalledTimes(2)
  expect(await put(contents, zeroBlock)).toBe(0)
  expect(await store.has('block', zeroHash)).toBe(false)
  await expect(put(contents, Buffer.alloc(blockBytes - 1))).rejects.toThrow(RangeError)
  settle.mockRejectedValueOnce(new Error('disk on fire'))
  await expect(put(contents, patternBlock('two'))).rejects.toThrow('disk on fire')
})

test('differences are found in either direction; what became zeros is one', async () => {
  const { contents, store } = await setUp()
  const [b, c, d] = ['b', 'c', 'd'].map((text) => hashOf(patternBlock(text)))
  const first = await putSnapshot(store, sizeBytes, diskOf({ 0: 'a', 1: 'b', 1030: 'c', 2048: 'd' }))
  const second = await putSnapshot(store, sizeBytes, diskOf({ 0: 'a', 1: 'c', 2: 'd', 2048: 'd' }))
  expect(await compared(contents, first, second, 100)).toEqual([
    { index: 1, first: b, second: c },
    { index: 2, first: null, second: d },
    { index: 1030, first: c, second: zeroHash },
  ])
  expect(await compared(contents, second, first, 1)).toEqual([
    { index: 1, first: c, second: b },
    { index: 2, first: d, second: zeroHash },
    { index: 1030, first: null, second: c },
  ])
  expect(await compared(contents, first, first, 100)).toEqual([])
  expect((await contents.changesFrom({ region, first, second, fromIndex: 2, limit: 100 })).items).toHaveLength(2)
})

test('comparing reads no leaf that the two snapshots share', async () => {
  const { contents, store } = await setUp()
  const base = diskOf({ 0: 'a', 2000: 'shared' })
  const first = await putSnapshot(store, sizeBytes, base)
  const second = await putSnapshot(store, sizeBytes, new Map([...base, [1, patternBlock('new')]]))
  const names = Array.from({ length: blocksPerLeaf }, () => undefined as string | undefined)
  names[2000 - blocksPerLeaf] = hashOf(patternBlock('shared'))
  await store.remove('leaf', hashOf(encodeLeaf(names)))
  expect(await compared(contents, first, second, 100)).toEqual([
    { index: 1, first: null, second: hashOf(patternBlock('new')) },
  ])
})

test('a smaller second snapshot ends the comparison', async () => {
  const { contents, store } = await setUp()
  const first = await putSnapshot(store, sizeBytes, diskOf({ 3: 'a', 2000: 'beyond' }))
  const second = await putSnapshot(store, leafSpanBytes, diskOf({ 3: 'b' }))
  expect((await compared(contents, first, second, 100)).map(({ index }) => index)).toEqual([3])
})

test('an assembled snapshot is the one that a capture of the same disk would give', async () => {
  const { contents, store } = await setUp()
  const base = diskOf({ 0: 'a', 1: 'b', 1500: 'c', 2048: 'd' })
  const parent = await putSnapshot(store, sizeBytes, base)
  const changes = new Map([...diskOf({ 1: 'B', 9: 'new', 4000: 'far' }), [2048, zeroBlock]])
  for (const content of changes.values()) await put(contents, content)
  const { root, info } = await assemble(contents, parent, changes, 5 * leafSpanBytes)
  expect(root).toBe(await putSnapshot(store, 5 * leafSpanBytes, new Map([...base, ...changes])))
  expect(info).toMatchObject({ sizeBytes: 5 * leafSpanBytes, blockCount: 5, dataBytes: 5 * blockBytes })
  const again = await assemble(contents, parent, changes, 5 * leafSpanBytes)
  expect(again).toMatchObject({ root, bytesStored: 0 })
  expect((await assemble(contents, null, new Map())).info.blockCount).toBe(0)
})

test('nothing is assembled of what is not there, or out of order or place', async () => {
  const { contents, store } = await setUp()
  await expect(assemble(contents, null, diskOf({ 1: 'never put' }))).rejects.toThrow(MissingObject)
  await put(contents, patternBlock('a'))
  const hash = hashOf(patternBlock('a'))
  async function* unordered() {
    yield { index: 5, hash }
    yield { index: 5, hash }
  }
  const request = { region, sizeBytes, parent: null, changeCount: 2 }
  await expect(contents.assemble({ ...request, changes: unordered() })).rejects.toThrow(RangeError)
  const beyond = diskOf({ [leafCount * blocksPerLeaf]: 'a' })
  await expect(assemble(contents, null, beyond)).rejects.toThrow(RangeError)
  const large = await putSnapshot(store, sizeBytes, new Map())
  await expect(assemble(contents, large, new Map(), leafSpanBytes)).rejects.toThrow('smaller than its parent')
})

test('any two disks: the differences, applied to the first, give the second', async () => {
  const { contents, store } = await setUp()
  const place = fc.oneof(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: leafCount * blocksPerLeaf - 1 }))
  const disk = fc
    .array(fc.tuple(place, fc.constantFrom('p', 'q', 'r')), { maxLength: 30 })
    .map((entries) => diskOf(Object.fromEntries(entries)))
  await fc.assert(
    fc.asyncProperty(disk, disk, fc.integer({ min: 1, max: 7 }), async (one, other, limit) => {
      const [first, second] = [await putSnapshot(store, sizeBytes, one), await putSnapshot(store, sizeBytes, other)]
      const changes = await compared(contents, first, second, limit)
      async function* changed() {
        for (const { index, second: hash } of changes) yield { index, hash }
      }
      const request = { region, sizeBytes, parent: first, changes: changed(), changeCount: changes.length }
      expect((await contents.assemble(request)).root).toBe(second)
    }),
    { numRuns: 20 },
  )
})
