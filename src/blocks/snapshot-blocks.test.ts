/** The room as the cloud uses it, with real processes on both sides. */
import { mkdir, readdir, readFile, rename, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../lib/clock.ts'
import { silentLog } from '../lib/log.ts'
import { endProcess, isAlive, type ProcessRef, run } from '../lib/programs.ts'
import { createSnapshotBlocks, type LocalSnapshotBlocks, seedRegion } from './snapshot-blocks.ts'
import { serverControl } from './testing/block-server.ts'
import { flatten, makeLayer, nbdImage, sealedDisks, serveChain } from './testing/qemu-disks.ts'
import { syncFilesystem } from './testing/stores.ts'
import { temporaryFolder } from './testing/temporary-folder.ts'

const sizeBytes = 64 * 1024 * 1024
const volumeId = 'vol-0123456789abcdef0'

interface Home {
  folder: string
  /** Another daemon's view of the same home. */
  open(): LocalSnapshotBlocks
  serverPid(): Promise<ProcessRef>
}

async function setUp(): Promise<Home> {
  const folder = await temporaryFolder()
  await mkdir(join(folder, 'run'))
  const open = () =>
    createSnapshotBlocks({
      regionsDir: join(folder, 'regions'),
      runDir: join(folder, 'run'),
      statsDir: join(folder, 'stats'),
      sealedDisks,
      server: serverControl,
      syncFilesystem,
      log: silentLog,
      clock: systemClock,
    })
  onTestFinished(() => open().stopServer())
  const serverPid = async () => JSON.parse(await readFile(join(folder, 'run', 'blocks.sock.pid'), 'utf8')) as ProcessRef
  return { folder, open, serverPid }
}

/** Captures a small disk into that region; the disk's raw content lies at `raw`. */
async function captureDisk({ folder }: Home, blocks: LocalSnapshotBlocks, region: string) {
  const [disk, raw] = [join(folder, 'disk.qcow2'), join(folder, 'raw')]
  await makeLayer(disk, sizeBytes, ['write -P 1 0 3M', 'write -P 2 60M 100k'])
  await flatten([disk], raw)
  await blocks.openRegion(region)
  const { root, info } = await blocks.capture({
    region,
    source: await serveChain(folder, [disk]),
    sizeBytes,
    parent: null,
  })
  expect(info.blockCount).toBe(7)
  return { root, raw }
}

test('an image goes from the seed store to two regions, is served there, and counts its reads', async () => {
  const home = await setUp()
  const blocks = home.open()
  const { root, raw } = await captureDisk(home, blocks, seedRegion)
  for (const region of ['us-east-1', 'eu-west-1']) await blocks.openRegion(region)
  expect(await blocks.copy({ root, fromRegion: seedRegion, toRegion: 'us-east-1' })).toMatchObject({
    blocksMoved: 2,
    blocksPresent: 5,
  })
  expect(await blocks.copy({ root, fromRegion: 'us-east-1', toRegion: 'eu-west-1' })).toMatchObject({ blocksMoved: 2 })
  expect((await blocks.copy({ root, fromRegion: 'us-east-1', toRegion: 'eu-west-1' })).blocksMoved).toBe(0)
  // Each region stands on its own: neither needs the store that its copy came from.
  await rename(join(home.folder, 'regions', seedRegion), join(home.folder, 'away-1'))
  await rename(join(home.folder, 'regions', 'us-east-1'), join(home.folder, 'away-2'))
  expect((await blocks.info('eu-west-1', root)).sizeBytes).toBe(sizeBytes)
  const source = await blocks.serve({ region: 'eu-west-1', root, volumeId })
  await run('qemu-img', ['compare', nbdImage(source), raw])
  await expect.poll(async () => (await blocks.volumeReads(volumeId)).blocksFetched).toBe(7)
  await blocks.forgetVolume(volumeId)
  expect(await blocks.volumeReads(volumeId)).toEqual({ blocksFetched: 0, bytesFetched: 0, bytesServed: 0 })
})

test('a later daemon adopts the server, and one that died is brought back', async () => {
  const home = await setUp()
  const first = home.open()
  const { root, raw } = await captureDisk(home, first, 'us-east-1')
  const serve = { region: 'us-east-1', root, volumeId }
  await Promise.all([first.serve(serve), first.serve(serve), first.serve(serve)])
  const server = await home.serverPid()
  const second = home.open()
  await second.serve(serve)
  await second.superviseServer()
  expect(await home.serverPid()).toEqual(server)

  await endProcess(server, 0)
  await second.superviseServer()
  const successor = await home.serverPid()
  expect(successor).not.toEqual(server)
  await run('qemu-img', ['compare', nbdImage(await second.serve(serve)), raw])
  expect(await home.serverPid()).toEqual(successor)
})

test('a server that hangs is replaced', async () => {
  const home = await setUp()
  const blocks = home.open()
  const { root } = await captureDisk(home, blocks, 'us-east-1')
  await blocks.serve({ region: 'us-east-1', root, volumeId })
  const hanging = await home.serverPid()
  process.kill(hanging.pid, 'SIGSTOP')
  await blocks.superviseServer()
  expect(isAlive(hanging)).toBe(false)
  expect(isAlive(await home.serverPid())).toBe(true)
})

test('after stopServer nothing runs, and the supervisor leaves it so', async () => {
  const home = await setUp()
  const blocks = home.open()
  await blocks.superviseServer()
  const server = await home.serverPid()
  await blocks.stopServer()
  expect(isAlive(server)).toBe(false)
  await blocks.superviseServer()
  expect(await readdir(join(home.folder, 'run'))).toEqual(['blocks.log'])
  await blocks.stopServer()
})

test('a server that cannot come up is an error that names its log', async () => {
  const home = await setUp()
  const { folder } = home
  const blocks = createSnapshotBlocks({
    ...{ regionsDir: join(folder, 'regions'), runDir: join(folder, 'run'), statsDir: join(folder, 'stats') },
    ...{ syncFilesystem, log: silentLog, clock: systemClock },
    sealedDisks,
    server: { ...serverControl, start: (command) => serverControl.start({ ...command, args: ['--nonsense'] }) },
  })
  await expect(blocks.superviseServer()).rejects.toThrow(`see ${join(folder, 'run', 'blocks.log')}`)
})

test('a store that is gone is an error until it is back, and no empty one takes its place', async () => {
  const home = await setUp()
  const writer = home.open()
  const { root } = await captureDisk(home, writer, 'us-east-1')
  const [store, away] = [join(home.folder, 'regions', 'us-east-1', 'store'), join(home.folder, 'away')]
  await rename(store, away)
  // The daemon that wrote it, and one that starts without it.
  const source = await serveChain(home.folder, [join(home.folder, 'disk.qcow2')])
  for (const blocks of [writer, home.open()]) {
    const attempts = [
      () => blocks.capture({ region: 'us-east-1', source, sizeBytes, parent: null }),
      () => blocks.copy({ root, fromRegion: 'us-east-1', toRegion: 'us-east-1' }),
      () => blocks.serve({ region: 'us-east-1', root, volumeId }),
    ]
    for (const attempt of attempts) {
      await expect(attempt()).rejects.toThrow(`region us-east-1 has no block store in ${store}`)
      await expect(readdir(store)).rejects.toThrow('ENOENT')
    }
    // As it looks when the disk that holds the store is not mounted.
    await mkdir(store)
    await expect(attempts[0]!()).rejects.toThrow('no block store')
    expect(await readdir(store)).toEqual([])
    await rmdir(store)
  }
  await rename(away, store)
  expect((await writer.capture({ region: 'us-east-1', source, sizeBytes, parent: null })).root).toBe(root)
})

test('what does not exist, or cannot be named, is refused and makes nothing', async () => {
  const home = await setUp()
  const blocks = home.open()
  const root = 'a'.repeat(64)
  await expect(blocks.info('us-east-1', root)).rejects.toThrow('region us-east-1 has no block store')
  await expect(blocks.copy({ root, fromRegion: 'us-east-1', toRegion: 'eu-west-1' })).rejects.toThrow('no block store')
  await expect(blocks.info('../etc', root)).rejects.toThrow('cannot name a region')
  await expect(blocks.serve({ region: 'us-east-1', root: '../x', volumeId })).rejects.toThrow('cannot name an export')
  await expect(blocks.volumeReads('../x')).rejects.toThrow("is not a volume's id")
  await expect(blocks.forgetVolume('../x')).rejects.toThrow("is not a volume's id")
  expect(await readdir(home.folder)).toEqual(['run'])
})
