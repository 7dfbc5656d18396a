/** The server's side of the transmission phase: requests in, answers out in whatever order they are ready. */
import type { Socket } from 'node:net'
import { messageOf } from '../../lib/errors.ts'
import { type ByteReader, ConnectionLost } from './byte-reader.ts'
import type { Piece } from './exports.ts'
import {
  chunk,
  chunkDone,
  command,
  commandFlag,
  errno,
  payloadBytesMax,
  requestHeaderBytes,
  requestMagic,
  simpleReplyMagic,
  stringBytesMax,
  structuredReplyMagic,
} from './protocol.ts'
import type { Session } from './server-handshake.ts'

/** What one connection may have waiting: QEMU sends 16 requests at once. */
const requestsMax = 64
const bytesUnderwayMax = 2 * payloadBytesMax
const unsentBytesMax = 8 * 1024 * 1024

const zeros = Buffer.alloc(64 * 1024)

interface Request {
  flags: number
  type: number
  cookie: bigint
  offset: bigint
  lengthBytes: number
}

/** Serves until the client says goodbye; then all answers are sent. Throws {@link ConnectionLost}. */
export async function transmit(reader: ByteReader, socket: Socket, session: Session): Promise<void> {
  await new Transmission(reader, socket, session).run()
}

class Transmission {
  readonly #reader: ByteReader
  readonly #socket: Socket
  readonly #session: Session
  readonly #underway = new Set<Promise<void>>()
  #bytesUnderway = 0

  constructor(reader: ByteReader, socket: Socket, session: Session) {
    this.#reader = reader
    this.#socket = socket
    this.#session = session
  }

  async run(): Promise<void> {
    for (;;) {
      await this.#room()
      // Requests that a vanished client left behind are not worth a block's fetch.
      if (this.#socket.destroyed) throw new ConnectionLost('the client is gone')
      const request = await this.#takeRequest()
      if (request.type === command.disconnect) break
      const payloadBytes = request.type === command.read ? Math.min(request.lengthBytes, payloadBytesMax) : 0
      const answering = this.#answer(request).finally(() => {
        this.#underway.delete(answering)
        this.#bytesUnderway -= payloadBytes
      })
      this.#bytesUnderway += payloadBytes
      this.#underway.add(answering)
    }
    await Promise.all(this.#underway)
  }

  /** Waits until this connection may ask for more: a client that sends and does not read must not fill our memory. */
  async #room(): Promise<void> {
    while (this.#underway.size >= requestsMax || this.#bytesUnderway >= bytesUnderwayMax)
      await Promise.race(this.#underway)
    if (this.#socket.writableLength < unsentBytesMax || this.#socket.destroyed) return
    await new Promise<void>((resolve) => {
      const done = () => {
        this.#socket.off('drain', done).off('close', done)
        resolve()
      }
      this.#socket.on('drain', done).on('close', done)
    })
  }

  async #takeRequest(): Promise<Request> {
    const header = await this.#reader.take(requestHeaderBytes)
    if (header.readUInt32BE() !== requestMagic) throw new ConnectionLost('a malformed request')
    const request = {
      flags: header.readUInt16BE(4),
      type: header.readUInt16BE(6),
      cookie: header.readBigUInt64BE(8),
      offset: header.readBigUInt64BE(16),
      lengthBytes: header.readUInt32BE(24),
    }
    if (request.type !== command.write) return request
    // A write carries data, which must be passed over before the refusal.
    if (request.lengthBytes > payloadBytesMax) throw new ConnectionLost(`a write of ${request.lengthBytes} bytes`)
    await this.#reader.skip(request.lengthBytes)
    return { ...request, lengthBytes: 0 }
  }

  async #answer(request: Request): Promise<void> {
    switch (request.type) {
      case command.read:
        return await this.#read(request)
      case command.blockStatus:
        return await this.#status(request)
      case command.flush:
        return this.#send(request, chunk.none, [])
      case command.write:
      case command.trim:
      case command.writeZeroes:
        return this.#refuse(request, errno.perm, 'the export is read-only')
      default:
        return this.#refuse(request, errno.invalid, `command ${request.type} is not supported`)
    }
  }

  async #read(request: Request): Promise<void> {
    if (request.flags !== 0) return this.#refuse(request, errno.invalid, 'a read takes no flags here')
    if (request.lengthBytes > payloadBytesMax)
      return this.#refuse(request, errno.overflow, `at most ${payloadBytesMax} bytes at once`)
    if (!this.#isInside(request)) return this.#refuse(request, errno.invalid, 'the read leaves the export')
    const offsetBytes = Number(request.offset)
    try {
      const pieces = await this.#session.export.read(offsetBytes, request.lengthBytes)
      if (this.#session.structured) this.#sendChunks(request, offsetBytes, pieces)
      else this.#sendSimple(request, 0, pieces)
    } catch (error) {
      this.#refuse(request, errno.io, messageOf(error))
    }
  }

  async #status(request: Request): Promise<void> {
    if (!this.#session.withStatus) return this.#refuse(request, errno.invalid, 'base:allocation was not negotiated')
    if (request.flags & ~commandFlag.requestOne)
      return this.#refuse(request, errno.invalid, 'a flag that status does not take')
    if (!this.#isInside(request)) return this.#refuse(request, errno.invalid, 'the status leaves the export')
    try {
      const extents = await this.#session.export.allocation(Number(request.offset), request.lengthBytes)
      if (request.flags & commandFlag.requestOne) extents.length = 1
      const content = Buffer.alloc(4 + 8 * extents.length)
      let next = content.writeUInt32BE(1)
      for (const { lengthBytes, value } of extents)
        next = content.writeUInt32BE(value, content.writeUInt32BE(lengthBytes, next))
      this.#send(request, chunk.blockStatus, [content])
    } catch (error) {
      this.#refuse(request, errno.io, messageOf(error))
    }
  }

  #isInside({ offset, lengthBytes }: Request): boolean {
    return lengthBytes > 0 && offset + BigInt(lengthBytes) <= BigInt(this.#session.export.sizeBytes)
  }

  #refuse(request: Request, code: number, message: string): void {
    if (!this.#session.structured) {
      this.#sendSimple(request, code, [])
      return
    }
    const text = Buffer.from(message).subarray(0, stringBytesMax)
    const content = Buffer.alloc(6 + text.length)
    content.writeUInt32BE(code)
    content.writeUInt16BE(text.length, 4)
    text.copy(content, 6)
    this.#send(request, chunk.error, [content])
  }

  /** A read's answer, piece by piece, so that zeros need not travel. */
  #sendChunks(request: Request, offsetBytes: number, pieces: readonly Piece[]): void {
    this.#socket.cork()
    let at = offsetBytes
    for (const [i, { lengthBytes, bytes }] of pieces.entries()) {
      const place = Buffer.alloc(bytes ? 8 : 12)
      place.writeBigUInt64BE(BigInt(at))
      if (!bytes) place.writeUInt32BE(lengthBytes, 8)
      this.#sendChunk(
        request,
        i === pieces.length - 1 ? chunkDone : 0,
        bytes ? chunk.data : chunk.hole,
        bytes ? [place, bytes] : [place],
      )
      at += lengthBytes
    }
    this.#socket.uncork()
  }

  /** The whole answer in one chunk. */
  #send(request: Request, type: number, content: readonly Buffer[]): void {
    if (!this.#session.structured) {
      this.#sendSimple(request, 0, [])
      return
    }
    this.#socket.cork()
    this.#sendChunk(request, chunkDone, type, content)
    this.#socket.uncork()
  }

  #sendChunk({ cookie }: Request, flags: number, type: number, content: readonly Buffer[]): void {
    const header = Buffer.alloc(20)
    header.writeUInt32BE(structuredReplyMagic)
    header.writeUInt16BE(flags, 4)
    header.writeUInt16BE(type, 6)
    header.writeBigUInt64BE(cookie, 8)
    header.writeUInt32BE(
      content.reduce((sum, bytes) => sum + bytes.length, 0),
      16,
    )
    this.#socket.write(header)
    for (const bytes of content) this.#socket.write(bytes)
  }

  #sendSimple({ cookie }: Request, code: number, pieces: readonly Piece[]): void {
    const header = Buffer.alloc(16)
    header.writeUInt32BE(simpleReplyMagic)
    header.writeUInt32BE(code, 4)
    header.writeBigUInt64BE(cookie, 8)
    this.#socket.cork()
    this.#socket.write(header)
    for (const { lengthBytes, bytes } of pieces) {
      if (bytes) this.#socket.write(bytes)
      else
        for (let left = lengthBytes; left > 0; left -= zeros.length)
          this.#socket.write(zeros.subarray(0, Math.min(left, zeros.length)))
    }
    this.#socket.uncork()
  }
}
