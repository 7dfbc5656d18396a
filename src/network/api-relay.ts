/**
 * Carries guests' connections to the daemon's API, byte for byte: uploads and downloads of any size pass as fast as both
 * sides take them, and how HTTP is to be read is for the API alone to say. Which guest it is, the daemon is told before
 * the guest's first byte. The daemon may be away (restarting): guests then get 503 at once, and ask again as the AWS SDKs do.
 */
import { connect, createServer, type Server, type Socket } from 'node:net'
import { sendOrigin } from '../lib/guest-origin.ts'
import { abort, splice, spliceable } from './splice.ts'

/** Bounds on what guests may have open on the host. How long they may be silent is for the API to say. */
const bounds = { connectionsPerGuest: 64, connections: 4096 }
/** What a guest that was refused may still send before it is cut off. */
const partingMs = 2000

const unavailable =
  'HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'

export interface ApiRelayOptions {
  vpcId: string
  /** Where the daemon takes guests' connections. */
  apiSocketPath: string
  /** Who is at the other end of a connection; undefined refuses it. */
  sourceOf(socket: Socket): string | undefined
}

export interface ApiRelay {
  /** Listens nowhere yet. */
  server: Server
  /** Cuts all connections. */
  close(): Promise<void>
}

export function createApiRelay({ vpcId, apiSocketPath, sourceOf }: ApiRelayOptions): ApiRelay {
  const guests = new Map<string, Set<Socket>>()
  const server = createServer(spliceable, (guest) => {
    guest.on('error', () => {})
    const sourceIp = sourceOf(guest)
    if (sourceIp === undefined || !admit(guests, sourceIp, guest)) return abort(guest)
    const daemon = connect({ path: apiSocketPath, ...spliceable })
    const refuse = () => refuseGuest(guest)
    daemon.once('error', refuse)
    daemon.once('connect', () => {
      daemon.off('error', refuse)
      sendOrigin(daemon, { vpcId, sourceIp })
      splice(guest, daemon)
      if (guest.destroyed) abort(daemon)
    })
  })
  server.maxConnections = bounds.connections
  return {
    server,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      for (const sockets of guests.values()) for (const socket of sockets) abort(socket)
      await closed
    },
  }
}

/** False when the guest has as many connections as it may. */
function admit(guests: Map<string, Set<Socket>>, sourceIp: string, socket: Socket): boolean {
  const sockets = guests.get(sourceIp) ?? new Set()
  if (sockets.size >= bounds.connectionsPerGuest) return false
  guests.set(sourceIp, sockets.add(socket))
  socket.once('close', () => {
    sockets.delete(socket)
    if (sockets.size === 0) guests.delete(sourceIp)
  })
  return true
}

/** Reads what the guest is still sending: a connection that is closed with bytes unread loses what was written to it. */
function refuseGuest(guest: Socket): void {
  guest.resume()
  guest.end(unavailable)
  guest.setTimeout(partingMs, () => guest.destroy())
  guest.once('end', () => guest.destroySoon())
}
