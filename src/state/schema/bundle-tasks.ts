/** The table of instances whose roots are bundled. */
import type { TimeMs } from '../schema.ts'

/** EC2's words. */
export type BundleTaskState =
  | 'pending'
  | 'waiting-for-shutdown'
  | 'bundling'
  | 'storing'
  | 'cancelling'
  | 'complete'
  | 'failed'

export interface BundleTasksTable {
  id: string
  accountId: string
  region: string
  instanceId: string
  /** Who writes the objects: whoever signed the upload policy, or who asked. */
  writerId: string
  bucket: string
  /** Of the objects' keys, before `.part.00` and `.manifest.xml`. */
  prefix: string
  /** When the upload policy ends; null without one. */
  policyExpiresAt: TimeMs | null
  state: BundleTaskState
  /** 0 to 100. */
  progress: number
  /** How many parts were begun: what there may be to remove. */
  partsBegun: number
  errorCode: string | null
  errorMessage: string | null
  createdAt: TimeMs
  updatedAt: TimeMs
}

export interface BundleTaskTables {
  bundleTasks: BundleTasksTable
}
