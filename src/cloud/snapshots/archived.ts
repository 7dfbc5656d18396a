/** What it means for a snapshot to lie in the archive tier. Source: "Archive Amazon EBS snapshots" in the EBS user guide. */
import type { Clock } from '../../lib/clock.ts'
import { KilnError } from '../../lib/errors.ts'
import type { SnapshotTier } from '../../state/snapshot-tiers.ts'
import type { Repositories } from '../../state/state.ts'

type Tiered = Pick<SnapshotTier, 'tier' | 'restoreExpiresAt'> | undefined

/** A temporary restore needs nobody to end it: it is over when its time is. */
export function isArchived(tier: Tiered, nowMs: number): boolean {
  return tier?.tier === 'archive' && (tier.restoreExpiresAt === null || tier.restoreExpiresAt <= nowMs)
}

/** Throws IncorrectState for the first snapshot that must be restored before it can be used. */
export async function checkNotArchived(
  { snapshotTiers }: Repositories,
  clock: Clock,
  snapshotIds: readonly string[],
): Promise<void> {
  const tiers = await snapshotTiers.of(snapshotIds)
  const archived = snapshotIds.find((id) => isArchived(tiers.get(id), clock.now()))
  if (archived === undefined) return
  throw new KilnError('IncorrectState', `The snapshot '${archived}' is archived: restore it before it is used`)
}
