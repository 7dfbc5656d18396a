/** The last steps of every image that is made of snapshots: wait for all of them, then be available. */

import { type Again, OperationFailure } from '../../operations/operation.ts'
import type { Image } from '../../state/images.ts'
import type { CloudDeps } from '../deps.ts'

const pollMs = 150

/** One look at the image's snapshots: undefined when all are completed; throws when one has failed or is gone. */
export async function snapshotsCompleted(deps: CloudDeps, imageId: string): Promise<Again | undefined> {
  const devices = (await deps.state.images.devicesOf([imageId])).get(imageId)!
  const ids = devices.flatMap((device) => device.snapshotId ?? [])
  const snapshots = await deps.state.snapshots.many(ids)
  for (const id of ids) {
    const snapshot = snapshots.find((row) => row.id === id)
    if (!snapshot || snapshot.state === 'deleted') throw new OperationFailure(`snapshot ${id} was deleted`)
    if (snapshot.state === 'error') throw new OperationFailure(`snapshot ${id} failed: ${snapshot.stateMessage}`)
  }
  return snapshots.some((snapshot) => snapshot.state === 'pending') ? { againInMs: pollMs } : undefined
}

export async function becomeAvailable(deps: CloudDeps, imageId: string): Promise<void> {
  await deps.state.images.move(imageId, ['pending'], { state: 'available' })
}

/** EC2 keeps a failed image visible, with its reason, and its name is free again. */
export async function becomeFailed(
  deps: CloudDeps,
  imageId: string,
  message: string,
  code = 'Server.InternalError',
): Promise<void> {
  const patch: Partial<Image> = {
    state: 'failed',
    stateReasonCode: code,
    stateReasonMessage: message,
  }
  await deps.state.images.move(imageId, ['pending'], patch)
}
