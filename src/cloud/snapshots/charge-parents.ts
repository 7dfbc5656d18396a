/**
 * Which snapshot another one is charged as an increment of: its nearest ancestor that still lives (is completed, not
 * deleted, not archived) in the same region and account, under the same data key. What a snapshot descends from:
 * - one of a volume: the snapshot taken of the volume before, or else the one that the volume was made of;
 * - one written block by block: its parent snapshot;
 * - a copy: its source. Where the source lies elsewhere, the copy is an increment of the newest copy that its account
 *   has there of the source, or of anything that the source descends from.
 * Snapshots that were imported or restored from an object descend from nothing.
 *
 * Sources: "How Amazon EBS snapshots work" and "Copy an Amazon EBS snapshot" in the EBS user guide.
 */
import type { Snapshot } from '../../state/snapshots.ts'
import type { Repositories } from '../../state/state.ts'
import { volumeOfCopies } from './snapshots.ts'

/** Whoever descends from more is charged as if the trace ended there. */
const generationsMax = 1000

/** Undefined for a snapshot that is charged for all of its bytes. */
export async function chargeParentOf(state: Repositories, snapshot: Snapshot): Promise<Snapshot | undefined> {
  const { snapshotCharges: charges } = state
  const { copiedFromId } = snapshot
  if (copiedFromId !== null) {
    const nearest =
      (await charges.livingParent(copiedFromId, snapshot)) ??
      (await charges.newestCopy(await idsOf(ancestors(state, snapshot, originOf)), snapshot))
    if (nearest) return nearest
  }
  for await (const { id } of ancestors(state, snapshot, heirIn(snapshot))) {
    const parent = await charges.livingParent(id, snapshot)
    if (parent) return parent
  }
  return undefined
}

type Generation = (state: Repositories, snapshot: Snapshot) => Promise<Snapshot | undefined>

/** Nearest first; deleted ones, and those of other regions and accounts, among them. */
async function* ancestors(state: Repositories, snapshot: Snapshot, before: Generation): AsyncGenerator<Snapshot> {
  const seen = new Set([snapshot.id])
  let current = await originOf(state, snapshot)
  while (current && !seen.has(current.id) && seen.size < generationsMax) {
    seen.add(current.id)
    yield current
    current = await before(state, current)
  }
}

/** What the snapshot descends from, be it gone or elsewhere. */
async function originOf(state: Repositories, snapshot: Snapshot): Promise<Snapshot | undefined> {
  const isOfVolume = snapshot.volumeId !== volumeOfCopies
  const previous = isOfVolume && (await state.snapshotCharges.previousOfVolume(snapshot))
  if (previous) return previous
  const made = isOfVolume
    ? (await state.volumes.get(snapshot.volumeId))?.snapshotId
    : (snapshot.copiedFromId ?? (await state.snapshotUploads.get(snapshot.id))?.parentSnapshotId)
  // Deleted volumes leave no row; what the snapshot was charged against tells as much.
  const id = made ?? snapshot.chargeParentId
  return id === null ? undefined : await state.snapshots.get(id)
}

/** Where the increments of a snapshot went when it was deleted: what was still pending then follows them. */
function heirIn({ accountId, region }: Snapshot): Generation {
  return async (state, gone) => {
    const isHere = gone.accountId === accountId && gone.region === region
    const heirId = isHere && gone.state === 'deleted' ? gone.chargeParentId : null
    return heirId === null ? await originOf(state, gone) : await state.snapshots.get(heirId)
  }
}

async function idsOf(snapshots: AsyncIterable<Snapshot>): Promise<string[]> {
  const ids: string[] = []
  for await (const { id } of snapshots) ids.push(id)
  return ids
}
