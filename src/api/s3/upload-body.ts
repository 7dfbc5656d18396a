/**
 * The body of an upload: out of its chunks, counted, and compared with everything that the request says of it. Nobody can
 * read it to its end and not have it proved: it throws there.
 */
import { createHash } from 'node:crypto'
import {
  type ChecksumAlgorithm,
  checksumAlgorithms,
  isChecksumAlgorithm,
  isChecksumValue,
} from '../../cloud/buckets/checksums.ts'
import type { ObjectChecksum } from '../../cloud/buckets/object-facts.ts'
import { badDigest } from '../../cloud/buckets/objects.ts'
import { isKilnError, KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import { readChunks } from '../signature/chunks.ts'
import { chunkedPayloadWithTrailer, unsignedChunksWithTrailer } from '../signature/verification.ts'
import { notImplemented } from './errors.ts'
import type { S3Request } from './request.ts'

export interface UploadBody {
  lengthBytes: number
  content: AsyncIterable<Buffer>
  /** In hexadecimal, when the request says what it should be; not compared here. */
  md5: string | undefined
  /** After the end of the content: what it was checked with. */
  checksum(): ObjectChecksum | null
}

type Headers = ReadonlyMap<string, string>

/**
 * Throws `MissingContentLength`, `EntityTooLarge`, `InvalidDigest` and `InvalidRequest` at once; the content throws
 * `IncompleteBody`, `BadDigest`, `XAmzContentSHA256Mismatch`, `SignatureDoesNotMatch`.
 */
export function uploadBody(
  { headers, stream }: Pick<S3Request, 'headers' | 'stream'>,
  limitBytes: number = limits.objectPartBytes,
): UploadBody {
  const { payloadHash } = stream
  const isChunked = payloadHash?.startsWith('STREAMING-') || isAwsChunked(headers)
  const lengthBytes = lengthOf(headers, isChunked)
  if (lengthBytes > limitBytes) {
    throw new KilnError(
      'EntityTooLarge',
      `Your proposed upload exceeds the maximum allowed size of ${limitBytes} bytes.`,
    )
  }
  const trailers = headers.has('x-amz-trailer') ? new Map<string, string>() : undefined
  if (trailers && !isChunked) throw new KilnError('InvalidRequest', 'x-amz-trailer needs an aws-chunked body.')
  const wanted = wantedChecksum(headers)
  const source = isChunked
    ? readChunks(stream.source, {
        decodedBytes: lengthBytes,
        seed: payloadHash === unsignedChunksWithTrailer ? undefined : stream.seed,
        ...(trailers || payloadHash === chunkedPayloadWithTrailer || payloadHash === unsignedChunksWithTrailer
          ? { trailers: trailers ?? new Map() }
          : {}),
      })
    : stream.source
  let proved: ObjectChecksum | null = null

  async function* content(): AsyncGenerator<Buffer> {
    const sha256 = /^[0-9a-f]{64}$/.test(payloadHash ?? '') ? createHash('sha256') : undefined
    const running = wanted && checksumAlgorithms[wanted.algorithm].start()
    let total = 0
    for await (const piece of arriving(source)) {
      total += piece.length
      if (total > lengthBytes) break
      sha256?.update(piece)
      running?.update(piece)
      yield piece
    }
    if (total !== lengthBytes) {
      throw new KilnError(
        'IncompleteBody',
        'You did not provide the number of bytes specified by the Content-Length HTTP header.',
      )
    }
    if (sha256 && sha256.digest('hex') !== payloadHash) {
      throw new KilnError(
        'XAmzContentSHA256Mismatch',
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
      )
    }
    if (!wanted || !running) return
    const value = (await running.digest()).toString('base64')
    const told = wanted.value ?? trailers?.get(headerOf(wanted.algorithm))
    if (told === undefined && wanted.isTrailing) {
      throw new KilnError('MalformedTrailerError', 'The request contained trailing data that was not well-formed.')
    }
    if (told !== undefined && told !== value) throw badDigest(wanted.algorithm)
    proved = { algorithm: wanted.algorithm, type: 'FULL_OBJECT', value }
  }

  return { lengthBytes, content: content(), md5: readContentMd5(headers), checksum: () => proved }
}

/** A small body at once, with the same proofs. Throws `MaxMessageLengthExceeded`, and all that {@link uploadBody} does. */
export async function readWhole(request: S3Request, limitBytes = limits.s3DocumentBytes): Promise<Buffer> {
  if (!request.headers.has('content-length') && !request.headers.has('transfer-encoding')) return Buffer.alloc(0)
  const body = uploadBody(request)
  if (body.lengthBytes > limitBytes) {
    throw new KilnError('MaxMessageLengthExceeded', `Your request was too big: at most ${limitBytes} bytes.`)
  }
  const pieces: Buffer[] = []
  for await (const piece of body.content) pieces.push(piece)
  const whole = Buffer.concat(pieces)
  if (body.md5 !== undefined && createHash('md5').update(whole).digest('hex') !== body.md5) {
    throw badDigest('Content-MD5')
  }
  return whole
}

export const headerOf = (algorithm: string) => `x-amz-checksum-${algorithm.toLowerCase()}`

export function isAwsChunked(headers: Headers): boolean {
  return codingsOf(headers).includes('aws-chunked')
}

/** The content codings besides the one that is the transport's. */
export function storedCoding(headers: Headers): string | undefined {
  const codings = codingsOf(headers).filter((coding) => coding !== 'aws-chunked')
  return codings.length === 0 ? undefined : codings.join(',')
}

function codingsOf(headers: Headers): string[] {
  return (headers.get('content-encoding') ?? '')
    .split(',')
    .map((coding) => coding.trim())
    .filter((coding) => coding !== '')
}

/** The checksum that a header gives, one of the named algorithm; undefined when there is none. Throws `InvalidRequest`. */
export function givenChecksum(headers: Headers): { algorithm: ChecksumAlgorithm; value: string } | undefined {
  const given = [...headers].filter(([name]) => /^x-amz-checksum-/.test(name) && !/-(algorithm|type|mode)$/.test(name))
  if (given.length > 1) throw new KilnError('InvalidRequest', 'Expecting a single x-amz-checksum- header.')
  const [name, value] = given[0] ?? []
  if (name === undefined || value === undefined) return undefined
  return { algorithm: algorithmOf(name.slice('x-amz-checksum-'.length)), value }
}

export function algorithmOf(text: string): ChecksumAlgorithm {
  const name = text.toUpperCase()
  if (isChecksumAlgorithm(name)) return name
  throw notImplemented(`The checksum algorithm '${text.slice(0, 32)}'`)
}

function wantedChecksum(
  headers: Headers,
): { algorithm: ChecksumAlgorithm; value: string | undefined; isTrailing: boolean } | undefined {
  const given = givenChecksum(headers)
  if (given) {
    if (isChecksumValue(given.algorithm, given.value)) return { ...given, isTrailing: false }
    throw new KilnError('InvalidRequest', `Value for ${headerOf(given.algorithm)} header is invalid.`)
  }
  const trailer = headers.get('x-amz-trailer')?.trim().toLowerCase()
  if (trailer?.startsWith('x-amz-checksum-')) {
    return { algorithm: algorithmOf(trailer.slice('x-amz-checksum-'.length)), value: undefined, isTrailing: true }
  }
  if (trailer !== undefined) throw new KilnError('InvalidRequest', 'x-amz-trailer must name an x-amz-checksum- header.')
  const named = headers.get('x-amz-sdk-checksum-algorithm')
  return named === undefined ? undefined : { algorithm: algorithmOf(named), value: undefined, isTrailing: false }
}

function lengthOf(headers: Headers, isChunked: boolean): number {
  const text = headers.get(isChunked ? 'x-amz-decoded-content-length' : 'content-length')
  // An upload of nothing may say nothing.
  if (text === undefined && !headers.has('transfer-encoding') && !isChunked) return 0
  if (text !== undefined && /^\d{1,15}$/.test(text)) return Number(text)
  throw new KilnError('MissingContentLength', 'You must provide the Content-Length HTTP header.')
}

function readContentMd5(headers: Headers): string | undefined {
  const text = headers.get('content-md5')
  if (text === undefined) return undefined
  const bytes = Buffer.from(text.trim(), 'base64')
  if (bytes.length === 16 && bytes.toString('base64') === text.trim()) return bytes.toString('hex')
  throw new KilnError('InvalidDigest', 'The Content-MD5 you specified is not valid.')
}

async function* arriving(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  try {
    for await (const piece of source) {
      yield Buffer.isBuffer(piece) ? piece : Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength)
    }
  } catch (cause) {
    if (isKilnError(cause)) throw cause
    throw new KilnError('IncompleteBody', 'The request ended before its body did.', { cause })
  }
}
