/** The client's side of the fixed newstyle negotiation. */
import type { Socket } from 'node:net'
import type { ByteReader } from './byte-reader.ts'
import {
  handshake,
  info,
  option,
  optionBytesMax,
  optionMagic,
  optionReply,
  optionReplyMagic,
  serverMagic,
  stringBytesMax,
} from './protocol.ts'

export interface NegotiatedExport {
  sizeBytes: number
  /** Granted contexts by the id under which the server speaks of them. */
  contextNames: ReadonlyMap<number, string>
}

interface OptionReply {
  type: number
  content: Buffer
}

/** Most replies to one option: contexts and pieces of information are few. */
const repliesMax = 64

/** Reads a server's greeting; true when it speaks fixed newstyle. Leaves the connection at the start of the options. */
export async function greet(reader: ByteReader, socket: Socket): Promise<void> {
  const greeting = await reader.take(18)
  if (greeting.readBigUInt64BE() !== serverMagic || greeting.readBigUInt64BE(8) !== optionMagic)
    throw new Error('what answers there is no NBD server')
  const flags = greeting.readUInt16BE(16)
  if (!(flags & handshake.fixedNewstyle)) throw new Error('the NBD server does not speak fixed newstyle')
  const answer = Buffer.alloc(4)
  answer.writeUInt32BE(flags & (handshake.fixedNewstyle | handshake.noZeroes))
  socket.write(answer)
}

export async function handshakeAsClient(
  reader: ByteReader,
  socket: Socket,
  wanted: { exportName: string; contexts: readonly string[] },
): Promise<NegotiatedExport> {
  await greet(reader, socket)
  const ask = async (type: number, content: Buffer) => await converse(reader, socket, type, content)
  await ask(option.structuredReply, Buffer.alloc(0))
  const contextNames = new Map<number, string>()
  if (wanted.contexts.length > 0) {
    const query = [text(wanted.exportName), count32(wanted.contexts.length), ...wanted.contexts.map(text)]
    for (const { type, content } of await ask(option.setMetaContext, Buffer.concat(query)))
      if (type === optionReply.metaContext && content.length > 4)
        contextNames.set(content.readUInt32BE(), content.toString('utf8', 4))
  }
  // One information request, for block sizes: servers may refuse reads from clients that do not ask for them.
  const go = Buffer.concat([text(wanted.exportName), Buffer.of(0, 1, 0, info.blockSize)])
  for (const { type, content } of await ask(option.go, go))
    if (type === optionReply.info && content.length === 12 && content.readUInt16BE() === info.export)
      return { sizeBytes: Number(content.readBigUInt64BE(2)), contextNames }
  throw new Error('the NBD server did not tell the size of the export')
}

/** Sends one option and collects its replies up to the acknowledgement. Throws when the server refuses it. */
async function converse(reader: ByteReader, socket: Socket, type: number, content: Buffer): Promise<OptionReply[]> {
  const header = Buffer.alloc(16)
  header.writeBigUInt64BE(optionMagic, 0)
  header.writeUInt32BE(type, 8)
  header.writeUInt32BE(content.length, 12)
  socket.write(Buffer.concat([header, content]))
  const replies: OptionReply[] = []
  while (replies.length < repliesMax) {
    const reply = await takeReply(reader, type)
    if (reply.type === optionReply.ack) return replies
    if (reply.type & 0x80000000)
      throw new Error(
        `the NBD server refused option ${type}: ${reply.content.toString('utf8') || reply.type.toString(16)}`,
      )
    replies.push(reply)
  }
  throw new Error(`the NBD server does not stop answering option ${type}`)
}

async function takeReply(reader: ByteReader, type: number): Promise<OptionReply> {
  const header = await reader.take(20)
  const lengthBytes = header.readUInt32BE(16)
  if (header.readBigUInt64BE() !== optionReplyMagic || header.readUInt32BE(8) !== type || lengthBytes > optionBytesMax)
    throw new Error('the NBD server answered out of order')
  return { type: header.readUInt32BE(12), content: await reader.take(lengthBytes) }
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  if (bytes.length > stringBytesMax) throw new RangeError(`an NBD name of ${bytes.length} bytes is too long`)
  return Buffer.concat([count32(bytes.length), bytes])
}

function count32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
