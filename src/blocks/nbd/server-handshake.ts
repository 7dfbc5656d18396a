/** The server's side of the fixed newstyle negotiation. */
import type { Socket } from 'node:net'
import { messageOf } from '../../lib/errors.ts'
import { type ByteReader, ConnectionLost } from './byte-reader.ts'
import type { NbdExport, NbdExports } from './exports.ts'
import {
  handshake,
  info,
  option,
  optionBytesMax,
  optionMagic,
  optionReply,
  optionReplyMagic,
  payloadBytesMax,
  serverMagic,
  stringBytesMax,
  transmission,
} from './protocol.ts'

/** What a connection was agreed to be. */
export interface Session {
  export: NbdExport
  structured: boolean
  /** `base:allocation` was agreed for this export. */
  withStatus: boolean
}

/** A client that has not come to the point after so many options never will. */
const optionsMax = 128
const contextName = 'base:allocation'
const contextId = 1
const transmissionFlags =
  transmission.hasFlags | transmission.readOnly | transmission.sendFlush | transmission.canMultiConn
/** Any byte range may be read; 64 KiB pieces are a good size, as they are qcow2's clusters. */
const blockSizes = { min: 1, preferred: 64 * 1024, max: payloadBytesMax }

/** Null when the client goes away before it has chosen an export. Throws {@link ConnectionLost}. */
export async function handshakeAsServer(
  reader: ByteReader,
  socket: Socket,
  exports: NbdExports,
): Promise<Session | null> {
  const greeting = Buffer.alloc(18)
  greeting.writeBigUInt64BE(serverMagic)
  greeting.writeBigUInt64BE(optionMagic, 8)
  greeting.writeUInt16BE(handshake.fixedNewstyle | handshake.noZeroes, 16)
  socket.write(greeting)
  const clientFlags = (await reader.take(4)).readUInt32BE()
  if (clientFlags & ~(handshake.fixedNewstyle | handshake.noZeroes))
    throw new ConnectionLost(`client flags ${clientFlags}`)
  const negotiation = new Negotiation(socket, exports, (clientFlags & handshake.noZeroes) !== 0)
  for (let count = 0; count < optionsMax; count++) {
    const header = await reader.take(16)
    const lengthBytes = header.readUInt32BE(12)
    if (header.readBigUInt64BE() !== optionMagic || lengthBytes > optionBytesMax)
      throw new ConnectionLost('a malformed option')
    const outcome = await negotiation.answer(header.readUInt32BE(8), await reader.take(lengthBytes))
    if (outcome === 'gone') return null
    if (outcome) return outcome
  }
  throw new ConnectionLost('too many options')
}

class Negotiation {
  readonly #socket: Socket
  readonly #exports: NbdExports
  readonly #noZeroes: boolean
  #structured = false
  /** The export for which `base:allocation` was agreed. */
  #statusFor: string | null = null

  constructor(socket: Socket, exports: NbdExports, noZeroes: boolean) {
    this.#socket = socket
    this.#exports = exports
    this.#noZeroes = noZeroes
  }

  async answer(type: number, content: Buffer): Promise<Session | 'gone' | null> {
    switch (type) {
      case option.exportName:
        return await this.#exportName(content.toString())
      case option.abort:
        this.#reply(type, optionReply.ack)
        return 'gone'
      case option.list:
        // Any snapshot can be named, so there is no list of them.
        if (content.length > 0) this.#refuse(type, 'LIST takes no data')
        else this.#reply(type, optionReply.ack)
        return null
      case option.structuredReply:
        if (content.length > 0) this.#refuse(type, 'STRUCTURED_REPLY takes no data')
        else this.#reply(type, optionReply.ack)
        this.#structured ||= content.length === 0
        return null
      case option.info:
      case option.go:
        return await this.#go(type, content)
      case option.listMetaContext:
      case option.setMetaContext:
        this.#metaContext(type, content)
        return null
      default:
        this.#reply(type, optionReply.errorUnsupported, Buffer.from(`option ${type} is not supported`))
        return null
    }
  }

  /** The old way to choose an export, which has no way to say no. */
  async #exportName(name: string): Promise<Session | 'gone'> {
    const opened = await this.#exports.open(name).catch(() => null)
    if (!opened) return 'gone'
    const answer = Buffer.alloc(this.#noZeroes ? 10 : 134)
    answer.writeBigUInt64BE(BigInt(opened.sizeBytes))
    answer.writeUInt16BE(transmissionFlags, 8)
    this.#socket.write(answer)
    return this.#session(opened, name)
  }

  async #go(type: number, content: Buffer): Promise<Session | null> {
    const fields = new OptionFields(content)
    const name = fields.text()
    const wanted = Array.from({ length: fields.count16() }, () => fields.count16())
    if (fields.malformed) return this.#refuse(type, 'the option is malformed')
    let opened: NbdExport
    try {
      opened = await this.#exports.open(name!)
    } catch (error) {
      this.#reply(type, optionReply.errorUnknown, Buffer.from(messageOf(error)).subarray(0, stringBytesMax))
      return null
    }
    const facts = Buffer.alloc(12)
    facts.writeUInt16BE(info.export)
    facts.writeBigUInt64BE(BigInt(opened.sizeBytes), 2)
    facts.writeUInt16BE(transmissionFlags, 10)
    this.#reply(type, optionReply.info, facts)
    if (wanted.includes(info.blockSize)) {
      const sizes = Buffer.alloc(14)
      sizes.writeUInt16BE(info.blockSize)
      for (const [i, size] of [blockSizes.min, blockSizes.preferred, blockSizes.max].entries())
        sizes.writeUInt32BE(size, 2 + 4 * i)
      this.#reply(type, optionReply.info, sizes)
    }
    this.#reply(type, optionReply.ack)
    if (type === option.go) return this.#session(opened, name!)
    await opened.close()
    return null
  }

  #metaContext(type: number, content: Buffer): void {
    const fields = new OptionFields(content)
    const name = fields.text()
    const queries = Array.from({ length: fields.count32() }, () => fields.text())
    if (fields.malformed || !this.#structured) {
      this.#refuse(type, this.#structured ? 'the option is malformed' : 'structured replies come first')
      return
    }
    const listing = type === option.listMetaContext
    const matches = listing ? queries.length === 0 || queries.includes('base:') : false
    const granted = matches || queries.includes(contextName)
    if (!listing) this.#statusFor = granted ? name! : null
    if (granted)
      this.#reply(
        type,
        optionReply.metaContext,
        Buffer.concat([Buffer.of(0, 0, 0, listing ? 0 : contextId), Buffer.from(contextName)]),
      )
    this.#reply(type, optionReply.ack)
  }

  #session(opened: NbdExport, name: string): Session {
    return { export: opened, structured: this.#structured, withStatus: this.#structured && this.#statusFor === name }
  }

  #refuse(type: number, message: string): null {
    this.#reply(type, optionReply.errorInvalid, Buffer.from(message))
    return null
  }

  #reply(type: number, reply: number, content = Buffer.alloc(0)): void {
    const header = Buffer.alloc(20)
    header.writeBigUInt64BE(optionReplyMagic)
    header.writeUInt32BE(type, 8)
    header.writeUInt32BE(reply, 12)
    header.writeUInt32BE(content.length, 16)
    this.#socket.write(Buffer.concat([header, content]))
  }
}

/** Takes an option's content apart; one flag tells in the end whether it was all there and nothing more. */
class OptionFields {
  readonly #content: Buffer
  #at = 0
  #overrun = false

  constructor(content: Buffer) {
    this.#content = content
  }

  get malformed(): boolean {
    return this.#overrun || this.#at !== this.#content.length
  }

  text(): string | undefined {
    const bytes = this.#bytes(this.#number(4))
    return bytes && bytes.length <= stringBytesMax ? bytes.toString() : this.#fail()
  }

  count16(): number {
    return this.#number(2)
  }

  /** A count of texts: each takes at least four bytes, so a larger one is malformed and counts as none. */
  count32(): number {
    const count = this.#number(4)
    if (count * 4 <= this.#content.length - this.#at) return count
    this.#fail()
    return 0
  }

  #number(size: 2 | 4): number {
    return this.#bytes(size)?.readUIntBE(0, size) ?? 0
  }

  #bytes(count: number): Buffer | undefined {
    if (this.#at + count > this.#content.length) return this.#fail()
    this.#at += count
    return this.#content.subarray(this.#at - count, this.#at)
  }

  #fail(): undefined {
    this.#overrun = true
    return undefined
  }
}
