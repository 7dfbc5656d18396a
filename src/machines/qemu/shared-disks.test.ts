/** Disks that several have at once, served by real storage daemons. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { systemClock } from '../../lib/clock.ts'
import { silentLog } from '../../lib/log.ts'
import { run } from '../../lib/programs.ts'
import { systemRandom } from '../../lib/random.ts'
import type { DiskChain, ServedBase, SharedDisks } from '../driver.ts'
import { createDiskTools, type HostDiskTools } from './disk-tools.ts'
import { processesWith } from './process-table.ts'
import { createSharedDisks } from './shared-disks.ts'

const volumeId = 'vol-0123456789abcdef0'
const sizeBytes = 64 * 1024 * 1024
let folder: string
let runDir: string
let disks: SharedDisks
let tools: HostDiskTools

const open = () => createSharedDisks({ runDir, clock: systemClock, log: silentLog })

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kiln-shared-'))
  runDir = join(folder, 'run')
  disks = open()
  tools = createDiskTools({ runDir, clock: systemClock, random: systemRandom, log: silentLog })
})
afterEach(async () => {
  for (const id of await disks.list()) await disks.end(id)
  await tools.reapStale()
  await rm(folder, { recursive: true, force: true })
})

async function layer(name: string): Promise<string> {
  const path = join(folder, `${name}.qcow2`)
  await tools.createLayer(path, sizeBytes, null)
  return path
}

/** A client of its own, as each machine is. */
async function client({ socketPath, exportName }: ServedBase, ...commands: string[]): Promise<string> {
  const image = `driver=nbd,server.type=unix,server.path=${socketPath},export=${exportName}`
  return await run('qemu-io', [...commands.flatMap((command) => ['-c', command]), '--image-opts', image])
}

const serve = (chain: DiskChain, limits: Parameters<SharedDisks['serve']>[0]['limits'] = null) =>
  disks.serve({ volumeId, chain, limits })

test('what one client writes, another reads, while both have it; the next daemon finds it', async () => {
  const served = await serve({ base: null, layers: [await layer('one')], key: null })
  expect(await serve({ base: null, layers: ['nothing opens this'], key: null })).toEqual(served)
  const first = client(served, 'write -P 5 0 64k', 'flush', 'sleep 1000', 'read -P 6 64k 64k')
  await expect.poll(() => client(served, 'read -P 5 0 64k')).not.toContain('failed')
  await client(served, 'write -P 6 64k 64k')
  expect(await first).not.toContain('failed')
  expect(await open().list()).toEqual([volumeId])
  expect(await open().isServed(volumeId)).toBe(true)
  await client(served, 'read -P 5 0 64k')
})

test('it is frozen under its clients: what they write then goes to the new layer', async () => {
  const [one, two] = [await layer('one'), await layer('two')]
  const served = await serve({ base: null, layers: [one], key: null })
  await client(served, 'write -P 5 0 64k')
  await disks.freeze(volumeId, two)
  await disks.freeze(volumeId, two)
  await client(served, 'read -P 5 0 64k', 'write -P 6 0 64k')
  const frozen = await tools.openForReading({ base: null, layers: [one], key: null }, sizeBytes)
  try {
    const image = `driver=nbd,server.type=unix,server.path=${frozen.socketPath},export=${frozen.exportName}`
    expect(await run('qemu-io', ['-r', '-c', 'read -P 5 0 64k', '--image-opts', image])).not.toContain('failed')
  } finally {
    await frozen.close()
  }
  await disks.end(volumeId)
  const again = await serve({ base: null, layers: [one, two], key: null })
  expect(await client(again, 'read -P 6 0 64k')).not.toContain('failed')
})

test('one that was killed is gone from the list, and serves all that was acknowledged when it is started anew', async () => {
  const layers = [await layer('one')]
  const served = await serve({ base: null, layers, key: null })
  // A client that has not asked for a flush, nor let go of the disk.
  const writing = client(served, 'write -P 5 0 64k', 'sleep 2000').catch(() => '')
  await expect.poll(() => client(served, 'read -P 5 0 64k')).not.toContain('failed')
  const pidFile = join(runDir, `${volumeId}.pid`)
  const [found] = processesWith((argument) => (argument === pidFile ? argument : undefined))
  process.kill(found!.ref.pid, 'SIGKILL')
  await expect.poll(() => disks.isServed(volumeId)).toBe(false)
  await expect(disks.freeze(volumeId, await layer('two'))).rejects.toThrow('nobody serves')
  expect(await client(await serve({ base: null, layers, key: null }), 'read -P 5 0 64k')).not.toContain('failed')
  await writing
})

test('its limits are for all clients, and can be changed', async () => {
  const limits = { iops: 100, burst: null, bytesPerSecond: 1024 * 1024 }
  await serve({ base: null, layers: [await layer('one')], key: null }, limits)
  await disks.limit(volumeId, { ...limits, iops: 400, burst: { iops: 800, seconds: 60 } })
  await disks.limit(volumeId, null)
})

test('a base that was served is read from the local file once that holds all of it', async () => {
  const base = join(folder, 'base.raw')
  await run('qemu-img', ['create', '-q', '-f', 'raw', base, String(sizeBytes)])
  await run('qemu-io', ['-f', 'raw', '-c', 'write -P 9 1M 64k', base])
  const source = await layer('source')
  await run('qemu-io', ['-c', 'write -P 9 1M 64k', source])
  const store = await tools.openForReading({ base: null, layers: [source], key: null }, sizeBytes)
  const layers = [await layer('one')]
  const served = await serve({ base: store, layers, key: null })
  await client(served, 'read -P 9 1M 64k', 'write -P 5 0 64k')
  await disks.localizeBase(volumeId, { base: { path: base }, layers, key: null })
  await disks.localizeBase(volumeId, { base: { path: base }, layers, key: null })
  await store.close()
  expect(await client(served, 'read -P 9 1M 64k', 'read -P 5 0 64k')).not.toContain('failed')
})

test('what cannot be opened is told, and leaves no process', async () => {
  await expect(serve({ base: null, layers: [join(folder, 'missing.qcow2')], key: null })).rejects.toThrow(
    /missing\.qcow2/,
  )
  expect(await disks.list()).toEqual([])
  await expect(disks.end('vol-1')).rejects.toThrow('not a volume id')
})

test('a sealed one is served under its key, frozen without being asked for it, and under no other key', async () => {
  const key = Buffer.alloc(32, 'k')
  const sealed = async (name: string) => {
    const path = join(folder, name)
    await tools.createLayer(path, sizeBytes, key)
    return path
  }
  const layers = [await sealed('one')]
  const served = await serve({ base: null, layers, key })
  await client(served, 'write -P 0x5a 0 64k')
  layers.push(await sealed('two'))
  await disks.freeze(volumeId, layers[1]!)
  await client(served, 'write -P 0x5b 64k 64k')
  await disks.end(volumeId)
  await expect(serve({ base: null, layers, key: Buffer.alloc(32, 'x') })).rejects.toThrow('under another key')
  expect(
    await client(await serve({ base: null, layers, key }), 'read -P 0x5a 0 64k', 'read -P 0x5b 64k 64k'),
  ).not.toContain('failed')
  for (const path of layers) expect((await readFile(path)).includes(Buffer.alloc(512, 0x5a))).toBe(false)
})
