/** Mutual exclusion by name within this process: work on one machine or one volume goes one piece after the other. */
export class KeyedLocks {
  readonly #tails = new Map<string, Promise<void>>()

  /** Runs `work` once everything before it on the same key has ended. */
  async hold<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key) ?? Promise.resolve()
    const result = before.then(work)
    const tail = result.then(
      () => {},
      () => {},
    )
    this.#tails.set(key, tail)
    try {
      return await result
    } finally {
      if (this.#tails.get(key) === tail) this.#tails.delete(key)
    }
  }

  isHeld(key: string): boolean {
    return this.#tails.has(key)
  }
}
