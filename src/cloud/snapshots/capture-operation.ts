/** The work behind CreateSnapshot: freeze the volume's top, read what is new, and only then say `completed`. */
import type { OperationKind } from '../../operations/operation.ts'
import { OperationFailure } from '../../operations/operation.ts'
import type { Repositories } from '../../state/state.ts'
import type { Volume, VolumeLayer } from '../../state/volumes.ts'
import type { CloudDeps } from '../deps.ts'
import { blockKeyOf } from '../encryption/data-keys.ts'
import { type FreezeRequest, gib, type VolumeDisks } from '../volumes/volume-disks.ts'
import { type BroughtBlocks, completeStep, failSnapshot, snapshotProgress } from './snapshot-completion.ts'

export interface CaptureInput {
  volumeId: string
  /** All snapshots that were asked for together, this one too: their instant is one. */
  together?: { instanceId: string; requests: FreezeRequest[] }
}

const captureKind = 'capture-snapshot'

/** Asks for a snapshot's blocks to be read, unless that was asked before. */
export async function enqueueCapture(
  deps: CloudDeps,
  tx: Repositories,
  snapshot: { id: string; accountId: string; region: string },
  input: CaptureInput,
): Promise<void> {
  const { id: subjectId, accountId, region } = snapshot
  if (await tx.operations.hasAny(subjectId)) return
  await deps.operations.enqueue(tx, { kind: captureKind, subjectId, accountId, region, input })
}

export function captureOperation(deps: CloudDeps, disks: VolumeDisks): OperationKind<CaptureInput, BroughtBlocks> {
  const { state, blocks } = deps

  /** What the region's store already holds of this volume, and how many layers were written since. */
  async function parentOf(volume: Volume, layers: readonly VolumeLayer[]) {
    for (let below = layers.length - 2; below >= 0; below--) {
      const id = layers[below]!.snapshotId
      const earlier = id ? await state.snapshots.get(id) : undefined
      if (earlier?.state === 'completed' && earlier.rootHash && earlier.dataKeyId === volume.dataKeyId) {
        return { root: earlier.rootHash, changedDepth: layers.length - 1 - below }
      }
    }
    // Once the volume holds all of its base, the base's blocks may have left the store.
    const { baseRoot: root, region, dataKeyId, baseDataKeyId } = volume
    // What is sealed otherwise, or not at all, is no part of a snapshot of this lineage: everything is read.
    if (baseDataKeyId !== dataKeyId) return null
    if (!root || !(await blocks.info(region, root).catch(() => undefined))) return null
    return { root, changedDepth: layers.length }
  }

  /** The volume of a snapshot that is completed may be gone; that it was frozen is certain. */
  async function stillPending(asked: readonly FreezeRequest[]): Promise<FreezeRequest[]> {
    const snapshots = await state.snapshots.many(asked.map(({ snapshotId }) => snapshotId))
    const pending = new Set(snapshots.filter((row) => row.state === 'pending').map((row) => row.id))
    return asked.filter(({ snapshotId }) => pending.has(snapshotId))
  }

  return {
    kind: captureKind,
    lane: 'blocks',
    steps: [
      {
        name: 'freeze',
        // Asked for by an image, this has been done already, for all of its volumes at one instant.
        async run({ subjectId, input: { volumeId, together } }) {
          if (together) await disks.freeze(together.instanceId, await stillPending(together.requests))
          else await disks.freezeOne({ volumeId, snapshotId: subjectId })
        },
      },
      {
        name: 'capture',
        async run(context) {
          const { subjectId, input, data, region, signal } = context
          const volume = await state.volumes.get(input.volumeId)
          if (!volume) throw new OperationFailure(`volume ${input.volumeId} is gone`)
          const { chain, layers } = await disks.frozenChain(volume, subjectId)
          // The volume may have grown since it was frozen.
          const { sizeGib, dataKeyId } = (await state.snapshots.get(subjectId))!
          const sealKey = await blockKeyOf(deps, volume.accountId, dataKeyId)
          const sizeBytes = sizeGib * gib
          const parent = await parentOf(volume, layers)
          const source = await deps.disks.openForReading(chain, sizeBytes)
          try {
            const onPercent = snapshotProgress(deps, context)
            const captured = await blocks.capture({ region, source, sizeBytes, parent, sealKey }, { signal, onPercent })
            data.root = captured.root
            data.dataBytes = captured.info.dataBytes
            data.storedBytes = captured.stats.bytesStored
          } finally {
            await source.close()
          }
        },
      },
      completeStep(deps),
    ],
    fail: ({ subjectId }, failure) => failSnapshot(deps, subjectId, failure),
  }
}
