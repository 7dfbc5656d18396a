/** The server against clients that are old, odd or hostile; QEMU's own client is in `server-main.test.ts`. */
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { silentLog } from '../../lib/log.ts'
import { temporaryFolder } from '../testing/temporary-folder.ts'
import { ByteReader } from './byte-reader.ts'
import { connectNbd } from './client.ts'
import type { NbdExports } from './exports.ts'
import {
  command,
  option,
  optionMagic,
  optionReply,
  payloadBytesMax,
  requestMagic,
  simpleReplyMagic,
  structuredReplyMagic,
} from './protocol.ts'
import { NbdServer } from './server.ts'

const exportBytes = 1024 * 1024

/** One export, `disk`: 512 KiB of 7 and then zeros. Counts what is open. */
async function setUp() {
  const socketPath = join(await temporaryFolder(), 's')
  const state = { open: 0 }
  const exports: NbdExports = {
    open: async (name) => {
      if (name !== 'disk') throw new Error(`there is no ${name}`)
      state.open++
      return {
        sizeBytes: exportBytes,
        read: async (offset, length) => {
          const dataBytes = Math.max(0, Math.min(exportBytes / 2 - offset, length))
          const pieces = [
            { lengthBytes: dataBytes, bytes: Buffer.alloc(dataBytes, 7) },
            { lengthBytes: length - dataBytes, bytes: null },
          ]
          return pieces.filter((piece) => piece.lengthBytes > 0)
        },
        allocation: async (_, length) => [
          { lengthBytes: length / 2, value: 0 },
          { lengthBytes: length / 2, value: 3 },
        ],
        close: async () => void state.open--,
      }
    },
  }
  const server = new NbdServer(exports, silentLog)
  await server.listen(socketPath)
  onTestFinished(() => server.close())
  return { socketPath, state }
}

class RawClient {
  readonly socket: Socket
  readonly reader: ByteReader

  constructor(socketPath: string) {
    this.socket = connect(socketPath)
    this.reader = new ByteReader(this.socket)
    onTestFinished(() => void this.socket.destroy())
  }

  async greet(flags = 3): Promise<this> {
    await this.reader.take(18)
    this.socket.write(bytes([4, flags]))
    return this
  }

  send(type: number, content: Buffer = Buffer.alloc(0)): void {
    this.socket.write(Buffer.concat([bytes([8, optionMagic], [4, type], [4, content.length]), content]))
  }

  /** The kind and content of the next reply to an option. */
  async reply(): Promise<{ kind: number; content: Buffer }> {
    const header = await this.reader.take(20)
    return { kind: header.readUInt32BE(12), content: await this.reader.take(header.readUInt32BE(16)) }
  }

  request(type: number, offset: number | bigint, length: number, flags = 0): void {
    this.socket.write(bytes([4, requestMagic], [2, flags], [2, type], [8, 42], [8, offset], [4, length]))
  }

  /** Chooses the export in the old way, which gives plain answers. */
  async choose(): Promise<this> {
    this.send(option.exportName, Buffer.from('disk'))
    const answer = await this.reader.take(10)
    expect(Number(answer.readBigUInt64BE())).toBe(exportBytes)
    return this
  }

  /** The errno of the next plain answer. */
  async plainError(): Promise<number> {
    const answer = await this.reader.take(16)
    expect([answer.readUInt32BE(), answer.readBigUInt64BE(8)]).toEqual([simpleReplyMagic, 42n])
    return answer.readUInt32BE(4)
  }
}

function bytes(...fields: (readonly [size: number, value: number | bigint])[]): Buffer {
  return Buffer.concat(
    fields.map(([size, value]) => {
      const field = Buffer.alloc(8)
      field.writeBigUInt64BE(BigInt(value))
      return field.subarray(8 - size)
    }),
  )
}

const named = (name: string) => Buffer.concat([bytes([4, name.length]), Buffer.from(name)])

test('an old client gets plain answers, zeros as bytes', async () => {
  const { socketPath } = await setUp()
  const client = await (await new RawClient(socketPath).greet()).choose()
  client.request(command.read, exportBytes / 2 - 100, 300_000)
  expect(await client.plainError()).toBe(0)
  const data = await client.reader.take(300_000)
  expect(data.equals(Buffer.concat([Buffer.alloc(100, 7), Buffer.alloc(299_900)]))).toBe(true)
})

test('without NO_ZEROES the old way pads its answer', async () => {
  const { socketPath } = await setUp()
  const client = await new RawClient(socketPath).greet(1)
  client.send(option.exportName, Buffer.from('disk'))
  expect((await client.reader.take(134)).subarray(10).equals(Buffer.alloc(124))).toBe(true)
})

test.each<[string, number, number | bigint, number, number]>([
  ['a write', command.write, 0, 512, 1],
  ['a trim', command.trim, 0, 512, 1],
  ['zeros', command.writeZeroes, 0, 512, 1],
  ['a flush', command.flush, 0, 0, 0],
  ['nothing', command.read, 0, 0, 22],
  ['a read beyond the end', command.read, exportBytes - 10, 11, 22],
  ['a read at the end of numbers', command.read, 2n ** 64n - 1n, 512, 22],
  ['a huge read', command.read, 0, payloadBytesMax + 1, 75],
  ['a status that was not negotiated', command.blockStatus, 0, 512, 22],
  ['a command of tomorrow', 99, 0, 0, 22],
])('%s is answered by errno, and the connection goes on', async (_, type, offset, length, errno) => {
  const { socketPath } = await setUp()
  const client = await (await new RawClient(socketPath).greet()).choose()
  client.request(type, offset, length)
  if (type === command.write) client.socket.write(Buffer.alloc(length))
  expect(await client.plainError()).toBe(errno)
  client.request(command.read, 0, 1)
  expect(await client.plainError()).toBe(0)
  expect(await client.reader.take(1)).toEqual(Buffer.of(7))
})

test('options: unknown ones, malformed ones and the list are answered, and negotiation goes on', async () => {
  const { socketPath, state } = await setUp()
  const client = await new RawClient(socketPath).greet()
  const ask = async (type: number, content?: Buffer) => {
    client.send(type, content)
    return (await client.reply()).kind
  }
  expect(await ask(5)).toBe(optionReply.errorUnsupported)
  expect(await ask(option.list)).toBe(optionReply.ack)
  expect(await ask(option.list, Buffer.of(1))).toBe(optionReply.errorInvalid)
  expect(await ask(option.structuredReply, Buffer.of(1))).toBe(optionReply.errorInvalid)
  // A context before structured replies, a count without its queries, a name that is not all there.
  const context = Buffer.concat([named('disk'), bytes([4, 1]), named('base:allocation')])
  expect(await ask(option.setMetaContext, context)).toBe(optionReply.errorInvalid)
  expect(await ask(option.structuredReply)).toBe(optionReply.ack)
  expect(await ask(option.setMetaContext, Buffer.concat([named('disk'), bytes([4, 0xffffffff])]))).toBe(
    optionReply.errorInvalid,
  )
  expect(await ask(option.go, bytes([4, 5000]))).toBe(optionReply.errorInvalid)
  expect(await ask(option.go, Buffer.concat([named('disk'), bytes([2, 0], [1, 0])]))).toBe(optionReply.errorInvalid)
  expect(await ask(option.go, Buffer.concat([named('disc'), bytes([2, 0])]))).toBe(optionReply.errorUnknown)
  expect(state.open).toBe(0)

  client.send(option.info, Buffer.concat([named('disk'), bytes([2, 1], [2, 3])]))
  const [size, sizes, done] = [await client.reply(), await client.reply(), await client.reply()]
  expect(size.content).toEqual(bytes([2, 0], [8, exportBytes], [2, 1 + 2 + 4 + 256]))
  expect(sizes.content).toEqual(bytes([2, 3], [4, 1], [4, 65536], [4, payloadBytesMax]))
  expect(done.kind).toBe(optionReply.ack)
  expect(state.open).toBe(0)
})

test('contexts are listed by family, and granted only for the export that is then chosen', async () => {
  const { socketPath } = await setUp()
  const client = await new RawClient(socketPath).greet()
  client.send(option.structuredReply)
  await client.reply()
  for (const queries of [[], ['base:'], ['base:allocation', 'qemu:dirty-bitmap:x']]) {
    client.send(
      option.listMetaContext,
      Buffer.concat([named('disk'), bytes([4, queries.length]), ...queries.map(named)]),
    )
    expect((await client.reply()).content.toString('utf8', 4)).toBe('base:allocation')
    expect((await client.reply()).kind).toBe(optionReply.ack)
  }
  client.send(option.setMetaContext, Buffer.concat([named('other'), bytes([4, 1]), named('base:allocation')]))
  expect((await client.reply()).kind).toBe(optionReply.metaContext)
  await client.reply()
  client.send(option.go, Buffer.concat([named('disk'), bytes([2, 0])]))
  while ((await client.reply()).kind !== optionReply.ack);
  client.request(command.blockStatus, 0, 512)
  const chunk = await client.reader.take(20)
  expect([chunk.readUInt32BE(), chunk.readUInt16BE(6)]).toEqual([structuredReplyMagic, 0x8001])
})

test.each<[string, (client: RawClient) => Promise<void>]>([
  ['unknown flags', async (client) => void (await client.greet(0x80))],
  [
    'a huge option',
    async (client) => void (await client.greet()).socket.write(bytes([8, optionMagic], [4, 7], [4, 0x7fffffff])),
  ],
  ['noise for an option', async (client) => void (await client.greet()).socket.write(Buffer.alloc(64, 0x55))],
  [
    'an unknown export in the old way',
    async (client) => (await client.greet()).send(option.exportName, Buffer.from('disc')),
  ],
  [
    'noise for a request',
    async (client) => void (await (await client.greet()).choose()).socket.write(Buffer.alloc(64, 0x55)),
  ],
  ['a huge write', async (client) => (await (await client.greet()).choose()).request(command.write, 0, 0x7fffffff)],
  ['a goodbye', async (client) => (await (await client.greet()).choose()).request(command.disconnect, 0, 0)],
  [
    'options without end',
    async (client) => {
      await client.greet()
      for (let i = 0; i < 200; i++) client.send(option.list)
      await client.reader.skip(128 * 20)
    },
  ],
])('%s ends the connection, and only that one', async (_, misbehave) => {
  const { socketPath, state } = await setUp()
  const client = new RawClient(socketPath)
  await misbehave(client)
  await expect(client.reader.take(1)).rejects.toThrow('connection lost')
  await expect.poll(() => state.open).toBe(0)
  const other = await connectNbd({ socketPath, exportName: 'disk', contexts: ['base:allocation'] })
  await other.readInto(Buffer.alloc(1), 0)
  expect((await other.blockStatus(0, 512)).get('base:allocation')).toEqual([
    { lengthBytes: 256, value: 0 },
    { lengthBytes: 256, value: 3 },
  ])
  await other.close()
})

test('a client that asks for much and reads nothing does not fill our memory', async () => {
  const { socketPath } = await setUp()
  const client = await (await new RawClient(socketPath).greet()).choose()
  client.socket.pause()
  const before = process.memoryUsage().arrayBuffers
  for (let i = 0; i < 2000; i++) client.request(command.read, 0, exportBytes)
  await new Promise((resolve) => setTimeout(resolve, 300))
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(300 * 1024 * 1024)
})
