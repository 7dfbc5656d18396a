/** An NBD server on a unix socket: fixed newstyle, read-only, any number of connections to any export. */
import { createServer, type Server, type Socket } from 'node:net'
import { messageOf } from '../../lib/errors.ts'
import type { Log } from '../../lib/log.ts'
import { ByteReader } from './byte-reader.ts'
import type { NbdExports } from './exports.ts'
import { handshakeAsServer } from './server-handshake.ts'
import { transmit } from './server-transmission.ts'

/** 24 disks of some hundred machines. */
const connectionsMax = 8192
/** Between two messages of the negotiation. */
const handshakeTimeoutMs = 10_000

export class NbdServer {
  readonly #exports: NbdExports
  readonly #log: Log
  readonly #server: Server
  readonly #serving = new Set<Promise<void>>()
  readonly #sockets = new Set<Socket>()

  constructor(exports: NbdExports, log: Log) {
    this.#exports = exports
    this.#log = log
    this.#server = createServer((socket) => {
      const serving = this.#serve(socket).finally(() => this.#serving.delete(serving))
      this.#serving.add(serving)
    })
    this.#server.maxConnections = connectionsMax
  }

  /** Rejects when something is at that path. */
  async listen(socketPath: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(socketPath, () => resolve())
    })
  }

  /** Breaks all connections, whose clients may come back to another server, and removes the socket. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const socket of this.#sockets) socket.destroy()
    await Promise.all(this.#serving)
    await closed
  }

  async #serve(socket: Socket): Promise<void> {
    this.#sockets.add(socket)
    const reader = new ByteReader(socket)
    socket.setTimeout(handshakeTimeoutMs, () => socket.destroy())
    try {
      const session = await handshakeAsServer(reader, socket, this.#exports)
      if (!session) return
      // A guest may read nothing for days.
      socket.setTimeout(0)
      await transmit(reader, socket, session).finally(() => session.export.close())
    } catch (error) {
      // Clients come and go as they please, QEMU at its end without a goodbye.
      this.#log.debug({ reason: messageOf(error) }, 'connection ended')
    } finally {
      // Once all answers are sent.
      socket.destroySoon()
      this.#sockets.delete(socket)
    }
  }
}
