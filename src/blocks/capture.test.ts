import { appendFile, open } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { systemClock } from '../lib/clock.ts'
import { run } from '../lib/programs.ts'
import { capture } from './capture.ts'
import { blockBytes, blocksIn, blocksPerLeaf, type Leaf, leafSpanBytes, zeroBlock } from './format.ts'
import type { LocalStore } from './local-store.ts'
import { readLeaf, readRoot } from './snapshot-objects.ts'
import type { BlockStore, Hash } from './store.ts'
import { CorruptObject } from './store.ts'
import { flatten, makeLayer, serveChain, writeLayer } from './testing/qemu-disks.ts'
import { openStore, withCalls } from './testing/stores.ts'
import { temporaryFolder } from './testing/temporary-folder.ts'

const mib = 1024 * 1024

async function setUp(): Promise<{ folder: string; store: LocalStore; layer: (n: number) => string }> {
  const folder = await temporaryFolder()
  return { folder, store: await openStore(join(folder, 'store')), layer: (n) => join(folder, `layer${n}.qcow2`) }
}

/** Compares every block of a snapshot with a raw file, the way a reader without our server would. */
async function expectSame(store: BlockStore, rootHash: Hash, rawPath: string): Promise<void> {
  const root = await readRoot(store, rootHash)
  await using raw = await open(rawPath)
  expect(root.sizeBytes).toBe((await raw.stat()).size)
  const inFile = await blocksWithData(rawPath)
  const buffer = Buffer.alloc(blockBytes)
  const leaves = new Map<number, Leaf>()
  for (const ref of root.leaves) leaves.set(ref.index, await readLeaf(store, ref, root.sizeBytes))
  for (let block = 0; block < blocksIn(root.sizeBytes); block++) {
    const hash = leaves.get(Math.floor(block / blocksPerLeaf))?.hashAt(block % blocksPerLeaf)
    const content = hash === undefined ? zeroBlock : await store.read('block', hash)
    const lengthBytes = Math.min(blockBytes, root.sizeBytes - block * blockBytes)
    const expected = (inFile.has(block) ? buffer : zeroBlock).subarray(0, lengthBytes)
    if (inFile.has(block)) await raw.read(expected, 0, lengthBytes, block * blockBytes)
    const isSame = content.subarray(0, expected.length).equals(expected) && isZero(content.subarray(expected.length))
    if (!isSame) expect.unreachable(`block ${block} differs`)
  }
}

/** All but those that lie in the file's holes, which to read takes seconds. */
async function blocksWithData(rawPath: string): Promise<Set<number>> {
  const map = JSON.parse(await run('qemu-img', ['map', '-f', 'raw', '--output=json', rawPath])) as {
    start: number
    length: number
    data: boolean
  }[]
  const blocks = new Set<number>()
  for (const { start, length, data } of map) {
    const end = Math.ceil((start + length) / blockBytes)
    for (let block = Math.floor(start / blockBytes); data && block < end; block++) blocks.add(block)
  }
  return blocks
}

function isZero(bytes: Buffer): boolean {
  return bytes.equals(zeroBlock.subarray(0, bytes.length))
}

test('a captured chain is what qemu-img reads of it, and only data is read', async () => {
  const { folder, store, layer } = await setUp()
  await makeLayer(layer(0), 600 * mib, ['write -P 1 0 3M', 'write -P 2 100M 64k', 'write -P 3 599M 1M'])
  await makeLayer(layer(1), 600 * mib)
  await writeLayer(
    [layer(0), layer(1)],
    ['write -P 4 1M 512k', 'write -z 100M 64k', 'write -P 0 200M 1M', 'write -P 5 550M 1k'],
  )
  const source = await serveChain(folder, [layer(0), layer(1)])
  const { root, info, stats } = await capture({ store, source, sizeBytes: 600 * mib, parent: null }, {}, systemClock)
  await flatten([layer(0), layer(1)], join(folder, 'raw'))
  await expectSame(store, root, join(folder, 'raw'))
  // 6 blocks at 0, 2 at 599 MiB, 1 at 550 MiB; the zeros written at 200 MiB are read and found to be zeros.
  expect(info).toEqual({ sizeBytes: 600 * mib, blockCount: 9, dataBytes: 9 * blockBytes })
  expect(stats.blocksRead).toBe(11)
  expect(stats.blocksWritten).toBe(4)
})

test('every byte that the store grows by is counted, also while a leaf is being written', async () => {
  const { folder, store, layer } = await setUp()
  const sizeBytes = 600 * mib
  await makeLayer(layer(0), sizeBytes, ['write -P 1 0 1M', 'write -P 2 512M 512k', 'write -P 3 513M 512k'])
  let grown = 0
  const slow = withCalls(store, {
    async write(kind, hash, content) {
      const bytes = await store.write(kind, hash, content)
      if (kind === 'leaf') await systemClock.sleep(200)
      grown += bytes
      return bytes
    },
  })
  const source = await serveChain(folder, [layer(0)])
  const { stats } = await capture({ store: slow, source, sizeBytes, parent: null }, {}, systemClock)
  expect(stats.blocksWritten).toBe(3)
  expect(stats.bytesStored).toBe(grown)
})

test('an increment reads only the blocks that its layers touched', async () => {
  const { folder, store, layer } = await setUp()
  const sizeBytes = 1100 * mib
  await makeLayer(layer(0), sizeBytes, ['write -P 1 0 40M', 'write -P 2 600M 20M', 'write -P 3 1090M 4M'])
  const first = await capture(
    { store, source: await serveChain(folder, [layer(0)]), sizeBytes, parent: null },
    {},
    systemClock,
  )
  expect(first.stats.blocksRead).toBe(128)

  await makeLayer(layer(1), sizeBytes)
  await makeLayer(layer(2), sizeBytes)
  await writeLayer([layer(0), layer(1)], ['write -P 4 5M 64k'])
  // 10.4 MiB lies in one block; the zeroed range is 2 whole blocks that are not read at all.
  await writeLayer([layer(0), layer(1), layer(2)], ['write -P 5 10904k 4k', 'write -z 20M 1M'])
  const chain = [layer(0), layer(1), layer(2)]
  const source = await serveChain(folder, chain)
  const parent = { root: first.root, changedDepth: 2 }
  const second = await capture({ store, source, sizeBytes, parent }, {}, systemClock)
  expect(second.stats).toMatchObject({ blocksRead: 2, blocksWritten: 2 })
  expect(second.info.blockCount).toBe(first.info.blockCount - 2)
  await flatten(chain, join(folder, 'raw'))
  await expectSame(store, second.root, join(folder, 'raw'))
  const [before, after] = [await readRoot(store, first.root), await readRoot(store, second.root)]
  expect(after.leaves[1]).toEqual(before.leaves[1])
  expect(after.leaves[2]).toEqual(before.leaves[2])

  const onlyTop = await capture(
    { store, source, sizeBytes, parent: { root: second.root, changedDepth: 1 } },
    {},
    systemClock,
  )
  expect(onlyTop.root).toBe(second.root)
  expect(onlyTop.stats).toEqual({ blocksRead: 1, blocksWritten: 0, bytesStored: 0 })
})

test('leaves in which nothing changed are not even opened', async () => {
  const { folder, store, layer } = await setUp()
  const sizeBytes = 2 * leafSpanBytes
  await makeLayer(layer(0), sizeBytes, ['write -P 1 0 1M', 'write -P 2 600M 1M'])
  const first = await capture(
    { store, source: await serveChain(folder, [layer(0)]), sizeBytes, parent: null },
    {},
    systemClock,
  )
  const { leaves } = await readRoot(store, first.root)
  const untouched = leaves[1]!.hash
  const reads: Hash[] = []
  const watched = await openStore(store.where)
  watched.read = (kind, hash) => {
    reads.push(hash)
    return store.read(kind, hash)
  }
  await makeLayer(layer(1), sizeBytes)
  await writeLayer([layer(0), layer(1)], ['write -P 3 0 64k'])
  const source = await serveChain(folder, [layer(0), layer(1)])
  await capture({ store: watched, source, sizeBytes, parent: { root: first.root, changedDepth: 1 } }, {}, systemClock)
  expect(reads).toContain(leaves[0]!.hash)
  expect(reads).not.toContain(untouched)
})

test('a grown volume is an increment of its smaller parent', async () => {
  const { folder, store, layer } = await setUp()
  // The parent ends in the middle of a block, which then grows.
  const smallBytes = 10 * mib + 64 * 1024
  await makeLayer(layer(0), smallBytes, ['write -P 1 9M 1M', 'write -P 2 10M 64k'])
  const first = await capture(
    { store, source: await serveChain(folder, [layer(0)]), sizeBytes: smallBytes, parent: null },
    {},
    systemClock,
  )
  await makeLayer(layer(1), 700 * mib)
  await writeLayer([layer(0), layer(1)], ['write -P 3 699M 1M'])
  const chain = [layer(0), layer(1)]
  const parent = { root: first.root, changedDepth: 1 }
  const grown = await capture(
    { store, source: await serveChain(folder, chain), sizeBytes: 700 * mib, parent },
    {},
    systemClock,
  )
  await flatten(chain, join(folder, 'raw'))
  await expectSame(store, grown.root, join(folder, 'raw'))
  const source = await serveChain(folder, [layer(0)])
  await expect(
    capture({ store, source, sizeBytes: smallBytes, parent: { root: grown.root, changedDepth: 1 } }, {}, systemClock),
  ).rejects.toThrow('smaller than its parent')
})

test('a sparse volume of 16 TiB costs what its data costs', async () => {
  const { folder, store, layer } = await setUp()
  const sizeBytes = 16 * 1024 ** 4
  await makeLayer(layer(0), sizeBytes, ['write -P 1 0 64k', `write -P 2 ${sizeBytes - 65536} 64k`])
  const source = await serveChain(folder, [layer(0)])
  const { info, stats } = await capture({ store, source, sizeBytes, parent: null }, {}, systemClock)
  expect(info.blockCount).toBe(2)
  expect(stats.bytesStored).toBeLessThan(2000)
})

test('a second capture of the same disk stores nothing', async () => {
  const { folder, store, layer } = await setUp()
  await makeLayer(layer(0), 64 * mib, ['write -P 1 0 8M'])
  const source = await serveChain(folder, [layer(0)])
  const request = { store, source, sizeBytes: 64 * mib, parent: null }
  const first = await capture(request, {}, systemClock)
  const second = await capture(request, {}, systemClock)
  expect(second.root).toBe(first.root)
  expect(second.stats).toEqual({ blocksRead: 16, blocksWritten: 0, bytesStored: 0 })
})

test('progress rises to 100, and a listener that fails stops the capture', async () => {
  const { folder, store, layer } = await setUp()
  await makeLayer(layer(0), 256 * mib, ['write -P 1 0 200M'])
  const request = { store, source: await serveChain(folder, [layer(0)]), sizeBytes: 256 * mib, parent: null }
  const percents: number[] = []
  await capture(request, { onPercent: (percent) => void percents.push(percent) }, systemClock)
  expect(percents).toEqual([...percents].sort((a, b) => a - b))
  expect(percents.at(-1)).toBe(100)
  const failing = capture(request, { onPercent: () => Promise.reject(new Error('the lease is lost')) }, systemClock)
  await expect(failing).rejects.toThrow('the lease is lost')
})

test('nothing is torn: a lost source, an abort and a wrong size are errors, and no root is written', async () => {
  const { folder, store, layer } = await setUp()
  await makeLayer(layer(0), 512 * mib, ['write -P 1 0 500M'])
  const request = { store, sizeBytes: 512 * mib, parent: null }

  const aborting = new AbortController()
  const source = await serveChain(folder, [layer(0)])
  const aborted = capture(
    { ...request, source },
    { signal: aborting.signal, onPercent: () => aborting.abort(new Error('enough')) },
    systemClock,
  )
  await expect(aborted).rejects.toThrow('enough')

  const wrong = capture({ ...request, source, sizeBytes: 600 * mib }, {}, systemClock)
  await expect(wrong).rejects.toThrow('the export has 536870912 bytes')

  const lost = capture({ ...request, source }, { onPercent: () => source.kill() }, systemClock)
  await expect(lost).rejects.toThrow('NBD connection lost')
  await expect(capture({ ...request, source }, {}, systemClock)).rejects.toThrow('NBD connection lost')
  for await (const hash of store.list('root')) expect.unreachable(`root ${hash}`)
})

test('a parent that is damaged or missing is reported', async () => {
  const { folder, store, layer } = await setUp()
  await makeLayer(layer(0), 8 * mib, ['write -P 1 0 1M'])
  const source = await serveChain(folder, [layer(0)])
  const { root } = await capture({ store, source, sizeBytes: 8 * mib, parent: null }, {}, systemClock)
  await appendFile(join(store.where, 'root', root.slice(0, 2), root.slice(2, 4), root), 'x')
  const request = { store, source, sizeBytes: 8 * mib, parent: { root, changedDepth: 1 } }
  await expect(capture(request, {}, systemClock)).rejects.toThrow(CorruptObject)
})
