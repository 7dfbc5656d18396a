/**
 * One commit for many writers. A commit puts everything on stable storage that was written before it began, so whoever
 * comes while one is running shares the next with all others who wait.
 */
export class GroupCommit {
  readonly #commit: () => Promise<void>
  #running: Promise<void> | undefined
  #next: Promise<void> | undefined

  constructor(commit: () => Promise<void>) {
    this.#commit = commit
  }

  /** Resolves when everything written before the call is on stable storage. */
  async commit(): Promise<void> {
    if (!this.#running) return this.#start()
    this.#next ??= this.#running
      // Its failure is told to those who wait for it, and says nothing of the next.
      .catch(() => {})
      .then(() => {
        this.#next = undefined
        return this.#start()
      })
    return this.#next
  }

  #start(): Promise<void> {
    const running = this.#commit().finally(() => {
      if (this.#running === running) this.#running = undefined
    })
    this.#running = running
    return running
  }
}
