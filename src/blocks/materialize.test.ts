import { open, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { systemClock } from '../lib/clock.ts'
import { blockBytes, leafSpanBytes } from './format.ts'
import { materialize } from './materialize.ts'
import { type BlockStore, CorruptObject } from './store.ts'
import { manualClock } from './testing/manual-clock.ts'
import { sealedDisks, unseal } from './testing/qemu-disks.ts'
import { openStore, patternBlock, putSnapshot, withCalls } from './testing/stores.ts'
import { temporaryFolder } from './testing/temporary-folder.ts'

const sizeBytes = 2 * leafSpanBytes + 4096
const content = new Map([
  [0, patternBlock('first')],
  [1, patternBlock('second')],
  [1500, patternBlock('other leaf')],
  // The last block of the volume, of which 4 KiB belong to it.
  [2048, Buffer.concat([Buffer.alloc(4096, 'end'), Buffer.alloc(blockBytes - 4096)])],
])

async function setUp() {
  const folder = await temporaryFolder()
  const store = await openStore(join(folder, 'store'))
  return { folder, store, root: await putSnapshot(store, sizeBytes, content), path: join(folder, 'base.raw') }
}

/** The store, which fails from the given read on. */
function failingAfter(store: BlockStore, reads: number): BlockStore {
  let left = reads
  return withCalls(store, {
    read: async (kind, hash) => {
      if (left-- <= 0) throw new Error('interrupted')
      return await store.read(kind, hash)
    },
  })
}

async function expectWhole(path: string): Promise<void> {
  const file = await open(path, 'r')
  try {
    const { size, blocks } = await file.stat()
    expect(size).toBe(sizeBytes)
    expect(blocks * 512).toBeLessThan(3 * 1024 * 1024)
    for (const [place, block] of [...content, [2, Buffer.alloc(blockBytes)] as const]) {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(blockBytes), 0, blockBytes, place * blockBytes)
      expect(bytesRead, `block ${place}`).toBe(Math.min(blockBytes, sizeBytes - place * blockBytes))
      expect(buffer.subarray(0, bytesRead).equals(block.subarray(0, bytesRead)), `block ${place}`).toBe(true)
    }
  } finally {
    await file.close()
  }
}

test('a snapshot becomes a file, with holes for its zeros', async () => {
  const { store, root, path } = await setUp()
  const percents: number[] = []
  await materialize(
    { store, root, path, seal: null },
    { onPercent: (percent) => void percents.push(percent) },
    systemClock,
  )
  await expectWhole(path)
  expect(percents.at(-1)).toBe(100)
  // Once it is there it is left alone.
  await writeFile(path, 'mine')
  await materialize({ store, root, path, seal: null }, {}, systemClock)
  expect(await readFile(path, 'utf8')).toBe('mine')
})

test('interrupted anywhere, it goes on where it was', async () => {
  const { store, root, path } = await setUp()
  const total = 1 + 3 + content.size
  for (let readsLeft = 1; readsLeft <= total; readsLeft += 2) {
    const failing = failingAfter(store, readsLeft)
    const attempt = materialize({ store: failing, root, path, seal: null }, {}, systemClock)
    if (readsLeft < 4) await expect(attempt).rejects.toThrow('interrupted')
    else await attempt.catch(() => {})
  }
  await materialize({ store, root, path, seal: null }, {}, systemClock)
  await expectWhole(path)
})

test('a damaged block is never written as a good one', async () => {
  const { folder, store, root, path } = await setUp()
  for await (const hash of store.list('block')) {
    await writeFile(join(folder, 'store/block', hash.slice(0, 2), hash.slice(2, 4), hash), Buffer.alloc(100))
  }
  await expect(materialize({ store, root, path, seal: null }, {}, systemClock)).rejects.toThrow(CorruptObject)
  await expect(stat(path)).rejects.toThrow('ENOENT')
})

test('with a key it becomes a sealed file, wherever it was interrupted; nothing of it can be read without', async () => {
  const { folder, store, root, path } = await setUp()
  const seal = { disks: sealedDisks, key: Buffer.alloc(32, 'key') }
  const raw = join(folder, 'raw')
  for (const readsLeft of [5, 4]) {
    const failing = failingAfter(store, readsLeft)
    await expect(materialize({ store: failing, root, path, seal }, {}, systemClock)).rejects.toThrow('interrupted')
  }
  expect(await readFile(`${path}.leaves`, 'utf8')).toMatch(/ 2\n$/)
  await materialize({ store, root, path, seal }, {}, systemClock)
  await unseal(path, seal.key, raw)
  await expectWhole(raw)
  const sealed = await readFile(path)
  expect(sealed.length).toBeLessThan(6 * 1024 * 1024)
  for (const text of ['firstfirst', 'otherleaf', 'endend']) expect(sealed.includes(text), text).toBe(false)
  expect((await readdir(folder)).filter((name) => /part|leaves/.test(name)).sort()).toEqual(['base.raw.part.secret'])
})

test('at a rate, the file grows only as time goes by', async () => {
  const { store, root, path } = await setUp()
  const clock = manualClock()
  const writing = materialize({ store, root, path, seal: null, bytesPerSecond: blockBytes }, {}, clock)
  for (let second = 0; second < content.size - 1; second++) {
    await expect.poll(() => clock.sleeping).toBeGreaterThan(0)
    await expect(stat(path)).rejects.toThrow('ENOENT')
    clock.advance(1000)
  }
  await writing
  await expectWhole(path)
})
