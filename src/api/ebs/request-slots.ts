/** Bounds how many requests are worked on at once, and how many may wait: each holds a block in memory. */
import { KilnError } from '../../lib/errors.ts'

export class RequestSlots {
  #free: number
  readonly #waitingMax: number
  readonly #waiting: (() => void)[] = []

  constructor({ atOnce, waiting }: { atOnce: number; waiting: number }) {
    this.#free = atOnce
    this.#waitingMax = waiting
  }

  /** Runs the work when its turn comes. Throws RequestThrottledException, which clients try again, when too many wait. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    await this.#take()
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next) next()
      else this.#free++
    }
  }

  async #take(): Promise<void> {
    if (this.#free > 0) {
      this.#free--
      return
    }
    if (this.#waiting.length >= this.#waitingMax) {
      throw new KilnError(
        'RequestThrottledException.AccountThrottled',
        `More than ${this.#waitingMax} requests are waiting. Try again.`,
      )
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }
}
