/**
 * Bundles in S3, as images are registered and launched from them. The image service reads them as their image's owner may,
 * or where it was let in itself (the canned ACL `aws-exec-read`). Source: RegisterImage in the EC2 API reference, and
 * "Create an instance store-backed AMI" in the EC2 user guide.
 */
import { createHash } from 'node:crypto'
import { BadBundle } from '../../bundles/bad-bundle.ts'
import { type BundleManifest, manifestMaxBytes, parseManifest, tooLarge } from '../../bundles/manifest.ts'
import { type BundleKey, openKey, signerOf } from '../../bundles/seals.ts'
import { openBundle } from '../../bundles/unbundle.ts'
import { isKilnError, KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import type { Image } from '../../state/images.ts'
import { imageService } from '../buckets/acl.ts'
import type { ObjectPlace } from '../buckets/object-facts.ts'
import type { Objects, OpenObject } from '../buckets/objects.ts'
import type { Certificates } from '../certificates/certificates.ts'
import type { Scope } from '../deps.ts'
import { placeOfManifest } from './image-location.ts'

export interface ReadBundle {
  place: ObjectPlace
  manifest: BundleManifest
  /** SHA-256 of the manifest's document, hexadecimal: what was registered is what is launched. */
  manifestHash: string
}

export type BundledRoot = Pick<Image, 'accountId' | 'region' | 'imageLocation' | 'manifestHash'>

export interface OpenImageOptions {
  signal?: AbortSignal
  /** Of the bundle's bytes, how many were read. */
  onProgress?(bytes: number, ofBytes: number): void
}

export class Bundles {
  readonly #objects: Objects
  readonly #certificates: Certificates

  constructor(objects: Objects, certificates: Certificates) {
    this.#objects = objects
    this.#certificates = certificates
  }

  /**
   * The manifest, proved to be the account's and for this cloud. The parts were not looked at. Throws `InvalidManifest` with
   * the reason, `AuthFailure` when it is another account's.
   */
  async read(scope: Scope, location: string): Promise<ReadBundle> {
    const place = placeOfManifest(location)
    const document = await this.#document(scope, place)
    try {
      const manifest = parseManifest(document)
      const { image, signature } = manifest
      if (image.user !== scope.accountId) {
        throw new KilnError('AuthFailure', `The manifest '${location}' (ImageLocation) is of the account ${image.user}`)
      }
      if (!signerOf(document, signature, await this.#certificates.trustedFor(scope))) {
        throw new BadBundle(
          "its signature is by none of the account's active signing certificates ('kiln cert add' or UploadSigningCertificate of IAM adds one)",
        )
      }
      if (image.type !== 'machine')
        throw new BadBundle(`its type is '${image.type}': only machine images can be launched`)
      if (image.sizeBytes > limits.instanceStoreRootBytes) {
        throw new BadBundle(
          `the image has ${image.sizeBytes} bytes, and a root in the instance store has at most ${limits.instanceStoreRootBytes}`,
        )
      }
      await this.#keyOf(manifest)
      return { place, manifest, manifestHash: sha256(document) }
    } catch (error) {
      if (error instanceof BadBundle) throw invalid(location, error.message, error)
      throw error
    }
  }

  /**
   * The root as raw bytes, proved on the way: what was given out counts only when the stream ends well. Throws
   * {@link BadBundle}, or `InvalidManifest` when the manifest is gone or not the one that was registered.
   */
  async *openImage(image: BundledRoot, { signal, onProgress }: OpenImageOptions = {}): AsyncGenerator<Buffer> {
    const { manifest, key, folder } = await this.registered(image)
    const { bundledSizeBytes } = manifest.image
    yield* openBundle({
      ...{ manifest, key },
      ...(signal && { signal }),
      onProgress: (bytes) => onProgress?.(bytes, bundledSizeBytes),
      readPart: (part) =>
        this.#readPart(image, { bucket: folder.bucket, key: `${folder.key}${part.filename}` }, part.index),
    })
  }

  /** The manifest of an image, and where its parts lie: what stands before their names. Throws as {@link openImage} does. */
  async registered(image: BundledRoot): Promise<{ manifest: BundleManifest; key: BundleKey; folder: ObjectPlace }> {
    const location = image.imageLocation
    if (location === null) throw new BadBundle('the image has no bundle')
    const place = placeOfManifest(location)
    const document = await this.#document(image, place)
    if (sha256(document) !== image.manifestHash) {
      throw new BadBundle(`the manifest '${location}' is not the one that was registered`)
    }
    const manifest = parseManifest(document)
    const folder = { bucket: place.bucket, key: place.key.slice(0, place.key.lastIndexOf('/') + 1) }
    return { manifest, key: await this.#keyOf(manifest), folder }
  }

  async #keyOf({ image }: BundleManifest): Promise<BundleKey> {
    const { privateKey } = await this.#certificates.cloudIdentity()
    return openKey({ key: image.ec2EncryptedKey, iv: image.ec2EncryptedIv }, privateKey)
  }

  async *#readPart(scope: Scope, place: ObjectPlace, index: number): AsyncGenerator<Buffer> {
    let part: OpenObject
    try {
      part = await this.#open(scope, place)
    } catch (error) {
      if (!isKilnError(error)) throw error
      throw new BadBundle(`part ${index} ('${place.bucket}/${place.key}') cannot be read: ${error.message}`, {
        cause: error,
      })
    }
    yield* part.read()
  }

  async #document(scope: Scope, place: ObjectPlace): Promise<Buffer> {
    const location = `${place.bucket}/${place.key}`
    const open = await this.#open(scope, place).catch((error) => {
      throw isKilnError(error) ? unreadable(location, error) : error
    })
    try {
      if (open.object.region !== scope.region) {
        throw invalid(location, `its bucket is in ${open.object.region}, and the image in ${scope.region}`)
      }
      if (open.object.sizeBytes > manifestMaxBytes) throw invalid(location, tooLarge().message)
      const pieces: Buffer[] = []
      for await (const piece of open.read()) pieces.push(piece)
      return Buffer.concat(pieces)
    } finally {
      await open.close()
    }
  }

  async #open({ accountId }: Pick<Scope, 'accountId'>, place: ObjectPlace): Promise<OpenObject> {
    try {
      return await this.#objects.open(accountId, place)
    } catch (error) {
      if (!isKilnError(error) || error.code !== 'AccessDenied') throw error
      return await this.#objects.open(imageService, place)
    }
  }
}

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

function unreadable(location: string, error: KilnError): KilnError {
  const what = error.status === 403 ? 'HTTP 403 (Forbidden)' : 'HTTP 404 (Not Found)'
  return new KilnError(
    'InvalidManifest',
    `${what} response for '${location}' (ImageLocation): check that the manifest path is correct, and that the image service may read it (aws-exec-read)`,
    { cause: error },
  )
}

const invalid = (location: string, why: string, cause?: unknown) =>
  new KilnError('InvalidManifest', `The manifest '${location}' (ImageLocation) cannot be used: ${why}`, { cause })
