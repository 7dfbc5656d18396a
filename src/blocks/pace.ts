/** Holds work to a rate. What was not used up in one moment is not made up for in the next. */
import type { Clock } from '../lib/clock.ts'

export class Pace {
  readonly #bytesPerSecond: number | null
  readonly #clock: Clock
  #freeAtMs = Number.NEGATIVE_INFINITY

  /** Null lets everything through at once. */
  constructor(bytesPerSecond: number | null, clock: Clock) {
    this.#bytesPerSecond = bytesPerSecond
    this.#clock = clock
  }

  /** Resolves when so many bytes may move. Those who ask first go first. Rejects when the signal is aborted. */
  async take(bytes: number, signal?: AbortSignal): Promise<void> {
    if (this.#bytesPerSecond === null) return
    const now = this.#clock.now()
    const startMs = Math.max(now, this.#freeAtMs)
    this.#freeAtMs = startMs + (bytes / this.#bytesPerSecond) * 1000
    if (startMs > now) await this.#clock.sleep(startMs - now, signal)
  }
}
