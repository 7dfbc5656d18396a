/** The work behind RebootInstances: an orderly shutdown and a new start; the plug is pulled from a guest that hangs. */
import type { OperationKind } from '../../operations/operation.ts'
import type { CloudDeps } from '../deps.ts'
import type { MachineRuns } from './machine-runs.ts'

export const rebootKind = 'reboot-instance'

export function rebootOperation(deps: CloudDeps, runs: MachineRuns): OperationKind<Record<string, never>, unknown> {
  const { state } = deps
  return {
    kind: rebootKind,
    lane: 'boot',
    steps: [
      {
        name: 'reboot',
        async run({ operationId, subjectId, signal }) {
          const instance = await state.instances.get(subjectId)
          if (instance?.state !== 'running') return
          await runs.betweenRuns(subjectId, operationId, async () => {}, signal)
        },
        undo: ({ operationId, subjectId }) => runs.letGo(subjectId, operationId),
      },
    ],
    // EC2 has no state for a reboot that failed: the instance's checks show it, and the reconciler a machine that is gone.
    async fail({ log }, { message }) {
      log.error({ message }, 'reboot failed')
    },
  }
}
