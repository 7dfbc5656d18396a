import type { Clock } from '../lib/clock.ts'
import { isKilnError, messageOf } from '../lib/errors.ts'
import { newId } from '../lib/ids.ts'
import type { Log } from '../lib/log.ts'
import type { Random } from '../lib/random.ts'
import type { OperationRow } from '../state/operations.ts'
import type { Repositories, State } from '../state/state.ts'
import { type NewOperation, OperationFailure, type OperationKind, type StepContext } from './operation.ts'

export interface RunnerOptions {
  state: State
  clock: Clock
  random: Random
  log: Log
  /** Names this host; leases of a former process of the same host are free at once when it starts. */
  owner: string
  /** How many operations of a lane run at once. A lane that is not named has {@link defaultLaneWidth}. */
  lanes: Readonly<Record<string, number>>
}

const defaultLaneWidth = 16
const leaseMs = 60_000
const renewMs = 20_000
/** Due times and lost leases are looked for this often; new work is announced with {@link OperationRunner.wake}. */
const scanMs = 1000
const maxAttempts = 5
const firstBackoffMs = 250
const maxBackoffMs = 10_000
const finishedKeptMs = 7 * 24 * 3600 * 1000

class LeaseLost extends Error {
  constructor() {
    super('another process has taken this operation over')
  }
}

/** Carries operations out: claims them by lease, runs their steps, retries, fails and undoes. */
export class OperationRunner {
  readonly #options: RunnerOptions
  readonly #kinds = new Map<string, OperationKind<never, never>>()
  readonly #running = new Map<string, { lane: string; done: Promise<void> }>()
  readonly #stop = new AbortController()
  readonly #watchers = new Map<string, Set<() => void>>()
  #lastSeq = 0
  #wakeUp: (() => void) | undefined
  #woken = false
  #loop: Promise<void> | undefined
  #isResting = false

  constructor(options: RunnerOptions) {
    this.#options = options
  }

  register<Input, Data>(kind: OperationKind<Input, Data>): void {
    if (this.#kinds.has(kind.kind)) throw new Error(`operation kind ${kind.kind} is registered twice`)
    this.#kinds.set(kind.kind, kind as unknown as OperationKind<never, never>)
  }

  /**
   * Writes an operation in the caller's transaction; call {@link wake} once that is committed.
   * Returns the operation's id.
   */
  async enqueue<Input>(tx: Repositories, operation: NewOperation<Input>): Promise<string> {
    const kind = this.#kinds.get(operation.kind)
    if (!kind) throw new Error(`operation kind ${operation.kind} is not registered`)
    const { clock, random } = this.#options
    const now = clock.now()
    const id = newId('operation', random)
    const { input, ...rest } = operation
    await tx.operations.insert({
      ...rest,
      id,
      state: 'pending',
      step: kind.steps[0]!.name,
      progress: 0,
      attempts: 0,
      runAfter: 0,
      leaseOwner: null,
      leaseUntil: 0,
      input: JSON.stringify(input),
      data: '{}',
      error: null,
      createdAt: now,
      updatedAt: now,
      seq: this.#takeSeq(now),
    })
    return id
  }

  /** Grows with time, so that operations of one subject keep their order across processes and hosts. */
  #takeSeq(nowMs: number): number {
    this.#lastSeq = Math.max(this.#lastSeq + 1, nowMs * 1000)
    return this.#lastSeq
  }

  /** Looks for work now. */
  wake(): void {
    this.#woken = true
    this.#wakeUp?.()
  }

  async start(): Promise<void> {
    await this.#options.state.operations.releaseAllOf(this.#options.owner)
    this.#loop = this.#run()
  }

  /** Carries nothing out, and has found nothing to claim. */
  get isResting(): boolean {
    return this.#isResting && !this.#woken && this.#running.size === 0
  }

  /** Asks running steps to leave, waits until they did, and gives their leases back. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('the daemon is shutting down'))
    this.wake()
    await this.#loop
    await Promise.allSettled([...this.#running.values()].map((running) => running.done))
  }

  /** Resolves when the subject has no unfinished operation left, or the time is over. For orderly shutdown and tests. */
  async idle(subjectId: string, timeoutMs: number): Promise<boolean> {
    const { state, clock } = this.#options
    const deadline = clock.now() + timeoutMs
    while ((await state.operations.unfinishedOf(subjectId)).length > 0) {
      if (clock.now() >= deadline) return false
      await Promise.race([this.#finished(subjectId), clock.sleep(100)])
    }
    return true
  }

  #finished(subjectId: string): Promise<void> {
    return new Promise((resolve) => {
      const watchers = this.#watchers.get(subjectId) ?? new Set()
      this.#watchers.set(subjectId, watchers.add(resolve))
    })
  }

  async #run(): Promise<void> {
    const { clock, log, state } = this.#options
    let nextTidying = 0
    while (!this.#stop.signal.aborted) {
      this.#woken = false
      try {
        await this.#claimAll()
        if (clock.now() >= nextTidying) {
          await state.operations.removeFinishedBefore(clock.now() - finishedKeptMs)
          nextTidying = clock.now() + 3600_000
        }
      } catch (error) {
        log.error({ err: error }, 'operations could not be claimed')
      }
      if (this.#woken) continue
      const waiting = new AbortController()
      this.#wakeUp = () => waiting.abort()
      this.#isResting = true
      await clock.sleep(scanMs, waiting.signal).catch(() => {})
      this.#isResting = false
      this.#wakeUp = undefined
    }
  }

  async #claimAll(): Promise<void> {
    const { state, clock, owner } = this.#options
    const kinds = [...this.#kinds.values()].filter((kind) => this.#laneSpace(kind.lane) > 0).map((kind) => kind.kind)
    if (kinds.length === 0) return
    const now = clock.now()
    for (const row of await state.operations.claimable(now, kinds, 100)) {
      if (this.#stop.signal.aborted) return
      const kind = this.#kinds.get(row.kind)!
      if (this.#running.has(row.id) || this.#laneSpace(kind.lane) === 0) continue
      if (!(await state.operations.claim(row.id, { owner, nowMs: now, untilMs: now + leaseMs }))) continue
      const done = this.#carryOut({ ...row, attempts: row.attempts + 1 }, kind).finally(() => {
        this.#running.delete(row.id)
        for (const watcher of this.#watchers.get(row.subjectId) ?? []) watcher()
        this.#watchers.delete(row.subjectId)
        this.wake()
      })
      this.#running.set(row.id, { lane: kind.lane, done })
    }
  }

  #laneSpace(lane: string): number {
    const width = this.#options.lanes[lane] ?? defaultLaneWidth
    return width - [...this.#running.values()].filter((running) => running.lane === lane).length
  }

  /** Runs steps until the operation ends, waits, or is to be tried again later. Never rejects. */
  async #carryOut(row: OperationRow, kind: OperationKind<never, never>): Promise<void> {
    const { log, clock } = this.#options
    const leave = new AbortController()
    const forward = () => leave.abort(this.#stop.signal.reason)
    if (this.#stop.signal.aborted) forward()
    this.#stop.signal.addEventListener('abort', forward, { once: true })
    const renewing = this.#renew(row.id, leave)
    try {
      await this.#steps(row, kind, leave.signal)
    } catch (error) {
      if (error instanceof LeaseLost) log.warn({ operation: row.id }, error.message)
      else log.error({ err: error, operation: row.id, kind: row.kind }, 'operation could not be recorded')
    } finally {
      this.#stop.signal.removeEventListener('abort', forward)
      leave.abort()
      await renewing.catch(() => {})
      await this.#save(row.id, { leaseOwner: null, leaseUntil: 0, updatedAt: clock.now() }).catch(() => {})
    }
  }

  async #renew(id: string, leave: AbortController): Promise<void> {
    const { clock } = this.#options
    while (!leave.signal.aborted) {
      await clock.sleep(renewMs, leave.signal).catch(() => {})
      if (leave.signal.aborted) return
      await this.#save(id, { leaseUntil: clock.now() + leaseMs }).catch((error) => {
        if (error instanceof LeaseLost) leave.abort(error)
      })
    }
  }

  async #steps(row: OperationRow, kind: OperationKind<never, never>, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options
    const data = JSON.parse(row.data) as Record<string, unknown>
    const contextOf = (attempt: number): StepContext<never, never> => ({
      operationId: row.id,
      subjectId: row.subjectId,
      accountId: row.accountId,
      region: row.region,
      attempt,
      input: JSON.parse(row.input) as never,
      data: data as never,
      signal,
      log: log.child({ operation: row.id, kind: row.kind, subject: row.subjectId }),
      progress: (percent) => this.#save(row.id, { progress: Math.max(0, Math.min(100, Math.round(percent))) }),
    })
    let attempts = row.attempts
    let index = kind.steps.findIndex((step) => step.name === row.step)
    if (row.error !== null) return this.#fail(row, kind, index, contextOf(attempts), row.error)
    // A step that a newer version has renamed or dropped: steps can be repeated, so the first is always a good place.
    if (index < 0) index = 0
    while (index < kind.steps.length) {
      const step = kind.steps[index]!
      try {
        const again = await step.run(contextOf(attempts))
        if (again) {
          const runAfter = clock.now() + again.againInMs
          await this.#save(row.id, { data: JSON.stringify(data), runAfter, attempts: 0 })
          return
        }
      } catch (error) {
        if (signal.aborted || error instanceof LeaseLost) {
          await this.#save(row.id, { attempts: Math.max(0, attempts - 1), runAfter: 0 })
          return
        }
        const isFinal = error instanceof OperationFailure || isKilnError(error) || attempts >= maxAttempts
        log.warn({ err: error, operation: row.id, kind: row.kind, step: step.name, attempts, isFinal }, 'step failed')
        if (isFinal) return this.#fail(row, kind, index, contextOf(attempts), messageOf(error))
        const backoffMs = Math.min(maxBackoffMs, firstBackoffMs * 2 ** (attempts - 1))
        await this.#save(row.id, { data: JSON.stringify(data), runAfter: clock.now() + backoffMs })
        return
      }
      index++
      attempts = 1
      const next = kind.steps[index]
      const updatedAt = clock.now()
      await this.#save(
        row.id,
        next
          ? { step: next.name, data: JSON.stringify(data), attempts, updatedAt }
          : { state: 'completed', progress: 100, data: JSON.stringify(data), updatedAt },
      )
    }
  }

  /** Records the reason first, so that a crash in the middle carries on undoing. */
  async #fail(
    row: OperationRow,
    kind: OperationKind<never, never>,
    index: number,
    context: StepContext<never, never>,
    message: string,
  ): Promise<void> {
    const { clock, log } = this.#options
    const step = kind.steps[index]?.name ?? row.step
    await this.#save(row.id, { error: message, step, data: JSON.stringify(context.data), updatedAt: clock.now() })
    try {
      for (const done of kind.steps.slice(0, index + 1).reverse()) await done.undo?.(context)
      await kind.fail(context, { step, message })
    } catch (error) {
      log.error({ err: error, operation: row.id }, 'undoing failed; it is tried again')
      await this.#save(row.id, { runAfter: clock.now() + maxBackoffMs })
      return
    }
    await this.#save(row.id, { state: 'failed', updatedAt: clock.now() })
  }

  async #save(id: string, patch: Parameters<Repositories['operations']['updateHeld']>[2]): Promise<void> {
    const { state, owner } = this.#options
    if (!(await state.operations.updateHeld(id, owner, patch))) throw new LeaseLost()
  }
}
