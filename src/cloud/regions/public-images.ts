/** Images that everybody sees and may launch: their rows, in any region. */
import { newId } from '../../lib/ids.ts'
import type { Repositories } from '../../state/state.ts'
import type { CloudDeps } from '../deps.ts'

export interface NewPublicImage {
  owner: { accountId: string; ownerAlias: string | null; region: string }
  name: string
  description: string
  architecture: string
  rootDeviceName: string
  /** The blocks of its only disk, which lie in the region's store. */
  disk: { rootHash: string; dataBytes: number; sizeGib: number }
}

/** Of a snapshot that no volume was the source of. */
const noVolume = 'vol-ffffffff'

/** The image and its snapshot, in the caller's transaction. The image's id. */
export async function insertPublicImage(
  tx: Repositories,
  { clock, random }: Pick<CloudDeps, 'clock' | 'random'>,
  { owner, name, description, architecture, rootDeviceName, disk }: NewPublicImage,
): Promise<string> {
  const createdAt = clock.now()
  const snapshotId = newId('snapshot', random)
  const imageId = newId('image', random)
  await tx.snapshots.insert({
    ...owner,
    ...{ id: snapshotId, volumeId: noVolume, description, ...disk },
    ...{ state: 'completed', stateMessage: null, progress: 100, encrypted: 0, dataKeyId: null },
    // Nobody here is the publisher, who would be charged for it.
    ...{ storedBytes: 0, chargeParentId: null, chargedBytes: 0, copiedFromId: null },
    ...{ startedAt: createdAt, completedAt: createdAt },
  })
  await tx.images.insert(
    {
      ...owner,
      ...{ id: imageId, name, description, architecture, rootDeviceName, rootDeviceType: 'ebs' },
      ...{ state: 'available', stateReasonCode: null, stateReasonMessage: null },
      ...{ imageLocation: null, manifestHash: null, bundleBytes: null, rootBytes: null },
      ...{ virtualizationType: 'hvm', enaSupport: 1, sriovNetSupport: 'simple', bootMode: 'legacy-bios' },
      ...{ imdsSupport: null, tpmSupport: null, platformDetails: 'Linux/UNIX' },
      ...{ sourceInstanceId: null, sourceImageId: null, sourceImageRegion: null },
      ...{ createdAt, deregisteredAt: null },
    },
    [
      {
        ...{ deviceName: rootDeviceName, snapshotId, sizeGib: disk.sizeGib, virtualName: null, encrypted: 0 },
        ...{ volumeType: 'gp3', iops: 3000, throughput: 125, deleteOnTermination: 1 },
      },
    ],
    ['all'],
  )
  // An owner's alias opens its snapshots; without one they are shared as the image is.
  if (owner.ownerAlias === null) await tx.snapshots.grant(snapshotId, ['all'])
  return imageId
}
