import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { systemClock } from '../lib/clock.ts'
import { type CollectRequest, collect } from './collector.ts'
import { copySnapshot } from './copy.ts'
import { blockBytes, encodeLeaf, hashOf, leafSpanBytes } from './format.ts'
import type { LocalStore } from './local-store.ts'
import type { Progress } from './ports.ts'
import { RegionGate } from './region-gate.ts'
import { readLeaf, readRoot } from './snapshot-objects.ts'
import { type BlockStore, type Hash, type ObjectKind, objectKinds } from './store.ts'
import { datedFiles } from './testing/dated-files.ts'
import { manualClock } from './testing/manual-clock.ts'
import { openStore, patternBlock, putSnapshot, withCalls } from './testing/stores.ts'
import { temporaryFolder } from './testing/temporary-folder.ts'

const sizeBytes = 3 * leafSpanBytes
const blocksOf = (...texts: string[]) => new Map(texts.map((text, i) => [i * 700, patternBlock(text)]))

async function setUp() {
  const clock = manualClock()
  const folder = await temporaryFolder()
  const store = await openStore(join(folder, 'store'), { files: datedFiles(clock) })
  const gate = new RegionGate(systemClock)
  const live: { roots: Hash[]; blocks: Hash[] } = { roots: [], blocks: [] }
  const run = (more: Partial<CollectRequest> = {}, progress?: Progress) =>
    collect(
      {
        ...{ store, keepAfterMs: null, visits: () => gate.visits, live: async () => live },
        alone: (work) => gate.alone(work, { waitMs: 1000 }),
        ...more,
      },
      progress,
    )
  return { clock, folder, store, gate, live, run }
}

/** Names and sizes of everything in a store. */
async function contentsOf(store: BlockStore): Promise<Map<string, number>> {
  const contents = new Map<string, number>()
  for (const kind of objectKinds)
    for await (const hash of store.list(kind)) contents.set(`${kind} ${hash}`, await store.storedBytes(kind, hash))
  return contents
}

const sum = (sizes: Iterable<number>) => [...sizes].reduce((total, size) => total + size, 0)

/** Whatever leaf is there has all its blocks, whatever root all its leaves. */
async function expectClosed(store: BlockStore): Promise<void> {
  for await (const hash of store.list('root')) {
    const root = await readRoot(store, hash)
    for (const ref of root.leaves) expect(await store.has('leaf', ref.hash), `leaf of ${hash}`).toBe(true)
    for (const ref of root.leaves)
      for (const block of (await readLeaf(store, ref, root.sizeBytes)).hashes())
        expect(await store.has('block', block), `block of ${hash}`).toBe(true)
  }
}

describe('a collection', () => {
  test('frees to the byte what nothing names, and keeps what something does', async () => {
    const { store, live, run } = await setUp()
    live.roots = [await putSnapshot(store, sizeBytes, blocksOf('a', 'b', 'c'))]
    const kept = await contentsOf(store)
    await putSnapshot(store, sizeBytes, blocksOf('a', 'x', 'y'))
    const before = await contentsOf(store)
    const collected = await run()
    // Block a stays, in the live snapshot's own leaf.
    expect(collected).toMatchObject({ roots: 1, leaves: 2, blocks: 2, otherFiles: 0, stopped: null })
    expect(await contentsOf(store)).toEqual(kept)
    expect(collected.bytesFreed).toBe(sum(before.values()) - sum(kept.values()))
    expect(await run()).toMatchObject({ roots: 0, leaves: 0, blocks: 0, bytesFreed: 0 })
  })

  test('with nothing live leaves an empty store, without the folders of its objects', async () => {
    const { store, run } = await setUp()
    await putSnapshot(store, sizeBytes, blocksOf('a', 'b', 'c'))
    await run()
    expect((await contentsOf(store)).size).toBe(0)
    for (const kind of objectKinds) expect(await readdir(join(store.where, kind))).toEqual([])
    // And it can be written to as before.
    const root = await putSnapshot(store, sizeBytes, blocksOf('a'))
    expect((await readRoot(store, root)).leaves).toHaveLength(1)
  })

  test('keeps single live blocks that no leaf names', async () => {
    const { store, live, run } = await setUp()
    for (const text of ['upload', 'litter']) await store.write('block', hashOf(patternBlock(text)), patternBlock(text))
    live.blocks = [hashOf(patternBlock('upload'))]
    expect(await run()).toMatchObject({ blocks: 1 })
    expect(await store.has('block', live.blocks[0]!)).toBe(true)
  })

  test('in many passes and small batches comes to the same end', async () => {
    const { store, live, run } = await setUp()
    const many = (prefix: string) =>
      new Map(Array.from({ length: 60 }, (_, i) => [i * 40, patternBlock(`${prefix} ${i}`)]))
    live.roots = [await putSnapshot(store, sizeBytes, many('live'))]
    const kept = await contentsOf(store)
    await putSnapshot(store, sizeBytes, many('dead'))
    const percents: number[] = []
    const progress = { onPercent: (percent: number) => void percents.push(percent) }
    const collected = await run({ bounds: { marked: 7, batch: 5 } }, progress)
    expect(collected).toMatchObject({ roots: 1, leaves: 3, blocks: 60, stopped: null })
    expect(await contentsOf(store)).toEqual(kept)
    expect(percents).toEqual([...percents].sort((a, b) => a - b))
    expect(percents.at(-1)).toBe(100)
  })
})

describe('the grace period', () => {
  test('keeps young objects, and what they name however old that is', async () => {
    const { clock, store, run } = await setUp()
    await putSnapshot(store, sizeBytes, blocksOf('old', 'older'))
    clock.advance(10_000)
    const young = await putSnapshot(store, sizeBytes, blocksOf('old', 'new'))
    const single = encodeLeaf([hashOf(patternBlock('older'))])
    await store.write('leaf', hashOf(single), single)
    const keepAfterMs = clock.now() - 5000
    const collected = await run({ keepAfterMs })
    // The old snapshot's root and the leaf that only it had.
    expect(collected).toMatchObject({ roots: 1, leaves: 1, blocks: 0 })
    await expectClosed(store)
    expect(await store.has('root', young)).toBe(true)
    expect(await store.has('block', hashOf(patternBlock('older')))).toBe(true)
    clock.advance(10_000)
    await run({ keepAfterMs: clock.now() - 5000 })
    expect((await contentsOf(store)).size).toBe(0)
  })

  test('does not keep young things that are damaged and that nobody needs', async () => {
    const { clock, store, run } = await setUp()
    await putSnapshot(store, sizeBytes, blocksOf('a'))
    await damage(store, 'leaf')
    expect(await run({ keepAfterMs: clock.now() - 5000 })).toMatchObject({ roots: 1, leaves: 1, stopped: null })
  })
})

/** Spoils the first object of a kind. */
async function damage(store: LocalStore, kind: ObjectKind): Promise<Hash> {
  for await (const hash of store.list(kind)) {
    const path = join(store.where, kind, hash.slice(0, 2), hash.slice(2, 4), hash)
    const bytes = await readFile(path)
    bytes[bytes.length - 1]! ^= 1
    await writeFile(path, bytes)
    return hash
  }
  throw new Error(`there is no ${kind}`)
}

describe('what writers count on', () => {
  test('a block that a new leaf names since the survey stays', async () => {
    const { store, gate, run } = await setUp()
    for (const text of ['found', 'not found'])
      await store.write('block', hashOf(patternBlock(text)), patternBlock(text))
    let isFirst = true
    const alone: CollectRequest['alone'] = async (work) => {
      // Between survey and sweep somebody finds the block, and writes a leaf that names it; the root is never written.
      if (isFirst) {
        isFirst = false
        await gate.shared(async () => {
          const leaf = encodeLeaf([hashOf(patternBlock('found'))])
          await store.write('leaf', hashOf(leaf), leaf)
        })
      }
      return await gate.alone(work, { waitMs: 1000 })
    }
    expect(await run({ alone })).toMatchObject({ leaves: 0, blocks: 1 })
    expect(await store.has('block', hashOf(patternBlock('found')))).toBe(true)
  })

  test('a dead snapshot that a copy finds whole comes back to life between any two batches', async () => {
    // How many turns alone pass before the copy; it finds everything, the root gone, some leaves gone, or blocks going.
    for (let turns = 0; turns < 7; turns++) {
      const { folder, store, gate, live, run } = await setUp()
      const source = await openStore(join(folder, 'source'))
      const content = blocksOf('a', 'b', 'c')
      const root = await putSnapshot(source, sizeBytes, content)
      await putSnapshot(store, sizeBytes, content)
      let turn = 0
      const alone: CollectRequest['alone'] = async (work) => {
        if (turn++ === turns) {
          await gate.shared(() => copySnapshot({ root, source, target: store, mayLink: false }, {}, systemClock))
          live.roots = [root]
        }
        return await gate.alone(work, { waitMs: 1000 })
      }
      await run({ alone, bounds: { marked: 1000, batch: 1 } })
      expect(turn).toBeGreaterThan(turns)
      expect(await store.has('root', root), `after ${turns} turns`).toBe(true)
      await expectClosed(store)
      if (turns > 0) await store.read('block', hashOf(patternBlock('c')))
    }
  })

  test('a root that the state names only by now is visited without looking at live leaves again', async () => {
    const { store, live, run } = await setUp()
    live.roots = [await putSnapshot(store, sizeBytes, blocksOf('a', 'b', 'c'))]
    const late = await putSnapshot(store, sizeBytes, blocksOf('a', 'b', 'late'))
    await putSnapshot(store, sizeBytes, blocksOf('dead'))
    const reads: Hash[] = []
    const watched = withCalls(store, {
      read(kind, hash) {
        reads.push(hash)
        return store.read(kind, hash)
      },
    })
    let asked = 0
    await run({
      store: watched,
      live: async () => {
        if (++asked === 2) {
          live.roots.push(late)
          reads.length = 0
        }
        return live
      },
    })
    const { leaves } = await readRoot(store, late)
    expect(new Set(reads)).toEqual(new Set([late, leaves[1]!.hash]))
    await expectClosed(store)
    expect(await store.has('root', late)).toBe(true)
  })
})

describe('broken off', () => {
  test('at any removal leaves a store that is whole, and the next one finishes it', async () => {
    const dead = blocksOf('a', 'b', 'c')
    for (let removals = 0; removals < 7; removals++) {
      const { store, live, run } = await setUp()
      live.roots = [await putSnapshot(store, sizeBytes, blocksOf('a', 'live'))]
      const kept = await contentsOf(store)
      await putSnapshot(store, sizeBytes, dead)
      const stop = new AbortController()
      let left = removals
      const dying = withCalls(store, {
        remove(kind, hash) {
          if (left-- === 0) stop.abort(new Error('killed'))
          return stop.signal.aborted ? Promise.reject(stop.signal.reason) : store.remove(kind, hash)
        },
      })
      const first = await run({ store: dying }, { signal: stop.signal })
      expect(first.stopped).toEqual(removals < 5 ? { reason: 'aborted', message: 'killed' } : null)
      await expectClosed(store)
      const second = await run()
      expect(await contentsOf(store)).toEqual(kept)
      expect(first.blocks + second.blocks).toBe(2)
    }
  })

  test('by a busy store it says so and has removed nothing', async () => {
    const { store, gate, run } = await setUp()
    await putSnapshot(store, sizeBytes, blocksOf('a'))
    const before = await contentsOf(store)
    const { promise, resolve } = Promise.withResolvers<void>()
    const writing = gate.shared(() => promise)
    const collected = await run({ alone: (work) => gate.alone(work, { waitMs: 20 }) })
    expect(collected).toMatchObject({ roots: 0, bytesFreed: 0, stopped: { reason: 'busy' } })
    expect(await contentsOf(store)).toEqual(before)
    resolve()
    await writing
  })

  test.each(['leaf', 'root'] as const)(
    'by a damaged live %s it removes nothing: what it names is not known',
    async (kind) => {
      const { store, live, run } = await setUp()
      live.roots = [await putSnapshot(store, sizeBytes, blocksOf('a'))]
      await damage(store, kind)
      await putSnapshot(store, sizeBytes, blocksOf('b'))
      const before = await contentsOf(store)
      const collected = await run()
      expect(collected).toMatchObject({ bytesFreed: 0, stopped: { reason: 'damaged' } })
      expect(await contentsOf(store)).toEqual(before)
    },
  )
})

describe('other files', () => {
  test('leftovers and strange files go when they are old; what is not in a place of ours stays', async () => {
    const { clock, store, run } = await setUp()
    await store.write('block', hashOf(patternBlock('a')), patternBlock('a'))
    const name = hashOf(patternBlock('a'))
    const strays = ['tmp/4711-1', 'uncommitted.new', 'block/strange', `block/${name}`, `block/${name.slice(0, 2)}/x`]
    for (const stray of strays) await writeFile(join(store.where, stray), 'left')
    await writeFile(join(store.where, 'notes'), 'mine')
    // Files of the host's own date are old on the test's clock, which stands in the past only for what it dates itself.
    expect(await run({ keepAfterMs: clock.now() - 1 })).toMatchObject({ otherFiles: 0 })
    expect(await run({ keepAfterMs: null })).toMatchObject({ otherFiles: 5, blocks: 1 })
    expect((await readdir(store.where)).sort()).toEqual(['block', 'format', 'leaf', 'notes', 'root', 'tmp'])
    expect(await readdir(join(store.where, 'tmp'))).toEqual([])
  })

  test('quarantine keeps what is still missing from something live, and nothing else', async () => {
    const { store, live, run } = await setUp()
    live.roots = [await putSnapshot(store, sizeBytes, blocksOf('lost', 'restored'))]
    await putSnapshot(store, sizeBytes, blocksOf('dead'))
    for (const text of ['lost', 'restored', 'dead']) await store.quarantine('block', hashOf(patternBlock(text)))
    const restored = patternBlock('restored')
    await store.write('block', hashOf(restored), restored)
    expect(await store.hasGaps()).toBe(true)
    expect(await run()).toMatchObject({ roots: 1, leaves: 1, blocks: 0, otherFiles: 2, stopped: null })
    expect(await readdir(join(store.where, 'quarantine'))).toEqual([`block-${hashOf(patternBlock('lost'))}`])
    expect(blockBytes).toBe(restored.length)
  })
})
