/** The client against servers that misbehave: played by scripts on real sockets. */
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { ByteReader } from './byte-reader.ts'
import { connectNbd, type NbdClient } from './client.ts'
import { answersNbd } from './probe.ts'
import {
  chunk,
  chunkDone,
  option,
  optionMagic,
  optionReply,
  optionReplyMagic,
  serverMagic,
  simpleReplyMagic,
  structuredReplyMagic,
} from './protocol.ts'

const exportBytes = 4096

function bytes(...fields: (readonly [size: number, value: number | bigint])[]): Buffer {
  return Buffer.concat(
    fields.map(([size, value]) => {
      const field = Buffer.alloc(8)
      field.writeBigUInt64BE(BigInt(value))
      return field.subarray(8 - size)
    }),
  )
}

const greeting = bytes([8, serverMagic], [8, optionMagic], [2, 3])
const reply = (type: number, kind: number, content: Buffer = Buffer.alloc(0)) =>
  Buffer.concat([bytes([8, optionReplyMagic], [4, type], [4, kind], [4, content.length]), content])

/** A server that greets and agrees to everything, then answers every request with what `respond` gives. */
async function playServer(
  respond: (cookie: bigint, socket: Socket) => Buffer | undefined,
  contextId = 1,
): Promise<NbdClient> {
  const socketPath = await listen(async (socket, reader) => {
    socket.write(greeting)
    await reader.take(4)
    for (let type = 0; type !== option.go; ) {
      const header = await reader.take(16)
      type = header.readUInt32BE(8)
      await reader.take(header.readUInt32BE(12))
      if (type === option.setMetaContext)
        socket.write(
          reply(type, optionReply.metaContext, Buffer.concat([bytes([4, contextId]), Buffer.from('base:allocation')])),
        )
      if (type === option.go) socket.write(reply(type, optionReply.info, bytes([2, 0], [8, exportBytes], [2, 3])))
      socket.write(reply(type, optionReply.ack))
    }
    for (;;) {
      const answer = respond((await reader.take(28)).readBigUInt64BE(8), socket)
      if (answer) socket.write(answer)
    }
  })
  return await connectNbd({ socketPath, exportName: 'x', contexts: ['base:allocation'] })
}

async function listen(script: (socket: Socket, reader: ByteReader) => Promise<void>): Promise<string> {
  const socketPath = join(await temporaryFolder(), 's')
  const server = createServer((socket) => {
    script(socket, new ByteReader(socket)).catch(() => socket.destroy())
    onTestFinished(() => void socket.destroy())
  })
  await new Promise<void>((resolve) => server.listen(socketPath, resolve))
  onTestFinished(() => void server.close())
  return socketPath
}

const piece = (cookie: bigint, type: number, content: Buffer, flags = chunkDone) =>
  Buffer.concat([bytes([4, structuredReplyMagic], [2, flags], [2, type], [8, cookie], [4, content.length]), content])
const data = (offset: number, length: number) => Buffer.concat([bytes([8, offset]), Buffer.alloc(length, 7)])

test('chunks in any order, holes among them, make one answer', async () => {
  const client = await playServer((cookie) =>
    Buffer.concat([
      piece(cookie, chunk.data, data(300, 212), 0),
      piece(cookie, chunk.hole, bytes([8, 100], [4, 200]), 0),
      piece(cookie, chunk.data, data(0, 100), 0),
      piece(cookie, chunk.none, Buffer.alloc(0)),
    ]),
  )
  const target = Buffer.alloc(512, 9)
  await client.readInto(target, 0)
  expect(target.equals(Buffer.concat([Buffer.alloc(100, 7), Buffer.alloc(200), Buffer.alloc(212, 7)]))).toBe(true)
})

test.each<[string, (cookie: bigint) => Buffer, string]>([
  ['too little', (cookie) => piece(cookie, chunk.data, data(0, 511)), 'answered with 511'],
  ['nothing', (cookie) => piece(cookie, chunk.none, Buffer.alloc(0)), 'answered with 0'],
  [
    'a gap',
    (cookie) => Buffer.concat([piece(cookie, chunk.data, data(0, 100), 0), piece(cookie, chunk.data, data(101, 411))]),
    'answered with 100',
  ],
  [
    'an overlap',
    (cookie) => Buffer.concat([piece(cookie, chunk.data, data(0, 100), 0), piece(cookie, chunk.data, data(99, 413))]),
    'overlap',
  ],
  ['too much', (cookie) => piece(cookie, chunk.data, data(0, 513)), 'outside'],
  ['another place', (cookie) => piece(cookie, chunk.data, data(4000, 512)), 'outside'],
  ['a huge hole', (cookie) => piece(cookie, chunk.hole, bytes([8, 0], [4, 0xffffffff])), 'outside'],
  ['a stranger', (cookie) => piece(cookie + 5n, chunk.data, data(0, 512)), 'nobody made'],
  [
    'no structure',
    (cookie) => Buffer.concat([bytes([4, simpleReplyMagic], [4, 0], [8, cookie]), Buffer.alloc(512)]),
    'without structure',
  ],
  ['noise', () => Buffer.alloc(512, 0x55), 'begins with 55555555'],
  [
    'an extent list',
    (cookie) => piece(cookie, chunk.blockStatus, bytes([4, 1], [4, 512], [4, 0])),
    'unexpected status',
  ],
])('a read that is answered with %s fails and ends the connection', async (_, respond, message) => {
  const client = await playServer(respond)
  await expect(client.readInto(Buffer.alloc(512), 0)).rejects.toThrow(message)
  await expect(client.readInto(Buffer.alloc(512), 0)).rejects.toThrow('connection lost')
})

test.each<[string, (cookie: bigint) => Buffer, string]>([
  ['no extents', (cookie) => piece(cookie, chunk.none, Buffer.alloc(0)), 'no status came'],
  [
    'an empty extent',
    (cookie) => piece(cookie, chunk.blockStatus, bytes([4, 1], [4, 0], [4, 0])),
    'an extent of no bytes',
  ],
  ['a foreign context', (cookie) => piece(cookie, chunk.blockStatus, bytes([4, 2], [4, 512], [4, 0])), 'context 2'],
  [
    'half an extent',
    (cookie) => piece(cookie, chunk.blockStatus, bytes([4, 1], [4, 512], [2, 0])),
    'unexpected status',
  ],
])('a status that is answered with %s fails', async (_, respond, message) => {
  const client = await playServer(respond)
  await expect(client.blockStatus(0, 512)).rejects.toThrow(message)
})

test('a refusal concerns its request alone', async () => {
  let requests = 0
  const client = await playServer((cookie) =>
    requests++ === 0
      ? piece(cookie, chunk.error, Buffer.concat([bytes([4, 5], [2, 7]), Buffer.from('bad day')]))
      : piece(cookie, chunk.data, data(0, 512)),
  )
  const refused = client.readInto(Buffer.alloc(512), 0)
  await expect(refused).rejects.toMatchObject({ errno: 5, message: expect.stringContaining('bad day') })
  await client.readInto(Buffer.alloc(512), 0)
})

test('a connection that breaks fails everything in flight', async () => {
  let requests = 0
  const client = await playServer((_, socket) => {
    if (++requests === 3) socket.destroy()
    return undefined
  })
  const reads = await Promise.allSettled([0, 512, 1024].map((offset) => client.readInto(Buffer.alloc(512), offset)))
  expect(reads.map((read) => read.status)).toEqual(['rejected', 'rejected', 'rejected'])
})

test('an abort ends what waits, with its reason', async () => {
  const aborting = new AbortController()
  const socketPath = await listen(async () => {})
  const connecting = connectNbd({ socketPath, exportName: 'x', contexts: [], signal: aborting.signal })
  aborting.abort(new Error('enough'))
  await expect(connecting).rejects.toThrow('enough')
})

test.each<[string, Buffer, string]>([
  ['another protocol', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'), 'no NBD server'],
  ['the old style', bytes([8, serverMagic], [8, optionMagic], [2, 0]), 'fixed newstyle'],
])('%s is not taken for a server', async (_, hello, message) => {
  const socketPath = await listen(async (socket) => void socket.write(hello))
  await expect(connectNbd({ socketPath, exportName: 'x', contexts: [] })).rejects.toThrow(message)
  expect(await answersNbd(socketPath)).toBe(false)
})

test('nobody there is told at once', async () => {
  const socketPath = join(await temporaryFolder(), 'none')
  expect(await answersNbd(socketPath)).toBe(false)
  await expect(connectNbd({ socketPath, exportName: 'x', contexts: [] })).rejects.toThrow('ENOENT')
})
