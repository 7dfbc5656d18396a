/** Joins two sockets into one connection: back-pressure, half-close and failure pass from each side to the other. */
import type { Socket } from 'node:net'

/** Both ends of a joined connection buffer this much before they stop reading from the other. */
const spliceBufferBytes = 256 * 1024

/** How sockets and servers are made whose connections are to be joined. */
export const spliceable = { allowHalfOpen: true, highWaterMark: spliceBufferBytes }

/** A side that has closed its half may not keep the other half open for longer without a byte moving. */
const halfClosedIdleMs = 15 * 60_000

/** Both sockets must be {@link spliceable}; what was read already must have been unshifted. */
export function splice(one: Socket, other: Socket): void {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    from.setNoDelay(true)
    from.pipe(to)
    from.on('error', () => abort(to))
    from.on('end', () => {
      for (const side of [from, to]) side.setTimeout(halfClosedIdleMs, () => abort(side))
    })
    from.on('close', () => {
      // A side that is gone without having said all leaves the other nothing to wait for.
      if (!from.readableEnded || !from.writableFinished) abort(to)
    })
  }
}

/** Ends a socket at once: a TCP peer sees a reset, so that it does not take half an answer for a whole one. */
export function abort(socket: Socket): void {
  if (socket.destroyed) return
  if (socket.remoteFamily) socket.resetAndDestroy()
  else socket.destroy()
}
