/** Which volumes of an instance CreateSnapshots is about. */
import { KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import type { Repositories } from '../../state/state.ts'
import type { Volume } from '../../state/volumes.ts'
import { idsWithout } from '../asked-ids.ts'
import type { Scope } from '../deps.ts'
import { ownedInstance } from '../instances/owned-instance.ts'

export interface InstanceVolumesRequest {
  instanceId: string
  excludeBootVolume: boolean
  excludeDataVolumeIds: readonly string[]
}

/** In the order of the instance's devices. There is at least one. */
export async function volumesOfInstance(
  tx: Repositories,
  scope: Scope,
  { instanceId, excludeBootVolume, excludeDataVolumeIds }: InstanceVolumesRequest,
): Promise<Volume[]> {
  const instance = await ownedInstance(tx, scope, instanceId)
  if (instance.state === 'shutting-down' || instance.state === 'terminated') {
    throw new KilnError(
      'IncorrectInstanceState',
      `The instance '${instanceId}' is ${instance.state} and cannot be snapshotted`,
    )
  }
  const attachments = await tx.volumes.attachmentsOfInstances([instanceId])
  const boot = attachments.find((attachment) => attachment.deviceName === instance.rootDeviceName)
  checkExcluded(attachments, boot?.volumeId, excludeDataVolumeIds)
  const left = attachments.filter(
    (attachment) => !(excludeBootVolume && attachment === boot) && !excludeDataVolumeIds.includes(attachment.volumeId),
  )
  if (left.length === 0) {
    throw new KilnError(
      'InvalidParameterCombination',
      `No volume of instance '${instanceId}' is left to be snapshotted (InstanceSpecification)`,
    )
  }
  const rows = await tx.volumes.many(left.map((attachment) => attachment.volumeId))
  checkOneInstant(rows)
  return left.map(({ volumeId }) => rows.find((row) => row.id === volumeId)!)
}

/** Throws UnsupportedOperation for a volume that other instances may be writing: it has no instant with this one's others. */
export function checkOneInstant(volumes: readonly Volume[]): void {
  const shared = volumes.find((volume) => volume.multiAttach === 1)
  if (!shared || volumes.length === 1) return
  throw new KilnError(
    'UnsupportedOperation',
    `Volume '${shared.id}' is enabled for Multi-Attach and cannot be snapshotted at one instant with others: leave it out`,
  )
}

function checkExcluded(
  attachments: readonly { volumeId: string }[],
  bootVolumeId: string | undefined,
  excluded: readonly string[],
): void {
  if (excluded.length > limits.excludedVolumes) {
    throw new KilnError(
      'InvalidParameterValue',
      `At most ${limits.excludedVolumes} volumes can be named in ExcludeDataVolumeIds`,
    )
  }
  if (bootVolumeId !== undefined && excluded.includes(bootVolumeId)) {
    throw new KilnError(
      'InvalidParameterValue',
      `Volume '${bootVolumeId}' in ExcludeDataVolumeIds is the root volume: use ExcludeBootVolume`,
    )
  }
  const attached = attachments.map(({ volumeId }) => ({ id: volumeId }))
  const [stranger] = idsWithout(excluded, attached)
  if (stranger === undefined) return
  throw new KilnError(
    'InvalidParameterValue',
    `Volume '${stranger}' in ExcludeDataVolumeIds is not attached to the instance`,
  )
}
