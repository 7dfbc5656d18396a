/** What an instance's root was replaced with, and which snapshots are kept ready on this host. */
import type { Flag, TimeMs } from '../schema.ts'

/** `failing` is being undone; `failed-detached` could not be: the instance has no root. */
export type ReplaceRootState = 'pending' | 'in-progress' | 'succeeded' | 'failing' | 'failed' | 'failed-detached'

export interface ReplaceRootVolumeTasksTable {
  id: string
  accountId: string
  region: string
  instanceId: string
  state: ReplaceRootState
  /** The image that was asked for. */
  imageId: string | null
  /** What the replacement is made of; null for a volume that was there already. */
  snapshotId: string | null
  oldVolumeId: string
  newVolumeId: string
  /** The replacement was made for the task, and goes if the task fails. */
  isVolumeMade: Flag
  deletesOld: Flag
  startedAt: TimeMs
  completedAt: TimeMs | null
}

export type FastRestoreState = 'enabling' | 'optimizing' | 'enabled' | 'disabling' | 'disabled'

/** There once an account wanted a snapshot to be ready in a zone. */
export interface FastSnapshotRestoresTable {
  id: string
  /** Who wants it; the snapshot may be another account's. */
  accountId: string
  snapshotId: string
  zone: string
  region: string
  /** What lies on this host for it. */
  rootHash: string
  state: FastRestoreState
  /** Why it came to this state. */
  reason: string
  enablingAt: TimeMs
  optimizingAt: TimeMs | null
  enabledAt: TimeMs | null
  disablingAt: TimeMs | null
  disabledAt: TimeMs | null
}
