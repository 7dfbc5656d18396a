/**
 * Disks that several machines have at once. QEMU opens a qcow2 file for itself alone, so such a disk is held by a
 * storage daemon of its own, and the machines reach it over NBD. Like a machine it runs in its own session, outlives us,
 * and is found by its pid file among its arguments; nothing is written down about it.
 */
import { readFileSync } from 'node:fs'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../../lib/clock.ts'
import { messageOf } from '../../lib/errors.ts'
import { isId } from '../../lib/ids.ts'
import type { Log } from '../../lib/log.ts'
import { endProcess, type ProcessRef, startDetached } from '../../lib/programs.ts'
import type { DiskLimits, SharedDisk, SharedDisks } from '../driver.ts'
import { escaped } from './argv.ts'
import { deviceNodeName, diskSerial, writableChain } from './disk-chain.ts'
import { explained, inheritedSecrets, secretArguments, secretsOf } from './disk-secrets.ts'
import { freezeDisks } from './freeze.ts'
import { switchBase } from './hot-plug.ts'
import { processesWith, processWith } from './process-table.ts'
import { QmpConnection } from './qmp.ts'
import { connectToServer, controlArguments, exportName, removeServerFiles, serverSocket } from './storage-daemon.ts'

export interface SharedDisksOptions {
  /** Sockets and pid files; its path must be short. */
  runDir: string
  clock: Clock
  log: Log
}

const storageDaemon = 'qemu-storage-daemon'
/** More than the machines that may have one disk, each with one connection, and readers of ours. */
const connectionsMax = 64
const connectTimeoutMs = 5000
/** What guests have written may have to be flushed first. */
const endGraceMs = 30_000
const operationBytes = 256 * 1024
const limitsPath = '/objects/limits'

export function createSharedDisks(options: SharedDisksOptions): SharedDisks {
  const { runDir, clock, log } = options
  const queues = new Map<string, Promise<unknown>>()

  /** Changes of one disk never overlap: its daemon takes one client at a time. */
  function serially<T>(volumeId: string, work: () => Promise<T>): Promise<T> {
    const result = (queues.get(volumeId) ?? Promise.resolve()).then(work)
    const settled = result.catch(() => {})
    queues.set(volumeId, settled)
    settled.then(() => queues.get(volumeId) === settled && queues.delete(volumeId))
    return result
  }

  /** As for machines: whoever starts one makes an empty pid file first, so that no file means no process. */
  const serverOf = (volumeId: string): ProcessRef | undefined => {
    const pidFile = `${placeOf(runDir, volumeId)}.pid`
    let pid: number
    try {
      pid = Number(readFileSync(pidFile, 'utf8'))
    } catch {
      return undefined
    }
    const known = pid > 0 ? processWith(pid, pidFile) : undefined
    return known ?? processesWith((argument) => (argument === pidFile ? argument : undefined))[0]?.ref
  }

  async function withQmp<T>(volumeId: string, work: (qmp: QmpConnection) => Promise<T>): Promise<T> {
    if (!serverOf(volumeId)) throw new Error(`nobody serves the disk ${volumeId}`)
    const qmp = await QmpConnection.connect(`${placeOf(runDir, volumeId)}.qmp`, { clock, timeoutMs: connectTimeoutMs })
    try {
      return await work(qmp)
    } finally {
      qmp.close()
    }
  }

  async function start(disk: SharedDisk): Promise<void> {
    const place = placeOf(runDir, disk.volumeId)
    await mkdir(runDir, { recursive: true, mode: 0o700 })
    await removeServerFiles(place)
    await writeFile(`${place}.pid`, '', { mode: 0o600 })
    const inherited = inheritedSecrets(secretsOf([disk]))
    try {
      const options = { logPath: `${place}.log`, inherits: inherited.fds }
      const server = await startDetached(storageDaemon, serverArguments(place, disk), options)
      try {
        const qmp = await connectToServer(clock, server, place)
        if (!qmp) throw new Error((await readFile(`${place}.log`, 'utf8')).trim() || 'it ended without a word')
        qmp.close()
        log.info({ volume: disk.volumeId, pid: server.pid }, 'a shared disk is being served')
      } catch (error) {
        await endProcess(server)
        await rm(`${place}.pid`, { force: true })
        throw new Error(`the disk ${disk.volumeId} cannot be shared: ${explained(messageOf(error))}`, { cause: error })
      }
    } finally {
      inherited.wipe()
    }
  }

  return {
    serve: (disk) =>
      serially(disk.volumeId, async () => {
        if (!serverOf(disk.volumeId)) await start(disk)
        return { socketPath: serverSocket(placeOf(runDir, disk.volumeId)), exportName }
      }),
    isServed: async (volumeId) => serverOf(volumeId) !== undefined,
    list: async () => {
      const names = await readdir(runDir).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return []
        throw error
      })
      const ids = names.filter((name) => name.endsWith('.pid')).map((name) => name.slice(0, -'.pid'.length))
      return ids.filter((id) => isId('volume', id) && serverOf(id) !== undefined).sort()
    },
    freeze: (volumeId, newLayerPath) =>
      serially(volumeId, () => withQmp(volumeId, (qmp) => freezeDisks(qmp, [{ volumeId, newLayerPath }]))),
    limit: (volumeId, limits) =>
      serially(volumeId, () =>
        withQmp(volumeId, async (qmp) => {
          await qmp.execute('qom-set', { path: limitsPath, property: 'limits', value: throttleLimits(limits) })
        }),
      ),
    localizeBase: (volumeId, chain) =>
      serially(volumeId, () => withQmp(volumeId, (qmp) => switchBase(qmp, volumeId, chain))),
    end: (volumeId) =>
      serially(volumeId, async () => {
        const server = serverOf(volumeId)
        if (server) await endProcess(server, endGraceMs)
        await removeServerFiles(placeOf(runDir, volumeId))
      }),
  }
}

/** The id becomes a file's name and part of QEMU's options. */
function placeOf(runDir: string, volumeId: string): string {
  if (!isId('volume', volumeId)) throw new Error(`${volumeId} is not a volume id`)
  return join(runDir, volumeId)
}

function serverArguments(place: string, disk: SharedDisk): string[] {
  const { volumeId, chain, limits } = disk
  const throttled = `${diskSerial(volumeId)}.shared`
  const nodes = [
    ...writableChain(volumeId, chain),
    {
      driver: 'throttle',
      'node-name': throttled,
      'throttle-group': 'limits',
      file: deviceNodeName(volumeId),
      discard: 'unmap',
    },
  ]
  return [
    ...controlArguments(place),
    ...secretArguments('--object', secretsOf([disk])),
    ['--object', JSON.stringify({ 'qom-type': 'throttle-group', id: 'limits', limits: throttleLimits(limits) })],
    ...nodes.map((node) => ['--blockdev', JSON.stringify(node)]),
    ['--nbd-server', `addr.type=unix,addr.path=${escaped(serverSocket(place))},max-connections=${connectionsMax}`],
    // The machines live on when this process dies: what they were told is written must not be in its memory alone.
    ['--export', `type=nbd,id=export,node-name=${throttled},name=${exportName},writable=on,writethrough=on`],
  ].flat()
}

/** For all machines together, as a volume's figures are. */
function throttleLimits(limits: DiskLimits | null) {
  const { iops, burst, bytesPerSecond } = limits ?? { iops: null, burst: null, bytesPerSecond: null }
  return {
    'iops-total': iops ?? 0,
    'bps-total': bytesPerSecond ?? 0,
    'iops-size': iops === null ? 0 : operationBytes,
    'iops-total-max': iops !== null && burst ? burst.iops : 0,
    'iops-total-max-length': iops !== null && burst ? burst.seconds : 1,
  }
}
