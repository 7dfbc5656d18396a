/**
 * Where guests' connections come in: a unix socket that only the network's relays reach. Each connection says first which
 * guest it is of; from then on it is served like any other, but for what `guests.ts` lets guests do.
 */
import { chmod, rm } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { type GuestOrigin, readOrigin } from '../../lib/guest-origin.ts'

/** The relay speaks as soon as it is connected. */
const originMs = 5000
const connectionsMax = 4096

export interface GuestDoor {
  /** Takes over the path from a server that is gone. */
  listen(socketPath: string): Promise<void>
  /** Takes no more connections; resolves when those that were handed over are closed, which is for their server to do. */
  close(): Promise<void>
}

export function createGuestDoor(handOver: (socket: Socket, origin: GuestOrigin) => void): GuestDoor {
  const waiting = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    waiting.add(socket)
    socket.on('error', () => {})
    readOrigin(socket, originMs)
      .then((origin) => handOver(socket, origin))
      .catch(() => socket.destroy())
      .finally(() => waiting.delete(socket))
  })
  server.maxConnections = connectionsMax
  return {
    async listen(socketPath) {
      await rm(socketPath, { force: true })
      await new Promise<void>((resolve, reject) => server.once('error', reject).listen(socketPath, resolve))
      await chmod(socketPath, 0o600)
    },
    async close() {
      if (!server.listening) return
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      for (const socket of waiting) socket.destroy()
      await closed
    },
  }
}
