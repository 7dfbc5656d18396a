/**
 * Time that stands still until it is told to go on, so that a month passes in seconds.
 *
 * Two things are apart. While requests have an effect, time {@link VirtualTime.settle settles}: it goes from one waiting to the
 * next, a part of a second in all, as long as work is under way. Files are read and written for real meanwhile, and take as
 * long as they do. Between requests time {@link VirtualTime.leap leaps}: everybody whose waiting is over by then wakes once,
 * in order. What looks every second whether there is something to do looks once after a month, not 2 592 000 times.
 */
import { type Clock, type HostUptime, systemClock } from './clock.ts'

/** What a process has of time. */
export interface VirtualProcess {
  readonly clock: Clock
  /** As if it was killed: whoever waits in it waits for ever. */
  end(): void
}

interface Sleeper {
  process: object
  dueMs: number
  wake(): void
}

export interface SettleOptions {
  /** Whether no work is under way. */
  isQuiet: () => boolean | Promise<boolean>
  /** Time goes on by so much at most; below a second, whole seconds stay as they are. */
  mostMs?: number
  /** Real milliseconds after which something must be wrong. */
  patienceMs?: number
}

export class VirtualTime {
  readonly #real: Clock
  /** Since the host was started, whatever is done to its clock: waiting is measured by it. */
  #upMs = 0
  #startMs: number
  /** By due time; those of the same time in the order in which they came. */
  readonly #sleepers: Sleeper[] = []

  constructor(startMs: number, real: Clock = systemClock) {
    this.#startMs = startMs
    this.#real = real
  }

  /** Milliseconds since the Unix epoch, as the host's clock says. */
  now(): number {
    return this.#startMs + this.#upMs
  }

  get uptime(): HostUptime {
    return { bootId: 'virtual', uptimeMs: () => this.#upMs }
  }

  process(): VirtualProcess {
    const process = {}
    return {
      clock: { now: () => this.now(), sleep: (ms, signal) => this.#sleep(process, ms, signal) },
      end: () => {
        const others = this.#sleepers.filter((sleeper) => sleeper.process !== process)
        this.#sleepers.splice(0, this.#sleepers.length, ...others)
      },
    }
  }

  /** Somebody sets the host's clock. Nobody waits longer or shorter for it. */
  set(ms: number): void {
    this.#startMs = ms - this.#upMs
  }

  /** Waits until no work is under way. Throws when that does not come. */
  async settle({ isQuiet, mostMs = 900, patienceMs = 60_000 }: SettleOptions): Promise<void> {
    const lastMs = this.#upMs + mostMs
    const deadline = this.#real.now() + patienceMs
    for (let calm = 0; calm < 2; ) {
      await this.#real.sleep(1)
      if (await isQuiet()) {
        calm++
        continue
      }
      calm = 0
      if (this.#real.now() >= deadline) throw new Error(`work did not come to rest within ${patienceMs} ms`)
      const next = this.#sleepers[0]
      if (next && next.dueMs <= lastMs) this.#goTo(next.dueMs)
    }
  }

  /** It is `ms` later at once, and everybody whose waiting is over by then wakes once. */
  leap(ms: number): void {
    if (ms < 0) throw new RangeError(`time does not go back by ${-ms} ms: set the clock`)
    this.#goTo(this.#upMs + ms)
  }

  #goTo(upMs: number): void {
    this.#upMs = upMs
    const due = this.#sleepers.filter(({ dueMs }) => dueMs <= upMs)
    this.#sleepers.splice(0, due.length)
    for (const { wake } of due) wake()
  }

  #sleep(process: object, ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      if (ms <= 0) return resolve()
      const leave = () => {
        const at = this.#sleepers.indexOf(sleeper)
        if (at >= 0) this.#sleepers.splice(at, 1)
        reject(signal?.reason)
      }
      const wake = () => {
        signal?.removeEventListener('abort', leave)
        resolve()
      }
      const sleeper: Sleeper = { process, dueMs: this.#upMs + ms, wake }
      const after = this.#sleepers.findIndex(({ dueMs }) => dueMs > sleeper.dueMs)
      this.#sleepers.splice(after < 0 ? this.#sleepers.length : after, 0, sleeper)
      signal?.addEventListener('abort', leave, { once: true })
    })
  }
}
