/**
 * qemu-storage-daemon: serves one disk over NBD on a unix socket, and ends with the process that started it.
 */
import { readFile, rm } from 'node:fs/promises'
import { type Clock, waitFor } from '../../lib/clock.ts'
import { messageOf } from '../../lib/errors.ts'
import { endProcess, isAlive, type ProcessRef, startDetached } from '../../lib/programs.ts'
import { escaped } from './argv.ts'
import type { BlockNode } from './disk-chain.ts'
import { type DiskSecret, explained, inheritedSecrets, secretArguments } from './disk-secrets.ts'
import { QmpConnection } from './qmp.ts'

export interface DiskServerSpec {
  /** Sockets, pid file and log lie here, each with an ending of its own. */
  place: string
  /** Each after what it stands on; the last one is served. */
  nodes: readonly BlockNode[]
  secrets: readonly DiskSecret[]
  isWritable: boolean
  /** What the disk must have. */
  sizeBytes: number
}

export const exportName = 'disk'
const storageDaemon = 'qemu-storage-daemon'
const startTimeoutMs = 20_000
const dialEveryMs = 10

export function serverSocket(place: string): string {
  return `${place}.nbd`
}

/** Removes what a server that has ended left. */
export async function removeServerFiles(place: string): Promise<void> {
  await Promise.all(['nbd', 'qmp', 'pid', 'log'].map((kind) => rm(`${place}.${kind}`, { force: true })))
}

/** Resolves once it serves. Throws with the daemon's own reason, and then has ended. */
export async function startDiskServer(spec: DiskServerSpec, clock: Clock): Promise<ProcessRef> {
  const { place, nodes, secrets, isWritable, sizeBytes } = spec
  const top = nodes.at(-1)!['node-name']
  const access = isWritable ? 'writable=on' : 'writable=off,allocation-depth=on'
  const args = [
    ...controlArguments(place),
    ...secretArguments('--object', secrets),
    ...nodes.map((node) => ['--blockdev', JSON.stringify(node)]),
    ['--nbd-server', `addr.type=unix,addr.path=${escaped(serverSocket(place))}`],
    ['--export', `type=nbd,id=export,node-name=${top},name=${exportName},${access}`],
  ].flat()
  // Whoever uses the disk dies with this process, and so shall the server, even if nobody comes after us to end it.
  const bound = ['--no-new-privs', '--pdeathsig', 'KILL', '--', storageDaemon, ...args]
  const inherited = inheritedSecrets(secrets)
  try {
    const server = await startDetached('setpriv', bound, { logPath: `${place}.log`, inherits: inherited.fds })
    try {
      const qmp = await connectToServer(clock, server, place)
      if (!qmp) throw new Error((await readFile(`${place}.log`, 'utf8')).trim() || 'it ended without a word')
      try {
        await checkSize(qmp, top, sizeBytes)
      } finally {
        qmp.close()
      }
    } catch (error) {
      await endProcess(server)
      throw new Error(explained(messageOf(error)), { cause: error })
    }
    return server
  } finally {
    inherited.wipe()
  }
}

/** Where it says its process id and takes QMP. */
export function controlArguments(place: string): string[][] {
  return [
    ['--pidfile', `${place}.pid`],
    ['--chardev', `socket,id=qmp,path=${escaped(`${place}.qmp`)},server=on,wait=off`, '--monitor', 'chardev=qmp'],
  ]
}

/** The server greets once everything that it was told is done; undefined when it ended instead. */
export async function connectToServer(
  clock: Clock,
  server: ProcessRef,
  place: string,
): Promise<QmpConnection | undefined> {
  const socketPath = `${place}.qmp`
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
