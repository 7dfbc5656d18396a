/** The only door to real time. Everything that waits or dates takes a {@link Clock}. */
import { readFileSync } from 'node:fs'
import { uptime } from 'node:os'

export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number
  /** Resolves after `ms` milliseconds, or rejects with the signal's reason. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

/** How long this host has been up, whatever anybody does to its clock: tells when the clock was set. */
export interface HostUptime {
  /** Differs from one boot to the next: times of two boots cannot be compared. */
  readonly bootId: string
  uptimeMs(): number
}

/** Suspended time counts. Linux: `/proc/sys/kernel/random/boot_id`. */
export const systemUptime: HostUptime = {
  get bootId() {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  },
  uptimeMs: () => Math.round(uptime() * 1000),
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
