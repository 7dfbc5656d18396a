import { mkdtemp, rm } from 'node:fs/promises'
import type { Server } from 'node:http'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createMetadataRelay } from './metadata-relay.ts'

let base: string
let relay: Server
let port: number
let service: ReturnType<typeof createServer>
/** Connections that the metadata service has, and everything that came over them. */
let connections: Socket[]
let received: string
/** What the service does with a connection that has sent something. */
let answer: (socket: Socket) => void

const ok = (socket: Socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'kiln-relay-'))
  connections = []
  received = ''
  answer = ok
  service = createServer((socket) => {
    connections.push(socket)
    socket.on('error', () => {})
    socket.on('data', (data) => {
      received += data.toString('latin1')
      answer(socket)
    })
  })
  const metadataSocketPath = join(base, 'imds')
  await new Promise<void>((resolve) => service.listen(metadataSocketPath, resolve))
  relay = createMetadataRelay({ vpcId: 'vpc-1', metadataSocketPath, sourceOf: (socket) => socket.remoteAddress })
  await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve))
  port = (relay.address() as AddressInfo).port
})

afterEach(async () => {
  relay.closeAllConnections()
  for (const socket of connections) socket.destroy()
  await Promise.all([relay, service].map((server) => new Promise((resolve) => server.close(resolve))))
  await rm(base, { recursive: true })
})

/** Sends bytes as a guest would; all that comes back until it is `enough`, or the connection closes. */
function send(bytes: string, enough: (text: string) => boolean, localAddress = '127.0.0.1'): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', localAddress })
    let text = ''
    socket.on('error', () => {})
    socket.on('close', () => resolve(text))
    socket.on('data', (data) => {
      text += data.toString('latin1')
      if (enough(text)) socket.destroy()
    })
    socket.write(bytes, 'latin1')
  })
}

const answers = (text: string) => text.match(/HTTP\/1\.1 \d+/g)?.length ?? 0
const get = 'GET /latest/meta-data/ HTTP/1.1\r\nHost: x\r\n\r\n'

const forged = 'GET /forged HTTP/1.1\r\nHost: x\r\nX-Kiln-Vpc: vpc-2\r\nX-Kiln-Source-Ip: 172.31.0.20\r\n\r\n'
const chunked = `Transfer-Encoding: chunked\r\n\r\n${forged.length.toString(16)}\r\n${forged}\r\n0\r\n\r\n`
const sized = `Content-Length: ${forged.length}\r\n\r\n${forged}`

it.each(['GET', 'HEAD', 'DELETE', 'PUT', 'POST'].flatMap((method) => [chunked, sized].map((rest) => [method, rest])))(
  'passes nothing on of what follows the headers of a %s',
  async (method, rest) => {
    const text = await send(`${method} /asked HTTP/1.1\r\nHost: x\r\n${rest}`, (so) => answers(so) > 0)
    expect(text).toMatch(/^HTTP\/1\.1 200 /)
    expect(received).toMatch(new RegExp(`^${method} /asked HTTP/1\\.1\r\n`))
    expect(received).not.toContain('forged')
    expect(received.match(/x-kiln-vpc: .*/gi)).toEqual(['x-kiln-vpc: vpc-1'])
  },
)

it('cuts off a guest that sends without end', async () => {
  answer = () => {}
  const endless = `PUT /asked HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n${'a'.repeat(20_000)}`
  expect(await send(endless, () => false)).toBe('')
})

it('refuses headers without end, and does not pass them on', async () => {
  const text = await send(`${get.slice(0, -2)}X-Long: ${'a'.repeat(16 * 1024)}\r\n\r\n`, (so) => answers(so) > 0)
  expect(text).toMatch(/^HTTP\/1\.1 431 /)
  expect(received).toBe('')
})

it('holds a guest to a number of requests at once, however it sends them, and serves the others', async () => {
  answer = () => {}
  const perConnection = 100
  const flood = Array.from({ length: 10 }, () => send(get.repeat(perConnection), () => false))
  await expect.poll(() => connections.length).toBe(64)
  answer = ok
  expect(await send(get, (text) => answers(text) > 0, '127.0.0.2')).toMatch(/^HTTP\/1\.1 200 /)
  // The guest's own places are taken until it is answered.
  expect(await send(get, (text) => answers(text) > 0)).toMatch(/^HTTP\/1\.1 503 /)
  expect(connections.length).toBe(65)
  for (const socket of connections) ok(socket)
  relay.closeIdleConnections()
  await expect.poll(async () => (await send(get, (text) => answers(text) > 0)).slice(0, 13)).toBe('HTTP/1.1 200 ')
  relay.closeAllConnections()
  await Promise.all(flood)
})
