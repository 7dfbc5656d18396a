/** Reads a socket as a sequence of exact pieces, holding back the sender when nobody reads. */
import type { Socket } from 'node:net'

/** Bytes that may wait here before the socket is paused. */
const highWaterBytes = 1024 * 1024

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

  constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (bytes: Buffer) => {
      this.#chunks.push(bytes)
      this.#waitingBytes += bytes.length
      if (this.#waitingBytes >= highWaterBytes) socket.pause()
      this.#wake?.()
    })
    socket.on('error', (error) => this.#stop(new ConnectionLost(error.message, error)))
    socket.on('end', () => this.#stop(new ConnectionLost('the other side closed it')))
    socket.on('close', () => this.#stop(new ConnectionLost('it was closed')))
  }

  /** Exactly `count` bytes. Throws {@link ConnectionLost} when the stream ends before. */
  async take(count: number): Promise<Buffer> {
    const first = this.#chunks[0]
    if (first && first.length >= count) return this.#shift(count)
    const piece = Buffer.allocUnsafe(count)
    await this.takeInto(piece)
    return piece
  }

  /** Fills the whole target. Throws {@link ConnectionLost} when the stream ends before. */
  async takeInto(target: Buffer): Promise<void> {
    for (let filled = 0; filled < target.length; ) {
      const first = this.#chunks[0]
      if (!first) await this.#more()
      else filled += this.#shift(Math.min(first.length, target.length - filled)).copy(target, filled)
    }
  }

  /** Passes over bytes that nobody wants, without keeping them. */
  async skip(count: number): Promise<void> {
    for (let left = count; left > 0; ) {
      const first = this.#chunks[0]
      if (!first) await this.#more()
      else left -= this.#shift(Math.min(first.length, left)).length
    }
  }

  /** Takes up to the first chunk's length; no more may be asked for. */
  #shift(count: number): Buffer {
    const first = this.#chunks[0]!
    this.#waitingBytes -= count
    if (this.#waitingBytes < highWaterBytes && this.#socket.isPaused()) this.#socket.resume()
    if (first.length === count) {
      this.#chunks.shift()
      return first
    }
    this.#chunks[0] = first.subarray(count)
    return first.subarray(0, count)
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
