/** Which snapshots the EBS direct APIs open to whom. */
import { KilnError } from '../../lib/errors.ts'
import type { Snapshot } from '../../state/snapshots.ts'
import type { Repositories } from '../../state/state.ts'
import type { Scope } from '../deps.ts'

/**
 * A snapshot of the account in its region. Throws InvalidSnapshot.NotFound, and AccessDeniedException for a public one:
 * "EBS direct APIs does not support public snapshots" ("Concepts for EBS direct APIs" in the EBS user guide).
 */
export async function ownSnapshot(state: Repositories, scope: Scope, id: string): Promise<Snapshot> {
  const row = await state.snapshots.get(id)
  if (!row || row.region !== scope.region || row.state === 'deleted') throw notFound(id)
  if (row.accountId === scope.accountId) return row
  if (row.ownerAlias === null) throw notFound(id)
  throw new KilnError(
    'AccessDeniedException.UnauthorizedAccount',
    `The snapshot '${id}' is public and belongs to another account. Copy it, and read the copy.`,
  )
}

/** The same, with its root: the APIs read completed snapshots only. */
export async function completedSnapshot(
  state: Repositories,
  scope: Scope,
  id: string,
): Promise<{ snapshot: Snapshot; root: string }> {
  const snapshot = await ownSnapshot(state, scope, id)
  if (snapshot.state === 'completed' && snapshot.rootHash) return { snapshot, root: snapshot.rootHash }
  throw new KilnError(
    'ValidationException.InvalidSnapshotId',
    `The snapshot '${id}' is in the state '${snapshot.state}', and must be completed.`,
  )
}

const notFound = (id: string) => new KilnError('InvalidSnapshot.NotFound', `The snapshot '${id}' does not exist.`)
