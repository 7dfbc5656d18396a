/** What of a home is on this host besides files: its processes, the network namespaces that they hold, mounts. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { basename } from 'node:path'
import type { Home } from '../lib/home.ts'

export interface Presence {
  processes: { pid: number; command: string }[]
  /** Inodes of network namespaces other than the host's. A namespace lives as long as a process is in it. */
  namespaces: number[]
  /** Mount points in the home. */
  mounts: string[]
}

/** Names the VPC's folder in the environment of its processes. */
const networkMark = 'KILN_VPC_FOLDER='

export function presenceOf(home: Home): Presence {
  const hostNamespace = namespaceOf('self')
  const processes = processIds().flatMap((pid) => {
    const words = nulSeparated(`/proc/${pid}/cmdline`)
    return pid !== process.pid && belongsTo(home, pid, words) ? [{ pid, command: words.join(' ').slice(0, 120) }] : []
  })
  const namespaces = new Set(processes.map(({ pid }) => namespaceOf(pid)))
  namespaces.delete(hostNamespace)
  return { processes, namespaces: [...namespaces].filter((inode) => inode !== undefined), mounts: mountsIn(home) }
}

/** Whether any process of the host is still in one of these network namespaces. */
export function namespacesAlive(inodes: readonly number[]): number[] {
  const alive = new Set(processIds().map(namespaceOf))
  return inodes.filter((inode) => alive.has(inode))
}

/** Undefined when nothing is there, else what there is, in words. */
export function describePresence({ processes, namespaces, mounts }: Presence): string | undefined {
  const parts = [
    ...processes.map(({ pid, command }) => `process ${pid} (${command})`),
    ...namespaces.map((inode) => `network namespace ${inode}`),
    ...mounts.map((path) => `mount ${path}`),
  ]
  return parts.length === 0 ? undefined : parts.join(', ')
}

/** A network's process by its mark; a machine, a disk server or a block server by the home's path among its words. */
function belongsTo(home: Home, pid: number, words: readonly string[]): boolean {
  const isOurs = /^(node|qemu-.*)$/.test(basename(words[0] ?? ''))
  if (isOurs && words.some((word) => word.includes(`${home.root}/`))) return true
  return nulSeparated(`/proc/${pid}/environ`).some((entry) => entry.startsWith(`${networkMark}${home.root}/`))
}

function mountsIn(home: Home): string[] {
  const points = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
  return points.filter((path) => path === home.root || path.startsWith(`${home.root}/`))
}

function processIds(): number[] {
  return readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []))
}

function namespaceOf(pid: number | 'self'): number | undefined {
  try {
    return Number(/\d+/.exec(readlinkSync(`/proc/${pid}/ns/net`))?.[0])
  } catch {
    // Gone meanwhile, or another user's.
    return undefined
  }
}

function nulSeparated(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\0')
  } catch {
    return []
  }
}
