/**
 * Works through items, at most `limit` at a time; the next item is asked for only when there is room for it. The first
 * failure (or the signal) stops the rest, and is thrown when nothing is running any more.
 */
export async function eachAtOnce<T>(
  items: Iterable<T> | AsyncIterable<T>,
  limit: number,
  work: (item: T) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  const iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]()
  let failure: { reason: unknown } | null = null
  const lane = async () => {
    try {
      while (!failure) {
        signal?.throwIfAborted()
        const next = await iterator.next()
        if (next.done || failure) return
        await work(next.value)
      }
    } catch (reason) {
      failure ??= { reason }
    }
  }
  await Promise.all(Array.from({ length: limit }, lane))
  await iterator.return?.()
  if (failure) throw (failure as { reason: unknown }).reason
}

/** The results of `work`, at most `limit` at a time, in the order of the items. Leaving early waits for what is under way. */
export async function* inOrder<T, R>(
  items: AsyncIterable<T>,
  limit: number,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R> {
  const underway: Promise<R>[] = []
  try {
    for await (const item of items) {
      const working = work(item)
      // It is awaited in its turn; until then its failure is nobody's surprise.
      working.catch(() => {})
      underway.push(working)
      if (underway.length >= limit) yield await underway.shift()!
    }
    while (underway.length > 0) yield await underway.shift()!
  } finally {
    await Promise.allSettled(underway)
  }
}
