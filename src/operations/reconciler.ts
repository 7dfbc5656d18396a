/**
 * A reconciler takes no input. It looks at what should be and at what is, and brings the second to the first; it runs on
 * a signal and on a timer, never twice at once, and can be run at any moment.
 */
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'

export interface ReconcilerOptions {
  name: string
  everyMs: number
  clock: Clock
  log: Log
  pass(signal: AbortSignal): Promise<void>
}

export class Reconciler {
  readonly #options: ReconcilerOptions
  readonly #stop = new AbortController()
  #signalled = false
  #wakeUp: (() => void) | undefined
  #loop: Promise<void> | undefined
  #isResting = false

  constructor(options: ReconcilerOptions) {
    this.#options = options
  }

  /** Waits for its time or a signal. */
  get isResting(): boolean {
    return this.#isResting && !this.#signalled
  }

  start(): void {
    this.#loop ??= this.#run()
  }

  /** Asks for a pass as soon as possible. */
  signal(): void {
    this.#signalled = true
    this.#wakeUp?.()
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('the daemon is shutting down'))
    this.#wakeUp?.()
    await this.#loop
  }

  async #run(): Promise<void> {
    const { name, everyMs, clock, log, pass } = this.#options
    while (!this.#stop.signal.aborted) {
      this.#signalled = false
      try {
        await pass(this.#stop.signal)
      } catch (error) {
        if (!this.#stop.signal.aborted) log.error({ err: error, reconciler: name }, 'a pass failed')
      }
      if (this.#signalled) continue
      const waiting = new AbortController()
      this.#wakeUp = () => waiting.abort()
      this.#isResting = true
      if (!this.#stop.signal.aborted) await clock.sleep(everyMs, waiting.signal).catch(() => {})
      this.#isResting = false
      this.#wakeUp = undefined
    }
  }
}
