/**
 * The only door to other programs: argument arrays, never a shell. Import rules let `machines/qemu`, `network`,
 * `builder`, the composition root and the command line through it, and no other room.
 *
 * A process that outlives us is known by its id **and** its start time, so that a recycled id is never taken for it.
 */
import { execFile, spawn } from 'node:child_process'
import { closeSync, constants, ftruncateSync, openSync, readFileSync, statfsSync, writeSync } from 'node:fs'

/** A process that may outlive this one. `startTicks` is field 22 of /proc/PID/stat. */
export interface ProcessRef {
  pid: number
  startTicks: number
}

export class ProgramError extends Error {
  readonly program: string
  readonly exitCode: number | null
  readonly stderr: string

  constructor(program: string, exitCode: number | null, stderr: string, cause?: unknown) {
    const detail = stderr.trim().split('\n').slice(-3).join(' | ')
    super(`${program} failed${exitCode === null ? '' : ` (exit ${exitCode})`}${detail ? `: ${detail}` : ''}`, { cause })
    this.name = 'ProgramError'
    this.program = program
    this.exitCode = exitCode
    this.stderr = stderr
  }
}

export interface RunOptions {
  cwd?: string
  env?: NodeJS.ProcessEnv
  input?: string | Buffer
  timeoutMs?: number
  signal?: AbortSignal
  /** What ends it when it takes too long or is called off. After SIGTERM it is waited for: it may have to tidy up. */
  killSignal?: 'SIGKILL' | 'SIGTERM'
  maxOutputBytes?: number
  /** Gets standard output as it comes. */
  onOutput?: (text: string) => void
}

/** Runs a program to its end; its standard output as text. Throws {@link ProgramError} on any other exit than 0. */
export function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { signal, killSignal = 'SIGKILL' } = options
  const isWaitedFor = killSignal === 'SIGTERM'
  return new Promise((resolve, reject) => {
    const child = execFile(
      program,
      args,
      {
        cwd: options.cwd,
        env: options.env ?? process.env,
        timeout: options.timeoutMs ?? 60_000,
        signal: isWaitedFor ? undefined : signal,
        maxBuffer: options.maxOutputBytes ?? 16 * 1024 * 1024,
        killSignal,
      },
      (error, stdout, stderr) => {
        if (isWaitedFor) signal?.removeEventListener('abort', end)
        if (!error) return resolve(stdout)
        const code = typeof error.code === 'number' ? error.code : null
        reject(new ProgramError(program, code, stderr || error.message, error))
      },
    )
    const end = () => void child.kill(killSignal)
    if (isWaitedFor) signal?.addEventListener('abort', end, { once: true })
    if (options.onOutput) child.stdout?.on('data', options.onOutput)
    // A program that ends before it has read its input closes the pipe: its exit code tells, not the EPIPE.
    child.stdin?.on('error', () => {})
    child.stdin?.end(options.input ?? '')
  })
}

export interface StartOptions {
  /** Where its standard output and error go (appended). */
  logPath: string
  cwd?: string
  env?: NodeJS.ProcessEnv
  /** Open files that the program gets as its own, numbered from {@link firstInheritedFd}. */
  inherits?: readonly number[]
}

/** The first number that is free beside standard input, output and error. */
export const firstInheritedFd = 3

/** Starts a program in its own session, so that it outlives us. Resolves once it was executed. */
export function startDetached(program: string, args: readonly string[], options: StartOptions): Promise<ProcessRef> {
  return new Promise((resolve, reject) => {
    const log = openSync(options.logPath, 'a', 0o600)
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: options.env ?? process.env,
      detached: true,
      stdio: ['ignore', log, log, ...(options.inherits ?? [])],
    })
    closeSync(log)
    child.once('error', (error) => reject(new ProgramError(program, null, error.message, error)))
    child.once('spawn', () => {
      child.unref()
      resolve({ pid: child.pid!, startTicks: startTicksOf(child.pid!) ?? 0 })
    })
  })
}

/** Texts that a program reads as open files without anybody else seeing them. */
export interface SecretFiles {
  fds: readonly number[]
  /** Empties and closes them: for the time after the program has read them. */
  wipe(): void
}

const memoryFolder = '/dev/shm'
const memoryFilesystem = 0x01021994
/** Linux's flag for a file that has no name; Node's constants lack it. */
const withoutName = 0o20000000 | constants.O_DIRECTORY

/**
 * Puts each text into a file that lies in memory and has no name. Unlike a pipe it can be opened by its number
 * (`/dev/fd/3`), which programs do that want a file, and that fails with the sockets that Node takes for pipes.
 */
export function secretFiles(texts: readonly string[]): SecretFiles {
  const fds: number[] = []
  const wipe = () => {
    for (const fd of fds.splice(0)) {
      ftruncateSync(fd)
      closeSync(fd)
    }
  }
  try {
    if (texts.length > 0 && statfsSync(memoryFolder).type !== memoryFilesystem) {
      throw new Error(`${memoryFolder} does not lie in memory: a secret cannot be handed to a program there`)
    }
    for (const text of texts) {
      const fd = openSync(memoryFolder, withoutName | constants.O_RDWR, 0o600)
      fds.push(fd)
      writeSync(fd, text, 0)
    }
    return { fds: [...fds], wipe }
  } catch (error) {
    wipe()
    throw error
  }
}

/** The start time of a living process, in clock ticks since boot; undefined when there is none, or a zombie only. */
export function startTicksOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The second field is the name in brackets and may hold anything: fields are counted after its last bracket.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : Number(fields[19])
  } catch {
    return undefined
  }
}

export function isAlive(ref: ProcessRef): boolean {
  return startTicksOf(ref.pid) === ref.startTicks
}

/** Sends a signal to exactly that process; false when it is gone. */
export function signalProcess(ref: ProcessRef, signal: NodeJS.Signals): boolean {
  if (!isAlive(ref)) return false
  try {
    process.kill(ref.pid, signal)
    return true
  } catch {
    return false
  }
}

/** SIGTERM, a grace period, SIGKILL; resolves when the process is gone. */
export async function endProcess(ref: ProcessRef, graceMs = 3000): Promise<void> {
  signalProcess(ref, 'SIGTERM')
  const deadline = Date.now() + graceMs
  while (isAlive(ref)) {
    if (Date.now() > deadline) signalProcess(ref, 'SIGKILL')
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
