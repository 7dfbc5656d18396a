/**
 * Keeps the collector and the writers of one store apart. Whoever writes, or relies on what it found in the store, holds
 * the gate shared, for as long as it does; the collector takes objects away only while it holds the gate alone.
 *
 * Somebody who waits to be alone bars newcomers, or would never get in; but only for a bounded time, because a capture
 * under way may take hours.
 */
import type { Clock } from '../lib/clock.ts'

/** The store cannot be had alone now. The message is for people. */
export class StoreBusy extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'StoreBusy'
  }
}

export class RegionGate {
  readonly #clock: Clock
  #inside = 0
  /** Newcomers wait for it while somebody is, or waits to be, alone. */
  #barrier: Promise<void> | null = null
  #onQuiet: (() => void) | null = null
  /** Grows with everyone who comes in: the same number twice means that nobody was there in between. */
  visits = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  async shared<T>(work: () => Promise<T>): Promise<T> {
    while (this.#barrier) await this.#barrier
    this.#inside++
    this.visits++
    try {
      return await work()
    } finally {
      this.#inside--
      if (this.#inside === 0) this.#onQuiet?.()
    }
  }

  /** Throws {@link StoreBusy} when it is not alone within `waitMs`, and the signal's reason. */
  async alone<T>(work: () => Promise<T>, timing: { waitMs: number; signal?: AbortSignal }): Promise<T> {
    if (this.#barrier) throw new StoreBusy('the store is being collected already')
    let lift = () => {}
    this.#barrier = new Promise((resolve) => {
      lift = resolve
    })
    try {
      await this.#quiet(timing)
      return await work()
    } finally {
      this.#barrier = null
      lift()
    }
  }

  async #quiet({ waitMs, signal }: { waitMs: number; signal?: AbortSignal }): Promise<void> {
    signal?.throwIfAborted()
    if (this.#inside === 0) return
    const over = new AbortController()
    const quiet = new Promise<void>((resolve) => {
      this.#onQuiet = resolve
    })
    const overdue = this.#clock
      .sleep(waitMs, signal ? AbortSignal.any([over.signal, signal]) : over.signal)
      .then(() => {
        throw new StoreBusy('snapshots are being captured, copied or checked there; try again when they are done')
      })
    try {
      await Promise.race([quiet, overdue])
    } finally {
      this.#onQuiet = null
      over.abort()
      overdue.catch(() => {})
    }
  }
}
