/**
 * The work behind CreateReplaceRootVolumeTask. The instance is shut down, its root exchanged, and started again, all
 * under its lock; nothing else about it changes. Until the machine runs on its new root the old one is kept for it, so
 * that whatever goes wrong before ends with the instance as it was.
 */
import { OperationFailure, type OperationKind } from '../../operations/operation.ts'
import type { ReplaceRootVolumeTask } from '../../state/replace-root-volume-tasks.ts'
import type { Repositories } from '../../state/state.ts'
import type { CloudDeps } from '../deps.ts'
import type { Volumes } from '../volumes/volumes.ts'
import type { MachineRuns } from './machine-runs.ts'

export interface ReplaceRootInput {
  taskId: string
  /** Since when the instance has its old root (ms). */
  attachedAt: number
}

export const replaceRootKind = 'replace-root-volume'

/** While a snapshot of the old root is being read. */
const lookAgainMs = 500

export function replaceRootOperation(
  deps: CloudDeps,
  runs: MachineRuns,
  volumes: Volumes,
): OperationKind<ReplaceRootInput, unknown> {
  const { state, machines, locks, clock } = deps

  async function taskOf({ taskId }: ReplaceRootInput): Promise<ReplaceRootVolumeTask> {
    const task = await state.replaceRootVolumeTasks.get(taskId)
    if (task) return task
    throw new OperationFailure(`task ${taskId} is gone`)
  }

  /** The old root is nobody's from then on, or goes; false while a snapshot or a copy of it is still being made. */
  async function release({ oldVolumeId: id, deletesOld }: ReplaceRootVolumeTask): Promise<boolean> {
    const next = await state.transaction(async (tx) => {
      if ((await tx.volumes.attachmentsOfVolumes([id])).length > 0) return 'kept'
      if (deletesOld === 1 && (await tx.volumes.readerOf(id))) return 'read'
      await tx.volumes.move(id, ['in-use'], deletesOld === 1 ? 'deleting' : 'available')
      return deletesOld === 1 ? 'leaving' : 'kept'
    })
    if (next === 'leaving') await locks.hold(id, () => volumes.destroy(id))
    return next !== 'read'
  }

  return {
    kind: replaceRootKind,
    lane: 'boot',
    steps: [
      {
        name: 'make-volume',
        async run({ input }) {
          const { newVolumeId, isVolumeMade } = await taskOf(input)
          if (isVolumeMade === 0) return
          await locks.hold(newVolumeId, async () => {
            const volume = await state.volumes.get(newVolumeId)
            if (!volume) throw new OperationFailure(`volume ${newVolumeId} is gone`)
            await volumes.disks.chain(volume)
          })
        },
      },
      {
        name: 'exchange',
        async run({ operationId, subjectId, input, signal }) {
          const task = await taskOf(input)
          await state.replaceRootVolumeTasks.move(task.id, ['pending'], { state: 'in-progress' })
          const work = () => state.transaction((tx) => exchange(tx, task, clock.now()))
          await runs.betweenRuns(subjectId, operationId, work, signal)
        },
        async undo({ operationId, subjectId, input: { taskId, attachedAt } }) {
          const task = await state.replaceRootVolumeTasks.get(taskId)
          if (!task || task.state === 'succeeded') return
          await state.replaceRootVolumeTasks.move(taskId, ['pending', 'in-progress'], { state: 'failing' })
          await locks.hold(subjectId, async () => {
            if (!(await isExchanged(state, task))) return
            await state.instances.move(subjectId, ['running'], { heldBy: operationId })
            await machines.destroy(subjectId)
            await state.transaction((tx) => exchangeBack(tx, task, attachedAt))
          })
          await runs.letGo(subjectId, operationId)
        },
      },
      {
        name: 'succeeded',
        async run({ input }) {
          const done = { state: 'succeeded', completedAt: clock.now() } as const
          await state.replaceRootVolumeTasks.move(input.taskId, ['in-progress'], done)
        },
      },
      {
        name: 'release',
        async run({ input }) {
          if (!(await release(await taskOf(input)))) return { againInMs: lookAgainMs }
        },
      },
    ],
    async fail({ input, log }, { step, message }) {
      const task = await state.replaceRootVolumeTasks.get(input.taskId)
      if (!task) return
      log.error({ step, message, task: task.id }, 'the root volume could not be replaced')
      // What is left over of a replacement that went well is found by the volumes' own reconciler.
      if (task.state === 'succeeded') return
      if (task.isVolumeMade === 1) await locks.hold(task.newVolumeId, () => volumes.destroy(task.newVolumeId))
      else await state.volumes.move(task.newVolumeId, ['in-use'], 'available')
      const [attachment] = await state.volumes.attachmentsOfVolumes([task.oldVolumeId])
      await state.replaceRootVolumeTasks.move(task.id, ['pending', 'in-progress', 'failing'], {
        state: attachment ? 'failed' : 'failed-detached',
        completedAt: clock.now(),
      })
    },
  }
}

const isExchanged = async (state: Repositories, { instanceId, newVolumeId }: ReplaceRootVolumeTask) =>
  (await state.volumes.attachmentsOfInstances([instanceId])).some((row) => row.volumeId === newVolumeId)

/** The new root in the old one's place, which stays `in-use` although nobody has it. */
async function exchange(tx: Repositories, task: ReplaceRootVolumeTask, nowMs: number): Promise<void> {
  const { instanceId, oldVolumeId, newVolumeId } = task
  if (await isExchanged(tx, task)) return
  const instance = await tx.instances.get(instanceId)
  if (!instance || instance.state === 'shutting-down' || instance.state === 'terminated') {
    throw new OperationFailure(`instance ${instanceId} is ${instance?.state ?? 'gone'}`)
  }
  const attachments = await tx.volumes.attachmentsOfInstances([instanceId])
  const old = attachments.find((row) => row.volumeId === oldVolumeId)
  if (old?.state !== 'attached') throw new OperationFailure(`volume ${oldVolumeId} is ${old?.state ?? 'not attached'}`)
  await tx.volumes.detach(oldVolumeId, instanceId)
  await tx.volumes.move(newVolumeId, ['creating'], 'in-use')
  await tx.volumes.attach({ ...old, volumeId: newVolumeId, attachedAt: nowMs })
}

async function exchangeBack(tx: Repositories, task: ReplaceRootVolumeTask, attachedAt: number): Promise<void> {
  const { instanceId, oldVolumeId, newVolumeId } = task
  const attachments = await tx.volumes.attachmentsOfInstances([instanceId])
  const present = attachments.find((row) => row.volumeId === newVolumeId)
  if (!present) return
  await tx.volumes.detach(newVolumeId, instanceId)
  if (await tx.volumes.get(oldVolumeId)) await tx.volumes.attach({ ...present, volumeId: oldVolumeId, attachedAt })
}
