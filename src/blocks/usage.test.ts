import { join } from 'node:path'
import { expect, test } from 'vitest'
import { randomInt, seededRandom } from '../lib/random.ts'
import { collect } from './collector.ts'
import { difference, ownBytes } from './difference.ts'
import { blockBytes, hashOf, leafSpanBytes } from './format.ts'
import type { Hash } from './store.ts'
import { openStore, patternBlock, putSnapshot, withCalls } from './testing/stores.ts'
import { temporaryFolder } from './testing/temporary-folder.ts'
import { measureUsage } from './usage.ts'

const sizeBytes = 2 * leafSpanBytes

async function setUp() {
  const store = await openStore(join(await temporaryFolder(), 'store'))
  /** Texts by place; a dot is zeros. */
  const put = (...texts: string[]) => {
    const places = texts.map((text, i): [number, string] => [i * 400, text]).filter(([, text]) => text !== '.')
    return putSnapshot(store, sizeBytes, new Map(places.map(([place, text]) => [place, patternBlock(text)])))
  }
  const collected = (roots: Hash[]) =>
    collect({
      ...{ store, keepAfterMs: null, visits: () => 0, live: async () => ({ roots, blocks: [] }) },
      alone: (work) => work(),
    })
  return { store, put, collected }
}

test('what is shared, with whom, and what would be free', async () => {
  const { store, put } = await setUp()
  // Leaves cover places 0 to 2 and 3 on.
  const [mine, mineToo, other] = [await put('a', 'b', '.', 'c'), await put('a', 'x'), await put('y', '.', '.', 'c')]
  const staying = { roots: [other], blocks: [] }
  const usage = await measureUsage({ store, roots: [mine, mineToo], leaving: [0, 1], staying }, {})
  const bytes = (kind: 'block' | 'leaf' | 'root', hash: Hash) => store.storedBytes(kind, hash)
  const blockOf = (text: string) => bytes('block', hashOf(patternBlock(text)))
  const [first, second] = usage.roots
  expect([first!.dataBytes, second!.dataBytes]).toEqual([3 * blockBytes, 2 * blockBytes])
  expect([first!.sharedWith, second!.sharedWith]).toEqual([[1, 2], [0]])
  // The second leaf and its block c are the other's too.
  expect(usage.freedBytes).toBe(first!.uniqueBytes + second!.uniqueBytes + (await blockOf('a')))
  const alone = await measureUsage({ store, roots: [mine, mineToo], leaving: [0], staying }, {})
  expect(alone.freedBytes).toBe(first!.uniqueBytes)
  expect(first!.storedBytes).toBeGreaterThan(first!.uniqueBytes + (await blockOf('a')) + (await blockOf('c')))
})

test('single blocks that stay are not counted as free', async () => {
  const { store, put } = await setUp()
  const root = await put('a', 'b')
  const free = (blocks: Hash[]) =>
    measureUsage({ store, roots: [root], leaving: [0], staying: { roots: [], blocks } }, {})
  const [all, less] = [await free([]), await free([hashOf(patternBlock('b'))])]
  expect(all.freedBytes - less.freedBytes).toBe(await store.storedBytes('block', hashOf(patternBlock('b'))))
})

test('the same content twice is nobody’s own, and goes with both', async () => {
  const { store, put } = await setUp()
  const root = await put('a')
  const measure = (leaving: number[]) =>
    measureUsage({ store, roots: [root, root], leaving, staying: { roots: [], blocks: [] } }, {})
  expect(await measure([0])).toMatchObject({ freedBytes: 0, roots: [{ uniqueBytes: 0, sharedWith: [1] }, {}] })
  const both = await measure([0, 1])
  expect(both.freedBytes).toBe(both.roots[0]!.storedBytes)
})

test('whatever is shared with whom, the figure is what a collection frees', async () => {
  const seed = 7
  const random = seededRandom(seed)
  for (let round = 0; round < 12; round++) {
    const { store, put, collected } = await setUp()
    const words = () => Array.from({ length: 5 }, () => ['.', 'a', 'b', 'c', 'd'][randomInt(random, 5)]!)
    const roots = [await put(...words()), await put(...words())]
    const others = [await put(...words()), await put(...words())]
    const leaving = [[0], [1], [0, 1]][randomInt(random, 3)]!
    const { freedBytes } = await measureUsage({ store, roots, leaving, staying: { roots: others, blocks: [] } }, {})
    const kept = [...others, ...roots.filter((_, i) => !leaving.includes(i))]
    expect((await collected(kept)).bytesFreed, `seed ${seed}, round ${round}`).toBe(freedBytes)
  }
})

test('a difference walks only what differs, and counts what changed, came and went', async () => {
  const { store, put } = await setUp()
  const [before, after] = [await put('a', 'b', 'c', 'same'), await put('a', 'B', '.', 'same')]
  expect(await difference(store, before, after)).toEqual({
    sizeBytes: { before: sizeBytes, after: sizeBytes },
    blocks: { changed: 1, added: 0, removed: 1 },
    bytes: 2 * blockBytes,
    leavesRead: 2,
  })
  expect(await difference(store, after, after)).toMatchObject({ bytes: 0, leavesRead: 0 })
  const empty = await put()
  expect(await difference(store, empty, before)).toMatchObject({
    blocks: { changed: 0, added: 4, removed: 0 },
    leavesRead: 2,
  })
})

test('what a snapshot has and its parent has not: whole blocks, and only where leaves differ are they read', async () => {
  const { store, put } = await setUp()
  const [parent, child] = [await put('a', 'b', 'c', 'same'), await put('a', 'B', '.', 'same')]
  const leaves: Hash[] = []
  const counting = withCalls(store, {
    read: (kind, hash) => {
      if (kind === 'leaf') leaves.push(hash)
      return store.read(kind, hash)
    },
  })
  const ownOf = async (of: Hash, before: Hash) => {
    leaves.length = 0
    return [(await ownBytes(counting, of, before)) / blockBytes, leaves.length]
  }
  expect(await ownOf(child, parent)).toEqual([1, 2])
  expect(await ownOf(parent, child)).toEqual([2, 2])
  expect(await ownOf(parent, parent)).toEqual([0, 0])
  expect(await ownOf(parent, await put())).toEqual([4, 0])
  expect(await ownOf(await put(), parent)).toEqual([0, 0])
  expect(await ownOf(await put('a', 'b', 'c'), parent)).toEqual([0, 0])
  const larger = await putSnapshot(store, 2 * sizeBytes, new Map([[1024 * 3, patternBlock('far')]]))
  expect(await ownOf(larger, parent)).toEqual([1, 0])
})

test('a difference ends where the larger volume ends', async () => {
  const { store } = await setUp()
  const oddBytes = 10 * blockBytes + 4096
  const padded = Buffer.concat([patternBlock('end').subarray(0, 4096), Buffer.alloc(blockBytes - 4096)])
  const before = await putSnapshot(store, 5 * blockBytes, new Map())
  const after = await putSnapshot(store, oddBytes, new Map([[10, padded]]))
  expect(await difference(store, before, after)).toEqual({
    sizeBytes: { before: 5 * blockBytes, after: oddBytes },
    blocks: { changed: 0, added: 1, removed: 0 },
    bytes: 4096,
    leavesRead: 1,
  })
})
