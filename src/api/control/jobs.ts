/**
 * Work that outlasts a request to the control handler: it is started, asked after, and can be stopped. It lives no longer
 * than the daemon; whatever it does can be done again.
 */
import type { Clock } from '../../lib/clock.ts'
import { KilnError, messageOf } from '../../lib/errors.ts'

/** What is asked for at one time; each reads a whole store. */
const runningMax = 8
/** How long the end of a job can be asked for. */
const keptMs = 10 * 60_000

export interface JobView {
  id: string
  /** 0 to 100. */
  percent: number
  isDone: boolean
  result?: unknown
  /** Why it failed. */
  error?: string
}

export type JobWork = (progress: { onPercent(percent: number): void; signal: AbortSignal }) => Promise<unknown>

interface Job {
  view: JobView
  stop: AbortController
  done: Promise<void>
  endedAtMs: number | null
}

export class ControlJobs {
  readonly #clock: Clock
  #count = 0
  readonly #jobs = new Map<string, Job>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Throws when too many run already. */
  start(work: JobWork): JobView {
    this.#forget()
    if ([...this.#jobs.values()].filter((job) => !job.view.isDone).length >= runningMax) {
      throw new KilnError('RequestLimitExceeded', `${runningMax} jobs are under way already: wait until one is done`)
    }
    const view: JobView = { id: String(++this.#count), percent: 0, isDone: false }
    const stop = new AbortController()
    const onPercent = (percent: number) => {
      view.percent = Math.floor(percent)
    }
    const job: Job = { view, stop, endedAtMs: null, done: Promise.resolve() }
    job.done = work({ onPercent, signal: stop.signal })
      .then(
        (result) => Object.assign(view, { result }),
        (error) => Object.assign(view, { error: messageOf(error) }),
      )
      .then(() => {
        view.isDone = true
        job.endedAtMs = this.#clock.now()
      })
    this.#jobs.set(view.id, job)
    return view
  }

  /** Undefined for one that was never started, or ended long ago. */
  get(id: string): JobView | undefined {
    return this.#jobs.get(id)?.view
  }

  /** Asks it to leave; what it did until then stays done. */
  stop(id: string): void {
    this.#jobs.get(id)?.stop.abort(new Error('it was stopped'))
  }

  /** Stops all, and waits until they have left. */
  async close(): Promise<void> {
    for (const { stop } of this.#jobs.values()) stop.abort(new Error('the daemon is shutting down'))
    await Promise.all([...this.#jobs.values()].map((job) => job.done))
  }

  #forget(): void {
    const before = this.#clock.now() - keptMs
    for (const [id, { endedAtMs }] of this.#jobs) if (endedAtMs !== null && endedAtMs < before) this.#jobs.delete(id)
  }
}
