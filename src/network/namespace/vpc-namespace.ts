/**
 * The network namespace of a VPC. It has no name under /run: it lives as long as a process is inside. The *holder*, which
 * does nothing else, keeps it through changes of everything else; when the holder was killed but machines are still
 * inside, a new holder enters through one of them.
 */
import { type Clock, waitFor } from '../../lib/clock.ts'
import { endProcess, isAlive, type ProcessRef } from '../../lib/programs.ts'
import {
  markedProcesses,
  networkInode,
  processesInNamespace,
  programName,
  runHost,
  startMarked,
} from './host-programs.ts'
import type { VpcFolder, VpcRecord } from './vpc-folder.ts'

/** `root`: a plain network namespace. `user`: inside a user namespace, where the ordinary user is its root. */
export type NamespaceMode = 'root' | 'user'

const holderProgram = ['sleep', 'infinity'] as const
const startTimeoutMs = 5000

export function ownMode(): NamespaceMode {
  return process.getuid?.() === 0 ? 'root' : 'user'
}

/** The argument array that starts a program inside the namespace of `pid`. */
export function enterArgs(mode: NamespaceMode, pid: number): string[] {
  return ['nsenter', '-t', String(pid), ...(mode === 'user' ? ['-U', '--preserve-credentials'] : []), '-n', '--']
}

/** Finds the VPC's namespace or makes it; fills in `holder` and `networkInode`. True when it was made anew. */
export async function ensureNamespace(folder: VpcFolder, record: VpcRecord, clock: Clock): Promise<boolean> {
  if (record.holder && isAlive(record.holder) && networkInode(record.holder.pid) === record.networkInode) return false
  const member = await findMember(folder, record)
  record.holder = member ? await adopt(folder, record, member, clock) : await create(folder, record, clock)
  record.networkInode = networkInode(record.holder.pid) ?? null
  return member === undefined
}

/** Says in the namespace itself whose it is: inode numbers are used again, this is not. */
export function ownerAlias(folder: VpcFolder): string {
  return `kiln ${folder.path}`
}

async function create(folder: VpcFolder, record: VpcRecord, clock: Clock): Promise<ProcessRef> {
  record.mode = ownMode()
  const flags = record.mode === 'user' ? ['-U', '-r', '-n'] : ['-n']
  const holder = await startHolder(['unshare', ...flags, '--', ...holderProgram], folder, clock)
  await runHost([...enterArgs(record.mode, holder.pid), 'ip', 'link', 'set', 'dev', 'lo', 'alias', ownerAlias(folder)])
  return holder
}

function adopt(folder: VpcFolder, record: VpcRecord, member: ProcessRef, clock: Clock): Promise<ProcessRef> {
  return startHolder([...enterArgs(record.mode, member.pid), ...holderProgram], folder, clock)
}

async function startHolder(argv: string[], folder: VpcFolder, clock: Clock): Promise<ProcessRef> {
  const holder = await startMarked(argv, folder.path, folder.file('holder.log'))
  // unshare and nsenter become the program they start, so its name tells that the namespace is ready.
  const state = await waitFor(
    clock,
    () => (!isAlive(holder) ? 'dead' : programName(holder.pid) === holderProgram[0] ? 'ready' : undefined),
    { everyMs: 5, timeoutMs: startTimeoutMs },
  )
  if (state === 'ready') return holder
  await endProcess(holder, 0)
  throw new Error(
    `${argv[0]} could not make the network namespace of ${folder.vpcId}: ${await folder.logTail('holder.log')}`,
  )
}

/** A process in the VPC's namespace, whoever started it. */
async function findMember(folder: VpcFolder, record: VpcRecord): Promise<ProcessRef | undefined> {
  const hostInode = networkInode('self')
  const inodes = new Set(markedProcesses(folder.path).map((ref) => networkInode(ref.pid)))
  if (record.networkInode !== null) inodes.add(record.networkInode)
  for (const inode of inodes) {
    if (inode === undefined || inode === hostInode) continue
    const member = processesInNamespace(inode)[0]
    if (member && (await ownerOf(record.mode, member)) === ownerAlias(folder)) return member
  }
  return undefined
}

async function ownerOf(mode: NamespaceMode, member: ProcessRef): Promise<string | undefined> {
  try {
    const links = JSON.parse(await runHost([...enterArgs(mode, member.pid), 'ip', '-j', 'link', 'show', 'dev', 'lo']))
    return links[0]?.ifalias
  } catch {
    return undefined
  }
}
