/**
 * CopyImage of an image whose root lies in a bundle: the parts go to a bucket of the caller in the target region, under a
 * manifest of the caller's, signed by the cloud. Source: "Copy an Amazon EC2 AMI" in the EC2 user guide.
 */
import { createHash } from 'node:crypto'
import { type PackedImage, sealManifest } from '../../bundles/bundle.ts'
import { partsMax } from '../../bundles/manifest.ts'
import { isKilnError, KilnError } from '../../lib/errors.ts'
import { OperationFailure, type OperationKind } from '../../operations/operation.ts'
import type { Image } from '../../state/images.ts'
import type { Buckets } from '../buckets/buckets.ts'
import type { Objects } from '../buckets/objects.ts'
import type { Bundles } from '../bundles/bundles.ts'
import { explained } from '../bundles/explained.ts'
import { placeOfManifest } from '../bundles/image-location.ts'
import type { Certificates, CloudIdentity } from '../certificates/certificates.ts'
import { answeredBefore, createOnce } from '../client-tokens.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import { mergeTags } from '../tags.ts'
import { becomeAvailable, becomeFailed } from './image-completion.ts'
import { checkImageText, checkNameIsFree } from './image-names.ts'
import type { CopyImageRequest, Images, ImageView } from './images.ts'
import { verifyBundle } from './instance-store-images.ts'

const kind = 'copy-bundle'

export interface BundleCopyRooms {
  images: Images
  bundles: Bundles
  buckets: Buckets
  objects: Objects
  certificates: Certificates
}

export class BundleCopies {
  readonly #deps: CloudDeps
  readonly #rooms: BundleCopyRooms

  constructor(deps: CloudDeps, rooms: BundleCopyRooms) {
    this.#deps = deps
    this.#rooms = rooms
    deps.operations.register(copyOperation(deps, rooms))
  }

  /** Whether what shall be copied lies in a bundle. Of what does not exist, it does not. */
  async isAsked({ sourceRegion, sourceImageId }: CopyImageRequest): Promise<boolean> {
    const source = await this.#deps.state.images.get(sourceImageId)
    return source?.rootDeviceType === 'instance-store' && source.region === sourceRegion
  }

  /** The id of the new image, which is `pending` until its bundle was copied and proved. */
  async copy(scope: Scope, request: CopyImageRequest): Promise<string> {
    const { state, operations } = this.#deps
    const before = await answeredBefore(state, scope, 'CopyImage', request.clientToken)
    if (before) return before[0]!
    checkImageText(request.name, request.description)
    const source = await this.#sourceOf(scope, request)
    const bucket = bucketFor(scope, await this.#rooms.certificates.cloudIdentity())
    const [id] = await createOnce(this.#deps, scope, 'CopyImage', request.clientToken, async (tx) => {
      await checkNameIsFree(tx, scope, request.name)
      const row = this.#rooms.images.pendingRow(scope, {
        ...source,
        ...{ name: request.name, description: request.description ?? source.description, sourceInstanceId: null },
        ...{ sourceImageId: source.id, sourceImageRegion: source.region, state: 'pending' },
      })
      const { bundleBytes, rootBytes } = source
      const image: Image = {
        ...row,
        ...{ rootDeviceType: 'instance-store', bundleBytes, rootBytes, manifestHash: null },
        imageLocation: `${bucket}/${row.id}/${source.imageLocation!.split('/').at(-1)}`,
      }
      const devices = source.devices.map(({ imageId: _, ordinal: __, ...device }) => device)
      const ownTags = request.copyTags ? (await tx.tags.of(scope.accountId, [source.id])).get(source.id)! : []
      await tx.images.insert(image, devices)
      await tx.tags.put({ id: image.id, type: 'image', ...scope }, mergeTags(ownTags, request.imageTags))
      await operations.enqueue(tx, { kind, subjectId: image.id, ...scope, input: { sourceId: source.id } })
      return [image.id]
    })
    operations.wake()
    return id!
  }

  async #sourceOf(scope: Scope, { sourceRegion, sourceImageId, encryption }: CopyImageRequest): Promise<ImageView> {
    const source = await this.#rooms.images.get({ ...scope, region: sourceRegion }, sourceImageId)
    if (source.state !== 'available') {
      throw new KilnError('InvalidAMIID.Unavailable', `The image '${sourceImageId}' (SourceImageId) is ${source.state}`)
    }
    if (encryption.encrypted === true || encryption.kmsKeyId !== null) {
      throw new KilnError(
        'InvalidParameterCombination',
        `The image '${sourceImageId}' is instance-store-backed: Encrypted and KmsKeyId are for EBS-backed images`,
      )
    }
    if (source.devices.some((device) => device.snapshotId !== null)) {
      throw new KilnError(
        'UnsupportedOperation',
        `The image '${sourceImageId}' maps snapshots beside its bundle: copy these, and register the bundle with the copies`,
      )
    }
    await this.#checkReadable(scope, source)
    return source
  }

  /** A launch permission lets nobody read the bundle: a copy of the image needs that. */
  async #checkReadable({ accountId }: Scope, { id, imageLocation }: ImageView): Promise<void> {
    await this.#rooms.objects.head(accountId, placeOfManifest(imageLocation!)).catch((error) => {
      if (!isKilnError(error)) throw error
      throw new KilnError(
        'InvalidRequest',
        `You do not have permission to access the storage of this ami (${id}): its bundle '${imageLocation}': ${error.message}`,
      )
    })
  }
}

function copyOperation(deps: CloudDeps, rooms: BundleCopyRooms): OperationKind<{ sourceId: string }, unknown> {
  return {
    kind,
    lane: 'bundles',
    steps: [
      {
        name: 'copy',
        async run({ subjectId, input, signal }) {
          const source = await deps.state.images.get(input.sourceId)
          const target = await deps.state.images.get(subjectId)
          if (target?.state !== 'pending') return
          if (!source) throw new OperationFailure(`the image ${input.sourceId} is gone`)
          const manifestHash = await explained(() => copyBundle(rooms, source, target, signal))
          await deps.state.images.update(subjectId, { manifestHash })
        },
        undo: ({ subjectId }) => removeCopy(deps, rooms, subjectId),
      },
      { name: 'verify', run: (context) => verifyBundle(deps, rooms.bundles, context) },
      { name: 'available', run: ({ subjectId }) => becomeAvailable(deps, subjectId) },
    ],
    fail: ({ subjectId }, { step, message }) => becomeFailed(deps, subjectId, `${step}: ${message}`),
  }
}

/** May be repeated: parts that are there are put there again, which in one region moves no byte. */
async function copyBundle(
  { bundles, buckets, objects, certificates }: BundleCopyRooms,
  source: Image,
  target: Image,
  signal: AbortSignal,
): Promise<string> {
  const { accountId, region } = target
  const { manifest, key, folder } = await bundles.registered(source)
  const place = placeOfManifest(target.imageLocation!)
  const beside = (name: string) => ({ ...place, key: place.key.slice(0, place.key.lastIndexOf('/') + 1) + name })
  await buckets.ensure({ accountId, region }, place.bucket)
  for (const { filename } of manifest.image.parts) {
    signal.throwIfAborted()
    const part = await objects.head(accountId, { bucket: folder.bucket, key: `${folder.key}${filename}` })
    await objects.copy(accountId, { ...part, bucket: folder.bucket }, beside(filename), {})
  }
  const { certificate, privateKey: signingKey } = await certificates.cloudIdentity()
  const { name, digestSha1, sizeBytes, bundledSizeBytes, parts } = manifest.image
  const packed: PackedImage = { name, digestSha1, sizeBytes, bundledSizeBytes, parts }
  const seals = { key, userCertificatePem: certificate, cloudCertificatePem: certificate, signingKey }
  const { document } = sealManifest(packed, { ...manifest, user: accountId, ...seals })
  await objects.put(accountId, place, { content: bytesOf(document) })
  return createHash('sha256').update(document).digest('hex')
}

/** What was put into the folder of an image that came to nothing, the manifest first. The bucket stays: it is the caller's. */
async function removeCopy({ state }: CloudDeps, { objects }: BundleCopyRooms, imageId: string): Promise<void> {
  const target = await state.images.get(imageId)
  if (!target || target.state === 'available') return
  const { accountId } = target
  const { bucket, key } = placeOfManifest(target.imageLocation!)
  const prefix = key.slice(0, key.lastIndexOf('/') + 1)
  const everything = { prefix, delimiter: '', after: '', isAfterListed: false, limit: partsMax }
  try {
    await objects.remove(accountId, { bucket, key })
    const left = await objects.list(accountId, bucket, everything)
    await objects.removeAll(
      accountId,
      bucket,
      left.objects.map((part) => part.key),
    )
  } catch (error) {
    // A bucket that is gone keeps nothing of ours.
    if (!isKilnError(error)) throw error
  }
}

/** EC2's pattern of such names. Its last part only this cloud can tell before the bucket is there. */
function bucketFor({ accountId, region }: Scope, { privateKey }: CloudIdentity): string {
  const secret = privateKey.export({ type: 'pkcs8', format: 'der' })
  const mark = createHash('sha256').update(`amis ${accountId} `).update(secret).digest('hex').slice(0, 10)
  return `amis-for-${accountId}-in-${region}-${mark}`
}

async function* bytesOf(text: string): AsyncGenerator<Buffer> {
  yield Buffer.from(text)
}
