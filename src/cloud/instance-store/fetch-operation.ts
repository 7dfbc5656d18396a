/**
 * The first half of launching from a bundle: the root is fetched, proved and unpacked. It comes before the boot, in a lane
 * of its own, so that a large bundle keeps nobody else from booting.
 */
import { waitFor } from '../../lib/clock.ts'
import type { OperationKind } from '../../operations/operation.ts'
import type { CloudDeps } from '../deps.ts'
import { enqueueTermination } from '../instances/terminate-operation.ts'
import type { InstanceDisks } from './instance-disks.ts'

export const fetchRootKind = 'fetch-root'

const tellEveryPercent = 5
const lookEveryMs = 250

export function fetchRootOperation(
  deps: CloudDeps,
  disks: InstanceDisks,
): OperationKind<Record<string, never>, unknown> {
  const { state } = deps
  return {
    kind: fetchRootKind,
    lane: 'bundles',
    steps: [
      {
        name: 'fetch',
        async run({ subjectId, signal, progress }) {
          const instance = await state.instances.get(subjectId)
          // Terminated while it waited for its turn: that operation is next in line.
          if (instance?.state !== 'pending') return
          let told = 0
          let telling = Promise.resolve()
          const onPercent = (percent: number) => {
            if (percent < told + tellEveryPercent) return
            told = percent
            telling = telling.then(() => progress(percent))
            telling.catch(() => {})
          }
          await whilePending(deps, subjectId, signal, (signal) => disks.prepareRoot(instance, { signal, onPercent }))
          await telling
        },
      },
    ],
    async fail({ subjectId }, { message }) {
      const instance = await state.instances.get(subjectId)
      if (instance?.state !== 'pending') return
      const reason = {
        stateReasonCode: 'Server.InternalError',
        stateReasonMessage: `Server.InternalError: the root could not be fetched: ${message}`,
        stateTransitionReason: 'Server.InternalError',
      }
      await state.transaction(async (tx) => {
        if (!(await tx.instances.move(subjectId, ['pending'], { ...reason, state: 'shutting-down' }))) return
        await enqueueTermination(deps, tx, instance)
      })
      deps.operations.wake()
    },
  }
}

/** Does the work unless the instance is terminated meanwhile: nobody waits for the rest of a root that nobody needs. */
async function whilePending(
  { state, clock }: CloudDeps,
  instanceId: string,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const done = new AbortController()
  const terminated = new AbortController()
  const hasLeft = async () => ((await state.instances.get(instanceId))?.state === 'pending' ? undefined : true)
  const timing = { everyMs: lookEveryMs, timeoutMs: Number.POSITIVE_INFINITY, signal: done.signal }
  const looking = waitFor(clock, hasLeft, timing).then(() => terminated.abort())
  looking.catch(() => {})
  try {
    await work(AbortSignal.any([signal, terminated.signal]))
  } catch (error) {
    if (signal.aborted || !terminated.signal.aborted) throw error
  } finally {
    done.abort()
    await looking.catch(() => {})
  }
}
