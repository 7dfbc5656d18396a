import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { readOrigin } from '../lib/guest-origin.ts'
import { type ApiRelay, createApiRelay } from './api-relay.ts'

let base: string
let relay: ApiRelay
let port: number
let daemon: Server | undefined
let connections: Socket[]

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'kiln-relay-'))
  connections = []
  relay = createApiRelay({
    vpcId: 'vpc-1',
    apiSocketPath: join(base, 'api'),
    sourceOf: (socket) => socket.remoteAddress,
  })
  await new Promise<void>((resolve) => relay.server.listen(0, '127.0.0.1', resolve))
  port = (relay.server.address() as AddressInfo).port
})

afterEach(async () => {
  await relay.close()
  for (const socket of connections) socket.destroy()
  await new Promise((resolve) => (daemon ? daemon.close(resolve) : resolve(undefined)))
  daemon = undefined
  await rm(base, { recursive: true })
})

/** What stands at the other end of the relay. */
async function serve(take: (socket: Socket) => void): Promise<void> {
  daemon = createServer({ allowHalfOpen: true }, (socket) => {
    connections.push(socket)
    socket.on('error', () => {})
    take(socket)
  })
  await new Promise<void>((resolve) => daemon!.listen(join(base, 'api'), resolve))
}

function guest(localAddress = '127.0.0.1'): Socket {
  const socket = connect({ port, host: '127.0.0.1', localAddress, allowHalfOpen: true })
  socket.on('error', () => {})
  return socket
}

async function textOf(socket: Socket): Promise<string> {
  let text = ''
  for await (const chunk of socket) text += chunk.toString('latin1')
  return text
}

it('says whose a connection is, once and first, whatever the guest sends', async () => {
  const forged = '{"vpcId":"vpc-2","sourceIp":"172.31.0.20"}\n'
  await serve(async (socket) => {
    const origin = await readOrigin(socket, 1000)
    socket.end(`${JSON.stringify(origin)} ${await textOf(socket)}`)
  })
  const told = async (localAddress: string) => {
    const socket = guest(localAddress)
    socket.end(forged)
    return textOf(socket)
  }
  expect(await told('127.0.0.1')).toBe(`{"vpcId":"vpc-1","sourceIp":"127.0.0.1"} ${forged}`)
  expect(await told('127.0.0.2')).toBe(`{"vpcId":"vpc-1","sourceIp":"127.0.0.2"} ${forged}`)
})

it('carries large bodies both ways unchanged, at once', async () => {
  const sent = randomBytes(8 * 1024 * 1024)
  const hash = createHash('sha256')
  await serve(async (socket) => {
    await readOrigin(socket, 1000)
    socket.pipe(socket)
  })
  const socket = guest()
  socket.end(sent)
  for await (const chunk of socket) hash.update(chunk)
  expect(hash.digest('hex')).toBe(createHash('sha256').update(sent).digest('hex'))
})

it('takes no more from a guest than the daemon reads', async () => {
  await serve((socket) => void socket.pause())
  const socket = guest()
  const block = Buffer.alloc(1024 * 1024)
  const offered = 64
  for (let count = 0; count < offered; count++) socket.write(block)
  let before = -1
  // Until nothing has moved for a while.
  await expect
    .poll(
      () => {
        const stands = socket.bytesWritten - socket.writableLength === before
        before = socket.bytesWritten - socket.writableLength
        return stands
      },
      { interval: 300, timeout: 10_000 },
    )
    .toBe(true)
  expect(before).toBeLessThan((offered / 2) * block.length)
  socket.destroy()
})

it('answers 503 at once while the daemon is away, also to a guest that is sending', async () => {
  const socket = guest()
  socket.write(`PUT /bucket/key HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n${'a'.repeat(1_000_000)}`)
  const text = await textOf(socket)
  expect(text).toMatch(/^HTTP\/1\.1 503 /)
  expect(text.toLowerCase()).toContain('connection: close')
  socket.destroy()
})

it('holds a guest to a number of connections, and takes those of others', async () => {
  await serve((socket) => void socket.resume())
  const flood = Array.from({ length: 100 }, () => guest('127.0.0.2'))
  await expect.poll(() => flood.filter((socket) => socket.destroyed).length).toBe(36)
  const other = guest('127.0.0.3')
  await expect.poll(() => connections.length).toBe(65)
  flood.find((socket) => !socket.destroyed)!.resetAndDestroy()
  await expect.poll(() => connections.filter((socket) => socket.readableEnded).length).toBe(1)
  const again = guest('127.0.0.2')
  await expect.poll(() => connections.length).toBe(66)
  for (const socket of [...flood, other, again]) socket.destroy()
})

it('lets the daemon know when the guest goes away, and the guest when the daemon does', async () => {
  await serve((socket) => void socket.resume())
  const leaving = guest()
  await expect.poll(() => connections.length).toBe(1)
  leaving.resetAndDestroy()
  await expect.poll(() => connections[0]!.readableEnded).toBe(true)
  const left = guest()
  await expect.poll(() => connections.length).toBe(2)
  const closed = new Promise((resolve) => left.once('close', resolve))
  connections[1]!.destroy()
  left.resume().end()
  await closed
})
