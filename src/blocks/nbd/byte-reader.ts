/** Reads a socket as a sequence of exact pieces, holding back the sender when nobody reads. */
import { connect, type Socket } from 'node:net'

/** Bytes, and pieces, that may wait here before the socket is paused. */
const highWaterBytes = 1024 * 1024
const highWaterChunks = 64
/** More than a unix socket holds at a time, so that one read takes all that is there. */
const pooledBytes = 256 * 1024

export class ConnectionLost extends Error {
  constructor(detail: string, cause?: unknown) {
    super(`NBD connection lost: ${detail}`, { cause })
    this.name = 'ConnectionLost'
  }
}

export class ByteReader {
  readonly #socket: Socket
  readonly #chunks: Buffer[] = []
  #waitingBytes = 0
  #end: ConnectionLost | null = null
  #wake: (() => void) | null = null
  /** Memory of a {@link connect}ed socket, to be read into again; allocating it anew costs more than reading. */
  readonly #pool: ArrayBufferLike[] | null

  constructor(socket: Socket, pool: ArrayBufferLike[] | null = null) {
    this.#socket = socket
    this.#pool = pool
    socket.on('data', (bytes: Buffer) => this.#took(bytes))
    socket.on('error', (error) => this.#stop(new ConnectionLost(error.message, error)))
    socket.on('end', () => this.#stop(new ConnectionLost('the other side closed it')))
    socket.on('close', () => this.#stop(new ConnectionLost('it was closed')))
  }

  /** A connection that reads into memory of its own, again and again. */
  static connect(path: string): { socket: Socket; reader: ByteReader } {
    const pool: ArrayBuffer[] = []
    let reader: ByteReader | null = null
    const socket = connect({
      path,
      onread: {
        buffer: () => new Uint8Array(pool.pop() ?? new ArrayBuffer(pooledBytes)),
        callback: (length, { buffer }) => {
          reader!.#took(Buffer.from(buffer, 0, length))
          return true
        },
      },
    })
    reader = new ByteReader(socket, pool)
    return { socket, reader }
  }

  #took(bytes: Buffer): void {
    this.#chunks.push(bytes)
    this.#waitingBytes += bytes.length
    if (this.#isFull()) this.#socket.pause()
    this.#wake?.()
  }

  #isFull(): boolean {
    return this.#waitingBytes >= highWaterBytes || this.#chunks.length >= highWaterChunks
  }

  /** Exactly `count` bytes. Throws {@link ConnectionLost} when the stream ends before. */
  async take(count: number): Promise<Buffer> {
    const piece = Buffer.allocUnsafe(count)
    await this.takeInto(piece)
    return piece
  }

  /** Fills the whole target. Throws {@link ConnectionLost} when the stream ends before. */
  async takeInto(target: Buffer): Promise<void> {
    for (let filled = 0; filled < target.length; ) {
      const first = this.#chunks[0]
      if (!first) await this.#more()
      else {
        const count = Math.min(first.length, target.length - filled)
        first.copy(target, filled, 0, count)
        this.#drop(count)
        filled += count
      }
    }
  }

  /** Passes over bytes that nobody wants, without keeping them. */
  async skip(count: number): Promise<void> {
    for (let left = count; left > 0; ) {
      const first = this.#chunks[0]
      if (!first) await this.#more()
      else {
        const count = Math.min(first.length, left)
        this.#drop(count)
        left -= count
      }
    }
  }

  /** Lets go of the first chunk's first bytes, which must have been copied: its memory is read into again. */
  #drop(count: number): void {
    const first = this.#chunks[0]!
    this.#waitingBytes -= count
    if (first.length > count) this.#chunks[0] = first.subarray(count)
    else {
      this.#chunks.shift()
      this.#pool?.push(first.buffer)
    }
    if (!this.#isFull() && this.#socket.isPaused()) this.#socket.resume()
  }

  async #more(): Promise<void> {
    if (this.#end) throw this.#end
    await new Promise<void>((resolve) => {
      this.#wake = resolve
    })
    this.#wake = null
  }

  #stop(reason: ConnectionLost): void {
    this.#end ??= reason
    this.#wake?.()
  }
}
