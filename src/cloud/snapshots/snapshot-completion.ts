/** How every snapshot comes to its end, whether its blocks were read from a volume or copied from another region. */
import type { Failure, Step, StepContext } from '../../operations/operation.ts'
import type { Repositories } from '../../state/state.ts'
import type { CloudDeps } from '../deps.ts'
import { completeCharged } from './snapshot-charges.ts'

/** What the step that brings the blocks finds out. */
export interface BroughtBlocks {
  root: string
  dataBytes: number
  /** Bytes that the region's store grew by. */
  storedBytes: number
}

type Progressing = Pick<StepContext<unknown, unknown>, 'subjectId' | 'progress'>

/** Shows the progress of the operation as the snapshot's own; 100 is said only when it is completed. */
export function snapshotProgress({ state }: CloudDeps, { subjectId, progress }: Progressing) {
  return async (percent: number) => {
    await progress(percent)
    await state.snapshots.move(subjectId, ['pending'], { progress: Math.min(99, Math.round(percent)) })
  }
}

/** The last step: the blocks are on stable storage, so the snapshot is completed. */
export function completeStep<Input>(
  deps: CloudDeps,
  also: (tx: Repositories, context: StepContext<Input, BroughtBlocks>) => Promise<void> = async () => {},
): Step<Input, BroughtBlocks> {
  return {
    name: 'complete',
    async run(context) {
      const { subjectId, region, data } = context
      const { root, dataBytes, storedBytes } = data as BroughtBlocks
      await completeCharged(deps, subjectId, { rootHash: root, dataBytes, storedBytes }, (tx) => also(tx, context))
      await deps.blocks.settle(region, root)
    },
  }
}

export async function failSnapshot(
  { state }: CloudDeps,
  snapshotId: string,
  { step, message }: Failure,
): Promise<void> {
  await state.snapshots.move(snapshotId, ['pending'], { state: 'error', stateMessage: `${step}: ${message}` })
}
