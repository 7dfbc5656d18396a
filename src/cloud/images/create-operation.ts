/**
 * The work behind CreateImage: shut the guest down (unless NoReboot), freeze all volumes at one instant, start it again,
 * and wait until every frozen layer is a completed snapshot. The guest waits for none of the reading.
 */
import type { OperationKind } from '../../operations/operation.ts'
import type { CloudDeps } from '../deps.ts'
import type { MachineRuns } from '../instances/machine-runs.ts'
import { enqueueCapture } from '../snapshots/capture-operation.ts'
import type { FreezeRequest, VolumeDisks } from '../volumes/volume-disks.ts'
import { becomeAvailable, becomeFailed, snapshotsCompleted } from './image-completion.ts'

export interface CreateImageInput {
  instanceId: string
  reboot: boolean
  freeze: FreezeRequest[]
}

export const createImageKind = 'create-image'

export function createImageOperation(
  deps: CloudDeps,
  disks: VolumeDisks,
  runs: MachineRuns,
): OperationKind<CreateImageInput, { frozen: boolean }> {
  const { state } = deps
  return {
    kind: createImageKind,
    lane: 'images',
    steps: [
      {
        name: 'freeze',
        async run({ operationId, input: { instanceId, reboot, freeze }, data, signal }) {
          if (data.frozen) return
          if (reboot) {
            await runs.betweenRuns(instanceId, operationId, () => disks.freezeHeld(instanceId, freeze), signal)
          } else {
            await disks.freeze(instanceId, freeze)
          }
          data.frozen = true
        },
        undo: ({ operationId, input: { instanceId } }) => runs.letGo(instanceId, operationId),
      },
      {
        name: 'capture',
        async run({ input: { freeze } }) {
          const snapshots = await state.snapshots.many(freeze.map(({ snapshotId }) => snapshotId))
          await state.transaction(async (tx) => {
            for (const { volumeId, snapshotId } of freeze) {
              const snapshot = snapshots.find((row) => row.id === snapshotId)
              if (snapshot) await enqueueCapture(deps, tx, snapshot, { volumeId })
            }
          })
          deps.operations.wake()
        },
      },
      { name: 'snapshots', run: ({ subjectId }) => snapshotsCompleted(deps, subjectId) },
      { name: 'available', run: ({ subjectId }) => becomeAvailable(deps, subjectId) },
    ],
    async fail({ subjectId, input }, { step, message }) {
      await becomeFailed(deps, subjectId, `${step}: ${message}`)
      for (const { snapshotId } of input.freeze) {
        if (await state.operations.hasAny(snapshotId)) continue
        const stateMessage = `${subjectId} could not be created: ${step}: ${message}`
        await state.snapshots.move(snapshotId, ['pending'], { state: 'error', stateMessage })
      }
    },
  }
}
