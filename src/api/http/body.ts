/** Reads request bodies within a bound. */
import type { Clock } from '../../lib/clock.ts'
import { isKilnError, KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'

/** How much of a body that is not wanted is still read, so that its sender gets to our answer. */
const discardedBytesMax = 16 * 1024 * 1024

/**
 * Throws `RequestEntityTooLarge` when the body has more than `limitBytes`, `RequestTimeout` when it takes longer than
 * {@link limits.requestBodyMs}, `IncompleteBody` when it breaks off.
 */
export async function readBody(source: AsyncIterable<Uint8Array>, limitBytes: number, clock: Clock): Promise<Buffer> {
  const ended = new AbortController()
  const body = inTime(source, clock.sleep(limits.requestBodyMs, ended.signal))
  try {
    return await readAll(body, limitBytes)
  } finally {
    ended.abort()
  }
}

async function* inTime(source: AsyncIterable<Uint8Array>, overdue: Promise<void>): AsyncGenerator<Uint8Array> {
  const late = overdue.then(
    () => 'late' as const,
    () => 'late' as const,
  )
  const iterator = source[Symbol.asyncIterator]()
  for (;;) {
    const next = await Promise.race([iterator.next(), late])
    if (next === 'late') throw new KilnError('RequestTimeout', 'The request came too slowly.')
    if (next.done) return
    yield next.value
  }
}

async function readAll(body: AsyncIterable<Uint8Array>, limitBytes: number): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  let total = 0
  try {
    for await (const piece of body) {
      total += piece.length
      if (total <= limitBytes) pieces.push(piece)
      else pieces.length = 0
      if (total > limitBytes + discardedBytesMax) break
    }
  } catch (cause) {
    if (isKilnError(cause)) throw cause
    throw new KilnError('IncompleteBody', 'The request ended before its body did.', { cause })
  }
  if (total > limitBytes) {
    throw new KilnError('RequestEntityTooLarge', `The request body is larger than ${limitBytes} bytes.`)
  }
  return Buffer.concat(pieces)
}

/** Reads what is left of a body that nobody asked for, within a bound, and forgets it. */
export async function discardBody(body: AsyncIterable<Uint8Array>): Promise<void> {
  let total = 0
  try {
    for await (const piece of body) {
      total += piece.length
      if (total > discardedBytesMax) return
    }
  } catch {
    // The sender went away: it wants no answer.
  }
}
