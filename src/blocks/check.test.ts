import { readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { systemClock } from '../lib/clock.ts'
import { check } from './check.ts'
import { copySnapshot } from './copy.ts'
import { blockBytes, hashOf, leafSpanBytes } from './format.ts'
import type { LocalStore } from './local-store.ts'
import type { CheckResult } from './ports.ts'
import { readRoot } from './snapshot-objects.ts'
import { type Hash, MissingObject, type ObjectKind } from './store.ts'
import { openStore, patternBlock, putSnapshot } from './testing/stores.ts'
import { temporaryFolder } from './testing/temporary-folder.ts'

const sizeBytes = 2 * leafSpanBytes
const hashAt = (text: string) => hashOf(patternBlock(text))

async function setUp() {
  const folder = await temporaryFolder()
  const [store, other] = [await openStore(join(folder, 'here')), await openStore(join(folder, 'there'))]
  const one = await putSnapshot(store, sizeBytes, blocks('one', 'both'))
  const two = await putSnapshot(store, sizeBytes, blocks('two', 'both'))
  for (const root of [one, two])
    await copySnapshot({ root, source: store, target: other, mayLink: false }, {}, systemClock)
  const run = (repair: boolean, live = { roots: [one, two], blocks: [] as Hash[] }) =>
    check({ store, live, sources: repair ? [{ region: 'there', store: other }] : null }, {}, systemClock)
  return { store, other, one, two, run }
}

const blocks = (first: string, second: string) =>
  new Map([
    [0, patternBlock(first)],
    [1030, patternBlock(second)],
  ])

const pathOf = (store: LocalStore, kind: ObjectKind, hash: Hash) =>
  join(store.where, kind, hash.slice(0, 2), hash.slice(2, 4), hash)

async function flip(store: LocalStore, kind: ObjectKind, hash: Hash): Promise<void> {
  const bytes = await readFile(pathOf(store, kind, hash))
  bytes[bytes.length >> 1]! ^= 4
  await writeFile(pathOf(store, kind, hash), bytes)
}

const lose = (store: LocalStore, kind: ObjectKind, hash: Hash) =>
  rename(pathOf(store, kind, hash), `${store.where}.lost-${hash}`)

const told = ({ flaws }: CheckResult) => flaws.map(({ detail: _, ...flaw }) => flaw)

describe('a check', () => {
  test('reads everything live, each object once, and finds nothing wrong with a store that is whole', async () => {
    const { run } = await setUp()
    // Two roots, three leaves (the second is the same in both), three blocks.
    const result = await run(false)
    expect(result).toMatchObject({ objects: 8, flaws: [] })
    expect(result.bytes).toBeGreaterThan(3 * blockBytes)
    expect(result.bytes).toBeLessThan(3 * blockBytes + 2000)
  })

  test('names damaged and missing objects with every root that they touch, and changes nothing', async () => {
    const { store, one, two, run } = await setUp()
    await flip(store, 'block', hashAt('both'))
    await lose(store, 'block', hashAt('one'))
    const result = await run(false)
    const [damaged, missing] = result.flaws.toSorted((a, b) => b.roots.length - a.roots.length)
    expect(damaged).toMatchObject({ kind: 'block', hash: hashAt('both'), problem: 'damaged', repairedFrom: null })
    expect(damaged!.roots.toSorted()).toEqual([one, two].sort())
    expect(missing).toMatchObject({ kind: 'block', hash: hashAt('one'), problem: 'missing', roots: [one] })
    expect(await readdir(store.where)).not.toContain('quarantine')
  })

  test.each(['root', 'leaf'] as const)('finds a damaged %s', async (kind) => {
    const { store, one, run } = await setUp()
    const hash = kind === 'root' ? one : (await readRoot(store, one)).leaves[0]!.hash
    await flip(store, kind, hash)
    expect(told(await run(false))).toEqual([{ kind, hash, problem: 'damaged', roots: [one], repairedFrom: null }])
  })

  test('looks at single live blocks as well', async () => {
    const { run } = await setUp()
    expect(told(await run(false, { roots: [], blocks: [hashAt('never stored')] }))).toEqual([
      { kind: 'block', hash: hashAt('never stored'), problem: 'missing', roots: [], repairedFrom: null },
    ])
  })

  test('ends with the signal', async () => {
    const { store, one } = await setUp()
    const signal = AbortSignal.abort(new Error('enough'))
    const checking = check({ store, live: { roots: [one], blocks: [] }, sources: null }, { signal }, systemClock)
    await expect(checking).rejects.toThrow('enough')
  })
})

describe('a repair', () => {
  test.each(['root', 'leaf', 'block'] as const)(
    'restores a damaged and a missing %s from another store',
    async (kind) => {
      for (const spoil of [flip, lose]) {
        const { store, one, run } = await setUp()
        const ref = (await readRoot(store, one)).leaves[0]!
        const hash = { root: one, leaf: ref.hash, block: hashAt('one') }[kind]
        await spoil(store, kind, hash)
        expect((await run(true)).flaws).toMatchObject([{ hash, repairedFrom: 'there', roots: [one] }])
        await store.read(kind, hash)
        expect((await run(false)).flaws).toEqual([])
        expect(await store.hasGaps()).toBe(false)
      }
    },
  )

  test('goes on below what came back', async () => {
    const { store, one, run } = await setUp()
    const { leaves } = await readRoot(store, one)
    for (const [kind, hash] of [
      ['root', one],
      ['leaf', leaves[0]!.hash],
      ['block', hashAt('one')],
    ] as const)
      await lose(store, kind, hash)
    const { flaws } = await run(true)
    expect(flaws.map(({ kind, repairedFrom }) => [kind, repairedFrom])).toEqual([
      ['root', 'there'],
      ['leaf', 'there'],
      ['block', 'there'],
    ])
    expect((await run(false)).flaws).toEqual([])
  })

  test('that finds no intact copy takes the object out of service and says so again next time', async () => {
    const { store, other, one, two, run } = await setUp()
    for (const each of [store, other]) await flip(each, 'block', hashAt('both'))
    const { flaws } = await run(true)
    expect(flaws).toMatchObject([{ hash: hashAt('both'), problem: 'damaged', repairedFrom: null }])
    expect(flaws[0]!.roots.toSorted()).toEqual([one, two].sort())
    await expect(store.read('block', hashAt('both'))).rejects.toThrow(MissingObject)
    expect(await readdir(join(store.where, 'quarantine'))).toEqual([`block-${hashAt('both')}`])
    expect((await run(true)).flaws).toMatchObject([{ problem: 'missing', repairedFrom: null }])
    // What was noted does not replace the bytes that were kept.
    expect((await readFile(join(store.where, 'quarantine', `block-${hashAt('both')}`))).length).toBeGreaterThan(0)
  })

  test('leaves the other store as it was', async () => {
    const { store, other, run } = await setUp()
    await flip(store, 'block', hashAt('one'))
    await flip(other, 'block', hashAt('two'))
    await run(true)
    expect((await readdir(other.where)).sort()).toEqual(['block', 'format', 'leaf', 'root', 'tmp'])
  })
})

describe('a store with gaps', () => {
  test('is not believed by a copy, which fills them', async () => {
    const { store, other, one, two, run } = await setUp()
    await flip(store, 'block', hashAt('both'))
    await check({ store, live: { roots: [one, two], blocks: [] }, sources: [] }, {}, systemClock)
    expect(await store.hasGaps()).toBe(true)
    // Root and leaves are there, and without the note the copy would move nothing.
    const stats = await copySnapshot({ root: one, source: other, target: store, mayLink: false }, {}, systemClock)
    expect(stats).toMatchObject({ blocksMoved: 1, blocksPresent: 1 })
    expect(await store.hasGaps()).toBe(false)
    expect((await run(false)).flaws).toEqual([])
  })
})
