/** A stream of bytes, read as a sequence of exact pieces. */
import { createHash } from 'node:crypto'

/** The stream ended where more was needed. */
export class StreamEnded extends Error {
  constructor(offsetBytes: number) {
    super(`it ends at byte ${offsetBytes}`)
    this.name = 'StreamEnded'
  }
}

export class PieceReader {
  readonly #source: AsyncIterator<Uint8Array>
  readonly #digest = createHash('sha256')
  #rest: Buffer = Buffer.alloc(0)
  #offsetBytes = 0

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]()
  }

  /** How many bytes were taken so far. */
  get offsetBytes(): number {
    return this.#offsetBytes
  }

  /** SHA-256 of all bytes that were taken so far. */
  get digest(): Buffer {
    return this.#digest.copy().digest()
  }

  /** Exactly so many bytes. Throws {@link StreamEnded} when there are fewer. */
  async take(count: number): Promise<Buffer> {
    const pieces: Buffer[] = []
    let missing = count
    while (missing > 0) {
      if (this.#rest.length === 0 && !(await this.#more())) throw new StreamEnded(this.#offsetBytes + count - missing)
      const piece = this.#rest.subarray(0, missing)
      this.#rest = this.#rest.subarray(piece.length)
      missing -= piece.length
      pieces.push(piece)
    }
    const taken = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)
    this.#digest.update(taken)
    this.#offsetBytes += count
    return taken
  }

  async isAtEnd(): Promise<boolean> {
    return this.#rest.length === 0 && !(await this.#more())
  }

  /** Lets go of the source, which may not be at its end. */
  async close(): Promise<void> {
    await this.#source.return?.()
  }

  async #more(): Promise<boolean> {
    for (;;) {
      const next = await this.#source.next()
      if (next.done) return false
      this.#rest = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength)
      if (this.#rest.length > 0) return true
    }
  }
}
