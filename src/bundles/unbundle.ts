/**
 * From parts back to the image: every part is compared with its digest, the whole is decrypted and unpacked, the archive
 * is compared with its digest, and what comes out are the image's bytes. All of it streams, in constant memory.
 *
 * What is given out before the end is not proved yet: whoever takes it must throw it away when the stream fails.
 */
import { createDecipheriv, createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { BadBundle } from './bad-bundle.ts'
import type { BundleManifest, BundlePart } from './manifest.ts'
import type { BundleKey } from './seals.ts'
import { imageOf } from './tar-image.ts'

export interface OpenBundleOptions {
  manifest: BundleManifest
  key: BundleKey
  /** A part's bytes. What it throws ends the stream as it is. */
  readPart(part: BundlePart, signal: AbortSignal): AsyncIterable<Uint8Array>
  signal?: AbortSignal
  /** Bytes of the parts that were read so far. */
  onProgress?(bundledBytes: number): void
}

/** Of parts, and of what was unpacked, that wait for whoever comes next. */
const aheadBytes = 4 * 1024 * 1024
const unpackBytes = 256 * 1024
const pieceBytes = 1024 * 1024
/** The tools of the format make parts of 10 MiB. */
const partMaxBytes = 64 * 1024 * 1024

/** Throws {@link BadBundle} with part, place and reason. */
export async function* openBundle(options: OpenBundleOptions): AsyncGenerator<Buffer> {
  const { manifest, signal } = options
  const ended = new AbortController()
  const stop = AbortSignal.any([ended.signal, ...(signal ? [signal] : [])])
  const gunzip = createGunzip({ chunkSize: unpackBytes })
  const packed = Readable.from(decrypted(sealedBytes(options, stop), options.key), {
    objectMode: false,
    highWaterMark: aheadBytes,
  })
  const feeding = pipeline(packed, gunzip, { signal: stop })
  feeding.catch(() => {})
  const digest = createHash('sha1')
  try {
    yield* imageOf(hashed(gunzip, digest), manifest.image.sizeBytes)
    await feeding
    if (digest.digest('hex') !== manifest.image.digestSha1) {
      throw new BadBundle('the archive in the bundle is not the one whose digest the manifest names')
    }
  } catch (error) {
    signal?.throwIfAborted()
    throw await reasonOf(error, feeding)
  } finally {
    ended.abort()
    await feeding.catch(() => {})
  }
}

/** Why unpacking failed: what is wrong with a part comes before what follows from it. */
async function reasonOf(error: unknown, feeding: Promise<void>): Promise<unknown> {
  const code = (error as NodeJS.ErrnoException).code
  if (code === 'ERR_STREAM_PREMATURE_CLOSE') {
    return feeding.then(
      () => error,
      (cause) => reasonOf(cause, Promise.resolve()),
    )
  }
  if (typeof code === 'string' && /^Z_/.test(code)) {
    return new BadBundle('what was decrypted cannot be unpacked: the key is wrong, or it was no gzip', { cause: error })
  }
  return error
}

async function* sealedBytes(options: OpenBundleOptions, signal: AbortSignal): AsyncGenerator<Buffer> {
  const { manifest, onProgress } = options
  const { parts, bundledSizeBytes } = manifest.image
  let total = 0
  for (const part of parts) {
    const bytes = await provedPart(options, part, total, signal)
    total += bytes.length
    for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes)
    onProgress?.(total)
  }
  if (total !== bundledSizeBytes) {
    throw new BadBundle(`the parts have ${total} bytes together, and the manifest says ${bundledSizeBytes}`)
  }
}

/** A whole part, because nothing of it is used before its digest was seen to be right. */
async function provedPart(
  { manifest, readPart }: OpenBundleOptions,
  part: BundlePart,
  start: number,
  signal: AbortSignal,
): Promise<Buffer> {
  const what = `part ${part.index} ('${part.filename}', from byte ${start} of the bundle on)`
  const maxBytes = Math.min(partMaxBytes, manifest.image.bundledSizeBytes - start)
  const digest = createHash('sha1')
  const pieces: Uint8Array[] = []
  let length = 0
  for await (const piece of readPart(part, signal)) {
    signal.throwIfAborted()
    length += piece.length
    if (length > maxBytes) throw new BadBundle(`${what} has more than the ${maxBytes} bytes that it may have`)
    digest.update(piece)
    pieces.push(piece)
  }
  const found = digest.digest('hex')
  if (found === part.digestSha1) return Buffer.concat(pieces)
  throw new BadBundle(`${what} has the digest ${found}, and the manifest says ${part.digestSha1}`)
}

async function* decrypted(sealed: AsyncIterable<Uint8Array>, { key, iv }: BundleKey): AsyncGenerator<Buffer> {
  const decipher = createDecipheriv('aes-128-cbc', key, iv)
  for await (const piece of sealed) {
    const plain = decipher.update(piece)
    if (plain.length > 0) yield plain
  }
  let last: Buffer
  try {
    last = decipher.final()
  } catch (cause) {
    throw new BadBundle('the parts cannot be decrypted: the key is wrong, or something is missing', { cause })
  }
  if (last.length > 0) yield last
}

async function* hashed(source: AsyncIterable<Buffer>, digest: ReturnType<typeof createHash>): AsyncGenerator<Buffer> {
  for await (const piece of source) {
    digest.update(piece)
    yield piece
  }
}
