/** Imports: what may be asked for, and their tasks. Source: "VM Import/Export" and the operations in the EC2 API reference. */
import { isKilnError, KilnError } from '../../lib/errors.ts'
import { newId } from '../../lib/ids.ts'
import type { Tag } from '../../state/tags.ts'
import type { TransferDisk, TransferTask } from '../../state/transfers.ts'
import { devicePattern } from '../block-devices.ts'
import type { Objects } from '../buckets/objects.ts'
import { answeredBefore, createOnce } from '../client-tokens.ts'
import type { ClientToken, CloudDeps, Scope } from '../deps.ts'
import type { Encryption, EncryptionWish } from '../encryption/encryption.ts'
import { checkDescription, checkImageText, checkNameIsFree } from '../images/image-names.ts'
import type { ImageFormat } from '../ports.ts'
import type { Publication } from '../regions/pulled-images.ts'
import type { Snapshots } from '../snapshots/snapshots.ts'
import { type ImportInput, importKind } from './import-operation.ts'
import { objectOfUrl } from './import-sources.ts'
import { checkTransferCount, type TransferView, viewOf } from './transfer-tasks.ts'
import type { Uploads } from './uploads.ts'

export interface DiskContainer {
  description: string | null
  /** Null lets the content tell. */
  format: ImageFormat | null
  deviceName: string | null
  /** Exactly one of these says where the disk comes from. */
  url?: string
  object?: { bucket: string; key: string }
  uploadId?: string
  snapshotId?: string
}

interface ImportRequest {
  description: string | null
  encryption: EncryptionWish
  tags: readonly Tag[]
  clientToken?: ClientToken
}

export interface SnapshotImportRequest extends ImportRequest {
  container: DiskContainer
}

export interface ImageImportRequest extends ImportRequest {
  containers: readonly DiskContainer[]
  /** The task's id unless given. */
  name: string | null
  licenseType: string | null
  bootMode: string | null
  /** Given when everybody is to see the image, as that of its publisher, whose account the scope names. Never encrypted. */
  publication?: Publication
}

export class Imports {
  readonly #deps: CloudDeps
  readonly #objects: Objects
  readonly #snapshots: Snapshots
  readonly #uploads: Uploads
  readonly #encryption: Encryption

  constructor(
    deps: CloudDeps,
    parts: { objects: Objects; snapshots: Snapshots; uploads: Uploads; encryption: Encryption },
  ) {
    this.#deps = deps
    this.#objects = parts.objects
    this.#snapshots = parts.snapshots
    this.#uploads = parts.uploads
    this.#encryption = parts.encryption
  }

  /** A task that makes a snapshot of a file. Throws `InvalidParameter` when the file is not there. */
  async importSnapshot(scope: Scope, request: SnapshotImportRequest): Promise<TransferView> {
    const { container } = request
    const id = newId('importSnapshotTask', this.#deps.random)
    const task = this.#newTask(scope, id, 'import-snapshot', request)
    return await this.#begin(scope, 'ImportSnapshot', task, [container], request)
  }

  /** A task that makes an image of a machine's disks. Throws `InvalidParameter` when a file is not there. */
  async importImage(scope: Scope, request: ImageImportRequest): Promise<TransferView> {
    const { containers, licenseType, bootMode } = request
    if (request.name !== null) checkImageText(request.name, request.description)
    const id = newId('importImageTask', this.#deps.random)
    const imageName = request.name ?? id
    const task = { ...this.#newTask(scope, id, 'import-image', request), imageName, licenseType, bootMode }
    return await this.#begin(scope, 'ImportImage', task, containers, request, request.publication)
  }

  async #begin(
    scope: Scope,
    action: 'ImportImage' | 'ImportSnapshot',
    task: TransferTask,
    containers: readonly DiskContainer[],
    { tags, clientToken, description, encryption }: ImportRequest,
    publication?: Publication,
  ): Promise<TransferView> {
    const { state, operations } = this.#deps
    const before = await answeredBefore(state, scope, action, clientToken)
    if (before) return await viewOf(state, before[0]!)
    if (description !== null) checkDescription(description)
    checkDeviceNames(containers)
    const keyId = publication ? null : await this.#encryption.keyForVolume(scope, encryption, undefined)
    const disks: TransferDisk[] = []
    for (const [index, container] of containers.entries()) {
      if (container.snapshotId) await this.#checkSnapshot(scope, container.snapshotId, encryption)
      disks.push(await this.#newDisk(scope, task, index, container))
    }
    const [id] = await createOnce(this.#deps, scope, action, clientToken, async (tx) => {
      await checkTransferCount(tx, scope)
      if (task.imageName !== null) await checkNameIsFree(tx, scope, task.imageName)
      const type = task.kind === 'import-image' ? 'import-image-task' : 'import-snapshot-task'
      const dataKeyId = await this.#encryption.uploadDataKey(tx, keyId, null)
      await tx.transfers.insert({ ...task, dataKeyId }, disks)
      await tx.tags.put({ id: task.id, type, ...scope }, tags)
      const input: ImportInput = publication ? { publication } : {}
      await operations.enqueue(tx, { kind: importKind, subjectId: task.id, ...scope, input })
      return [task.id]
    })
    operations.wake()
    return await viewOf(state, id!)
  }

  #newTask(scope: Scope, id: string, kind: TransferTask['kind'], { description }: ImportRequest): TransferTask {
    const nothingYet = {
      imageId: null,
      imageName: null,
      licenseType: null,
      bootMode: null,
      dataKeyId: null,
      format: null,
    }
    return {
      ...{ id, kind, ...scope, description, ...nothingYet },
      status: 'active',
      statusMessage: 'pending',
      progress: 0,
      bucket: null,
      prefix: null,
      createdAt: this.#deps.clock.now(),
      endedAt: null,
    }
  }

  async #newDisk(scope: Scope, task: TransferTask, container: number, wish: DiskContainer): Promise<TransferDisk> {
    const { description, format, deviceName, url, uploadId, snapshotId } = wish
    const place = wish.object ?? (url === undefined ? undefined : objectOfUrl(url))
    let fileBytes: number | null = null
    if (place) fileBytes = (await this.#headOf(scope, place)).sizeBytes
    if (uploadId) fileBytes = (await this.#uploads.seal(uploadId)).sizeBytes
    return {
      ...{ taskId: task.id, container, position: 0, description, format, deviceName, fileBytes, progress: 0 },
      url: url ?? null,
      bucket: place?.bucket ?? null,
      objectKey: place?.key ?? null,
      uploadId: uploadId ?? null,
      sourceSnapshotId: snapshotId ?? null,
      snapshotId: null,
    }
  }

  /** An import that could only fail is refused at once, and with EC2's own code. */
  async #headOf({ accountId }: Scope, place: { bucket: string; key: string }) {
    try {
      return await this.#objects.head(accountId, place)
    } catch (error) {
      if (!isKilnError(error)) throw error
      throw new KilnError(
        'InvalidParameter',
        `The given S3 object s3://${place.bucket}/${place.key.slice(0, 200)} cannot be read: ${error.message} (${error.code})`,
      )
    }
  }

  /** A snapshot stands in the image as it is, so it cannot be plain where all of the image is to be encrypted. */
  async #checkSnapshot(scope: Scope, id: string, { encrypted }: EncryptionWish): Promise<void> {
    const { state, dataKeyId } = await this.#snapshots.get(scope, id)
    if (state !== 'completed') {
      throw new KilnError('IncorrectState', `Snapshot '${id}' is ${state}: an image needs a completed one`)
    }
    if (!encrypted || dataKeyId !== null) return
    throw new KilnError(
      'InvalidParameterCombination',
      `Snapshot '${id}' (SnapshotId) is not encrypted, and the image is to be (Encrypted): copy it encrypted first`,
    )
  }
}

function checkDeviceNames(containers: readonly DiskContainer[]): void {
  const names = containers.flatMap((container) => container.deviceName ?? [])
  const wrong = names.find((name, index) => !devicePattern.test(name) || names.indexOf(name) !== index)
  if (wrong === undefined) return
  throw new KilnError(
    'InvalidParameterValue',
    `Value (${wrong.slice(0, 100)}) for parameter DiskContainer.DeviceName is invalid, or given twice`,
  )
}
