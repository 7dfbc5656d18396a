/** Turns counts into the percentages of {@link Progress}: whole, ascending, and not too often. */
import type { Clock } from '../lib/clock.ts'
import type { Progress } from './ports.ts'

const intervalMs = 250

export class ProgressMeter {
  readonly #total: number
  readonly #onPercent: Progress['onPercent']
  readonly #clock: Clock
  #done = 0
  #percent = -1
  #reportedAtMs = 0
  #reporting: Promise<void> = Promise.resolve()
  #failure: { reason: unknown } | null = null

  constructor(total: number, progress: Progress, clock: Clock) {
    this.#total = total
    this.#onPercent = progress.onPercent
    this.#clock = clock
  }

  /** Throws what a report threw earlier: a listener that fails stops the work. */
  advance(count: number): void {
    if (this.#failure) throw this.#failure.reason
    this.#done += count
    const percent = Math.min(Math.floor((this.#done * 100) / this.#total), 99)
    if (percent > this.#percent && this.#clock.now() - this.#reportedAtMs >= intervalMs) this.#report(percent)
  }

  /** Reports 100, and waits until the listener has taken it. */
  async finish(): Promise<void> {
    this.#report(100)
    await this.#reporting
    if (this.#failure) throw this.#failure.reason
  }

  #report(percent: number): void {
    this.#percent = percent
    this.#reportedAtMs = this.#clock.now()
    this.#reporting = this.#reporting
      .then(() => this.#onPercent?.(percent))
      .catch((reason) => {
        this.#failure ??= { reason }
      })
  }
}
