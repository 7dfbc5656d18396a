/** From an image to a bundle: an archive with one file, packed, encrypted, and cut into parts. Streams, a part at a time. */
import { createCipheriv, createHash, type KeyObject } from 'node:crypto'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { BadBundle } from './bad-bundle.ts'
import {
  type BundledImage,
  type BundleManifest,
  type BundlePart,
  manifestVersion,
  partBytes,
  writeManifest,
} from './manifest.ts'
import { type BundleKey, sealKey, signText } from './seals.ts'
import { archiveAround } from './tar-archive.ts'
import type { Extent } from './tar-format.ts'

export interface ImageSource {
  sizeBytes: number
  /**
   * Where the image has anything but zeros, in order, each but the last of whole blocks of 512 bytes: the rest takes no room
   * in the bundle, and no time whenever it is opened. Without this, all of the image is packed.
   */
  extents?: readonly Extent[]
  /** Gives exactly what the extents hold, or the whole image. */
  bytes: AsyncIterable<Uint8Array>
}

export interface PackOptions {
  image: ImageSource
  /** What the parts are called before `.part.00`, and the manifest before `.manifest.xml`. */
  name: string
  /** Of chance, and of this bundle alone. */
  key: BundleKey
  /** Keeps a part of at most 10 MiB. */
  writePart(filename: string, bytes: Buffer): Promise<void>
  /** How many of the bytes that are packed were read so far. */
  onProgress?(readBytes: number, ofBytes: number): void
  signal?: AbortSignal
}

/** An image in parts, before it was said whose it is. */
export type PackedImage = Pick<BundledImage, 'name' | 'digestSha1' | 'sizeBytes' | 'bundledSizeBytes' | 'parts'>

export interface SealOptions {
  /** The account whose bundle it is: 12 digits. */
  user: string
  bundler: BundleManifest['bundler']
  architecture: string
  blockDeviceMapping?: BundleManifest['blockDeviceMapping']
  kernelId?: string | null
  ramdiskId?: string | null
  productCodes?: readonly string[]
  /** That of the parts. */
  key: BundleKey
  /** Whose private key opens the bundle: the user, and the cloud that shall launch it. */
  userCertificatePem: string
  cloudCertificatePem: string
  /** Signs the manifest. */
  signingKey: KeyObject
}

export type CreateBundleOptions = PackOptions & SealOptions

export interface SealedManifest {
  manifest: BundleManifest
  document: string
}

/** Images compress little better at higher levels, and several times slower. */
const gzipLevel = 3

/** Resolves when all parts were written; the manifest's document is for the caller to write last. */
export async function createBundle(options: CreateBundleOptions): Promise<SealedManifest> {
  return sealManifest(await packImage(options), options)
}

export async function packImage(options: PackOptions): Promise<PackedImage> {
  const { image, name, signal } = options
  const archive = createHash('sha1')
  const gzip = createGzip({ level: gzipLevel, chunkSize: 256 * 1024 })
  const bytes = Readable.from(archived(options, archive), { objectMode: false })
  const feeding = pipeline(bytes, gzip, { ...(signal && { signal }) })
  feeding.catch(() => {})
  const parts: BundlePart[] = []
  let bundledSizeBytes = 0
  for await (const part of partsOf(encrypted(gzip, options.key))) {
    const index = parts.length
    const filename = `${name}.part.${String(index).padStart(2, '0')}`
    await options.writePart(filename, part)
    parts.push({ index, filename, digestSha1: createHash('sha1').update(part).digest('hex') })
    bundledSizeBytes += part.length
  }
  await feeding
  return { name, digestSha1: archive.digest('hex'), sizeBytes: image.sizeBytes, bundledSizeBytes, parts }
}

/** The manifest of parts that there are: the key is sealed for user and cloud, and all of it signed. */
export function sealManifest(packed: PackedImage, options: SealOptions): SealedManifest {
  const forCloud = sealKey(options.key, options.cloudCertificatePem)
  const forUser = sealKey(options.key, options.userCertificatePem)
  const unsigned = {
    version: manifestVersion,
    bundler: options.bundler,
    architecture: options.architecture,
    blockDeviceMapping: options.blockDeviceMapping ?? [],
    kernelId: options.kernelId ?? null,
    ramdiskId: options.ramdiskId ?? null,
    productCodes: options.productCodes ?? [],
    image: {
      ...packed,
      ...{ user: options.user, type: 'machine' },
      ...{ ec2EncryptedKey: forCloud.key, ec2EncryptedIv: forCloud.iv },
      ...{ userEncryptedKey: forUser.key, userEncryptedIv: forUser.iv },
    },
  }
  let signature = ''
  const document = writeManifest(unsigned, (text) => {
    signature = signText(text, options.signingKey)
    return signature
  })
  return { manifest: { ...unsigned, signature }, document }
}

async function* archived(
  { image, name, onProgress }: PackOptions,
  digest: ReturnType<typeof createHash>,
): AsyncGenerator<Uint8Array> {
  const { sizeBytes, extents, bytes } = image
  const { before, after } = archiveAround(name, sizeBytes, extents)
  const packedBytes = extents ? extents.reduce((sum, extent) => sum + extent.bytes, 0) : sizeBytes
  digest.update(before)
  yield before
  let total = 0
  for await (const piece of bytes) {
    total += piece.length
    if (total > packedBytes) break
    digest.update(piece)
    yield piece
    onProgress?.(total, packedBytes)
  }
  if (total !== packedBytes) throw new BadBundle(`the image has not the ${packedBytes} bytes that it should have`)
  digest.update(after)
  yield after
}

async function* encrypted(source: AsyncIterable<Buffer>, { key, iv }: BundleKey): AsyncGenerator<Buffer> {
  const cipher = createCipheriv('aes-128-cbc', key, iv)
  for await (const piece of source) yield cipher.update(piece)
  yield cipher.final()
}

async function* partsOf(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let pieces: Buffer[] = []
  let held = 0
  for await (const piece of source) {
    for (let rest = piece; rest.length > 0; ) {
      const taken = rest.subarray(0, partBytes - held)
      pieces.push(taken)
      held += taken.length
      rest = rest.subarray(taken.length)
      if (held < partBytes) continue
      yield Buffer.concat(pieces)
      pieces = []
      held = 0
    }
  }
  if (held > 0) yield Buffer.concat(pieces)
}
