/** The work behind RunInstances and StartInstances: from `pending` to `running`, or back out of it with the reason. */
import { waitFor } from '../../lib/clock.ts'
import type { OperationKind } from '../../operations/operation.ts'
import type { CloudDeps } from '../deps.ts'
import type { InstanceDisks } from '../instance-store/instance-disks.ts'
import { followSpotInstance } from '../spot/follow.ts'
import { keyReason } from './key-reason.ts'
import type { MachineRuns } from './machine-runs.ts'
import { passesCheck } from './status-check.ts'
import { becomeStopped } from './stop-operation.ts'
import { enqueueTermination } from './terminate-operation.ts'

export interface BootInput {
  /** A launch that fails ends terminated; a start that fails leaves the instance stopped. */
  isLaunch: boolean
}

export const bootKind = 'boot-instance'

const settlePollMs = 150

export function bootOperation(
  deps: CloudDeps,
  runs: MachineRuns,
  instanceDisks: InstanceDisks,
): OperationKind<BootInput, unknown> {
  const { state, clock, timing } = deps
  return {
    kind: bootKind,
    lane: 'boot',
    steps: [
      {
        name: 'power-on',
        async run({ subjectId }) {
          const instance = await state.instances.get(subjectId)
          // Terminated or stopped by somebody while it waited for its turn: their operation is next in line.
          if (instance?.state === 'pending') await runs.powerOn(instance)
        },
      },
      {
        name: 'running',
        async run({ subjectId }) {
          const now = clock.now()
          await state.transaction(async (tx) => {
            await tx.instances.move(subjectId, ['pending'], {
              state: 'running',
              stateReasonCode: null,
              stateReasonMessage: null,
              stateTransitionReason: '',
              reachability: 'initializing',
              reachabilityAt: now,
            })
            await followSpotInstance(deps, tx, subjectId)
          })
        },
      },
      {
        // A guest that is still booting keeps its place in the lane: cold boots at once make each other slow.
        name: 'settle',
        async run({ subjectId, signal }) {
          const instance = await state.instances.get(subjectId)
          const [nic] = await state.networks.interfacesOf([subjectId])
          if (instance?.state !== 'running' || !nic) return
          const hasSettled = async () => {
            const current = await state.instances.get(subjectId)
            if (current?.state !== 'running') return true
            return (await passesCheck(deps, current, nic.privateIp)) ? true : undefined
          }
          const timeoutMs = timing.bootSettleMs
          if (await waitFor(clock, hasSettled, { everyMs: settlePollMs, timeoutMs, signal })) {
            await state.instances.move(subjectId, ['running'], { reachability: 'passed', reachabilityAt: clock.now() })
          }
        },
      },
    ],
    async fail({ subjectId, input }, { step, message }) {
      await deps.machines.destroy(subjectId)
      const instance = await state.instances.get(subjectId)
      if (instance?.state !== 'pending') return
      const reason = (await keyReason(deps, subjectId)) ?? {
        stateReasonCode: 'Server.InternalError',
        stateReasonMessage: `Server.InternalError: ${step}: ${message}`,
        stateTransitionReason: 'Server.InternalError',
      }
      if (input.isLaunch) {
        await state.transaction(async (tx) => {
          if (await tx.instances.move(subjectId, ['pending'], { ...reason, state: 'shutting-down' })) {
            await enqueueTermination(deps, tx, instance)
          }
        })
        deps.operations.wake()
        return
      }
      // The next start may be one of another type, whose disks have other sizes.
      await instanceDisks.discard(subjectId)
      await becomeStopped(deps, instance, reason)
    },
  }
}
