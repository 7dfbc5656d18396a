/** The table of images that are stored as one object in S3, and that are restored from one. */
import type { TimeMs } from '../schema.ts'

/** EC2's words. */
export type StoredImageTaskState = 'InProgress' | 'Completed' | 'Failed'

export interface StoredImageTasksTable {
  id: string
  kind: 'store' | 'restore'
  /** The image that is stored, or that is made. */
  imageId: string
  accountId: string
  region: string
  bucket: string
  objectKey: string
  /** Of all snapshots: what counts against the bound on work in progress. */
  sizeGib: number
  state: StoredImageTaskState
  /** 0 to 100. */
  progress: number
  failureReason: string | null
  createdAt: TimeMs
}

export interface StoredImageTables {
  storedImageTasks: StoredImageTasksTable
}
