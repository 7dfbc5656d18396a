/** Mutual exclusion by name within this process: work on one machine or one volume goes one piece after the other. */
export class KeyedLocks {
  readonly #tails = new Map<string, Promise<void>>()

  /**
   * Runs `work` once everything before it on the same key has ended. Whoever still waits when the signal is aborted leaves,
   * with its reason; work that has begun goes on, and looks at the signal itself.
   */
  hold<T>(key: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const before = this.#tails.get(key) ?? Promise.resolve()
    let hasBegun = false
    const result = (signal ? Promise.race([before, whenAborted(signal)]) : before).then(() => {
      hasBegun = true
      return work()
    })
    const release = () => {
      if (this.#tails.get(key) === tail) this.#tails.delete(key)
    }
    // Whoever leaves does not let those behind overtake those before.
    const tail: Promise<void> = result.then(release, () => (hasBegun ? release() : before.then(release)))
    this.#tails.set(key, tail)
    return result
  }

  isHeld(key: string): boolean {
    return this.#tails.has(key)
  }
}

function whenAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) return reject(signal.reason)
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}
