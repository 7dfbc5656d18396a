/** Exports of images. Source: ExportImage in the EC2 API reference. */
import { createReadStream } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { isKilnError, KilnError } from '../../lib/errors.ts'
import { newId } from '../../lib/ids.ts'
import { flush } from '../../lib/stable-storage.ts'
import { OperationFailure, type OperationKind, type StepContext } from '../../operations/operation.ts'
import type { Tag } from '../../state/tags.ts'
import type { TransferTask } from '../../state/transfers.ts'
import type { Buckets } from '../buckets/buckets.ts'
import { checkKey } from '../buckets/names.ts'
import type { Objects } from '../buckets/objects.ts'
import { answeredBefore, createOnce } from '../client-tokens.ts'
import type { ClientToken, CloudDeps, Scope } from '../deps.ts'
import { checkDescription } from '../images/image-names.ts'
import type { Images } from '../images/images.ts'
import type { ImageFormat } from '../ports.ts'
import { gib } from '../volumes/volume-disks.ts'
import type { Staging } from './staging.ts'
import type { TransferRuns } from './transfer-runs.ts'
import { checkTransferCount, type TransferView, viewOf } from './transfer-tasks.ts'

export interface ExportRequest {
  imageId: string
  format: ImageFormat
  description: string | null
  /** Null for a file that is fetched from here. */
  target: { bucket: string; prefix: string } | null
  tags: readonly Tag[]
  clientToken?: ClientToken
}

interface ExportInput {
  /** By their devices, the root first. Kept readable until the export has ended. */
  sourceSnapshotIds: string[]
  sourceRegion: string
}

interface ExportParts {
  deps: CloudDeps
  buckets: Buckets
  objects: Objects
  images: Images
  staging: Staging
  runs: TransferRuns
}

const exportKind = 'export'
const fileName = 'image'
/** How much of the progress writing the file is; the rest is bringing it to its bucket. */
const writeShare = 80

/** Sizes that the formats can say. */
const sizeGibMax: Partial<Record<ImageFormat, number>> = { vhd: 2040 }

export class Exports {
  readonly #parts: ExportParts

  constructor(parts: ExportParts) {
    this.#parts = parts
    parts.deps.operations.register(exportOperation(parts))
  }

  /** A task that writes an image's disk into a file. Throws for images that are not the account's own. */
  async exportImage(scope: Scope, request: ExportRequest): Promise<TransferView> {
    const { deps, images } = this.#parts
    const { state, operations } = deps
    const { imageId, format, description, target, tags, clientToken } = request
    const before = await answeredBefore(state, scope, 'ExportImage', clientToken)
    if (before) return await viewOf(state, before[0]!)
    if (description !== null) checkDescription(description)
    const image = await images.get(scope, imageId)
    if (image.accountId !== scope.accountId) throw new KilnError('AuthFailure', `Not authorized for image:${imageId}`)
    if (image.state !== 'available') {
      throw new KilnError(
        'IncorrectState',
        `The image '${imageId}' is ${image.state}: only an available one is exported`,
      )
    }
    if (image.rootDeviceType !== 'ebs') {
      throw new KilnError(
        'InvalidParameter',
        `The image '${imageId}' (ImageId) is backed by an instance store: only EBS-backed images are exported`,
      )
    }
    const ids = orderedSnapshots(image)
    await this.#checkSnapshots(scope, imageId, ids, format)
    if (target) await this.#checkTarget(scope, target)
    const id = newId('exportImageTask', deps.random)
    const task: TransferTask = {
      ...{ id, kind: 'export-image', ...scope, description, format, imageId },
      status: 'active',
      statusMessage: 'pending',
      progress: 0,
      imageName: null,
      licenseType: null,
      bootMode: null,
      dataKeyId: null,
      bucket: target?.bucket ?? null,
      prefix: target?.prefix ?? null,
      createdAt: deps.clock.now(),
      endedAt: null,
    }
    const [made] = await createOnce(deps, scope, 'ExportImage', clientToken, async (tx) => {
      await checkTransferCount(tx, scope)
      await tx.transfers.insert(task, [])
      await tx.tags.put({ id, type: 'export-image-task', ...scope }, tags)
      const input: ExportInput = { sourceSnapshotIds: ids, sourceRegion: scope.region }
      await operations.enqueue(tx, { kind: exportKind, subjectId: id, ...scope, input })
      return [id]
    })
    operations.wake()
    return await viewOf(state, made!)
  }

  async #checkSnapshots(scope: Scope, imageId: string, ids: readonly string[], format: ImageFormat): Promise<void> {
    if (ids.length === 0)
      throw new KilnError('InvalidParameter', `The image '${imageId}' has no EBS snapshot to export`)
    if (ids.length > 1 && format !== 'ova') {
      throw new KilnError(
        'UnsupportedOperation',
        `The image '${imageId}' has ${ids.length} disks, and a file of the format ${format.toUpperCase()} holds one`,
      )
    }
    const { deps } = this.#parts
    for (const snapshot of await deps.state.snapshots.many(ids)) {
      if (snapshot.accountId !== scope.accountId) {
        throw new KilnError('AuthFailure', `Not authorized for the snapshot ${snapshot.id} of image:${imageId}`)
      }
      // EC2 exports no encrypted snapshot either: its content would lie readable where it goes.
      if (snapshot.encrypted) {
        throw new KilnError(
          'UnsupportedOperation',
          `The snapshot ${snapshot.id} of the image '${imageId}' is encrypted`,
        )
      }
      const most = sizeGibMax[format]
      if (most !== undefined && snapshot.sizeGib > most) {
        throw new KilnError(
          'InvalidParameter',
          `The snapshot ${snapshot.id} has ${snapshot.sizeGib} GiB: the format ${format.toUpperCase()} holds ${most} at most`,
        )
      }
    }
  }

  async #checkTarget({ accountId }: Scope, { bucket, prefix }: { bucket: string; prefix: string }): Promise<void> {
    try {
      checkKey(`${prefix}export-ami-0123456789abcdef0.vmdk`)
      await this.#parts.buckets.find(accountId, bucket, 'WRITE')
    } catch (error) {
      if (!isKilnError(error)) throw error
      throw new KilnError(
        'InvalidParameter',
        `The bucket '${bucket.slice(0, 100)}' of S3ExportLocation cannot be written: ${error.message} (${error.code})`,
      )
    }
  }

  /** A piece of the file of a completed export that has no bucket. Throws `IncorrectState` when it is not there. */
  async read(id: string, offsetBytes: number, lengthBytes: number): Promise<{ piece: Buffer; totalBytes: number }> {
    const path = await this.#fileOf(id)
    const file = await open(path, 'r').catch(() => {
      throw new KilnError('IncorrectState', `The file of the export '${id}' is not here, or no more`)
    })
    try {
      const { size: totalBytes } = await file.stat()
      const length = Math.max(0, Math.min(lengthBytes, totalBytes - offsetBytes))
      const piece = Buffer.alloc(length)
      const { bytesRead } = await file.read(piece, 0, length, offsetBytes)
      return { piece: piece.subarray(0, bytesRead), totalBytes }
    } finally {
      await file.close()
    }
  }

  async #fileOf(id: string): Promise<string> {
    const task = await this.#parts.deps.state.transfers.get(id)
    if (task?.kind !== 'export-image') {
      throw new KilnError('InvalidExportTaskID.NotFound', `The export task '${id}' does not exist.`)
    }
    if (task.status === 'completed') return this.#parts.staging.pathOf(id, fileName)
    throw new KilnError('IncorrectState', `The export '${id}' is ${task.status}: ${task.statusMessage}`)
  }

  /** Removes the file of a completed export. */
  async release(id: string): Promise<void> {
    await this.#fileOf(id)
    await this.#parts.staging.remove(id)
  }
}

function exportOperation(parts: ExportParts): OperationKind<ExportInput, Record<string, never>> {
  const { deps, objects, staging, runs } = parts
  const { state, blocks, imageFiles, clock, random } = deps
  type Context = StepContext<ExportInput, Record<string, never>>

  async function write(context: Context, task: TransferTask, signal: AbortSignal): Promise<void> {
    await staging.folder(task.id)
    const path = staging.pathOf(task.id, fileName)
    const rows = await state.snapshots.many(context.input.sourceSnapshotIds)
    const served: string[] = []
    try {
      const disks = []
      for (const id of context.input.sourceSnapshotIds) {
        const snapshot = rows.find((row) => row.id === id)
        if (!snapshot?.rootHash) throw new OperationFailure(`the snapshot ${id} is gone`)
        const volumeId = newId('volume', random)
        served.push(volumeId)
        const source = await blocks.serve({ region: task.region, root: snapshot.rootHash, volumeId })
        disks.push({ source, sizeBytes: snapshot.sizeGib * gib })
      }
      const onPercent = (percent: number) => runs.show(context, (percent * writeShare) / 100)
      const name = task.imageId!
      await imageFiles.write({ disks, format: task.format as ImageFormat, path, name }, { signal, onPercent })
      await flush(path)
    } finally {
      for (const volumeId of served) await blocks.forgetVolume(volumeId)
    }
  }

  async function deliver(context: Context, task: TransferTask, signal: AbortSignal): Promise<void> {
    if (task.bucket === null) return
    const path = staging.pathOf(task.id, fileName)
    const { size } = await stat(path)
    const content = async function* () {
      let doneBytes = 0
      for await (const piece of createReadStream(path, { highWaterMark: 1024 * 1024, signal })) {
        const before = Math.floor((20 * doneBytes) / size)
        doneBytes += piece.length
        const now = (20 * doneBytes) / size
        if (Math.floor(now) > before) await runs.show(context, writeShare + now)
        yield piece as Buffer
      }
    }
    await objects.put(task.accountId, { bucket: task.bucket, key: exportKeyOf(task) }, { content: content() })
  }

  async function complete(task: TransferTask): Promise<void> {
    const done = { status: 'completed', statusMessage: null, progress: 100, endedAt: clock.now() } as const
    if (!(await state.transfers.move(task.id, ['active'], done))) throw new OperationFailure('The task was canceled')
  }

  return {
    kind: exportKind,
    lane: 'transfers',
    steps: [
      {
        name: 'write',
        run: (context) => runs.step(context, 'converting', (task, signal) => write(context, task, signal)),
      },
      {
        name: 'deliver',
        run: (context) => runs.step(context, 'uploading', (task, signal) => deliver(context, task, signal)),
        // An object that came there before the task was called off.
        async undo({ subjectId }) {
          const task = await state.transfers.get(subjectId)
          if (!task?.bucket) return
          await objects.remove(task.accountId, { bucket: task.bucket, key: exportKeyOf(task) }).catch((error) => {
            if (!isKilnError(error)) throw error
          })
        },
      },
      { name: 'complete', run: (context) => runs.step(context, 'completing', (task) => complete(task)) },
      {
        name: 'clear',
        async run({ subjectId }) {
          if ((await state.transfers.get(subjectId))?.bucket) await staging.remove(subjectId)
        },
      },
    ],
    fail: (context, failure) => runs.fail(context, failure),
  }
}

/** What the file is called in its bucket. */
export const exportKeyOf = ({ id, prefix, format }: Pick<TransferTask, 'id' | 'prefix' | 'format'>) =>
  `${prefix ?? ''}${id}.${format}`

/** The root's first, then by the names of their devices. */
function orderedSnapshots(image: Awaited<ReturnType<Images['get']>>): string[] {
  const isRoot = (name: string) => name === image.rootDeviceName
  return image.devices
    .toSorted(
      (a, b) => Number(isRoot(b.deviceName)) - Number(isRoot(a.deviceName)) || (a.deviceName < b.deviceName ? -1 : 1),
    )
    .flatMap((device) => device.snapshotId ?? [])
}
