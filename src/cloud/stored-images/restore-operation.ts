/**
 * The work behind CreateRestoreImageTask: the object's blocks flow into the region's store. Image and snapshots are there
 * from the request on, `pending`; they become what they should be together, once all of the object was read and is as it
 * was written, and otherwise the image is `failed` and its snapshots are gone.
 */
import { isDiskFull } from '../../lib/errors.ts'
import { PieceReader, StreamEnded } from '../../lib/piece-reader.ts'
import { UnusableImage } from '../../lib/unusable-image.ts'
import { OperationFailure, type OperationKind, type StepContext } from '../../operations/operation.ts'
import type { ObjectPlace } from '../buckets/object-facts.ts'
import type { Objects } from '../buckets/objects.ts'
import type { CloudDeps } from '../deps.ts'
import { blockKeyOf } from '../encryption/data-keys.ts'
import { becomeFailed } from '../images/image-completion.ts'
import { readEnd, readHeader } from './header.ts'
import { publicFailure } from './store-operation.ts'

export const restoreImageKind = 'restore-image'

export interface RestoreImageInput {
  taskId: string
  place: ObjectPlace
  /** The object that was asked for: another of the same key is not. */
  objectId: string
  /** In the order of the object's. */
  snapshotIds: string[]
  /** Of all snapshots; null where they are not encrypted. */
  dataKeyId: string | null
}

export function restoreImageOperation(deps: CloudDeps, objects: Objects): OperationKind<RestoreImageInput, object> {
  const { state, blocks, clock } = deps
  type Context = StepContext<RestoreImageInput, object>

  async function restore(context: Context): Promise<void> {
    const { input, accountId, region, signal } = context
    const { place, objectId, snapshotIds, dataKeyId, taskId } = input
    const open = await objects.open(accountId, place)
    const reader = new PieceReader(open.read())
    try {
      if (open.object.id !== objectId) throw new OperationFailure(`the object ${place.key} was replaced`)
      const facts = await readHeader(reader)
      const sealKey = await blockKeyOf(deps, accountId, dataKeyId)
      const onPercent = async (percent: number) => {
        const progress = Math.min(99, Math.round(percent))
        await context.progress(progress)
        await state.storedImageTasks.update(taskId, { progress })
        for (const id of snapshotIds) await state.snapshots.move(id, ['pending'], { progress })
      }
      await blocks.unpack(
        {
          ...{ region, reader, snapshots: facts.snapshots, sealKey },
          async onSnapshot(index, { root, info, bytesStored }) {
            const found = { rootHash: root, dataBytes: info.dataBytes, storedBytes: bytesStored }
            await state.snapshots.move(snapshotIds[index]!, ['pending'], found)
            await blocks.settle(region, root)
          },
        },
        { signal, onPercent },
      )
      await readEnd(reader)
    } finally {
      await reader.close()
      await open.close()
    }
  }

  /** What was being made goes; a collection takes its blocks. */
  async function discard({ input: { snapshotIds } }: Context): Promise<void> {
    await state.transaction(async (tx) => {
      for (const id of snapshotIds) {
        if (await tx.snapshots.move(id, ['pending'], { state: 'deleted' })) await tx.tags.removeAll(id)
      }
    })
  }

  async function complete({ subjectId, input: { snapshotIds, taskId } }: Context): Promise<void> {
    await state.transaction(async (tx) => {
      const done = { state: 'completed', progress: 100, completedAt: clock.now() } as const
      // They came out of an object, and are increments of nothing.
      for (const { id, dataBytes } of await tx.snapshots.many(snapshotIds)) {
        await tx.snapshots.move(id, ['pending'], { ...done, chargedBytes: dataBytes })
      }
      await tx.images.move(subjectId, ['pending'], { state: 'available' })
      await tx.storedImageTasks.update(taskId, { state: 'Completed', progress: 100 })
    })
  }

  return {
    kind: restoreImageKind,
    lane: 'transfers',
    steps: [
      {
        name: 'restore',
        run: (context) => restore(context).catch((error) => Promise.reject(restoreFailure(error, context.input))),
        undo: discard,
      },
      { name: 'complete', run: complete },
    ],
    async fail({ subjectId, input: { taskId } }, { message }) {
      await becomeFailed(deps, subjectId, message)
      await state.storedImageTasks.update(taskId, { state: 'Failed', failureReason: message })
    },
  }
}

function restoreFailure(error: unknown, { place: { bucket, key } }: RestoreImageInput): unknown {
  if (error instanceof UnusableImage || error instanceof StreamEnded) {
    return new OperationFailure(`s3://${bucket}/${key} cannot be restored: ${error.message}`, { cause: error })
  }
  if (isDiskFull(error)) return new OperationFailure('the disk of the host is full', { cause: error })
  return publicFailure(error)
}
