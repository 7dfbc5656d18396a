/** The tables of imports and exports: tasks, and the disks that they bring. */
import type { TimeMs } from '../schema.ts'

export type TransferKind = 'import-image' | 'import-snapshot' | 'export-image'
/** EC2's words; a failed import of an image, or export, is `deleted` there. */
export type TransferStatus = 'active' | 'completed' | 'deleting' | 'deleted' | 'error'

export interface TransferTasksTable {
  id: string
  kind: TransferKind
  accountId: string
  region: string
  status: TransferStatus
  /** What it is doing, or why it ended. */
  statusMessage: string | null
  /** 0 to 100. */
  progress: number
  description: string | null
  /** Of an export: the format of the file. */
  format: string | null
  /** The image that was made, or that is exported. */
  imageId: string | null
  /** Of an import: what the image will be called. */
  imageName: string | null
  licenseType: string | null
  bootMode: string | null
  /** Of an import: the data key of the snapshots that are made; null when they are not encrypted. */
  dataKeyId: string | null
  /** Of an export: where the file goes; null for one that is fetched from here. */
  bucket: string | null
  prefix: string | null
  createdAt: TimeMs
  endedAt: TimeMs | null
}

/** A disk that an import brings. */
export interface TransferDisksTable {
  taskId: string
  /** The file that it lies in. */
  container: number
  /** Its place among the disks in that file. */
  position: number
  description: string | null
  /** As declared, and then as found. */
  format: string | null
  deviceName: string | null
  /** As the caller gave it. */
  url: string | null
  bucket: string | null
  objectKey: string | null
  /** A file that was sent to this host. */
  uploadId: string | null
  /** An existing snapshot that is taken as it is. */
  sourceSnapshotId: string | null
  /** Bytes of the file. */
  fileBytes: number | null
  /** 0 to 100. */
  progress: number
  /** The snapshot that was made. */
  snapshotId: string | null
}

export interface TransferTables {
  transferTasks: TransferTasksTable
  transferDisks: TransferDisksTable
}
