/** Where snapshots come from: the volume one was taken of, the snapshot that was made of, and so on. */
import type { Snapshot } from '../../state/snapshots.ts'
import type { Repositories } from '../../state/state.ts'
import type { Volume } from '../../state/volumes.ts'
import { volumeOfCopies } from './snapshots.ts'

const generationsMax = 1000

interface Ancestry {
  /** Snapshots and volumes, the snapshot itself among them. */
  ids: Set<string>
  /** False where the trace is lost: at copies, whose source lies elsewhere, and at deleted volumes, which leave no row. */
  isWhole: boolean
}

/** True only when it is known of both where they began, and they have nothing in common. */
export async function areUnrelated(state: Repositories, first: Snapshot, second: Snapshot): Promise<boolean> {
  const [one, other] = [await ancestryOf(state, first), await ancestryOf(state, second)]
  return one.isWhole && other.isWhole && ![...one.ids].some((id) => other.ids.has(id))
}

/** The volume that a copy comes from at last; the copies on the way, and it, are added to the ids. */
async function originalOf(state: Repositories, volumeId: string, ids: Set<string>): Promise<Volume | undefined> {
  let volume = await state.volumes.get(volumeId)
  while (volume?.sourceVolumeId && !ids.has(volume.sourceVolumeId)) {
    ids.add(volume.sourceVolumeId)
    volume = await state.volumes.get(volume.sourceVolumeId)
  }
  return volume
}

async function ancestryOf(state: Repositories, snapshot: Snapshot): Promise<Ancestry> {
  const ids = new Set<string>()
  let current: Snapshot | undefined = snapshot
  for (let generation = 0; current && generation < generationsMax; generation++) {
    ids.add(current.id)
    const upload = await state.snapshotUploads.get(current.id)
    if (!upload && current.volumeId === volumeOfCopies) return { ids, isWhole: false }
    if (!upload) ids.add(current.volumeId)
    const origin: { snapshotId: string | null } | undefined = upload
      ? { snapshotId: upload.parentSnapshotId }
      : await originalOf(state, current.volumeId, ids)
    if (origin?.snapshotId === null) return { ids, isWhole: true }
    current = origin && (await state.snapshots.get(origin.snapshotId!))
  }
  return { ids, isWhole: false }
}
