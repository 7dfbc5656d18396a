/**
 * Work on disk files outside of any machine: layers are made and grown, and served by qemu-storage-daemon.
 */
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Clock } from '../../lib/clock.ts'
import { messageOf } from '../../lib/errors.ts'
import type { Log } from '../../lib/log.ts'
import { endProcess, run } from '../../lib/programs.ts'
import type { Random } from '../../lib/random.ts'
import { flush } from '../../lib/stable-storage.ts'
import type { DiskKey, DiskTools, ServedDisk } from '../driver.ts'
import { type BlockNode, readableChain, writableLayer } from './disk-chain.ts'
import { secretsOf } from './disk-secrets.ts'
import { writeEmptyLayer } from './empty-layer.ts'
import { processesWith } from './process-table.ts'
import { growSealedLayer, writeSealedLayer } from './sealed-layer.ts'
import { type DiskServerSpec, exportName, removeServerFiles, serverSocket, startDiskServer } from './storage-daemon.ts'

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
  serveNodes(nodes: readonly BlockNode[], sizeBytes: number): Promise<ServedDisk>
}

/** Names the nodes; a server holds no other disk. */
const servedDisk = 'vol-served'
/** Every file of ours in the run folder begins so; the server's pid file tells which process is whose. */
const readingPrefix = 'read-'
const writingPrefix = 'write-'
const isServerName = (name: string) => name.startsWith(readingPrefix) || name.startsWith(writingPrefix)

export function createDiskTools(options: DiskToolsOptions): HostDiskTools {
  const { runDir, clock, random, log } = options
  const open = new Set<string>()

  async function serve(what: string, prefix: string, spec: Omit<DiskServerSpec, 'place'>): Promise<ServedDisk> {
    await mkdir(runDir, { recursive: true, mode: 0o700 })
    const name = `${prefix}${random.bytes(6).toString('hex')}`
    const place = join(runDir, name)
    open.add(name)
    const release = async () => {
      await removeServerFiles(place)
      open.delete(name)
    }
    try {
      const server = await startDiskServer({ place, ...spec }, clock)
      log.debug({ pid: server.pid, nodes: spec.nodes.length }, `${what} is being served`)
      return {
        socketPath: serverSocket(place),
        exportName,
        async close() {
          await endProcess(server)
          await release()
        },
      }
    } catch (error) {
      await release()
      throw new Error(`${what} cannot be served: ${messageOf(error)}`, { cause: error })
    }
  }

  return {
    createLayer: (path, sizeBytes, key) => createLayer(path, sizeBytes, key, random),
    growLayer,
    usage: async (paths) => {
      const sizes = await Promise.all(paths.map(hostBytes))
      return { localBytes: sizes.reduce((sum, bytes) => sum + bytes, 0) }
    },

    openForReading: (chain, sizeBytes) =>
      serve('a frozen disk', readingPrefix, {
        nodes: readableChain(servedDisk, chain),
        secrets: secretsOf([{ volumeId: servedDisk, chain }]),
        isWritable: false,
        sizeBytes,
      }),

    serveNodes: (nodes, sizeBytes) =>
      serve('an image file', readingPrefix, { nodes, secrets: [], isWritable: false, sizeBytes }),

    openForWriting: (path, sizeBytes, key) =>
      serve('a disk to be written', writingPrefix, {
        nodes: [writableLayer(servedDisk, { path, isSealed: true }, null)],
        secrets: [{ volumeId: servedDisk, key }],
        isWritable: true,
        sizeBytes,
      }),

    async reapStale() {
      const stale = processesWith((argument) => {
        const name = basename(argument, '.pid')
        const isServer = dirname(argument) === runDir && argument.endsWith('.pid') && isServerName(name)
        return isServer && !open.has(name) ? name : undefined
      })
      await Promise.all(stale.map(({ ref }) => endProcess(ref)))
      const files = await readdir(runDir).catch(() => [])
      const names = new Set(files.filter(isServerName).map((file) => file.split('.')[0]!))
      for (const name of names) if (!open.has(name)) await removeServerFiles(join(runDir, name))
      return stale.length
    },
  }
}

async function createLayer(path: string, sizeBytes: number, key: DiskKey | null, random: Random): Promise<void> {
  const temporary = `${path}.new`
  await rm(temporary, { force: true })
  try {
    if (key) await writeSealedLayer(temporary, sizeBytes, key, random)
    else await writeEmptyLayer(temporary, sizeBytes)
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
  if (info.encrypted) return await growSealedLayer(path, sizeBytes)
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
