/**
 * Work on disk files outside of any machine: qemu-img makes layers, qemu-storage-daemon serves frozen chains.
 */
import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { type Clock, waitFor } from '../../lib/clock.ts'
import { messageOf } from '../../lib/errors.ts'
import type { Log } from '../../lib/log.ts'
import { endProcess, isAlive, type ProcessRef, run, startDetached } from '../../lib/programs.ts'
import type { Random } from '../../lib/random.ts'
import { flush } from '../../lib/stable-storage.ts'
import type { DiskKey, DiskTools } from '../driver.ts'
import { escaped } from './argv.ts'
import { type BlockNode, readableChain } from './disk-chain.ts'
import { processesWith } from './process-table.ts'
import { QmpConnection } from './qmp.ts'

export interface DiskToolsOptions {
  /** Sockets; its path must be short. */
  runDir: string
  clock: Clock
  random: Random
  log: Log
}

export interface HostDiskTools extends DiskTools {
  /** Ends the servers that an earlier process left behind in that `runDir`; how many there were. */
  reapStale(): Promise<number>
  /** Serves the last of those nodes read-only, as {@link DiskTools.openForReading} does. Their files are held by locks unless the nodes say otherwise. */
  serveNodes(nodes: readonly BlockNode[], sizeBytes: number): ReturnType<DiskTools['openForReading']>
}

const storageDaemon = 'qemu-storage-daemon'
const exportName = 'disk'
/** Names the nodes; a server holds no other disk. */
const frozenDisk = 'vol-frozen'
const startTimeoutMs = 20_000
const dialEveryMs = 10
/**
 * Clusters without subclusters (`extended_l2`). Those would make a guest's first small writes over a lazily served base
 * five times as fast, but QEMU before 8.2 ends with a failed assertion when copy-on-read meets a cluster of which only a
 * part is written.
 */
const layerOptions = 'cluster_size=64k,extended_l2=off'
/** Every file of ours in the run folder begins so; the server's pid file tells which process is whose. */
const serverPrefix = 'read-'

export function createDiskTools(options: DiskToolsOptions): HostDiskTools {
  const { runDir } = options
  const open = new Set<string>()

  async function serveNodes(nodes: readonly BlockNode[], sizeBytes: number) {
    await mkdir(runDir, { recursive: true, mode: 0o700 })
    const name = `${serverPrefix}${options.random.bytes(6).toString('hex')}`
    open.add(name)
    const release = async () => {
      await removeFiles(runDir, name)
      open.delete(name)
    }
    try {
      const server = await startServer(options, join(runDir, name), nodes, sizeBytes)
      return {
        socketPath: join(runDir, `${name}.nbd`),
        exportName,
        async close() {
          await endProcess(server)
          await release()
        },
      }
    } catch (error) {
      await release()
      throw error
    }
  }

  return {
    createLayer,
    growLayer,
    usage: async (paths) => {
      const sizes = await Promise.all(paths.map(hostBytes))
      return { localBytes: sizes.reduce((sum, bytes) => sum + bytes, 0) }
    },

    openForReading: (chain, sizeBytes) => serveNodes(readableChain(frozenDisk, chain), sizeBytes),

    serveNodes,

    async reapStale() {
      const stale = processesWith((argument) => {
        const name = basename(argument, '.pid')
        const isServer = dirname(argument) === runDir && argument.endsWith('.pid') && name.startsWith(serverPrefix)
        return isServer && !open.has(name) ? name : undefined
      })
      await Promise.all(stale.map(({ ref }) => endProcess(ref)))
      const files = await readdir(runDir).catch(() => [])
      const names = new Set(files.filter((file) => file.startsWith(serverPrefix)).map((file) => file.split('.')[0]!))
      for (const name of names) if (!open.has(name)) await removeFiles(runDir, name)
      return stale.length
    },
  }
}

async function createLayer(path: string, sizeBytes: number, key: DiskKey | null): Promise<void> {
  if (key) throw new Error('sealed disks cannot be made yet')
  const temporary = `${path}.new`
  await rm(temporary, { force: true })
  try {
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', layerOptions, temporary, String(sizeBytes)])
    await flush(temporary)
    await rename(temporary, path)
    await flush(dirname(path))
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

async function growLayer(path: string, sizeBytes: number): Promise<void> {
  const node = JSON.stringify({ driver: 'qcow2', backing: null, file: { driver: 'file', filename: path } })
  const info = JSON.parse(await run('qemu-img', ['info', '--output=json', `json:${node}`]))
  if (info['virtual-size'] >= sizeBytes) return
  await run('qemu-img', ['resize', '-q', `json:${node}`, String(sizeBytes)])
  await flush(path)
}

/** A file that is gone takes nothing. */
async function hostBytes(path: string): Promise<number> {
  try {
    return (await stat(path)).blocks * 512
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0
    throw error
  }
}

async function removeFiles(runDir: string, name: string): Promise<void> {
  await Promise.all(['nbd', 'qmp', 'pid', 'log'].map((kind) => rm(join(runDir, `${name}.${kind}`), { force: true })))
}

async function startServer(
  options: DiskToolsOptions,
  place: string,
  nodes: readonly BlockNode[],
  sizeBytes: number,
): Promise<ProcessRef> {
  const top = nodes.at(-1)!['node-name']
  const args = [
    ['--pidfile', `${place}.pid`],
    ['--chardev', `socket,id=qmp,path=${escaped(`${place}.qmp`)},server=on,wait=off`, '--monitor', 'chardev=qmp'],
    ...nodes.map((node) => ['--blockdev', JSON.stringify(node)]),
    ['--nbd-server', `addr.type=unix,addr.path=${escaped(`${place}.nbd`)}`],
    ['--export', `type=nbd,id=export,node-name=${top},name=${exportName},writable=off,allocation-depth=on`],
  ].flat()
  // Whoever reads dies with this process, and so shall the server, even if nobody comes after us to end it.
  const bound = ['--no-new-privs', '--pdeathsig', 'KILL', '--', storageDaemon, ...args]
  const server = await startDetached('setpriv', bound, { logPath: `${place}.log` })
  try {
    const qmp = await connect(options.clock, server, `${place}.qmp`)
    if (!qmp) throw new Error((await readFile(`${place}.log`, 'utf8')).trim() || 'it ended without a word')
    try {
      await checkSize(qmp, top, sizeBytes)
    } finally {
      qmp.close()
    }
  } catch (error) {
    await endProcess(server)
    throw new Error(`a frozen disk cannot be served: ${messageOf(error)}`, { cause: error })
  }
  options.log.debug({ pid: server.pid, nodes: nodes.length }, 'a frozen disk is being served')
  return server
}

/** The server greets once everything that it was told is done; undefined when it ended instead. */
async function connect(clock: Clock, server: ProcessRef, socketPath: string): Promise<QmpConnection | undefined> {
  const attempt = async () => {
    if (!isAlive(server)) return 'ended' as const
    return await QmpConnection.connect(socketPath, { clock, timeoutMs: startTimeoutMs }).catch(() => undefined)
  }
  const result = await waitFor(clock, attempt, { everyMs: dialEveryMs, timeoutMs: startTimeoutMs })
  if (result === undefined) throw new Error(`nothing answers on ${socketPath}`)
  return result === 'ended' ? undefined : result
}

async function checkSize(qmp: QmpConnection, node: string, sizeBytes: number): Promise<void> {
  const nodes = await qmp.execute<{ 'node-name': string; image: { 'virtual-size': number } }[]>(
    'query-named-block-nodes',
    {
      flat: true,
    },
  )
  const found = nodes.find((each) => each['node-name'] === node)?.image['virtual-size']
  if (found !== sizeBytes) throw new Error(`its top layer has ${found} bytes, where ${sizeBytes} were expected`)
}
