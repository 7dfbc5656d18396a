/** Reads the tar archive inside a bundle: one regular file, which is the image. */
import { BadBundle } from './bad-bundle.ts'
import {
  blockBytes,
  type Extent,
  endBytes,
  extentsIn,
  hasItsChecksum,
  padding,
  readNumber,
  sizeAt,
  sparseExtension,
  sparseHeader,
  sparseMax,
  typeAt,
} from './tar-format.ts'

/** A hole is given in pieces of this many bytes. */
const zeros = Buffer.alloc(1024 * 1024)
const longNameMaxBytes = 64 * 1024
/** One for the name, one for the target of a link; a few more harm nobody. */
const longNamesMax = 4

interface Member {
  /** Of the image, holes included. */
  sizeBytes: number
  /** What the stream holds of it, in order. */
  extents: Extent[]
}

/**
 * The image's bytes out of the archive, which must hold exactly `sizeBytes` of it. Throws {@link BadBundle} when it holds
 * something else, or anything more. Reads the stream to its end.
 */
export async function* imageOf(tar: AsyncIterable<Buffer>, sizeBytes: number): AsyncGenerator<Buffer> {
  const stream = new ByteReader(tar)
  try {
    const member = await readHeader(stream)
    if (member.sizeBytes !== sizeBytes) {
      throw new BadBundle(`the archive holds an image of ${member.sizeBytes} bytes, and the manifest says ${sizeBytes}`)
    }
    let at = 0
    let stored = 0
    for (const { start, bytes } of member.extents) {
      yield* hole(start - at)
      yield* stream.next(bytes)
      at = start + bytes
      stored += bytes
    }
    yield* hole(sizeBytes - at)
    await stream.exactly(padding(stored))
    await readEnd(stream)
  } finally {
    await stream.close()
  }
}

async function readHeader(stream: ByteReader): Promise<Member> {
  for (let longNames = 0; ; longNames += 1) {
    const header = await stream.exactly(blockBytes)
    if (!hasItsChecksum(header)) throw new BadBundle('what was decrypted holds no tar archive')
    const size = readNumber(header, sizeAt)
    const type = String.fromCharCode(header[typeAt]!)
    if (type === 'L' || type === 'K') {
      // A long name comes before the member that has it. What the image is called does not matter.
      if (size > longNameMaxBytes || longNames === longNamesMax)
        throw new BadBundle('the archive has a name that is too long, or too many of them')
      await stream.exactly(size + padding(size))
      continue
    }
    if (type === 'S') return readSparse(stream, header, size)
    if (type === '0' || type === '\0') return { sizeBytes: size, extents: [{ start: 0, bytes: size }] }
    throw new BadBundle(`the archive holds something else than a file (tar type '${type}')`)
  }
}

async function readSparse(stream: ByteReader, header: Buffer, storedBytes: number): Promise<Member> {
  const sizeBytes = readNumber(header, sparseHeader.realSizeAt)
  const extents = extentsIn(header, sparseHeader)
  let isExtended = header[sparseHeader.isExtendedAt] === 1
  while (isExtended) {
    const more = await stream.exactly(blockBytes)
    const found = extentsIn(more, sparseExtension)
    // A block without any would let a small bundle unpack to blocks without end.
    if (found.length === 0) throw new BadBundle('the archive has a list of holes with nothing in it')
    extents.push(...found)
    isExtended = more[sparseExtension.isExtendedAt] === 1
    if (extents.length > sparseMax) throw new BadBundle('the archive has too many holes')
  }
  let at = 0
  let stored = 0
  for (const { start, bytes } of extents) {
    if (start < at || start + bytes > sizeBytes) throw new BadBundle('the archive lists holes that cannot be')
    at = start + bytes
    stored += bytes
  }
  if (stored !== storedBytes) throw new BadBundle('the archive lists holes that do not fit its size')
  return { sizeBytes, extents }
}

/** Two blocks of zeros, and then nothing but zeros: tar fills its last record with them. */
async function readEnd(stream: ByteReader): Promise<void> {
  const end = await stream.exactly(endBytes)
  if (end.some((byte) => byte !== 0)) throw new BadBundle('the archive holds more than the image')
  let left = 10 * 1024 * 1024
  for (;;) {
    const rest = await stream.some(zeros.length)
    if (rest.length === 0) return
    left -= rest.length
    if (left < 0 || !rest.equals(zeros.subarray(0, rest.length))) {
      throw new BadBundle('something follows the end of the archive')
    }
  }
}

function* hole(bytes: number): Generator<Buffer> {
  for (let left = bytes; left > 0; left -= zeros.length) yield zeros.subarray(0, Math.min(left, zeros.length))
}

/** Reads a stream of pieces by counts of bytes. */
class ByteReader {
  readonly #pieces: AsyncIterator<Buffer>
  #rest: Buffer = Buffer.alloc(0)

  constructor(source: AsyncIterable<Buffer>) {
    this.#pieces = source[Symbol.asyncIterator]()
  }

  /** What comes next, at most that many bytes; empty at the end. */
  async some(max: number): Promise<Buffer> {
    while (this.#rest.length === 0) {
      const next = await this.#pieces.next()
      if (next.done) return this.#rest
      this.#rest = next.value
    }
    const piece = this.#rest.subarray(0, max)
    this.#rest = this.#rest.subarray(piece.length)
    return piece
  }

  /** That many bytes, as they come. Throws {@link BadBundle} when the stream ends before. */
  async *next(bytes: number): AsyncGenerator<Buffer> {
    for (let left = bytes; left > 0; ) {
      const piece = await this.some(left)
      if (piece.length === 0) throw new BadBundle('the archive ends too early')
      left -= piece.length
      yield piece
    }
  }

  /** The same in one piece: only for few bytes. */
  async exactly(bytes: number): Promise<Buffer> {
    const pieces: Buffer[] = []
    for await (const piece of this.next(bytes)) pieces.push(piece)
    return Buffer.concat(pieces)
  }

  async close(): Promise<void> {
    await this.#pieces.return?.()
  }
}
