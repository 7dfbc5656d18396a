/** The work behind StopInstances, and behind a guest that switched itself off: the machine goes, its disks stay. */
import type { OperationKind } from '../../operations/operation.ts'
import type { Instance } from '../../state/instances.ts'
import type { Repositories } from '../../state/state.ts'
import type { CloudDeps } from '../deps.ts'
import type { InstanceDisks } from '../instance-store/instance-disks.ts'
import { applyVpc } from '../network/plan.ts'
import { followSpotInstance } from '../spot/follow.ts'
import type { MachineRuns } from './machine-runs.ts'

export interface StopInput {
  /** Pulls the plug at once. */
  force: boolean
}

export const stopKind = 'stop-instance'

export async function enqueueStop(
  deps: CloudDeps,
  tx: Repositories,
  instance: Instance,
  input: StopInput,
): Promise<void> {
  const { id: subjectId, accountId, region } = instance
  await deps.operations.enqueue(tx, { kind: stopKind, subjectId, accountId, region, input })
}

/**
 * The instance is `stopped` from now on, and as on EC2 gives back a public address that is not elastic. Nothing happens
 * when it is no longer in the state that it was seen in.
 */
export async function becomeStopped(deps: CloudDeps, instance: Instance, about: Partial<Instance> = {}): Promise<void> {
  await deps.state.transaction(async (tx) => {
    const patch = { ...about, state: 'stopped', reachability: 'insufficient-data', heldBy: null } as const
    if (!(await tx.instances.move(instance.id, [instance.state], patch))) return
    await followSpotInstance(deps, tx, instance.id)
    for (const nic of await tx.networks.interfacesOf([instance.id])) {
      if (nic.allocationId === null) await tx.networks.updateInterface(nic.id, { publicIp: null })
    }
  })
  await applyVpc(deps, instance.vpcId)
}

export function stopOperation(
  deps: CloudDeps,
  runs: MachineRuns,
  instanceDisks: InstanceDisks,
): OperationKind<StopInput, unknown> {
  const { state, timing } = deps
  return {
    kind: stopKind,
    lane: 'stop',
    steps: [
      {
        name: 'power-off',
        async run({ subjectId, input, signal }) {
          const instance = await state.instances.get(subjectId)
          if (instance?.state !== 'stopping') return
          // Terminated meanwhile: that operation is next, and decides how long the guest may still take.
          const isCancelled = async () => (await state.instances.get(subjectId))?.state !== 'stopping'
          await runs.powerOff(subjectId, { graceMs: input.force ? 0 : timing.shutdownGraceMs, signal, isCancelled })
        },
      },
      {
        name: 'stopped',
        async run({ subjectId }) {
          const instance = await state.instances.get(subjectId)
          if (instance?.state !== 'stopping') return
          // Whatever lay on ephemeral disks is lost with a stop.
          await instanceDisks.discard(subjectId)
          await becomeStopped(deps, instance)
        },
      },
    ],
    async fail({ subjectId, log }, { step, message }) {
      // Stopping goes on: an instance never stays `stopping` because of a passing fault of the host.
      const instance = await state.instances.get(subjectId)
      if (instance?.state !== 'stopping') return
      log.error({ step, message }, 'stopping failed and is tried again')
      await state.transaction((tx) => enqueueStop(deps, tx, instance, { force: true }))
      deps.operations.wake()
    },
  }
}
