/** The block server as a guest meets it: its own process, QEMU's own NBD client. */
import { randomBytes } from 'node:crypto'
import { readdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { systemClock, waitFor } from '../lib/clock.ts'
import { endProcess, isAlive, run, signalProcess } from '../lib/programs.ts'
import { capture } from './capture.ts'
import { formatExportName } from './export-name.ts'
import { blockBytes, hashOf, leafSpanBytes } from './format.ts'
import { connectNbd } from './nbd/client.ts'
import { answersNbd } from './nbd/probe.ts'
import type { Hash } from './store.ts'
import { blockServerScript, serverArgs, serverControl, startBlockServer } from './testing/block-server.ts'
import { flatten, makeLayer, nbdImage, nbdOptions, serveChain } from './testing/qemu-disks.ts'
import { openStore, patternBlock, putSnapshot } from './testing/stores.ts'
import { temporaryFolder } from './testing/temporary-folder.ts'
import { readVolumeReads } from './volume-reads.ts'

const region = 'us-east-1'
const volumeId = 'vol-0123456789abcdef0'
const mib = 1024 * 1024

async function setUp(sizeBytes: number, blocks: ReadonlyMap<number, Buffer>) {
  const folder = await temporaryFolder()
  const store = await openStore(join(folder, 'regions', region, 'store'))
  const root = await putSnapshot(store, sizeBytes, blocks)
  const server = await startBlockServer(folder)
  const source = (volume = volumeId, name: Hash = root) => ({
    socketPath: server.socketPath,
    exportName: formatExportName({ region, root: name, volumeId: volume, wrappedKey: null }),
  })
  const objectPath = (hash: Hash) => join(store.where, 'block', hash.slice(0, 2), hash.slice(2, 4), hash)
  return { folder, store, root, server, source, objectPath, statsDir: join(folder, 'stats') }
}

/** Three blocks at the start, one in the second leaf, and half a block at the end. */
const blocks = new Map([
  [0, patternBlock('zero')],
  [1, patternBlock('one')],
  [2, randomBytes(blockBytes)],
  [1030, patternBlock('far')],
  [1099, Buffer.concat([patternBlock('end').subarray(0, blockBytes / 2), Buffer.alloc(blockBytes / 2)])],
])
const sizeBytes = 1099 * blockBytes + blockBytes / 2

function expectedAt(offset: number, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  for (const [place, block] of blocks)
    block.copy(bytes, Math.max(place * blockBytes - offset, 0), Math.max(offset - place * blockBytes, 0))
  return bytes
}

test('a server that cannot write its log serves on', async () => {
  const folder = await temporaryFolder()
  const command = { script: blockServerScript, args: serverArgs(folder), logPath: '/dev/full' }
  const server = await serverControl.start(command)
  onTestFinished(() => endProcess(server))
  const answers = async () => (await answersNbd(join(folder, 'blocks.sock'))) || undefined
  expect(await waitFor(systemClock, answers, { everyMs: 20, timeoutMs: 10_000 })).toBe(true)
  // What cannot be served is logged, too.
  const refused = connectNbd({ socketPath: join(folder, 'blocks.sock'), exportName: 'none', contexts: [] })
  await expect(refused).rejects.toThrow('export names are')
  expect([isAlive(server), await answers()]).toEqual([true, true])
})

describe('what QEMU sees', () => {
  test('size, holes and bytes are those of the snapshot', async () => {
    const { folder, source } = await setUp(sizeBytes, blocks)
    const info = JSON.parse(await run('qemu-img', ['info', '--output=json', nbdImage(source())]))
    expect(info['virtual-size']).toBe(sizeBytes)
    const map = JSON.parse(await run('qemu-img', ['map', '--output=json', nbdImage(source())])) as {
      start: number
      length: number
      data: boolean
      zero: boolean
    }[]
    const data = map
      .filter((extent) => extent.data)
      .map((extent) => [extent.start / blockBytes, extent.length / blockBytes])
    expect(data).toEqual([
      [0, 3],
      [1030, 1],
      [1099, 0.5],
    ])
    expect(map.filter((extent) => !extent.data).every((extent) => extent.zero)).toBe(true)
    await run('qemu-img', ['convert', '-O', 'raw', nbdImage(source()), join(folder, 'raw')])
    expect((await readFile(join(folder, 'raw'))).equals(expectedAt(0, sizeBytes))).toBe(true)
  })

  test('reads of any place and length, and no writes', async () => {
    const { source } = await setUp(sizeBytes, blocks)
    const image = nbdImage(source())
    const io = (...commands: string[]) =>
      run('qemu-io', ['-r', ...commands.flatMap((command) => ['-c', command]), image])
    await io(`read -P 0x0 5M 2M`, `read -v ${blockBytes - 4} 8`)
    expect(await io(`read -v ${blockBytes - 4} 8`)).toContain('7a 65 72 6f 6f 6e 65 6f  zerooneo')
    await expect(run('qemu-io', ['-c', 'write 0 512', nbdImage(source())])).rejects.toThrow()
  })

  test('an overlay over the export, grown and written to, captures to the right increment', async () => {
    const { folder, store, root, source } = await setUp(sizeBytes, blocks)
    const [overlay, grownBytes] = [join(folder, 'top.qcow2'), 1200 * blockBytes]
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', overlay, String(grownBytes)])
    const image = { driver: 'qcow2', file: { driver: 'file', filename: overlay }, backing: nbdOptions(source()) }
    await run('qemu-io', ['-c', 'write -P 9 768k 64k', '-c', 'write -P 8 580M 1M', `json:${JSON.stringify(image)}`])
    const qsd = await serveChain(folder, [overlay], source())
    const { root: next, stats } = await capture(
      { store, source: qsd, sizeBytes: grownBytes, parent: { root, changedDepth: 1 } },
      {},
      systemClock,
    )
    expect(stats.blocksRead).toBe(3)
    await run('qemu-img', [
      'compare',
      '-U',
      nbdImage(source('vol-00000000000000001', next)),
      `json:${JSON.stringify(image)}`,
    ])
  })

  test.each([
    ['nonsense', 'nonsense'],
    ['no name', ''],
    ['a path', `../${region}/${'a'.repeat(64)}/${volumeId}`],
    ['an unknown region', `mars-north-1/${'a'.repeat(64)}/${volumeId}`],
    ['an unknown root', `${region}/${'a'.repeat(64)}/${volumeId}`],
  ])('%s is no export', async (_, exportName) => {
    const { server, statsDir } = await setUp(sizeBytes, blocks)
    const connecting = connectNbd({ socketPath: server.socketPath, exportName, contexts: [] })
    await expect(connecting).rejects.toThrow('refused option 7')
    expect(await readdir(statsDir).catch(() => [])).toEqual([])
  })
})

describe('damage', () => {
  test.each<[string, (path: string) => Promise<void>]>([
    [
      'a flipped byte',
      async (path) => {
        const bytes = await readFile(path)
        bytes[40]! ^= 1
        await writeFile(path, bytes)
      },
    ],
    ['a missing file', (path) => rename(path, `${path}.away`)],
  ])('%s is an I/O error and a line in the log; other blocks are served', async (_, damage) => {
    const { root, server, source, objectPath } = await setUp(sizeBytes, blocks)
    const hash = hashOf(blocks.get(2)!)
    await damage(objectPath(hash))
    const client = await connectNbd({ ...source(), contexts: [] })
    const target = Buffer.alloc(4096)
    await expect(client.readInto(target, 2 * blockBytes + 10)).rejects.toMatchObject({ errno: 5 })
    await client.readInto(target, blockBytes)
    expect(target.equals(blocks.get(1)!.subarray(0, 4096))).toBe(true)
    await client.close()
    await expect(run('qemu-io', ['-r', '-c', `read ${2 * blockBytes} 512`, nbdImage(source())])).rejects.toThrow()
    const log = await server.logged()
    expect(log).toContain(hash)
    expect(log).toContain(`block 2 of root ${root} cannot be served`)
  })

  test('of the root refuses the export, and is a line in the log', async () => {
    const { store, root, server, source } = await setUp(sizeBytes, blocks)
    const path = join(store.where, 'root', root.slice(0, 2), root.slice(2, 4), root)
    await writeFile(path, (await readFile(path)).fill(0, 30, 40))
    await expect(connectNbd({ ...source(), contexts: [] })).rejects.toThrow('is damaged')
    expect(await server.logged()).toContain(`root ${root} cannot be served`)
  })

  test('a store that comes back is served again', async () => {
    const { store, source } = await setUp(sizeBytes, blocks)
    const client = await connectNbd({ ...source(), contexts: [] })
    await rename(store.where, `${store.where}.away`)
    await expect(client.readInto(Buffer.alloc(512), 0)).rejects.toMatchObject({ errno: 5 })
    await rename(`${store.where}.away`, store.where)
    const target = Buffer.alloc(512)
    await client.readInto(target, 0)
    expect(target.equals(expectedAt(0, 512))).toBe(true)
    await client.close()
  })
})

describe('the process', () => {
  test('killed while a client reads, then started anew: the client waits and gets every byte', async () => {
    const bigBlocks = new Map(Array.from({ length: 120 }, (_, i) => [i * 2, randomBytes(blockBytes)]))
    const { folder, server, source, statsDir } = await setUp(240 * blockBytes, bigBlocks)
    // Slow enough (30 MiB/s) to be still at it when the server dies.
    const converting = run('qemu-img', ['convert', '-r', '30M', '-O', 'raw', nbdImage(source()), join(folder, 'raw')])
    const halfway = await waitFor(
      systemClock,
      async () => ((await readVolumeReads(statsDir, volumeId)).blocksFetched > 20 ? true : undefined),
      { everyMs: 20, timeoutMs: 20_000 },
    )
    expect(halfway).toBe(true)
    await endProcess(server.process, 0)
    expect(isAlive(server.process)).toBe(false)
    await systemClock.sleep(300)
    await startBlockServer(folder)
    await converting
    const raw = await readFile(join(folder, 'raw'))
    for (const [place, block] of bigBlocks)
      if (!raw.subarray(place * blockBytes, (place + 1) * blockBytes).equals(block))
        expect.unreachable(`block ${place} differs`)
  })

  test('SIGTERM writes the counters, removes socket and pidfile, and ends with 0', async () => {
    const { folder, server, source, statsDir } = await setUp(sizeBytes, blocks)
    const client = await connectNbd({ ...source(), contexts: [] })
    await client.readInto(Buffer.alloc(1000), 0)
    signalProcess(server.process, 'SIGTERM')
    expect(
      await waitFor(systemClock, () => (isAlive(server.process) ? undefined : true), { everyMs: 5, timeoutMs: 5000 }),
    ).toBe(true)
    expect(await readVolumeReads(statsDir, volumeId)).toEqual({
      blocksFetched: 1,
      bytesFetched: blockBytes,
      bytesServed: 1000,
    })
    expect((await readdir(folder)).sort()).toEqual(['blocks.log', 'regions', 'stats'])
    await expect(client.readInto(Buffer.alloc(1000), 0)).rejects.toThrow('connection lost')
  })

  test('a second one for the same socket gives way, and the first goes on', async () => {
    const { folder, server } = await setUp(sizeBytes, blocks)
    const second = run(process.execPath, [blockServerScript, ...serverArgs(folder)])
    await expect(second).rejects.toMatchObject({ exitCode: 3 })
    expect(isAlive(server.process)).toBe(true)
    expect(JSON.parse(await readFile(`${server.socketPath}.pid`, 'utf8'))).toEqual(server.process)
    expect((await stat(server.socketPath)).mode & 0o077).toBe(0)
  })

  test('a call without its arguments fails', async () => {
    await expect(run(process.execPath, [blockServerScript])).rejects.toThrow('usage: server-main')
  })
})

describe('counters', () => {
  test('count each block of a volume once, over connections, volumes and restarts', async () => {
    const { folder, server, source, statsDir } = await setUp(sizeBytes, blocks)
    const read = async (volume: string, ...offsets: number[]) => {
      const client = await connectNbd({ ...source(volume), contexts: [] })
      for (const offset of offsets) await client.readInto(Buffer.alloc(100), offset)
      await client.close()
    }
    /** Counters reach their file when the last connection has ended. */
    const counted = (volume: string, blocksFetched: number, bytesServed: number) =>
      expect
        .poll(() => readVolumeReads(statsDir, volume))
        .toEqual({ blocksFetched, bytesFetched: blocksFetched * blockBytes, bytesServed })
    const other = 'vol-00000000000000002'
    await read(volumeId, 0, 50, 0)
    await read(volumeId, 3 * blockBytes)
    await read(other, 0)
    await counted(volumeId, 1, 400)
    await counted(other, 1, 100)
    await endProcess(server.process, 0)
    await startBlockServer(folder)
    await read(volumeId, 0, 1030 * blockBytes)
    await counted(volumeId, 2, 600)
  })

  test('a reader in sequence has the next blocks fetched ahead', async () => {
    const many = new Map(Array.from({ length: 40 }, (_, i) => [i, patternBlock(`${i}`)]))
    const { source, statsDir } = await setUp(leafSpanBytes, many)
    const client = await connectNbd({ ...source(), contexts: [] })
    await client.readInto(Buffer.alloc(4096), 0)
    await client.readInto(Buffer.alloc(4096), blockBytes)
    // Two blocks were read; four more come by themselves, within the second in which counters are written.
    await expect.poll(async () => (await readVolumeReads(statsDir, volumeId)).blocksFetched, { timeout: 5000 }).toBe(6)
    await client.close()
  })
})

test('a disk goes around whole: QEMU writes it, it is captured, served, and read by QEMU', async () => {
  const { folder, store, source } = await setUp(sizeBytes, new Map())
  const disk = join(folder, 'disk.qcow2')
  await makeLayer(disk, 96 * mib, ['write -P 1 0 3M', 'write -P 2 50M 1234k', 'write -P 3 95M 1M'])
  const { root } = await capture(
    { store, source: await serveChain(folder, [disk]), sizeBytes: 96 * mib, parent: null },
    {},
    systemClock,
  )
  await flatten([disk], join(folder, 'raw'))
  await run('qemu-img', ['compare', nbdImage(source(volumeId, root)), join(folder, 'raw')])
})
