/**
 * Reads an NBD export over a unix socket: data, and what the server says about it (metadata contexts); and writes one
 * that may be written. One connection, any number of requests in flight, no reconnecting: whoever takes a snapshot must
 * know that the connection broke.
 */
import type { Socket } from 'node:net'
import { ByteReader, ConnectionLost } from './byte-reader.ts'
import { handshakeAsClient, type NegotiatedExport } from './client-handshake.ts'
import {
  chunk,
  chunkDone,
  command,
  errno as errnos,
  requestHeaderBytes,
  requestMagic,
  simpleReplyMagic,
  stringBytesMax,
  structuredReplyMagic,
} from './protocol.ts'

/** Answers may wait for a server that waits for its own source; a server that is silent for longer is taken for dead. */
const silenceTimeoutMs = 120_000
const maxStatusChunkBytes = 8 * 1024 * 1024

/** Requests as errors speak of them. */
const names: Readonly<Record<number, string>> = {
  [command.read]: 'a read',
  [command.write]: 'a write',
  [command.flush]: 'a flush',
  [command.blockStatus]: 'a status',
}

export interface NbdClientOptions {
  socketPath: string
  exportName: string
  /** Metadata contexts to ask for; {@link NbdClient.contexts} tells which were granted. */
  contexts: readonly string[]
  /** Breaks the connection: whatever is in flight rejects with the signal's reason. */
  signal?: AbortSignal
}

/** A run of bytes about which the server says the same in one context. */
export interface Extent {
  lengthBytes: number
  /** Flags of `base:allocation`, or the depth of `qemu:allocation-depth`. */
  value: number
}

/** The server refused one request, by an errno of the protocol; the connection goes on. */
export class NbdRequestError extends Error {
  readonly errno: number
  /** As the file system would say it. */
  readonly code: string | undefined

  constructor(what: string, errno: number, message: string) {
    super(`NBD server refused ${what}: error ${errno}${message ? ` (${message})` : ''}`)
    this.name = 'NbdRequestError'
    this.errno = errno
    this.code = errno === errnos.noSpace ? 'ENOSPC' : undefined
  }
}

interface Pending {
  what: string
  resolve: () => void
  reject: (error: Error) => void
  refusal: NbdRequestError | null
  /** Where a read goes, and which ranges of it have come. */
  read: { target: Buffer; offsetBytes: number; came: [from: number, to: number][] } | null
  /** Extents by context id. */
  status: Map<number, Extent[]> | null
}

/** Throws {@link ConnectionLost}, or an Error that says what the server does not offer. */
export async function connectNbd(options: NbdClientOptions): Promise<NbdClient> {
  const { signal } = options
  signal?.throwIfAborted()
  const { socket, reader } = ByteReader.connect(options.socketPath)
  const abort = () => socket.destroy(new ConnectionLost('it was aborted', signal?.reason))
  signal?.addEventListener('abort', abort, { once: true })
  socket.once('close', () => signal?.removeEventListener('abort', abort))
  socket.setTimeout(silenceTimeoutMs, () => socket.destroy(new ConnectionLost(`silent for ${silenceTimeoutMs} ms`)))
  try {
    const negotiated = await handshakeAsClient(reader, socket, options)
    return new NbdClient(reader, socket, negotiated, signal)
  } catch (error) {
    socket.destroy()
    throw signal?.aborted ? signal.reason : error
  }
}

export class NbdClient {
  readonly sizeBytes: number
  /** Names of the granted contexts. */
  readonly contexts: ReadonlySet<string>
  readonly #contextNames: ReadonlyMap<number, string>
  readonly #reader: ByteReader
  readonly #socket: Socket
  readonly #signal: AbortSignal | undefined
  readonly #pending = new Map<bigint, Pending>()
  #nextCookie = 1n
  #lost: Error | null = null

  /** Use {@link connectNbd}. */
  constructor(reader: ByteReader, socket: Socket, negotiated: NegotiatedExport, signal: AbortSignal | undefined) {
    this.sizeBytes = negotiated.sizeBytes
    this.contexts = new Set(negotiated.contextNames.values())
    this.#contextNames = negotiated.contextNames
    this.#reader = reader
    this.#socket = socket
    this.#signal = signal
    // Silence is only suspicious while something is owed to us.
    socket.removeAllListeners('timeout')
    socket.on('timeout', () => {
      if (this.#pending.size > 0) socket.destroy(new ConnectionLost(`silent for ${silenceTimeoutMs} ms`))
    })
    void this.#receive()
  }

  /** Fills the target with the bytes from that offset on. Throws {@link NbdRequestError} or {@link ConnectionLost}. */
  async readInto(target: Buffer, offsetBytes: number): Promise<void> {
    const read = { target, offsetBytes, came: [] as [number, number][] }
    await this.#request(command.read, offsetBytes, target.length, { read, status: null })
    read.came.sort(([a], [b]) => a - b)
    let end = 0
    for (const [from, to] of read.came) {
      if (from !== end) break
      end = to
    }
    if (end !== target.length) throw this.#break(`a read of ${target.length} bytes was answered with ${end}`)
  }

  /**
   * What every granted context says from that offset on, at most that far; possibly less far, never nothing. Contexts
   * may reach differently far.
   */
  async blockStatus(offsetBytes: number, lengthBytes: number): Promise<Map<string, Extent[]>> {
    const status = new Map<number, Extent[]>()
    await this.#request(command.blockStatus, offsetBytes, lengthBytes, { read: null, status })
    const named = new Map<string, Extent[]>()
    for (const [id, name] of this.#contextNames) {
      const extents = status.get(id)
      if (!extents?.length) throw this.#break(`no status came for ${name}`)
      named.set(name, extents)
    }
    return named
  }

  /** Resolves when the server has taken the bytes, which are durable after {@link flush}. At most 32 MiB. */
  async write(bytes: Buffer, offsetBytes: number): Promise<void> {
    await this.#request(command.write, offsetBytes, bytes.length, { read: null, status: null }, bytes)
  }

  /** Puts all that was written before on stable storage. */
  async flush(): Promise<void> {
    await this.#request(command.flush, 0, 0, { read: null, status: null })
  }

  /** Says goodbye; nothing may be in flight. */
  async close(): Promise<void> {
    if (this.#lost || this.#socket.destroyed) return
    const closed = new Promise<void>((resolve) => this.#socket.once('close', () => resolve()))
    this.#socket.end(this.#header(command.disconnect, 0n, 0, 0))
    await closed
  }

  #request(
    type: number,
    offsetBytes: number,
    lengthBytes: number,
    into: Pick<Pending, 'read' | 'status'>,
    payload?: Buffer,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#lost) return reject(this.#lost)
      const cookie = this.#nextCookie++
      const what = `${names[type]} of ${lengthBytes} bytes at ${offsetBytes}`
      this.#pending.set(cookie, { what, resolve, reject, refusal: null, ...into })
      this.#socket.write(this.#header(type, cookie, offsetBytes, lengthBytes))
      if (payload) this.#socket.write(payload)
    })
  }

  #header(type: number, cookie: bigint, offsetBytes: number, lengthBytes: number): Buffer {
    const header = Buffer.alloc(requestHeaderBytes)
    header.writeUInt32BE(requestMagic, 0)
    header.writeUInt16BE(type, 6)
    header.writeBigUInt64BE(cookie, 8)
    header.writeBigUInt64BE(BigInt(offsetBytes), 16)
    header.writeUInt32BE(lengthBytes, 24)
    return header
  }

  async #receive(): Promise<void> {
    try {
      for (;;) await this.#receiveReply()
    } catch (error) {
      this.#lose(error as Error)
    }
  }

  async #receiveReply(): Promise<void> {
    const magic = (await this.#reader.take(4)).readUInt32BE()
    if (magic === structuredReplyMagic) return await this.#receiveChunk()
    if (magic !== simpleReplyMagic) throw this.#break(`a reply begins with ${magic.toString(16)}`)
    const header = await this.#reader.take(12)
    const code = header.readUInt32BE()
    const cookie = header.readBigUInt64BE(4)
    const pending = this.#pendingOf(cookie)
    if (pending.read && code === 0) throw this.#break('a read was answered without structure')
    if (code !== 0) pending.refusal = new NbdRequestError(pending.what, code, '')
    this.#finish(cookie, pending)
  }

  async #receiveChunk(): Promise<void> {
    const header = await this.#reader.take(16)
    const flags = header.readUInt16BE()
    const type = header.readUInt16BE(2)
    const cookie = header.readBigUInt64BE(4)
    const lengthBytes = header.readUInt32BE(12)
    const pending = this.#pendingOf(cookie)
    if (type === chunk.data) await this.#receiveData(pending, lengthBytes)
    else if (type === chunk.hole) await this.#receiveHole(pending, lengthBytes)
    else if (type === chunk.blockStatus) await this.#receiveStatus(pending, lengthBytes)
    else if (type & 0x8000) await this.#receiveError(pending, lengthBytes)
    else if (type !== chunk.none || lengthBytes !== 0)
      throw this.#break(`a chunk of type ${type} with ${lengthBytes} bytes`)
    if (flags & chunkDone) this.#finish(cookie, pending)
  }

  async #receiveData(pending: Pending, lengthBytes: number): Promise<void> {
    if (lengthBytes <= 8) throw this.#break('a data chunk without data')
    const offset = await this.#reader.take(8)
    await this.#reader.takeInto(this.#part(pending, offset.readBigUInt64BE(), lengthBytes - 8))
  }

  async #receiveHole(pending: Pending, lengthBytes: number): Promise<void> {
    if (lengthBytes !== 12) throw this.#break(`a hole chunk of ${lengthBytes} bytes`)
    const hole = await this.#reader.take(12)
    this.#part(pending, hole.readBigUInt64BE(), hole.readUInt32BE(8)).fill(0)
  }

  /** The part of a read's target that a chunk fills. */
  #part({ read }: Pending, offset: bigint, lengthBytes: number): Buffer {
    const from = read ? Number(offset - BigInt(read.offsetBytes)) : -1
    const to = from + lengthBytes
    if (!read || from < 0 || to > read.target.length) throw this.#break('a chunk lies outside of what was asked')
    if (read.came.some(([a, b]) => from < b && a < to)) throw this.#break('two chunks overlap')
    read.came.push([from, to])
    return read.target.subarray(from, to)
  }

  async #receiveStatus(pending: Pending, lengthBytes: number): Promise<void> {
    if (!pending.status || lengthBytes < 12 || lengthBytes % 8 !== 4 || lengthBytes > maxStatusChunkBytes)
      throw this.#break(`an unexpected status of ${lengthBytes} bytes`)
    const content = await this.#reader.take(lengthBytes)
    const id = content.readUInt32BE()
    if (!this.#contextNames.has(id) || pending.status.has(id)) throw this.#break(`a status for context ${id}`)
    const extents: Extent[] = []
    for (let at = 4; at < lengthBytes; at += 8) {
      const extent = { lengthBytes: content.readUInt32BE(at), value: content.readUInt32BE(at + 4) }
      if (extent.lengthBytes === 0) throw this.#break('an extent of no bytes')
      extents.push(extent)
    }
    pending.status.set(id, extents)
  }

  async #receiveError(pending: Pending, lengthBytes: number): Promise<void> {
    if (lengthBytes < 6 || lengthBytes > stringBytesMax + 16)
      throw this.#break(`an error chunk of ${lengthBytes} bytes`)
    const content = await this.#reader.take(lengthBytes)
    const message = content.toString('utf8', 6, Math.min(6 + content.readUInt16BE(4), lengthBytes))
    pending.refusal ??= new NbdRequestError(pending.what, content.readUInt32BE(), message)
  }

  #pendingOf(cookie: bigint): Pending {
    const pending = this.#pending.get(cookie)
    if (!pending) throw this.#break(`an answer to request ${cookie}, which nobody made`)
    return pending
  }

  #finish(cookie: bigint, pending: Pending): void {
    this.#pending.delete(cookie)
    if (pending.refusal) pending.reject(pending.refusal)
    else pending.resolve()
  }

  /** The server broke the protocol: nothing that it says can be believed any more. */
  #break(detail: string): ConnectionLost {
    const error = new ConnectionLost(`the server broke the protocol: ${detail}`)
    this.#lose(error)
    return error
  }

  #lose(error: Error): void {
    this.#lost ??= this.#signal?.aborted ? (this.#signal.reason as Error) : error
    this.#socket.destroy()
    for (const pending of this.#pending.values()) pending.reject(this.#lost)
    this.#pending.clear()
  }
}
