/**
 * One instance's QEMU process. Nothing is written down about it: the process is found by its pid file and proved by its
 * own argument array, its state is asked over QMP. So there is no moment at which a killed daemon could leave a machine
 * that the next one does not find, or would start twice; QEMU's locks on the pid file and the disks stand behind that.
 */
import { readFileSync } from 'node:fs'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { type Clock, waitFor, within } from '../../lib/clock.ts'
import { messageOf } from '../../lib/errors.ts'
import type { Log } from '../../lib/log.ts'
import { isAlive, type ProcessRef, signalProcess, startDetached } from '../../lib/programs.ts'
import { readConsole, trimConsole } from '../console-file.ts'
import type { DiskLimits, MachineDisk, MachineNic, MachineSpec, MachineStatus, Picture } from '../driver.ts'
import { qemuProgram } from './accelerator.ts'
import { type HostFacts, type MachinePaths, machineArguments } from './argv.ts'
import { explained, inheritedSecrets, secretsOf } from './disk-secrets.ts'
import { freezeDisks } from './freeze.ts'
import { limitDisk, localizeBase, plugDisk, resizeDisk, unplugDisk } from './hot-plug.ts'
import { runState, statusOf } from './machine-status.ts'
import { plugCard, unplugCard } from './network-card.ts'
import { processesWith, processWith } from './process-table.ts'
import { QmpConnection } from './qmp.ts'
import { QuietGuest } from './quiet-guest.ts'
import { takePicture } from './screen.ts'

/** What a machine needs of its driver. */
export interface MachineContext {
  clock: Clock
  log: Log
  host: HostFacts
  /** Aborted when the driver lets go of its machines. */
  closed: AbortSignal
  /** The machine's status may have changed. */
  changed(): void
}

/** Generous: a host that boots many guests at once is slow, and a block server may be just coming up. */
const startTimeoutMs = 60_000
const connectTimeoutMs = 5_000
const dialEveryMs = 20
const quitTimeoutMs = 3_000
/** How long QEMU may take to end after it said that it will, before it is killed. */
const endTimeoutMs = 5_000
const killTimeoutMs = 15_000

export class QemuMachine {
  readonly id: string
  readonly paths: MachinePaths
  readonly #context: MachineContext
  readonly #guest: QuietGuest
  /** The process as it was found last; it may have ended since. */
  #known: ProcessRef | undefined
  #qmp: QmpConnection | undefined
  #dialing: Promise<QmpConnection | undefined> | undefined
  #starting: AbortController | undefined
  #queue: Promise<unknown> = Promise.resolve()
  /** The guest does not run although nobody asked for that; see {@link upkeep}. */
  #halted = false

  constructor(id: string, paths: MachinePaths, context: MachineContext) {
    this.id = id
    this.paths = paths
    this.#context = context
    this.#guest = new QuietGuest(paths.agentSocket, context.clock, context.log.child({ machine: id }))
  }

  start(spec: MachineSpec): Promise<void> {
    return this.#serially(async () => {
      if (await this.#runsAlready()) return
      const starting = new AbortController()
      this.#starting = starting
      try {
        await this.#launch(spec, starting.signal)
      } finally {
        this.#starting = undefined
      }
      this.#context.changed()
    })
  }

  async inspect(): Promise<MachineStatus> {
    const process = this.#process()
    if (!process) return { state: 'absent' }
    const { pid } = process
    try {
      const qmp = await this.#connection(connectTimeoutMs)
      if (!qmp) return { state: 'absent' }
      const status = await statusOf(qmp, pid)
      // A guest's last words are written when it goes.
      if (status.state === 'shutdown')
        return { ...status, sinceMs: (await readConsole(this.paths.console, 1))?.atMs ?? null }
      return status
    } catch (error) {
      if (!isAlive(process)) return { state: 'absent' }
      return { state: 'paused', pid, reason: `QEMU does not answer: ${messageOf(error)}` }
    }
  }

  async pressPowerButton(): Promise<void> {
    const qmp = await this.#connection(connectTimeoutMs)
    await qmp?.execute('system_powerdown')
  }

  reset(): Promise<void> {
    return this.#serially(async () => {
      const qmp = await this.#connectionTo('reset it')
      const state = await runState(qmp)
      if (state === 'shutdown') throw new Error(`${this.id} switched itself off: it can be destroyed, not reset`)
      await qmp.execute('system_reset')
      if (state === 'running') return
      // The reset is done by QEMU's main loop some time after the answer, and leaves a guest that did not run where it was.
      await waitFor(this.#context.clock, async () => ((await runState(qmp)) === 'prelaunch' ? true : undefined), {
        everyMs: 10,
        timeoutMs: connectTimeoutMs,
      })
      await qmp.execute('cont')
    })
  }

  /** Overtakes a start that is under way, which then fails. */
  async destroy(): Promise<void> {
    this.#starting?.abort(new Error(`${this.id} was destroyed while it started`))
    await this.#serially(async () => {
      const existed = this.#search()
      if (existed) await this.#end(existed)
      const { qmpSocket, agentSocket, pidFile } = this.paths
      await Promise.all([qmpSocket, agentSocket, pidFile].map((path) => rm(path, { force: true })))
      if (existed) this.#context.changed()
    })
  }

  async forget(): Promise<void> {
    await this.#serially(async () => {
      if (this.#search()) throw new Error(`${this.id} still has a process: destroy it first`)
      await rm(this.paths.folder, { recursive: true, force: true })
    })
  }

  consoleOutput(maxBytes: number): Promise<{ text: string; atMs: number } | null> {
    return readConsole(this.paths.console, maxBytes)
  }

  screen(options: { wake: boolean }): Promise<Picture | null> {
    return this.#serially(async () =>
      takePicture(await this.#connectionTo('look at its screen'), this.paths.screen, options),
    )
  }

  freeze(
    tops: readonly { volumeId: string; newLayerPath: string }[],
    { quiesce }: { quiesce: boolean },
  ): Promise<{ quiesced: boolean }> {
    return this.#serially(async () => {
      const qmp = await this.#connectionTo('freeze its disks')
      let quiesced = false
      await freezeDisks(qmp, tops, async (step) => {
        if (quiesce) quiesced = await this.#guest.during(qmp, step)
        else await step()
      })
      return { quiesced }
    })
  }

  plugDisk(disk: MachineDisk): Promise<void> {
    return this.#serially(async () => plugDisk(await this.#connectionTo('plug a disk in'), disk))
  }

  unplugDisk(volumeId: string, options: { force: boolean }): Promise<boolean> {
    return this.#serially(async () => {
      const qmp = await this.#connectionTo('unplug its disks')
      return await unplugDisk(qmp, this.#context.clock, volumeId, options)
    })
  }

  plugNic(nic: MachineNic): Promise<void> {
    return this.#serially(async () => plugCard(await this.#connectionTo('plug a network card in'), nic))
  }

  unplugNic(index: number, options: { force: boolean }): Promise<boolean> {
    return this.#serially(async () => {
      const qmp = await this.#connectionTo('unplug its network cards')
      return await unplugCard(qmp, this.#context.clock, index, options)
    })
  }

  resizeDisk(volumeId: string, sizeBytes: number): Promise<void> {
    return this.#serially(async () => resizeDisk(await this.#connectionTo('grow its disks'), volumeId, sizeBytes))
  }

  limitDisk(volumeId: string, limits: DiskLimits | null): Promise<void> {
    return this.#serially(async () => limitDisk(await this.#connectionTo('limit its disks'), volumeId, limits))
  }

  localizeBase(disk: MachineDisk): Promise<void> {
    return this.#serially(async () => localizeBase(await this.#connectionTo('change its disks'), disk))
  }

  /** Meets a machine that an earlier daemon started: from now on its events are heard. */
  async adopt(): Promise<void> {
    this.#guest.suspectHeld()
    const qmp = await this.#connection(connectTimeoutMs)
    if (!qmp) return
    this.#context.changed()
    await this.upkeep()
  }

  /**
   * What has to be done now and then: the console is kept short, and a guest that an error of the host halted, or that
   * was held still for a snapshot, is let go on. Where the error lasts, the guest halts again at once, and no harm is done.
   */
  async upkeep(): Promise<void> {
    await trimConsole(this.paths.console)
    const qmp = this.#qmp
    if (!qmp) return
    // Nobody else waits for a guest that does not answer.
    if (this.#guest.isDue) {
      this.#serially(() => this.#guest.upkeep(qmp)).catch((error) =>
        this.#context.log.debug({ machine: this.id, error: messageOf(error) }, 'the guest agent does not answer'),
      )
    }
    if (!this.#halted) return
    const state = await runState(qmp)
    if (state === 'io-error') await qmp.execute('cont')
    else this.#halted = false
  }

  close(): void {
    this.#qmp?.close()
  }

  /** Starts, stops and freezes of one machine never overlap. */
  #serially<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work)
    this.#queue = result.catch(() => {})
    return result
  }

  /**
   * The machine's process. Whoever starts QEMU makes an empty pid file first, which QEMU fills in and removes at its end:
   * no file means no process, and only a file that does not tell yet (or any more) makes us search.
   */
  #process(): ProcessRef | undefined {
    if (this.#known && isAlive(this.#known)) return this.#known
    let pid: number
    try {
      pid = Number(readFileSync(this.paths.pidFile, 'utf8'))
    } catch {
      return undefined
    }
    this.#known = pid > 0 ? processWith(pid, this.paths.pidFile) : undefined
    return this.#known ?? this.#search()
  }

  #search(): ProcessRef | undefined {
    if (!this.#known || !isAlive(this.#known)) {
      this.#known = processesWith((argument) => (argument === this.paths.pidFile ? argument : undefined))[0]?.ref
    }
    return this.#known
  }

  async #runsAlready(): Promise<boolean> {
    const process = this.#search()
    if (!process) return false
    const qmp = await this.#connection(startTimeoutMs)
    // Without a connection it is one that is just ending, and still holds its disks.
    if (qmp && (await statusOf(qmp, process.pid)).state !== 'shutdown') return true
    await this.#end(process)
    return false
  }

  async #launch(spec: MachineSpec, signal: AbortSignal): Promise<void> {
    await mkdir(this.paths.folder, { recursive: true })
    for (const socket of [this.paths.qmpSocket, this.paths.agentSocket]) await rm(socket, { force: true })
    await writeFile(this.paths.qemuLog, '', { mode: 0o600 })
    const { attachment } = spec.nic
    const enter = attachment.kind === 'tap' ? attachment.enter : []
    const qemu = machineArguments(spec, this.paths, this.#context.host)
    const [program, ...args] = [...enter, qemuProgram, ...qemu]
    signal.throwIfAborted()
    await writeFile(this.paths.pidFile, '', { mode: 0o600 })
    const secrets = inheritedSecrets(secretsOf(spec.disks))
    let process: ProcessRef
    try {
      process = await startDetached(program!, args, { logPath: this.paths.qemuLog, inherits: secrets.fds })
    } catch (error) {
      secrets.wipe()
      throw error
    }
    // A process cannot be found by its arguments in the instant in which it is executed.
    this.#known = process
    try {
      const qmp = await this.#connection(startTimeoutMs, signal)
      if (!qmp) throw new Error(await this.#lastWords())
      for (const { volumeId, limits } of spec.disks) if (limits) await limitDisk(qmp, volumeId, limits)
    } catch (error) {
      // A daemon that goes lets go of this machine as of all others: the next one finds it.
      if (this.#context.closed.aborted) throw error
      await this.#kill(process)
      if (!this.#search()) await rm(this.paths.pidFile, { force: true })
      throw new Error(`${this.id} did not start: ${explained(messageOf(error))}`, { cause: error })
    } finally {
      // A machine that starts on without this daemon may not have read them yet.
      if (!this.#context.closed.aborted) secrets.wipe()
    }
    this.#context.log.info({ machine: this.id, pid: process.pid }, 'machine started')
  }

  async #lastWords(): Promise<string> {
    const text = await readFile(this.paths.qemuLog, 'utf8').catch(() => '')
    return text.trim().split('\n').slice(-3).join(' | ') || 'QEMU ended without a word'
  }

  /** The open connection, or a new one; undefined when there is no process to connect to. */
  async #connection(timeoutMs: number, signal?: AbortSignal): Promise<QmpConnection | undefined> {
    if (this.#qmp?.isOpen) return this.#qmp
    this.#dialing ??= this.#dial().finally(() => {
      this.#dialing = undefined
    })
    return await within(this.#context.clock, this.#dialing, { what: `connecting to ${this.id}`, timeoutMs, signal })
  }

  async #connectionTo(purpose: string): Promise<QmpConnection> {
    const qmp = await this.#connection(connectTimeoutMs)
    if (!qmp) throw new Error(`${this.id} has no process: nobody can ${purpose}`)
    return qmp
  }

  /** Tries until QEMU greets (while it comes up it does not) or is gone. */
  async #dial(): Promise<QmpConnection | undefined> {
    const { clock, closed } = this.#context
    while (this.#process()) {
      closed.throwIfAborted()
      try {
        const qmp = await QmpConnection.connect(this.paths.qmpSocket, {
          clock,
          timeoutMs: connectTimeoutMs,
          onEvent: ({ event }) => this.#heard(event),
          onClose: () => this.#lost(),
        })
        if (closed.aborted) qmp.close()
        closed.throwIfAborted()
        this.#qmp = qmp
        // It may have halted before anybody listened: the next upkeep looks.
        this.#halted = true
        return qmp
      } catch (error) {
        this.#context.log.debug({ machine: this.id, error: messageOf(error) }, 'no QMP connection yet')
        await clock.sleep(dialEveryMs, closed)
      }
    }
    return undefined
  }

  #heard(event: string): void {
    if (event === 'STOP') this.#halted = true
    if (event === 'RESUME') this.#halted = false
    if (statusEvents.has(event)) this.#context.changed()
  }

  /** QEMU has ended or is about to; or it goes on and another connection is needed to hear of it. */
  #lost(): void {
    if (!this.#qmp) return
    this.#qmp = undefined
    const { clock, closed, changed, log } = this.#context
    if (closed.aborted) return
    waitFor(clock, () => (this.#process() ? undefined : true), {
      everyMs: dialEveryMs,
      timeoutMs: endTimeoutMs,
      signal: closed,
    })
      .then(() => changed())
      .then(() => this.#connection(connectTimeoutMs))
      .catch((error) =>
        log.debug({ machine: this.id, error: messageOf(error) }, 'the QMP connection was not made anew'),
      )
  }

  /** Ends the process in QEMU's own way, or by force when it does not answer. */
  async #end(process: ProcessRef): Promise<void> {
    const { clock } = this.#context
    try {
      const qmp = await this.#connection(quitTimeoutMs)
      await qmp?.execute('quit', {}, quitTimeoutMs)
      await waitFor(clock, () => (isAlive(process) ? undefined : true), { everyMs: 5, timeoutMs: endTimeoutMs })
    } catch (error) {
      this.#context.log.debug({ machine: this.id, error: messageOf(error) }, 'QEMU did not answer to quit')
    }
    await this.#kill(process)
  }

  async #kill(process: ProcessRef): Promise<void> {
    signalProcess(process, 'SIGKILL')
    const timing = { everyMs: 5, timeoutMs: killTimeoutMs }
    const gone = await waitFor(this.#context.clock, () => (isAlive(process) ? undefined : true), timing)
    if (!gone) throw new Error(`process ${process.pid} of ${this.id} does not end: the host holds it in the kernel`)
  }
}

/** QMP events after which a machine's status may be another one. */
const statusEvents = new Set(['SHUTDOWN', 'STOP', 'RESUME', 'RESET', 'GUEST_PANICKED'])
