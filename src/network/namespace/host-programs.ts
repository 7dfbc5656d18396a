/** How this driver calls the host's programs: found also where ordinary users do not look, and marked as a VPC's own. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { type ProcessRef, type RunOptions, run, startDetached, startTicksOf } from '../../lib/programs.ts'

/** Names the VPC's folder in the environment of every process that we start for it. */
const markName = 'KILN_VPC_FOLDER'

function environment(mark?: string): NodeJS.ProcessEnv {
  const path = [...(process.env.PATH ?? '').split(':'), '/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/bin', '/bin']
  return { ...process.env, PATH: [...new Set(path)].join(':'), ...(mark ? { [markName]: mark } : {}) }
}

/** Runs `argv` to its end; its output. Throws ProgramError. */
export function runHost(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  return run(argv[0]!, argv.slice(1), { ...options, env: environment(), timeoutMs: options.timeoutMs ?? 20_000 })
}

/** Starts `argv` as a process of the VPC whose folder is `mark`, which outlives us. */
export function startMarked(argv: readonly string[], mark: string, logPath: string): Promise<ProcessRef> {
  return startDetached(argv[0]!, argv.slice(1), { logPath, env: environment(mark) })
}

/** All living processes that were started for the VPC, also those whose record was lost in a crash. */
export function markedProcesses(mark: string): ProcessRef[] {
  const wanted = `${markName}=${mark}`
  return allProcesses().filter((ref) => environmentOf(ref.pid).includes(wanted))
}

/** All living processes in the network namespace of that inode. */
export function processesInNamespace(inode: number): ProcessRef[] {
  return allProcesses().filter((ref) => networkInode(ref.pid) === inode)
}

/** The inode of a process's network namespace; undefined when it is gone or not ours to look at. */
export function networkInode(pid: number | 'self'): number | undefined {
  try {
    return Number(/\d+/.exec(readlinkSync(`/proc/${pid}/ns/net`))?.[0])
  } catch {
    return undefined
  }
}

/** The name of the program that a process runs now. */
export function programName(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim()
  } catch {
    return undefined
  }
}

function allProcesses(): ProcessRef[] {
  return readdirSync('/proc').flatMap((name) => {
    const pid = Number(name)
    const startTicks = Number.isInteger(pid) ? startTicksOf(pid) : undefined
    return startTicks === undefined ? [] : [{ pid, startTicks }]
  })
}

function environmentOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')
  } catch {
    return []
  }
}
