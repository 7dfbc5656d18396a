/**
 * Bodies in chunks (`aws-chunked`), which may be signed one by one, each over the one before, and may end with trailing
 * headers ("Signature calculations: transferring payload in multiple chunks" and "… including trailing headers" in the
 * S3 API reference):
 *
 *     HEX-SIZE;chunk-signature=SIGNATURE CR LF  data  CR LF  …  0;chunk-signature=SIGNATURE CR LF
 *     trailer:value CR LF  …  x-amz-trailer-signature:SIGNATURE CR LF  CR LF
 *
 * Unsigned ones have sizes alone, and no signature of the trailer.
 */
import { KilnError } from '../../lib/errors.ts'
import { hmac, scopeText, sha256Hex } from './canonical.ts'
import { type ChunkSeed, sameSignature } from './verification.ts'

/** A signed chunk is held back until its signature was checked. */
const chunkMaxBytes = 16 * 1024 * 1024
const chunkHeaderMaxBytes = 128
const trailerMaxBytes = 1024
const trailersMax = 16
const trailerSignature = 'x-amz-trailer-signature'

export interface ChunkedBody {
  /** How many bytes there are without the framing. */
  decodedBytes: number
  /** What the signatures start from; without it none is looked at. */
  seed?: ChunkSeed | undefined
  /** Takes the trailing headers, names in lower case; without it there are none. */
  trailers?: Map<string, string>
}

/**
 * The body without its framing; of a signed one, a chunk only after its signature proved right. Throws
 * `SignatureDoesNotMatch`, or `IncompleteBody` when the framing is broken, cut short, or holds another number of bytes
 * than it should.
 */
export async function* readChunks(
  source: AsyncIterable<Uint8Array>,
  { decodedBytes, seed, trailers }: ChunkedBody,
): AsyncGenerator<Buffer, void, undefined> {
  const reader = new ByteReader(source)
  let previous = seed?.signature ?? ''
  let total = 0
  for (;;) {
    const { size, signature } = readHeader(await reader.line(chunkHeaderMaxBytes), seed !== undefined)
    if (total + size > decodedBytes) throw broken(`it holds more than the ${decodedBytes} bytes that were announced`)
    if (seed) {
      const data = await reader.bytes(size)
      const expected = hmac(seed.signingKey, chunkStringToSign(seed, previous, data))
      if (!sameSignature(signature, expected)) {
        throw new KilnError('SignatureDoesNotMatch', `The signature of the chunk at byte ${total} does not match.`)
      }
      previous = signature
      if (size > 0) yield data
    } else {
      yield* reader.pieces(size)
    }
    total += size
    if (size === 0) break
    await reader.lineEnd()
  }
  if (trailers) await readTrailers(reader, trailers, seed, previous)
  else await reader.lineEnd()
  if (!(await reader.atEnd())) throw broken('something follows the last chunk')
  if (total !== decodedBytes) throw broken(`it holds ${total} bytes and announced ${decodedBytes}`)
}

function readHeader(line: string, isSigned: boolean): { size: number; signature: string } {
  const header = /^([0-9a-fA-F]{1,13})(?:;chunk-signature=([0-9a-f]{64}))?$/.exec(line)
  if (!header || (isSigned && !header[2])) throw broken('a chunk does not begin with its size and signature')
  const size = Number.parseInt(header[1]!, 16)
  if (isSigned && size > chunkMaxBytes) throw broken(`a chunk is larger than ${chunkMaxBytes} bytes`)
  return { size, signature: header[2] ?? '' }
}

async function readTrailers(
  reader: ByteReader,
  trailers: Map<string, string>,
  seed: ChunkSeed | undefined,
  previous: string,
): Promise<void> {
  let signed = ''
  let signature = ''
  for (let count = 0; ; count++) {
    const line = await reader.line(trailerMaxBytes)
    if (line === '') break
    const colon = line.indexOf(':')
    if (colon < 1 || count >= trailersMax) throw broken('what follows the last chunk is no list of headers')
    const name = line.slice(0, colon).toLowerCase()
    const value = line.slice(colon + 1).trim()
    if (name === trailerSignature) {
      signature = value
      continue
    }
    trailers.set(name, value)
    signed += `${name}:${value}\n`
  }
  if (seed && !sameSignature(signature, hmac(seed.signingKey, trailerStringToSign(seed, previous, signed)))) {
    throw new KilnError('SignatureDoesNotMatch', 'The signature of the trailing headers does not match.')
  }
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

function trailerStringToSign(seed: ChunkSeed, previousSignature: string, trailers: string): string {
  return [
    'AWS4-HMAC-SHA256-TRAILER',
    seed.timestamp,
    scopeText(seed.scope),
    previousSignature,
    sha256Hex(trailers),
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
    for await (const piece of this.pieces(count)) pieces.push(piece)
    return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)
  }

  /** So many bytes, in the pieces that they come in. */
  async *pieces(count: number): AsyncGenerator<Buffer, void, undefined> {
    let missing = count
    while (missing > 0) {
      if (this.#buffer.length === 0 && !(await this.#pull())) throw broken('it ends inside a chunk')
      const piece = this.#buffer.subarray(0, missing)
      this.#buffer = this.#buffer.subarray(piece.length)
      missing -= piece.length
      yield piece
    }
  }

  async lineEnd(): Promise<void> {
    if ((await this.bytes(2)).toString('latin1') !== '\r\n') throw broken('a chunk is longer than it says')
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
