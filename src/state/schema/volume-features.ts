/** What an instance's root was replaced with. */
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
