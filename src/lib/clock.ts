/** The only door to real time. Everything that waits or dates takes a {@link Clock}. */

export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number
  /** Resolves after `ms` milliseconds, or rejects with the signal's reason. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const stop = () => {
        clearTimeout(timer)
        reject(signal?.reason)
      }
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', stop)
        resolve()
      }, ms)
      signal?.addEventListener('abort', stop, { once: true })
    }),
}

/** Polls `probe` every `everyMs` until it gives a value other than `undefined`, at most `timeoutMs`; then `undefined`. */
export async function waitFor<T>(
  clock: Clock,
  probe: () => Promise<T | undefined> | T | undefined,
  timing: { everyMs: number; timeoutMs: number; signal?: AbortSignal },
): Promise<T | undefined> {
  const deadline = clock.now() + timing.timeoutMs
  for (;;) {
    const value = await probe()
    if (value !== undefined) return value
    if (clock.now() >= deadline) return undefined
    await clock.sleep(timing.everyMs, timing.signal)
  }
}

/** The promise's value, or an error that names `what` when it takes longer than `timeoutMs` or the signal is aborted. */
export async function within<T>(
  clock: Clock,
  promise: Promise<T>,
  timing: { what: string; timeoutMs: number; signal?: AbortSignal },
): Promise<T> {
  const settled = new AbortController()
  const signal = timing.signal ? AbortSignal.any([settled.signal, timing.signal]) : settled.signal
  const overdue = clock.sleep(timing.timeoutMs, signal).then(() => {
    throw new Error(`${timing.what}: nothing came of it within ${timing.timeoutMs} ms`)
  })
  try {
    return await Promise.race([promise, overdue])
  } finally {
    settled.abort()
    // Whichever came second has nobody left to tell.
    overdue.catch(() => {})
    promise.catch(() => {})
  }
}
