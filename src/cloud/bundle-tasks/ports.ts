/** What bundling an instance asks of whoever keeps its disks. */
import type { CaptureSource } from '../ports.ts'

/** The roots of instance-store instances, as one instant had them. */
export interface InstanceRoots {
  /**
   * Freezes the root of a running instance for that task, and the guest goes on. Asking again for the same task changes
   * nothing. Throws OperationFailure when the instance is gone.
   */
  freeze(instanceId: string, taskId: string): Promise<void>
  /** The root as it was frozen, served read-only until it is closed. Throws OperationFailure when it is gone. */
  openFrozen(
    instanceId: string,
    taskId: string,
  ): Promise<{ source: CaptureSource; sizeBytes: number; close(): Promise<void> }>
  /** Nobody needs that instant any more: what the freeze left goes. Harmless when there is nothing. */
  release(instanceId: string, taskId: string): Promise<void>
}
