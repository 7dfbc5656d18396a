/**
 * EBS-backed images as single objects in S3, and back. Source: "Store and restore an AMI using S3" in the EC2 user guide,
 * and CreateStoreImageTask, DescribeStoreImageTasks and CreateRestoreImageTask in the EC2 API reference.
 */
import { isKilnError, KilnError } from '../../lib/errors.ts'
import { newId } from '../../lib/ids.ts'
import { limits } from '../../lib/limits.ts'
import { PieceReader } from '../../lib/piece-reader.ts'
import { UnusableImage } from '../../lib/unusable-image.ts'
import type { Page } from '../../state/listing.ts'
import type { Snapshot } from '../../state/snapshots.ts'
import type { Repositories } from '../../state/state.ts'
import type { StoredImageTask, StoreTaskListRequest } from '../../state/stored-image-tasks.ts'
import type { Tag } from '../../state/tags.ts'
import { type DeviceWish, mergeDevices } from '../block-devices.ts'
import type { Buckets } from '../buckets/buckets.ts'
import type { ObjectPlace } from '../buckets/object-facts.ts'
import type { Objects } from '../buckets/objects.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import { type Encryption, noWish } from '../encryption/encryption.ts'
import { checkImageText, checkNameIsFree } from '../images/image-names.ts'
import type { Images, ImageView } from '../images/images.ts'
import type { Snapshots } from '../snapshots/snapshots.ts'
import { mergeTags } from '../tags.ts'
import { gib } from '../volumes/volume-disks.ts'
import { readHeader, type StoredDevice, type StoredImageFacts } from './header.ts'
import { type RestoreImageInput, restoreImageKind, restoreImageOperation } from './restore-operation.ts'
import { isoTime, type StoreImageInput, sizeOf, storeImageKind, storeImageOperation } from './store-operation.ts'

export interface RestoreRequest {
  bucket: string
  key: string
  /** That of the stored image unless given. */
  name: string | null
  imageTags: readonly Tag[]
  snapshotTags: readonly Tag[]
}

interface Rooms {
  buckets: Buckets
  objects: Objects
  images: Images
  snapshots: Snapshots
  encryption: Encryption
}

/** How long a task can be asked for. */
const tasksKeptMs = 31 * 24 * 3600_000

export class StoredImages {
  readonly #deps: CloudDeps
  readonly #rooms: Rooms

  constructor(deps: CloudDeps, rooms: Rooms) {
    this.#deps = deps
    this.#rooms = rooms
    deps.operations.register(storeImageOperation(deps, rooms.objects))
    deps.operations.register(restoreImageOperation(deps, rooms.objects))
  }

  /** A task that stores an image as one object; the object's key. It is there when the task is completed. */
  async store(scope: Scope, request: { imageId: string; bucket: string; objectTags: readonly Tag[] }): Promise<string> {
    const { state, operations } = this.#deps
    const { images } = this.#rooms
    const image = await images.launchable(scope, request.imageId)
    if (image.rootDeviceType !== 'ebs') {
      throw new KilnError(
        'InvalidParameterValue',
        `The image '${image.id}' (ImageId) is backed by an instance store: it lies in S3 already, and only EBS-backed images are stored`,
      )
    }
    await images.checkStorage(scope, image)
    const facts = await this.#factsOf(scope, image)
    const place = { bucket: request.bucket, key: `${image.id}.bin` }
    await this.#checkTarget(scope, place)
    const task = this.#newTask(scope, 'store', image.id, place, sizeOf(facts))
    const input: StoreImageInput = {
      facts,
      sourceSnapshotIds: facts.snapshots.map(({ id }) => id),
      sourceRegion: scope.region,
      metadata: metadataOf(image),
      objectTags: request.objectTags,
    }
    await state.transaction(async (tx) => {
      if (await tx.storedImageTasks.isBeingStored(place.bucket, place.key)) throw alreadyStored(place)
      await checkGib(tx, scope, task, limits.storingGibAtOnce)
      await tx.storedImageTasks.insert(task)
      await operations.enqueue(tx, { kind: storeImageKind, subjectId: task.id, ...scope, input })
    })
    operations.wake()
    return place.key
  }

  /** Tasks that store images, those of the last 31 days, the newest first. */
  list(scope: Scope, request: Omit<StoreTaskListRequest, 'accountId' | 'sinceMs'>): Promise<Page<StoredImageTask>> {
    const { state, clock } = this.#deps
    const sinceMs = clock.now() - tasksKeptMs
    return state.storedImageTasks.listStores(scope.region, { ...request, accountId: scope.accountId, sinceMs })
  }

  /** A task that makes an image of such an object; the image's id. It is `pending` until all of the object was read. */
  async restore(scope: Scope, request: RestoreRequest): Promise<string> {
    const { state, operations } = this.#deps
    const { images, encryption } = this.#rooms
    const { bucket, key } = request
    const { objectId, facts } = await this.#readFacts(scope, { bucket, key })
    checkMachine(facts.image)
    const name = request.name ?? facts.image.name
    checkImageText(name, facts.image.description)
    const keyId = await encryption.keyForVolume(scope, noWish, undefined)
    const { enaSupport, region: sourceImageRegion, id: sourceImageId, tags, ...about } = facts.image
    const source = {
      sourceImageId,
      sourceImageRegion,
      tpmSupport: null,
      enaSupport: enaSupport ? (1 as const) : (0 as const),
    }
    const image = images.pendingRow(scope, { ...about, ...source, name })
    const task = this.#newTask(scope, 'restore', image.id, { bucket, key }, sizeOf(facts))
    await state.transaction(async (tx) => {
      await checkNameIsFree(tx, scope, name)
      await checkGib(tx, scope, task, limits.restoringGibAtOnce)
      const dataKeyId = await encryption.uploadDataKey(tx, keyId, null)
      const made = await this.#insertSnapshots(tx, scope, {
        facts,
        dataKeyId,
        tags: request.snapshotTags,
        of: image.id,
      })
      const devices = await mergeDevices(
        [],
        facts.devices.map((device) => wishOf(device, made)),
        async (id) => made.find((snapshot) => snapshot.id === id)!,
      )
      await tx.images.insert(image, devices)
      await tx.tags.put({ id: image.id, type: 'image', ...scope }, mergeTags(tags, request.imageTags))
      await tx.storedImageTasks.insert(task)
      const snapshotIds = made.map((snapshot) => snapshot.id)
      const input: RestoreImageInput = { taskId: task.id, place: { bucket, key }, objectId, snapshotIds, dataKeyId }
      await operations.enqueue(tx, { kind: restoreImageKind, subjectId: image.id, ...scope, input })
    })
    operations.wake()
    return image.id
  }

  /** Forgets tasks that are no longer told. For a timer. */
  async removeLeftovers(): Promise<void> {
    const { state, clock } = this.#deps
    await state.storedImageTasks.removeEndedBefore(clock.now() - tasksKeptMs)
  }

  async #factsOf(scope: Scope, image: ImageView): Promise<StoredImageFacts> {
    const { state } = this.#deps
    const ids = [...new Set(image.devices.flatMap((device) => device.snapshotId ?? []))]
    const snapshots: Snapshot[] = []
    for (const id of ids) snapshots.push(await this.#rooms.snapshots.get(scope, id))
    const gibs = snapshots.reduce((sum, { sizeGib }) => sum + sizeGib, 0)
    if (gibs > limits.storedImageGib) {
      throw new KilnError(
        'InvalidParameterValue',
        `The image '${image.id}' (ImageId) has ${gibs} GiB of snapshots: at most ${limits.storedImageGib} are stored`,
      )
    }
    const tags = await state.tags.of(scope.accountId, [image.id, ...ids])
    const { id, region, name, description, architecture, rootDeviceName, virtualizationType, platformDetails } = image
    const { sriovNetSupport, bootMode, imdsSupport } = image
    return {
      image: {
        ...{ id, region, name, description, architecture, rootDeviceName, virtualizationType, platformDetails },
        ...{ sriovNetSupport, bootMode, imdsSupport, enaSupport: image.enaSupport === 1, tags: tags.get(id)! },
      },
      devices: image.devices.map((device) => ({
        deviceName: device.deviceName,
        snapshot: device.snapshotId === null ? null : ids.indexOf(device.snapshotId),
        sizeGib: device.sizeGib,
        volumeType: device.volumeType,
        iops: device.iops,
        throughput: device.throughput,
        deleteOnTermination: device.deleteOnTermination === 1,
        virtualName: device.virtualName,
      })),
      snapshots: snapshots.map((snapshot) => ({
        id: snapshot.id,
        sizeBytes: snapshot.sizeGib * gib,
        blockCount: 0,
        description: snapshot.description,
        tags: tags.get(snapshot.id)!,
      })),
    }
  }

  /** Throws `InvalidParameterValue` for a bucket that cannot be written, is elsewhere, or has the object already. */
  async #checkTarget({ accountId, region }: Scope, place: ObjectPlace): Promise<void> {
    const { buckets } = this.#rooms
    try {
      const bucket = await buckets.find(accountId, place.bucket, 'WRITE')
      if (bucket.region !== region) {
        throw new KilnError(
          'InvalidParameterValue',
          `The bucket '${place.bucket}' (Bucket) lies in ${bucket.region}: an image of ${region} is stored in a bucket there`,
        )
      }
      if (await this.#deps.state.objects.get(bucket.id, place.key)) throw alreadyStored(place)
    } catch (error) {
      if (!isKilnError(error) || error.code === 'InvalidParameterValue' || error.code === 'InvalidRequest') throw error
      throw new KilnError(
        'InvalidParameterValue',
        `The bucket '${place.bucket.slice(0, 100)}' (Bucket) cannot be written: ${error.message} (${error.code})`,
      )
    }
  }

  /** What the object says of itself. Throws `InvalidParameterValue` for one that cannot be read, or is no stored image. */
  async #readFacts({ accountId }: Scope, place: ObjectPlace): Promise<{ objectId: string; facts: StoredImageFacts }> {
    const named = `The S3 object s3://${place.bucket.slice(0, 100)}/${place.key.slice(0, 200)} (Bucket, ObjectKey)`
    try {
      const open = await this.#rooms.objects.open(accountId, place)
      const reader = new PieceReader(open.read())
      try {
        return { objectId: open.object.id, facts: await readHeader(reader) }
      } finally {
        await reader.close()
        await open.close()
      }
    } catch (error) {
      if (isKilnError(error)) {
        throw new KilnError('InvalidParameterValue', `${named} cannot be read: ${error.message} (${error.code})`)
      }
      if (!(error instanceof UnusableImage)) throw error
      throw new KilnError('InvalidParameterValue', `${named} cannot be restored: ${error.message}`, { cause: error })
    }
  }

  async #insertSnapshots(
    tx: Repositories,
    scope: Scope,
    about: { facts: StoredImageFacts; dataKeyId: string | null; tags: readonly Tag[]; of: string },
  ): Promise<Snapshot[]> {
    const { facts, dataKeyId, tags, of: imageId } = about
    const made: Snapshot[] = []
    for (const stored of facts.snapshots) {
      const snapshot = await this.#rooms.snapshots.insertUpload(tx, scope, {
        sizeGib: stored.sizeBytes / gib,
        dataKeyId,
        description: stored.description || `Restored for ${imageId} from ${facts.image.id}`,
        tags: mergeTags(stored.tags, tags),
      })
      made.push(snapshot)
    }
    return made
  }

  #newTask(
    scope: Scope,
    kind: StoredImageTask['kind'],
    imageId: string,
    { bucket, key }: ObjectPlace,
    sizeGib: number,
  ): StoredImageTask {
    const { random, clock } = this.#deps
    return {
      ...{ id: newId('storedImageTask', random), kind, imageId, ...scope, bucket, objectKey: key, sizeGib },
      state: 'InProgress',
      progress: 0,
      failureReason: null,
      createdAt: clock.now(),
    }
  }
}

/** What the object says of the image where no one reads it: S3's own metadata. */
function metadataOf(image: ImageView): Record<string, string> {
  return {
    'ami-name': image.name,
    ...(image.description ? { 'ami-description': image.description } : {}),
    'ami-owner-account': image.accountId,
    'ami-registration-date': isoTime(image.createdAt),
    'ami-id': image.id,
  }
}

/** Throws `UnsupportedOperation` for an image that no machine here can start. */
function checkMachine({ architecture, bootMode, virtualizationType }: StoredImageFacts['image']): void {
  const isServed =
    architecture === 'x86_64' && (bootMode ?? 'legacy-bios') === 'legacy-bios' && virtualizationType === 'hvm'
  if (isServed) return
  throw new KilnError(
    'UnsupportedOperation',
    `The stored image is for ${architecture}, ${bootMode ?? 'legacy-bios'}, ${virtualizationType}: this host runs x86_64, legacy-bios, hvm`,
  )
}

function wishOf(device: StoredDevice, made: readonly Snapshot[]): DeviceWish {
  const { deviceName, virtualName, snapshot, sizeGib, volumeType, iops, throughput, deleteOnTermination } = device
  if (virtualName !== null) return { deviceName, noDevice: false, virtualName }
  const given = {
    ...(snapshot === null ? {} : { snapshotId: made[snapshot]!.id }),
    ...(sizeGib === null ? {} : { sizeGib }),
    ...(volumeType === null ? {} : { volumeType }),
    // Those of gp2 follow from its size and are not given.
    ...(iops === null || volumeType === 'gp2' ? {} : { iops }),
    ...(throughput === null ? {} : { throughput }),
  }
  return { deviceName, noDevice: false, ebs: { ...given, deleteOnTermination } }
}

/** Work in progress may reach the bound, and then nothing new is begun. */
async function checkGib(
  tx: Repositories,
  { accountId, region }: Scope,
  { kind, sizeGib }: Pick<StoredImageTask, 'kind' | 'sizeGib'>,
  most: number,
): Promise<void> {
  const underway = await tx.storedImageTasks.gibInProgress(accountId, region, kind)
  if (underway === 0 || underway + sizeGib <= most) return
  throw new KilnError(
    'ResourceLimitExceeded',
    `Images of ${underway} GiB are being ${kind}d in ${region}: at most ${most} GiB at once, so wait until one is done`,
  )
}

const alreadyStored = ({ bucket, key }: ObjectPlace) =>
  new KilnError('InvalidRequest', `The bucket '${bucket}' (Bucket) has an object '${key}' already, or is about to`)
