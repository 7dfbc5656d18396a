/**
 * The only door to other programs: argument arrays, never a shell. Import rules let `machines/qemu`, `network`,
 * `builder`, the composition root and the command line through it, and no other room.
 *
 * A process that outlives us is known by its id **and** its start time, so that a recycled id is never taken for it.
 */
import { execFile, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'

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
  maxOutputBytes?: number
  /** Gets standard output as it comes. */
  onOutput?: (text: string) => void
}

/** Runs a program to its end; its standard output as text. Throws {@link ProgramError} on any other exit than 0. */
export function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      program,
      args,
      {
        cwd: options.cwd,
        env: options.env ?? process.env,
        timeout: options.timeoutMs ?? 60_000,
        signal: options.signal,
        maxBuffer: options.maxOutputBytes ?? 16 * 1024 * 1024,
        killSignal: 'SIGKILL',
      },
      (error, stdout, stderr) => {
        if (!error) return resolve(stdout)
        const code = typeof error.code === 'number' ? error.code : null
        reject(new ProgramError(program, code, stderr || error.message, error))
      },
    )
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
}

/** Starts a program in its own session, so that it outlives us. Resolves once it was executed. */
export function startDetached(program: string, args: readonly string[], options: StartOptions): Promise<ProcessRef> {
  return new Promise((resolve, reject) => {
    const log = openSync(options.logPath, 'a', 0o600)
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: options.env ?? process.env,
      detached: true,
      stdio: ['ignore', log, log],
    })
    closeSync(log)
    child.once('error', (error) => reject(new ProgramError(program, null, error.message, error)))
    child.once('spawn', () => {
      child.unref()
      resolve({ pid: child.pid!, startTicks: startTicksOf(child.pid!) ?? 0 })
    })
  })
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
