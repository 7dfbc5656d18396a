/**
 * Bodies whose chunks are signed one by one, each over the one before (`STREAMING-AWS4-HMAC-SHA256-PAYLOAD`; "Signature
 * calculations: transferring payload in multiple chunks" in the S3 API reference):
 *
 *     HEX-SIZE;chunk-signature=SIGNATURE CR LF  data  CR LF  …  0;chunk-signature=SIGNATURE CR LF CR LF
 */
import { KilnError } from '../../lib/errors.ts'
import { hmac, scopeText, sha256Hex } from './canonical.ts'
import { type ChunkSeed, sameSignature } from './verification.ts'

/** A chunk is held back until its signature was checked. */
const chunkMaxBytes = 16 * 1024 * 1024
const chunkHeaderMaxBytes = 128

/**
 * The body without its framing; yields a chunk only after its signature proved right. Throws `SignatureDoesNotMatch`,
 * or `IncompleteBody` when the framing is broken, cut short, or holds another number of bytes than `decodedBytes`.
 */
export async function* verifyChunks(
  source: AsyncIterable<Uint8Array>,
  seed: ChunkSeed,
  decodedBytes: number,
): AsyncGenerator<Buffer, void, undefined> {
  const reader = new ByteReader(source)
  let previous = seed.signature
  let total = 0
  for (;;) {
    const header = /^([0-9a-fA-F]{1,8});chunk-signature=([0-9a-f]{64})$/.exec(await reader.line(chunkHeaderMaxBytes))
    if (!header) throw broken('a chunk does not begin with its size and signature')
    const size = Number.parseInt(header[1]!, 16)
    if (size > chunkMaxBytes) throw broken(`a chunk is larger than ${chunkMaxBytes} bytes`)
    const data = await reader.bytes(size)
    if ((await reader.bytes(2)).toString('latin1') !== '\r\n') throw broken('a chunk is longer than it says')

    const signature = header[2]!
    if (!sameSignature(signature, hmac(seed.signingKey, chunkStringToSign(seed, previous, data)))) {
      throw new KilnError('SignatureDoesNotMatch', `The signature of the chunk at byte ${total} does not match.`)
    }
    previous = signature
    total += size
    if (total > decodedBytes) throw broken(`it holds more than the ${decodedBytes} bytes that were announced`)
    if (size === 0) break
    yield data
  }
  if (!(await reader.atEnd())) throw broken('something follows the last chunk')
  if (total !== decodedBytes) throw broken(`it holds ${total} bytes and announced ${decodedBytes}`)
}

function chunkStringToSign(seed: ChunkSeed, previousSignature: string, data: Uint8Array): string {
  return [
    'AWS4-HMAC-SHA256-PAYLOAD',
    seed.timestamp,
    scopeText(seed.scope),
    previousSignature,
    sha256Hex(''),
    sha256Hex(data),
  ].join('\n')
}

/** Reads lines and exact numbers of bytes from a stream, whatever pieces it comes in. */
class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>
  #buffer: Buffer = Buffer.alloc(0)

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]()
  }

  /** Up to the next CR LF, without it. */
  async line(maxBytes: number): Promise<string> {
    for (;;) {
      const end = this.#buffer.indexOf('\r\n')
      if (end >= 0 && end <= maxBytes) {
        const line = this.#buffer.toString('latin1', 0, end)
        this.#buffer = this.#buffer.subarray(end + 2)
        return line
      }
      if (this.#buffer.length > maxBytes) throw broken('the line before a chunk is too long')
      if (!(await this.#pull())) throw broken('it ends before its last chunk')
    }
  }

  async bytes(count: number): Promise<Buffer> {
    const pieces: Buffer[] = []
    let missing = count
    while (missing > 0) {
      if (this.#buffer.length === 0 && !(await this.#pull())) throw broken('it ends inside a chunk')
      const piece = this.#buffer.subarray(0, missing)
      this.#buffer = this.#buffer.subarray(piece.length)
      pieces.push(piece)
      missing -= piece.length
    }
    return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)
  }

  async atEnd(): Promise<boolean> {
    while (this.#buffer.length === 0) {
      if (!(await this.#pull())) return true
    }
    return false
  }

  async #pull(): Promise<boolean> {
    const next = await this.#source.next()
    if (next.done) return false
    this.#buffer = this.#buffer.length === 0 ? Buffer.from(next.value) : Buffer.concat([this.#buffer, next.value])
    return true
  }
}

function broken(why: string): KilnError {
  return new KilnError('IncompleteBody', `The chunked body is broken: ${why}.`)
}
