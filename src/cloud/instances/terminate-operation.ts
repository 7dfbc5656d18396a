/** The work behind TerminateInstances: the machine goes, then its interface, then the volumes that are to go with it. */
import type { OperationKind } from '../../operations/operation.ts'
import type { Instance } from '../../state/instances.ts'
import type { NetworkInterface } from '../../state/networks.ts'
import type { Repositories } from '../../state/state.ts'
import type { CloudDeps } from '../deps.ts'
import type { InstanceDisks } from '../instance-store/instance-disks.ts'
import { freeInterface } from '../network/interface-operations.ts'
import { applyVpc } from '../network/plan.ts'
import { followSpotInstance } from '../spot/follow.ts'
import type { Volumes } from '../volumes/volumes.ts'
import type { MachineRuns } from './machine-runs.ts'

export const terminateKind = 'terminate-instance'

export async function enqueueTermination(deps: CloudDeps, tx: Repositories, instance: Instance): Promise<void> {
  const { id: subjectId, accountId, region } = instance
  await deps.operations.enqueue(tx, { kind: terminateKind, subjectId, accountId, region, input: {} })
}

/** It goes with its instance, or stays without one. */
async function releaseInterface(tx: Repositories, nic: NetworkInterface): Promise<void> {
  if (nic.deleteOnTermination === 1) {
    await tx.tags.removeAll(nic.id)
    await tx.networks.deleteInterfaces([nic.id])
    return
  }
  await freeInterface(tx, nic)
}

export function terminateOperation(
  deps: CloudDeps,
  runs: MachineRuns,
  volumes: Volumes,
  instanceDisks: InstanceDisks,
): OperationKind<Record<string, never>, unknown> {
  const { state, clock, timing } = deps

  /** From then on no snapshot or copy of the volume can be asked for; false while one that was is still being made. */
  const leave = (volumeId: string) =>
    state.transaction(async (tx) => {
      if (await tx.volumes.readerOf(volumeId)) return false
      await tx.volumes.move(volumeId, ['in-use'], 'deleting')
      return true
    })

  return {
    kind: terminateKind,
    lane: 'stop',
    steps: [
      {
        name: 'power-off',
        async run({ subjectId, signal }) {
          const attachments = await state.volumes.attachmentsOfInstances([subjectId])
          // What outlives the instance must hold all that the guest has written: such a guest is asked to shut down.
          const isKept = attachments.some((attachment) => attachment.deleteOnTermination === 0)
          await runs.powerOff(subjectId, { graceMs: isKept ? timing.shutdownGraceMs : 0, signal })
        },
      },
      {
        name: 'release-volumes',
        async run({ subjectId, log }) {
          for (const attachment of await state.volumes.attachmentsOfInstances([subjectId])) {
            const { volumeId } = attachment
            const others = (await state.volumes.attachmentsOfVolumes([volumeId])).length - 1
            // One that other instances have as well goes with the last of them.
            if (attachment.deleteOnTermination === 1 && others === 0) {
              // A snapshot or an image that was asked for before the termination still needs the volume.
              if (!(await leave(volumeId))) return { againInMs: 200 }
              await volumes.destroy(volumeId)
              log.info({ volume: volumeId }, 'deleted with its instance')
            } else {
              await state.transaction(async (tx) => {
                await tx.volumes.detach(volumeId, subjectId)
                if (others === 0) await tx.volumes.move(volumeId, ['in-use'], 'available')
              })
              if ((await state.volumes.get(volumeId))?.multiAttach === 1) await volumes.disks.endSharing(volumeId)
            }
          }
        },
      },
      {
        name: 'release-instance-store',
        async run({ subjectId }) {
          const instance = await state.instances.get(subjectId)
          if (instance) await instanceDisks.remove(instance)
        },
      },
      {
        name: 'release-network',
        async run({ subjectId }) {
          const instance = await state.instances.get(subjectId)
          await state.transaction(async (tx) => {
            for (const nic of await tx.networks.interfacesOf([subjectId])) await releaseInterface(tx, nic)
          })
          if (instance) await applyVpc(deps, instance.vpcId)
        },
      },
      {
        name: 'terminated',
        async run({ subjectId }) {
          await deps.machines.forget(subjectId)
          await state.transaction(async (tx) => {
            await tx.instances.move(subjectId, ['shutting-down'], {
              state: 'terminated',
              terminatedAt: clock.now(),
              reachability: 'insufficient-data',
              heldBy: null,
            })
            await followSpotInstance(deps, tx, subjectId)
          })
          // A persistent spot request may have been opened again.
          deps.operations.wake()
        },
      },
    ],
    async fail({ subjectId, log }, { step, message }) {
      // Termination must come to its end: what it could not release now is released by the next attempt.
      const instance = await state.instances.get(subjectId)
      if (instance?.state !== 'shutting-down') return
      log.error({ step, message }, 'terminating failed and is tried again')
      await state.transaction((tx) => enqueueTermination(deps, tx, instance))
      deps.operations.wake()
    },
  }
}
