/**
 * The tar archive inside a bundle: one regular file, which is the image. The classic tools write it with GNU tar's `-S`,
 * so holes of the image may be left out of the stream and listed in the header ("GNU sparse", the old form: type `S`).
 */
import { BadBundle } from './bad-bundle.ts'

const blockBytes = 512
const endBytes = 2 * blockBytes
/** A hole is given in pieces of this many bytes. */
const zeros = Buffer.alloc(1024 * 1024)
/** In the header itself, and in each of the blocks that may follow it. */
const sparseInHeader = 4
const sparseInExtension = 21
const sparseMax = 1_000_000
const longNameMaxBytes = 64 * 1024
/** One for the name, one for the target of a link; a few more harm nobody. */
const longNamesMax = 4

interface Extent {
  start: number
  bytes: number
}

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

/** The header of an archive with one regular file, and what follows the file. */
export function archiveAround(name: string, sizeBytes: number): { before: Buffer; after: Buffer } {
  const header = Buffer.alloc(blockBytes)
  header.write(name, 0, 100, 'utf8')
  header.write('0000644\0', 100, 'latin1')
  header.write('0000000\0', 108, 'latin1')
  header.write('0000000\0', 116, 'latin1')
  writeNumber(header, sizeBytes, 124, 12)
  header.write('00000000000\0', 136, 'latin1')
  header.write('0', 156, 'latin1')
  header.write('ustar  \0', 257, 'latin1')
  header.write(`${checksumOf(header).toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return { before: header, after: Buffer.alloc(padding(sizeBytes) + endBytes) }
}

async function readHeader(stream: ByteReader): Promise<Member> {
  for (let longNames = 0; ; longNames += 1) {
    const header = await stream.exactly(blockBytes)
    if (checksumOf(header) !== Number.parseInt(header.toString('latin1', 148, 156), 8)) {
      throw new BadBundle('what was decrypted holds no tar archive')
    }
    const size = readNumber(header, 124, 12)
    const type = String.fromCharCode(header[156]!)
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
  const sizeBytes = readNumber(header, 483, 12)
  const extents = extentsIn(header, 386, sparseInHeader)
  let isExtended = header[482] === 1
  while (isExtended) {
    const more = await stream.exactly(blockBytes)
    const found = extentsIn(more, 0, sparseInExtension)
    // A block without any would let a small bundle unpack to blocks without end.
    if (found.length === 0) throw new BadBundle('the archive has a list of holes with nothing in it')
    extents.push(...found)
    isExtended = more[504] === 1
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

function extentsIn(block: Buffer, offset: number, count: number): Extent[] {
  const extents: Extent[] = []
  for (let index = 0; index < count; index += 1) {
    const at = offset + index * 24
    if (block[at] === 0) break
    extents.push({ start: readNumber(block, at, 12), bytes: readNumber(block, at + 12, 12) })
  }
  return extents
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

const padding = (bytes: number) => (blockBytes - (bytes % blockBytes)) % blockBytes

/** Octal text, or for what does not fit in it big-endian with the highest bit set. */
function readNumber(block: Buffer, at: number, length: number): number {
  if (block[at]! & 0x80) {
    let value = 0n
    for (const byte of block.subarray(at + 1, at + length)) value = (value << 8n) | BigInt(byte)
    if (block[at] !== 0x80 || value > BigInt(Number.MAX_SAFE_INTEGER))
      throw new BadBundle('the archive has a size that cannot be')
    return Number(value)
  }
  const text = block
    .toString('latin1', at, at + length)
    .replace(/[\0 ]+$/, '')
    .trimStart()
  if (!/^[0-7]*$/.test(text)) throw new BadBundle('the archive has a size that cannot be')
  return Number.parseInt(text || '0', 8)
}

function writeNumber(block: Buffer, value: number, at: number, length: number): void {
  if (value < 8 ** (length - 1)) {
    block.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, 'latin1')
    return
  }
  block[at] = 0x80
  block.writeBigUInt64BE(BigInt(value), at + length - 8)
}

function checksumOf(header: Buffer): number {
  let sum = 8 * 0x20
  for (const [at, byte] of header.entries()) if (at < 148 || at >= 156) sum += byte
  return sum
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
