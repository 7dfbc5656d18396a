/** The work behind CopyImage. The snapshots' own operations move the blocks; this one waits for them. */
import type { OperationKind } from '../../operations/operation.ts'
import type { CloudDeps } from '../deps.ts'
import { becomeAvailable, becomeFailed, snapshotsCompleted } from './image-completion.ts'

export const copyImageKind = 'copy-image'

export function copyImageOperation(deps: CloudDeps): OperationKind<Record<string, never>, unknown> {
  return {
    kind: copyImageKind,
    lane: 'images',
    steps: [
      { name: 'snapshots', run: ({ subjectId }) => snapshotsCompleted(deps, subjectId) },
      { name: 'available', run: ({ subjectId }) => becomeAvailable(deps, subjectId) },
    ],
    fail: ({ subjectId }, { step, message }) => becomeFailed(deps, subjectId, `${step}: ${message}`),
  }
}
