/**
 * Carries metadata requests of guests to the daemon. Guests speak HTTP to a relay that knows who they are by where the
 * request came from; the relay passes it on over the daemon's unix socket with two headers that only it can set.
 * The daemon may be away (restarting): guests then get 503 at once, and ask again as the AWS SDKs and cloud-init do.
 */
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** The trusted headers. Whatever a guest sends under these names is dropped. */
export const vpcHeader = 'x-kiln-vpc'
export const sourceHeader = 'x-kiln-source-ip'

/** Bounds on what guests may ask of the host. */
const bounds = {
  headerBytes: 16 * 1024,
  bodyBytes: 16 * 1024,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 20_000,
  keepAliveMs: 10_000,
  connectionsPerGuest: 64,
  connections: 4096,
  requestsPerConnection: 1000,
  /** At once. A connection can hold many, as HTTP allows to ask again before the answer is there. */
  requestsPerGuest: 64,
}

/** What a guest has open here now. */
interface Guest {
  source: string
  connections: number
  requests: number
}

export interface MetadataRelayOptions {
  vpcId: string
  /** The daemon's metadata service. */
  metadataSocketPath: string
  /** Who is at the other end of a connection; undefined refuses it. */
  sourceOf(socket: Socket): string | undefined
}

/** A server that listens nowhere yet. */
export function createMetadataRelay(options: MetadataRelayOptions): Server {
  const guests = new Map<string, Guest>()
  const guestAt = (socket: Socket) => guests.get(options.sourceOf(socket) ?? '')
  const server = createServer(
    { maxHeaderSize: bounds.headerBytes, connectionsCheckingInterval: 1000 },
    (incoming, outgoing) => {
      const guest = guestAt(incoming.socket)
      if (!guest) return void incoming.socket.destroy()
      readAndForget(incoming)
      if (guest.requests >= bounds.requestsPerGuest) return unavailable(outgoing)
      guest.requests++
      outgoing.once('close', () => guest.requests--)
      relay(options, guest.source, incoming, outgoing)
    },
  )
  server.headersTimeout = bounds.headersTimeoutMs
  server.requestTimeout = bounds.requestTimeoutMs
  server.keepAliveTimeout = bounds.keepAliveMs
  server.maxRequestsPerSocket = bounds.requestsPerConnection
  server.maxConnections = bounds.connections
  server.on('connection', (socket: Socket) => {
    const source = options.sourceOf(socket)
    if (source === undefined) return void socket.destroy()
    const guest = guests.get(source) ?? { source, connections: 0, requests: 0 }
    if (guest.connections >= bounds.connectionsPerGuest) return void socket.destroy()
    guest.connections++
    guests.set(source, guest)
    socket.once('close', () => {
      guest.connections--
      if (guest.connections === 0) guests.delete(source)
    })
  })
  return server
}

/**
 * No request of the metadata service has a body. What comes is not passed on: on the trusted socket a guest's bytes
 * could be taken for a request of the relay's own, with the headers that tell who asks.
 */
function readAndForget(incoming: IncomingMessage): void {
  let bodyBytes = 0
  incoming.on('data', (chunk: Buffer) => {
    bodyBytes += chunk.length
    if (bodyBytes > bounds.bodyBytes) incoming.socket.destroy()
  })
}

function relay(
  options: MetadataRelayOptions,
  source: string,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): void {
  const upstream = request({
    socketPath: options.metadataSocketPath,
    method: incoming.method,
    path: incoming.url,
    headers: { ...passedOn(incoming), [vpcHeader]: options.vpcId, [sourceHeader]: source },
    timeout: bounds.requestTimeoutMs,
    agent: false,
  })
  upstream.on('timeout', () => upstream.destroy(new Error('the metadata service did not answer')))
  upstream.on('error', () => unavailable(outgoing))
  upstream.on('response', (answer) => {
    outgoing.writeHead(answer.statusCode ?? 502, endToEnd(answer))
    answer.on('error', () => unavailable(outgoing))
    answer.pipe(outgoing)
  })
  outgoing.on('close', () => upstream.destroy())
  upstream.end()
}

function unavailable(outgoing: ServerResponse): void {
  if (outgoing.headersSent) return void outgoing.destroy()
  outgoing.writeHead(503, { 'content-length': 0, 'retry-after': '1' }).end()
}

/** The guest's headers but those that end at the relay, those of its body, and those that it must not set. */
function passedOn(message: IncomingMessage): Record<string, string | string[]> {
  const headers = endToEnd(message)
  for (const name of Object.keys(headers)) {
    if (name === 'content-length' || name === 'expect' || name.startsWith('x-kiln-')) delete headers[name]
  }
  return headers
}

const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'upgrade',
  'transfer-encoding',
])

/** Headers that describe the message rather than one connection. Source: RFC 9110, 7.6.1. */
function endToEnd(message: IncomingMessage): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {}
  for (const [name, value] of Object.entries(message.headers)) {
    if (value !== undefined && !hopByHop.has(name)) headers[name] = value
  }
  return headers
}
