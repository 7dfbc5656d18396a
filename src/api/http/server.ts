/** The HTTP server: one port for every service. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { KilnError } from '../../lib/errors.ts'
import type { GuestOrigin } from '../../lib/guest-origin.ts'
import { limits } from '../../lib/limits.ts'
import { encodeError } from '../ec2/codec/encode.ts'
import { isStreamed, type StreamedBody } from '../service.ts'
import { discardBody } from './body.ts'
import { answerRequest } from './chain.ts'
import type { ChainSettings } from './exchange.ts'
import { createGuestDoor } from './guest-door.ts'
import type { Guest, GuestLookup } from './guests.ts'

/** In milliseconds. */
export interface ServerTimeouts {
  /** From the first byte of a request to the last of its headers. */
  headersMs: number
  /** Longer than the official clients keep unused connections, so that the client closes first. */
  keepAliveMs: number
  /** Without a byte moving: longer than the official clients wait for an answer. Who reads none is cut off. */
  stalledMs: number
}

const usualTimeouts: ServerTimeouts = {
  headersMs: 10_000,
  keepAliveMs: 75_000,
  stalledMs: 120_000,
}
const connectionsMax = 1024
/** The status of `RequestTimeout`: nothing more is read from such a sender. */
const tooSlow = 408

export interface ApiServer {
  /** Port 0 takes a free one. Resolves to the port once connections are accepted. */
  listen(address: { port: number; host: string }): Promise<number>
  /** Takes guests' connections too, from the network's relays. */
  listenForGuests(socketPath: string, guestAt: (origin: GuestOrigin) => Promise<Guest | null>): Promise<void>
  /** Takes no more requests, lets those in flight end for `graceMs`, then cuts every connection. */
  close(graceMs?: number): Promise<void>
}

export function createApiServer(settings: ChainSettings, wished: Partial<ServerTimeouts> = {}): ApiServer {
  const timeouts = { ...usualTimeouts, ...wished }
  let closing = false
  const guests = new WeakMap<Socket, GuestLookup>()
  let guestAt: (origin: GuestOrigin) => Promise<Guest | null> = async () => null
  const door = createGuestDoor((socket, origin) => {
    guests.set(socket, () => guestAt(origin))
    server.emit('connection', socket)
  })
  const answer = (request: IncomingMessage, response: ServerResponse, expectsContinue: boolean) => {
    const from = { guest: guests.get(request.socket), expectsContinue }
    serve(request, response, settings, () => closing, from).catch((error: unknown) => {
      // The chain answers everything itself: what is left is a connection that went away, or content that failed.
      settings.log[response.destroyed ? 'debug' : 'error']({ err: error }, 'the answer could not be sent')
      response.destroy()
    })
  }
  const server = createServer(
    {
      maxHeaderSize: limits.requestHeaderBytes,
      headersTimeout: timeouts.headersMs,
      requestTimeout: limits.uploadMs,
      keepAliveTimeout: timeouts.keepAliveMs,
      connectionsCheckingInterval: 5000,
    },
    (request, response) => answer(request, response, false),
  )
  // Whoever asks first whether to send at all is answered before its body comes.
  server.on('checkContinue', (request, response) => answer(request, response, true))
  server.timeout = timeouts.stalledMs
  server.maxConnections = connectionsMax
  server.on('clientError', refuseBrokenRequest)

  return {
    listen: ({ port, host }) =>
      new Promise((resolve, reject) => {
        server.once('error', reject)
        server.listen(port, host, () => {
          server.off('error', reject)
          server.on('error', (error) => settings.log.error({ err: error }, 'the server failed to accept a connection'))
          resolve((server.address() as AddressInfo).port)
        })
      }),
    listenForGuests(socketPath, lookup) {
      guestAt = lookup
      return door.listen(socketPath)
    },
    close: async (graceMs = 5000) => {
      closing = true
      await closeServer(server, door.close(), settings, graceMs)
    },
  }
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  settings: ChainSettings,
  isClosing: () => boolean,
  { guest, expectsContinue }: { guest: GuestLookup | undefined; expectsContinue: boolean },
): Promise<void> {
  const body = new RequestBody(request, response, expectsContinue)
  const answer = await answerRequest(
    {
      method: request.method ?? 'GET',
      target: request.url ?? '/',
      headers: pairs(request.rawHeaders),
      body,
      guest,
    },
    settings,
  )
  if (!request.complete && !body.isAwaited && answer.status !== tooSlow) await discardBody(body)
  const { contentType, body: content, headers = {}, isCacheable = false } = answer
  const hasBody = answer.status !== 204 && answer.status !== 304
  response.writeHead(answer.status, {
    ...(isCacheable ? {} : { 'cache-control': 'no-store' }),
    'x-content-type-options': 'nosniff',
    'x-amzn-requestid': answer.requestId,
    ...(contentType === undefined ? {} : { 'content-type': contentType }),
    ...(hasBody ? { 'content-length': isStreamed(content) ? content.lengthBytes : Buffer.byteLength(content) } : {}),
    ...headers,
    // What is left of a body that was not read would be taken for the next request.
    ...(isClosing() || !request.complete ? { connection: 'close' } : {}),
  })
  if (isStreamed(content)) await sendStream(response, content, request.method === 'HEAD')
  else response.end(request.method === 'HEAD' || !hasBody ? undefined : content)
}

/** Reads on only as fast as the receiver does. Throws when the content fails: the connection is to be cut then. */
async function sendStream(response: ServerResponse, { content }: StreamedBody, isHead: boolean): Promise<void> {
  const iterator = content[Symbol.asyncIterator]()
  try {
    for (let next = isHead ? undefined : await iterator.next(); next && !next.done; next = await iterator.next()) {
      if (response.destroyed) return
      if (!response.write(next.value)) await drained(response)
    }
    response.end()
  } finally {
    await iterator.return?.()
  }
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      response.off('drain', go)
      response.off('close', go)
      resolve()
    }
    response.once('drain', go)
    response.once('close', go)
  })
}

/** A request's body. Leaving it half read does not take the connection away before the answer is sent. */
class RequestBody implements AsyncIterable<Uint8Array> {
  /** The sender waits for a word before it sends: it gets it when somebody reads. */
  isAwaited: boolean
  readonly #request: IncomingMessage
  readonly #response: ServerResponse

  constructor(request: IncomingMessage, response: ServerResponse, isAwaited: boolean) {
    this.#request = request
    this.#response = response
    this.isAwaited = isAwaited
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    if (this.isAwaited) this.#response.writeContinue()
    this.isAwaited = false
    return this.#request.iterator({ destroyOnReturn: false })
  }
}

function pairs(rawHeaders: readonly string[]): [string, string][] {
  const result: [string, string][] = []
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) result.push([rawHeaders[i]!, rawHeaders[i + 1]!])
  return result
}

/** What Node's parser refused never reaches the chain: it still gets an answer that a client can read. */
function refuseBrokenRequest(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy()
    return
  }
  const tooLarge = error.code === 'HPE_HEADER_OVERFLOW'
  const tooSlow = error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
  const status = tooLarge ? '431 Request Header Fields Too Large' : tooSlow ? '408 Request Timeout' : '400 Bad Request'
  const refusal = tooLarge
    ? new KilnError(
        'RequestEntityTooLarge',
        `The request's headers are larger than ${limits.requestHeaderBytes} bytes.`,
      )
    : new KilnError('MalformedQueryString', tooSlow ? 'The request came too slowly.' : 'The request is not valid HTTP.')
  const body = encodeError(refusal, '')
  socket.end(
    `HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-type: text/xml;charset=UTF-8\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
}

/** `othersClosed`: once the connections are gone that others accepted. */
async function closeServer(
  server: Server,
  othersClosed: Promise<void>,
  { clock }: ChainSettings,
  graceMs: number,
): Promise<void> {
  if (!server.listening) return othersClosed
  const grace = new AbortController()
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  server.closeIdleConnections()
  const cut = clock.sleep(graceMs, grace.signal).then(
    () => server.closeAllConnections(),
    () => {},
  )
  await Promise.all([closed, othersClosed])
  grace.abort()
  await cut
}
