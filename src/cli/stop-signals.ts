/** Being asked to stop, by people and by programs. */

/** A terminal sends Ctrl-C to npm and to us, and npm passes it on: what comes this soon is the same keystroke. */
const sameKeystrokeMs = 500
const signals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const

/** Calls `first` when a signal asks this process to stop, and `again` for every later one. Returns the way to stop listening. */
export function onStopSignals(first: () => void, again: () => void): () => void {
  let firstAtMs: number | undefined
  const receive = () => {
    const now = performance.now()
    if (firstAtMs === undefined) {
      firstAtMs = now
      first()
    } else if (now - firstAtMs > sameKeystrokeMs) {
      again()
    }
  }
  for (const signal of signals) process.on(signal, receive)
  return () => {
    for (const signal of signals) process.off(signal, receive)
  }
}
