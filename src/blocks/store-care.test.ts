/** The care for stores as the cloud asks for it: what it does while others write, and what it remembers of them. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { silentLog } from '../lib/log.ts'
import { blockBytes, hashOf } from './format.ts'
import { createSnapshotBlocks } from './snapshot-blocks.ts'
import type { Hash } from './store.ts'
import { serverControl } from './testing/block-server.ts'
import { type ManualClock, manualClock } from './testing/manual-clock.ts'
import { type MemoryDisk, serveDisks } from './testing/memory-disks.ts'
import { sealedDisks } from './testing/qemu-disks.ts'
import { openStore, patternBlock, putSnapshot } from './testing/stores.ts'
import { temporaryFolder } from './testing/temporary-folder.ts'

const region = 'us-east-1'
const owner = 'this state'
const sizeBytes = 64 * blockBytes

async function setUp() {
  const folder = await temporaryFolder()
  const clock: ManualClock = manualClock()
  const disks = new Map<string, MemoryDisk>()
  await serveDisks(join(folder, 'disks.sock'), async (name) => disks.get(name)!)
  const directory = join(folder, 'regions', region, 'store')
  await mkdir(join(folder, 'regions', region), { recursive: true })
  const store = await openStore(directory)
  const blocks = createSnapshotBlocks({
    ...{ regionsDir: join(folder, 'regions'), runDir: folder, statsDir: join(folder, 'stats') },
    ...{ sealedDisks, server: serverControl, syncFilesystem: async () => {}, log: silentLog, clock },
  })
  const capture = (texts: string[], beforeRead?: MemoryDisk['beforeRead']) => {
    const exportName = `disk-${disks.size}`
    disks.set(exportName, { sizeBytes, texts: new Map(texts.entries()), beforeRead })
    const source = { socketPath: join(folder, 'disks.sock'), exportName }
    return blocks.capture({ region, source, sizeBytes, parent: null })
  }
  const collect = (roots: Hash[] = []) =>
    blocks.collect({ region, owner, graceMs: 0, live: async () => ({ roots, blocks: [] }) })
  return { folder, clock, store, blocks, capture, collect }
}

test('a collection waits for the capture that has found a dead block, and then leaves it', async () => {
  const { clock, store, blocks, capture, collect } = await setUp()
  await putSnapshot(store, sizeBytes, new Map([[0, patternBlock('found')]]))
  const { promise: held, resolve: letGo } = Promise.withResolvers<void>()
  const { promise: isHeld, resolve: holding } = Promise.withResolvers<void>()
  const capturing = capture(['found', 'slow'], async (block) => {
    if (block !== 1) return
    holding()
    await held
  })
  await isHeld
  let isCollected = false
  const collecting = collect().then((collected) => {
    isCollected = true
    return collected
  })
  // It has surveyed the store and waits to be alone in it; or, if nothing held it, it is done.
  while (clock.sleeping === 0 && !isCollected) await new Promise((resolve) => setImmediate(resolve))
  expect(isCollected).toBe(false)
  await store.read('block', hashOf(patternBlock('found')))
  letGo()
  const { root } = await capturing
  expect(await collecting).toMatchObject({ roots: 1, leaves: 1, blocks: 0, stopped: null })
  expect((await blocks.check({ region, live: async () => ({ roots: [root], blocks: [] }) })).flaws).toEqual([])
})

test('a capture that takes too long is not waited for', async () => {
  const { clock, capture, collect } = await setUp()
  const { promise: held, resolve: letGo } = Promise.withResolvers<void>()
  const { promise: isHeld, resolve: holding } = Promise.withResolvers<void>()
  const capturing = capture(['slow'], async () => {
    holding()
    await held
  })
  await isHeld
  const collecting = collect()
  while ((await Promise.race([collecting, undefined])) === undefined) {
    await new Promise((resolve) => setImmediate(resolve))
    clock.advance(1000)
  }
  expect((await collecting).stopped).toMatchObject({ reason: 'busy' })
  letGo()
  await capturing
})

test('what a capture gave stays until the state has it, or for ten minutes', async () => {
  const { clock, store, blocks, capture, collect } = await setUp()
  const { root } = await capture(['a'])
  expect((await capture(['a'])).root).toBe(root)
  expect(await collect()).toMatchObject({ roots: 0, blocks: 0 })
  // Two operations have brought the same root; one of them has written it down.
  await blocks.settle(region, root)
  expect(await collect()).toMatchObject({ roots: 0, blocks: 0 })
  await blocks.settle(region, root)
  expect(await collect()).toMatchObject({ roots: 1, leaves: 1, blocks: 1 })

  const forgotten = (await capture(['b'])).root
  clock.advance(9 * 60_000)
  expect(await collect()).toMatchObject({ roots: 0 })
  clock.advance(2 * 60_000)
  expect(await collect()).toMatchObject({ roots: 1 })
  expect(await store.has('root', forgotten)).toBe(false)
})

test('what a copy gave stays as well, and its source while it is read', async () => {
  const { store, blocks } = await setUp()
  const root = await putSnapshot(store, sizeBytes, new Map([[0, patternBlock('a')]]))
  await blocks.openRegion('eu-west-1')
  const copying = blocks.copy({ root, fromRegion: region, toRegion: 'eu-west-1' })
  const live = async () => ({ roots: [], blocks: [] })
  const collecting = blocks.collect({ region, owner, graceMs: 0, live })
  expect(await copying).toMatchObject({ blocksMoved: 1 })
  expect(await collecting).toMatchObject({ roots: 1, blocks: 1 })
  expect(await blocks.collect({ region: 'eu-west-1', owner, graceMs: 0, live })).toMatchObject({ roots: 0, blocks: 0 })
  expect(await blocks.storedRegions()).toEqual(['eu-west-1', region])
})

test('a store is collected for the state that it belongs to, and for no other', async () => {
  const { folder, store, blocks, collect } = await setUp()
  const root = await putSnapshot(store, sizeBytes, new Map([[0, patternBlock('a')]]))
  expect(await collect([root])).toMatchObject({ roots: 0, stopped: null })
  const stranger = { region, owner: 'another state', graceMs: 0, live: async () => ({ roots: [], blocks: [] }) }
  expect(await blocks.collect(stranger)).toMatchObject({
    ...{ roots: 0, blocks: 0, bytesFreed: 0 },
    stopped: { reason: 'foreign', message: expect.stringContaining(region) },
  })
  expect(await store.has('root', root)).toBe(true)
  const again = await openStore(join(folder, 'regions', region, 'store'))
  expect(await again.ownedBy('another state')).toBe(owner)
  expect(await collect()).toMatchObject({ roots: 1 })
})

test('one store is collected or checked once at a time', async () => {
  const { blocks, collect } = await setUp()
  const checking = blocks.check({ region, live: async () => ({ roots: [], blocks: [] }) })
  expect((await collect()).stopped).toEqual({
    reason: 'busy',
    message: `the store of ${region} is being checked; try again when that is done`,
  })
  await checking
  expect((await collect()).stopped).toBeNull()
})

test('volumes with counters are told, also where a server died while it wrote them', async () => {
  const { folder, blocks } = await setUp()
  expect(await blocks.countedVolumes()).toEqual([])
  await mkdir(join(folder, 'stats'))
  const names = ['vol-00000000000000001.json', 'vol-00000000000000001.json.new', 'vol-00000000000000002.json.new', 'x']
  for (const name of names) await writeFile(join(folder, 'stats', name), '{}')
  expect(await blocks.countedVolumes()).toEqual(['vol-00000000000000001', 'vol-00000000000000002'])
  await blocks.forgetVolume('vol-00000000000000002')
  expect(await blocks.countedVolumes()).toEqual(['vol-00000000000000001'])
})
