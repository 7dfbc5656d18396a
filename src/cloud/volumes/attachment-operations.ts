/** The work behind AttachVolume and DetachVolume: a disk comes to a running guest, or goes. */
import type { OperationKind } from '../../operations/operation.ts'
import type { CloudDeps } from '../deps.ts'
import type { VolumeDisks } from './volume-disks.ts'

export interface AttachInput {
  instanceId: string
}

export interface DetachInput {
  instanceId: string
  force: boolean
}

export const attachKind = 'attach-volume'
export const detachKind = 'detach-volume'

/** While an instance starts, or while its guest does not let go of a disk. */
const lookAgainMs = 500

export function attachOperation(deps: CloudDeps, disks: VolumeDisks): OperationKind<AttachInput, unknown> {
  const { state, machines, locks } = deps

  const attachmentOf = async (volumeId: string, instanceId: string) =>
    (await state.volumes.attachmentsOfVolumes([volumeId])).find((row) => row.instanceId === instanceId)

  return {
    kind: attachKind,
    lane: 'volumes',
    steps: [
      {
        name: 'plug',
        async run({ subjectId: volumeId, input: { instanceId } }) {
          return await locks.hold(instanceId, async () => {
            const attachment = await attachmentOf(volumeId, instanceId)
            const instance = await state.instances.get(instanceId)
            // Terminated meanwhile: that has let go of the volume, or will.
            if (attachment?.state !== 'attaching' || !instance) return
            if (instance.state === 'pending') return { againInMs: lookAgainMs }
            // One that does not run gets the disk when it is started.
            if (instance.state !== 'running') return
            if ((await machines.inspect(instanceId)).state === 'absent') return { againInMs: lookAgainMs }
            await machines.plugDisk(instanceId, await disks.machineDisk(volumeId, attachment.slot))
          })
        },
      },
      {
        name: 'attached',
        async run({ subjectId: volumeId, input: { instanceId } }) {
          const attachment = await attachmentOf(volumeId, instanceId)
          if (attachment?.state !== 'attaching') return
          await state.volumes.updateAttachment(volumeId, instanceId, { state: 'attached' })
        },
      },
    ],
    async fail({ subjectId: volumeId, input: { instanceId }, log }, { step, message }) {
      log.error({ step, message, instance: instanceId }, 'the volume could not be attached')
      await letGo(deps, volumeId, instanceId)
    },
  }
}

export function detachOperation(deps: CloudDeps, disks: VolumeDisks): OperationKind<DetachInput, unknown> {
  const { state, machines, locks } = deps
  return {
    kind: detachKind,
    lane: 'volumes',
    steps: [
      {
        name: 'unplug',
        async run({ subjectId: volumeId, input: { instanceId, force } }) {
          const isGone = await locks.hold(instanceId, async () => {
            if ((await machines.inspect(instanceId)).state === 'absent') return true
            return await machines.unplugDisk(instanceId, volumeId, { force })
          })
          if (isGone) return
          await state.volumes.updateAttachment(volumeId, instanceId, { state: 'busy' })
          return { againInMs: lookAgainMs }
        },
      },
      {
        name: 'detached',
        async run({ subjectId: volumeId, input: { instanceId } }) {
          await letGo(deps, volumeId, instanceId)
          if ((await state.volumes.get(volumeId))?.multiAttach === 1) await disks.endSharing(volumeId)
        },
      },
    ],
    async fail({ subjectId: volumeId, input: { instanceId }, log }, { step, message }) {
      // It is still the guest's: what was asked for did not happen.
      log.error({ step, message, instance: instanceId }, 'the volume could not be detached')
      await state.volumes.updateAttachment(volumeId, instanceId, { state: 'attached' })
    },
  }
}

async function letGo({ state }: CloudDeps, volumeId: string, instanceId: string): Promise<void> {
  await state.transaction(async (tx) => {
    await tx.volumes.detach(volumeId, instanceId)
    const [another] = await tx.volumes.attachmentsOfVolumes([volumeId])
    if (!another) await tx.volumes.move(volumeId, ['in-use'], 'available')
  })
}
