/** Sealed blocks, as they lie in a store, are served, captured and copied. */
import { randomBytes } from 'node:crypto'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { systemClock, waitFor } from '../lib/clock.ts'
import { makeMasterKey } from '../lib/master-key.ts'
import { endProcess, run } from '../lib/programs.ts'
import { systemRandom } from '../lib/random.ts'
import { BlockCache } from './block-cache.ts'
import { capture } from './capture.ts'
import { check } from './check.ts'
import { copySnapshot } from './copy.ts'
import { formatExportName, parseExportName, unwrapKey, wrapKey } from './export-name.ts'
import { blockBytes, hashOf, zeroHash } from './format.ts'
import type { LocalStore } from './local-store.ts'
import { materialize } from './materialize.ts'
import { answersNbd } from './nbd/probe.ts'
import { RegionStores } from './region-stores.ts'
import { repackSnapshot } from './repack.ts'
import { resealSnapshot } from './reseal.ts'
import { blockAccess } from './sealed-block.ts'
import { createSnapshotContents } from './snapshot-contents.ts'
import { readLeaf, readRoot } from './snapshot-objects.ts'
import { CorruptObject, type Hash } from './store.ts'
import { blockServerScript, serverArgs, serverControl } from './testing/block-server.ts'
import { makeLayer, nbdImage, serveChain, writeLayer } from './testing/qemu-disks.ts'
import { openStore, patternBlock, putSnapshot } from './testing/stores.ts'
import { temporaryFolder } from './testing/temporary-folder.ts'

const key = randomBytes(32)
const otherKey = randomBytes(32)
const mib = 1024 * 1024
const contents = [patternBlock('a text that packs well '), randomBytes(blockBytes)]

const newStore = async (): Promise<LocalStore> => await openStore(await temporaryFolder())
const pathOf = (store: LocalStore, hash: Hash) => join(store.where, 'block', hash.slice(0, 2), hash.slice(2, 4), hash)

/** What a snapshot holds, block by block. */
async function contentOf(store: LocalStore, rootHash: Hash, sealKey: Buffer | null): Promise<Map<number, Buffer>> {
  const root = await readRoot(store, rootHash)
  const found = new Map<number, Buffer>()
  for (const ref of root.leaves) {
    const leaf = await readLeaf(store, ref, root.sizeBytes)
    for (let slot = 0; slot < 1024; slot++) {
      const hash = leaf.hashAt(slot)
      if (hash) found.set(ref.index * 1024 + slot, await blockAccess(sealKey).read(store, hash))
    }
  }
  return found
}

test('a block is sealed alike under one key, opens with it alone, and shows nothing', async () => {
  const store = await newStore()
  for (const content of contents) {
    const { hash, storedBytes } = await blockAccess(key).write(store, content)
    expect(storedBytes).toBeGreaterThan(0)
    expect(await blockAccess(key).write(store, content)).toEqual({ hash, storedBytes: 0 })
    const other = await blockAccess(otherKey).write(store, content)
    expect([other.hash, hashOf(content)]).not.toContain(hash)
    expect((await blockAccess(key).read(store, hash)).equals(content)).toBe(true)
    await expect(blockAccess(otherKey).read(store, hash)).rejects.toThrow('does not open with the key')
    await expect(blockAccess(null).read(store, hash)).rejects.toThrow('it is sealed, and its snapshot is not encrypted')
    const file = await readFile(pathOf(store, hash))
    expect(file.includes(content.subarray(0, 32))).toBe(false)
    expect(file.includes(Buffer.from(hashOf(content), 'hex'))).toBe(false)
    // A packed block stays small: sealing comes after packing.
    if (content === contents[0]) expect(file.length).toBeLessThan(1000)
  }
  const plain = await blockAccess(null).write(store, contents[0]!)
  await expect(blockAccess(key).read(store, plain.hash)).rejects.toThrow(CorruptObject)
})

test('of a changed, cut or exchanged file nothing is read, with or without the key', async () => {
  const store = await newStore()
  for (const content of contents) {
    const { hash } = await blockAccess(key).write(store, content)
    const path = pathOf(store, hash)
    const intact = await readFile(path)
    const places = [0, 1, 12, 13, 20, Math.floor(intact.length / 2), intact.length - 1]
    for (const place of places) {
      const changed = Buffer.from(intact)
      changed[place]! ^= 1
      await writeFile(path, changed)
      await expect(blockAccess(key).read(store, hash)).rejects.toThrow(CorruptObject)
    }
    for (const length of [0, 1, 2, 17, 29, intact.length - 1]) {
      await writeFile(path, intact.subarray(0, length))
      await expect(store.read('block', hash)).rejects.toThrow(CorruptObject)
    }
    await writeFile(path, intact)
  }
  const [one, two] = await Promise.all(contents.map((content) => blockAccess(key).write(store, content)))
  await rename(pathOf(store, one!.hash), pathOf(store, two!.hash))
  await expect(blockAccess(key).read(store, two!.hash)).rejects.toThrow(CorruptObject)
})

test('a leaf or a root cannot pass as sealed', async () => {
  const store = await newStore()
  const content = Buffer.alloc(200, 'x')
  await store.writeEncoded('leaf', hashOf(content), Buffer.concat([Buffer.of(2), content]))
  await expect(store.read('leaf', hashOf(content))).rejects.toThrow('a leaf cannot be sealed')
})

test('check, copy and repack need no key; a flipped byte is found', async () => {
  const [store, target] = [await newStore(), await newStore()]
  const blocks = new Map(contents.map((content, place) => [place, content]))
  const root = await putSnapshot(store, 4 * blockBytes, blocks, key)
  const live = { roots: [root], blocks: [] }
  expect((await check({ store, live, sources: null }, {}, systemClock)).flaws).toEqual([])
  const before = await contentOf(store, root, key)
  const packed = await repackSnapshot({ store, root, others: [], fromLeaf: 0 }, {}, systemClock)
  expect(packed).toMatchObject({ blocksPacked: 0, bytesSaved: 0 })
  const copied = await copySnapshot({ root, source: store, target, mayLink: false }, {}, systemClock)
  expect(copied.blocksMoved).toBe(2)
  expect(await contentOf(target, root, key)).toEqual(before)
  const [name] = [...(await readLeaf(store, (await readRoot(store, root)).leaves[0]!, 4 * blockBytes)).hashes()]
  const file = await readFile(pathOf(store, name!))
  file[100]! ^= 1
  await writeFile(pathOf(store, name!), file)
  const [flaw] = (await check({ store, live, sources: [{ region: 'other', store: target }] }, {}, systemClock)).flaws
  expect(flaw).toMatchObject({ hash: name, problem: 'damaged', roots: [root], repairedFrom: 'other' })
  expect(await contentOf(store, root, key)).toEqual(before)
})

test('a copy under another key has the same content and shares no block', async () => {
  const [store, target] = [await newStore(), await newStore()]
  const blocks = new Map([...contents.entries(), [1500, contents[0]!] as const])
  const sizeBytes = 1600 * blockBytes
  const plain = await putSnapshot(store, sizeBytes, blocks)
  const reseal = (root: Hash, fromKey: Buffer | null, toKey: Buffer | null, from = store) =>
    resealSnapshot({ root, source: from, target, fromKey, toKey }, {}, systemClock)
  const first = await reseal(plain, null, key)
  expect(first.info).toEqual({ sizeBytes, blockCount: 3, dataBytes: 3 * blockBytes })
  expect(first.stats).toMatchObject({ blocksMoved: 2, blocksPresent: 1 })
  const again = await reseal(plain, null, key)
  expect(again).toMatchObject({ root: first.root, stats: { blocksMoved: 0, bytesMoved: 0 } })
  const second = await reseal(first.root, key, otherKey, target)
  expect(second.stats.blocksMoved).toBe(2)
  expect(await contentOf(target, second.root, otherKey)).toEqual(await contentOf(store, plain, null))
  await expect(reseal(first.root, otherKey, key, target)).rejects.toThrow('does not open with the key')
})

test('a sealed capture and its increment hold what the disk holds, and store equal blocks once', async () => {
  const folder = await temporaryFolder()
  const store = await openStore(join(folder, 'store'))
  const layers = [join(folder, '0.qcow2'), join(folder, '1.qcow2')]
  await makeLayer(layers[0]!, 600 * mib, ['write -P 1 0 3M', 'write -P 2 100M 64k'])
  const take = async (chain: string[], parent: { root: Hash; changedDepth: number } | null) =>
    capture(
      { store, source: await serveChain(folder, chain), sizeBytes: 600 * mib, parent, sealKey: key },
      {},
      systemClock,
    )
  const first = await take([layers[0]!], null)
  expect(first.stats).toMatchObject({ blocksRead: 7, blocksWritten: 2 })
  await makeLayer(layers[1]!, 600 * mib)
  await writeLayer(layers, ['write -P 3 1M 512k'])
  const second = await take(layers, { root: first.root, changedDepth: 1 })
  expect(second.stats).toMatchObject({ blocksRead: 1, blocksWritten: 1 })
  const content = await contentOf(store, second.root, key)
  expect([...content.keys()]).toEqual([0, 1, 2, 3, 4, 5, 200])
  expect(content.get(2)!.equals(Buffer.alloc(blockBytes, 3))).toBe(true)
  expect(content.get(5)!.equals(Buffer.alloc(blockBytes, 1))).toBe(true)
  await materialize({ store, root: second.root, path: join(folder, 'raw'), seal: null, sealKey: key }, {}, systemClock)
  expect((await readFile(join(folder, 'raw'))).subarray(2 * blockBytes, 3 * blockBytes)).toEqual(content.get(2))
})

test('blocks are put and read one by one; those of zeros have their name and no object', async () => {
  const stores = new RegionStores({
    regionsDir: await temporaryFolder(),
    syncFilesystem: async () => {},
    clock: systemClock,
  })
  const store = await stores.open('eu-west-1')
  const one = createSnapshotContents(stores, systemClock)
  const { hash, storedBytes } = await one.putSealed('eu-west-1', contents[0]!, key)
  expect([await store.has('block', hash), storedBytes > 0]).toEqual([true, true])
  expect((await one.read('eu-west-1', hash, key)).equals(contents[0]!)).toBe(true)
  await expect(one.read('eu-west-1', hash)).rejects.toThrow(CorruptObject)
  expect(await one.putSealed('eu-west-1', Buffer.alloc(blockBytes), key)).toEqual({ hash: zeroHash, storedBytes: 0 })
  expect((await one.read('eu-west-1', zeroHash, key)).equals(Buffer.alloc(blockBytes))).toBe(true)
})

test('the cache gives to nobody what another key opened', async () => {
  const store = await newStore()
  const { hash } = await blockAccess(key).write(store, contents[0]!)
  const cache = new BlockCache(64 * mib)
  expect((await cache.block(store, hash, blockAccess(key))).equals(contents[0]!)).toBe(true)
  for (const wrong of [otherKey, null])
    await expect(cache.block(store, hash, blockAccess(wrong))).rejects.toThrow(CorruptObject)
  expect((await cache.block(store, hash, blockAccess(Buffer.from(key)))).equals(contents[0]!)).toBe(true)
})

test('the block server, started anew, serves a sealed snapshot by its name; the name gives nothing away', async () => {
  const folder = await temporaryFolder()
  const masterKey = await makeMasterKey(join(folder, 'keys', 'master.key'), systemRandom)
  const [region, volumeId] = ['us-east-1', 'vol-0123456789abcdef0']
  const store = await openStore(join(folder, 'regions', region, 'store'))
  const root = await putSnapshot(store, 4 * blockBytes, new Map(contents.entries()), key)
  const about = { region, root, volumeId }
  const wrappedKey = wrapKey(masterKey, about, key)
  const exportName = formatExportName({ ...about, wrappedKey })
  expect(unwrapKey(masterKey, parseExportName(exportName)!)).toEqual(key)
  for (const text of [key.toString('hex'), key.toString('base64'), key.toString('base64url')])
    expect(exportName).not.toContain(text.slice(0, 20))

  const socketPath = join(folder, 'blocks.sock')
  const start = async () => {
    const args = [...serverArgs(folder), '--key-file', masterKey.path]
    const server = await serverControl.start({ script: blockServerScript, args, logPath: join(folder, 'blocks.log') })
    onTestFinished(() => endProcess(server))
    await waitFor(systemClock, async () => (await answersNbd(socketPath)) || undefined, {
      everyMs: 20,
      timeoutMs: 10_000,
    })
    return server
  }
  const raw = join(folder, 'raw')
  const read = () => run('qemu-img', ['convert', '-O', 'raw', nbdImage({ socketPath, exportName }), raw])
  const first = await start()
  await read()
  expect((await readFile(raw)).subarray(0, 2 * blockBytes).equals(Buffer.concat(contents))).toBe(true)
  await endProcess(first, 0)
  await start()
  await read()
  expect((await readFile(raw)).subarray(0, 2 * blockBytes).equals(Buffer.concat(contents))).toBe(true)

  // Not with the key of another export, nor of another lineage, nor without.
  const otherVolume = formatExportName({ ...about, volumeId: 'vol-00000000000000000', wrappedKey })
  const otherLineage = formatExportName({ ...about, wrappedKey: wrapKey(masterKey, about, otherKey) })
  const without = formatExportName({ ...about, wrappedKey: null })
  for (const name of [otherVolume, otherLineage, without]) {
    const image = nbdImage({ socketPath, exportName: name })
    await expect(run('qemu-img', ['convert', '-O', 'raw', image, join(folder, 'no')])).rejects.toThrow()
  }
  const log = await readFile(join(folder, 'blocks.log'), 'utf8')
  expect(log).toContain('it is sealed, and its snapshot is not encrypted')
  for (const secret of [wrappedKey, key.toString('hex'), key.toString('base64url')]) expect(log).not.toContain(secret)
})

test('without a key file, the server says why it serves nothing sealed', async () => {
  const folder = await temporaryFolder()
  const store = await openStore(join(folder, 'regions', 'us-east-1', 'store'))
  const root = await putSnapshot(store, 4 * blockBytes, new Map(contents.entries()), key)
  const server = await serverControl.start({
    script: blockServerScript,
    args: serverArgs(folder),
    logPath: join(folder, 'blocks.log'),
  })
  onTestFinished(() => endProcess(server))
  const socketPath = join(folder, 'blocks.sock')
  await waitFor(systemClock, async () => (await answersNbd(socketPath)) || undefined, {
    everyMs: 20,
    timeoutMs: 10_000,
  })
  const masterKey = await makeMasterKey(join(folder, 'k'), systemRandom)
  const about = { region: 'us-east-1', root, volumeId: 'vol-0123456789abcdef0' }
  const exportName = formatExportName({ ...about, wrappedKey: wrapKey(masterKey, about, key) })
  await expect(run('qemu-img', ['info', nbdImage({ socketPath, exportName })])).rejects.toThrow('without a master key')
})
