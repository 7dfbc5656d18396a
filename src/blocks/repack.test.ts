import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { systemClock } from '../lib/clock.ts'
import { hashOf, leafSpanBytes } from './format.ts'
import { type RepackRequest, repackSnapshot } from './repack.ts'
import { CorruptObject, type Hash, MissingObject } from './store.ts'
import { openStore, patternBlock, putSnapshot, wordyBlock } from './testing/stores.ts'
import { temporaryFolder } from './testing/temporary-folder.ts'
import { verifySnapshot } from './verify.ts'

const sizeBytes = 40 * leafSpanBytes
const setUp = async () => openStore(join(await temporaryFolder(), 'store'))

test('what a snapshot alone has is packed harder, what others have is left, and all of it reads as before', async () => {
  const store = await setUp()
  const [own, shared] = [wordyBlock('own'), wordyBlock('shared')]
  // The last leaf is the other's as a whole; in the first only one block is.
  const common = new Map([[30 * 1024, wordyBlock('common')]])
  const root = await putSnapshot(store, sizeBytes, new Map([[0, own], [7, shared], ...common]))
  const other = await putSnapshot(store, sizeBytes, new Map([[9, shared], ...common]))
  const bytes = async () =>
    await Promise.all([own, shared, common.get(30 * 1024)!].map((one) => store.storedBytes('block', hashOf(one))))
  const before = await bytes()
  const result = await repackSnapshot({ store, root, others: [other], fromLeaf: 0 }, {}, systemClock)
  const after = await bytes()
  expect(result).toEqual({ blocksPacked: 1, bytesSaved: before[0]! - after[0]!, nextLeaf: null })
  expect(result.bytesSaved).toBeGreaterThan(before[0]! / 20)
  expect(after.slice(1)).toEqual(before.slice(1))
  for (const one of [root, other]) await verifySnapshot(store, one, {}, systemClock)
})

test('a large snapshot is packed in parts, and the parts are all of it', async () => {
  const store = await setUp()
  const blocks = new Map(Array.from({ length: 35 }, (_, leaf) => [leaf * 1024, patternBlock(`block ${leaf}`)]))
  const root = await putSnapshot(store, sizeBytes, blocks)
  const percents: number[] = []
  const seen: Hash[] = []
  const watched = Object.assign(Object.create(store), {
    where: store.where,
    read: store.read.bind(store),
    async repack(_: string, hash: Hash): Promise<number> {
      seen.push(hash)
      return 0
    },
  })
  let fromLeaf: number | null = 0
  const parts: number[] = []
  while (fromLeaf !== null) {
    parts.push(fromLeaf)
    const request: RepackRequest = { store: watched, root, others: [], fromLeaf }
    const onPercent = (percent: number) => void percents.push(percent)
    fromLeaf = (await repackSnapshot(request, { onPercent }, systemClock)).nextLeaf
  }
  expect(parts).toEqual([0, 16, 32])
  expect(seen.toSorted()).toEqual([...blocks.values()].map(hashOf).toSorted())
  expect(percents).toEqual(percents.toSorted((a, b) => a - b))
  expect(percents.at(-1)).toBe(100)
})

test('a snapshot that is not whole is not verified', async () => {
  const store = await setUp()
  const [one, two] = [wordyBlock('one'), patternBlock('two')]
  const root = await putSnapshot(
    store,
    sizeBytes,
    new Map([
      [0, one],
      [5000, two],
    ]),
  )
  const hash = hashOf(two)
  await writeFile(join(store.where, 'block', hash.slice(0, 2), hash.slice(2, 4), hash), 'damaged')
  await expect(verifySnapshot(store, root, {}, systemClock)).rejects.toThrow(CorruptObject)
  await store.remove('block', hash)
  await expect(verifySnapshot(store, root, {}, systemClock)).rejects.toThrow(MissingObject)
})
