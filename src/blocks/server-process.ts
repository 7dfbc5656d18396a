/**
 * Keeps the block server's process up: finds the one that runs (perhaps started by an earlier daemon), starts one when
 * there is none, ends it when asked. Starting and ending processes is injected: this room starts no programs.
 */
import { readFile } from 'node:fs/promises'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Clock } from '../lib/clock.ts'
import { waitFor } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import { answersNbd } from './nbd/probe.ts'

/** A process and its start time, so that a recycled id is never taken for it. */
export interface ServerProcess {
  pid: number
  startTicks: number
}

export interface ServerProcessControl {
  /** Starts `node script …args` so that it outlives this process, its output appended to the log file. */
  start(command: { script: string; args: readonly string[]; logPath: string }): Promise<ServerProcess>
  isAlive(process: ServerProcess): boolean
  /** Asks the process to end, then insists; resolves when it is gone. */
  end(process: ServerProcess): Promise<void>
}

export interface BlockServerOptions {
  socketPath: string
  logPath: string
  regionsDir: string
  statsDir: string
  /** The master key's file; without it nothing sealed is served. */
  keyFile?: string
  control: ServerProcessControl
  log: Log
  clock: Clock
}

const startTimeoutMs = 15_000
const pollMs = 25

export function pidfileOf(socketPath: string): string {
  return `${socketPath}.pid`
}

export class BlockServerProcess {
  readonly #options: BlockServerOptions
  #ensuring: Promise<void> | null = null

  constructor(options: BlockServerOptions) {
    this.#options = options
  }

  /** Resolves when the server answers. Throws when it cannot be brought up, naming its log. */
  async ensure(): Promise<void> {
    this.#ensuring ??= this.#ensure().finally(() => {
      this.#ensuring = null
    })
    await this.#ensuring
  }

  /** Resolves when no server runs any more. Throws when one answers that cannot be told by a pidfile. */
  async end(): Promise<void> {
    const { control, socketPath } = this.#options
    const running = await this.#running()
    if (running) await control.end(running)
    if (await answersNbd(socketPath)) throw new Error(`a block server without a pidfile answers on ${socketPath}`)
  }

  async #ensure(): Promise<void> {
    const { socketPath, control, keyFile, log } = this.#options
    const running = await this.#running()
    const answers = await answersNbd(socketPath)
    if (answers && (!running || running.keyFile === keyFile)) return
    if (running) {
      const why = answers ? 'reads another master key' : 'lives but does not answer'
      log.warn({ pid: running.pid }, `the block server ${why}: it is replaced`)
      await control.end(running)
    }
    await this.#start()
  }

  async #start(): Promise<void> {
    const { socketPath, logPath, regionsDir, statsDir, keyFile, control, log, clock } = this.#options
    const args = ['--socket', socketPath, '--stores', regionsDir, '--stats', statsDir]
    if (keyFile !== undefined) args.push('--key-file', keyFile)
    const started = await control.start({ script: serverScript(), args, logPath })
    const outcome = await waitFor(
      clock,
      // Ended and yet answered: another daemon's server was quicker, and serves the same.
      async () => {
        const alive = control.isAlive(started)
        if (await answersNbd(socketPath)) return 'ready'
        return alive ? undefined : 'ended'
      },
      { everyMs: pollMs, timeoutMs: startTimeoutMs },
    )
    if (outcome === 'ready') return log.info(started, 'block server started')
    if (outcome === undefined) await control.end(started)
    throw new Error(`the block server did not come up; see ${logPath}`)
  }

  /** The living process that the pidfile names. */
  async #running(): Promise<(ServerProcess & { keyFile?: string }) | undefined> {
    const { socketPath, control } = this.#options
    try {
      const named = JSON.parse(await readFile(pidfileOf(socketPath), 'utf8')) as ServerProcess & { keyFile?: string }
      return control.isAlive(named) ? named : undefined
    } catch {
      // None, or none that can be read: then whoever serves is known by its socket alone.
      return undefined
    }
  }
}

/** The server's program: beside this file, TypeScript in the checkout and JavaScript in the published package. */
function serverScript(): string {
  return fileURLToPath(new URL(`server-main${extname(import.meta.url)}`, import.meta.url))
}
