import type { Snapshot as Ec2Snapshot, SnapshotInfo, SnapshotState } from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import type { TierView } from '../../../cloud/snapshots/snapshot-tiers.ts'
import type { Snapshot } from '../../../cloud/snapshots/snapshots.ts'
import { KilnError } from '../../../lib/errors.ts'
import type { Ec2Handlers } from '../handler.ts'
import { readClientToken } from '../shared/client-tokens.ts'
import { ec2Encryption, readEncryption } from '../shared/encryption.ts'
import { readFilters } from '../shared/filters.ts'
import { ownerAliases, readUsers } from '../shared/grantees.ts'
import { readId, readIds } from '../shared/ids.ts'
import { nextTokenOf, readPage } from '../shared/pagination.ts'
import { scopeOf } from '../shared/scope.ts'
import { readTagSpecifications, type Tag } from '../shared/tag-specifications.ts'
import { refuseGiven } from '../shared/unsupported.ts'
import { ec2Tags, ec2Time } from '../shared/views.ts'

const descriptionMax = 255

export const snapshotHandlers: Ec2Handlers<Cloud> = {
  async CreateSnapshot(input, context) {
    const { snapshot: tags } = readTagSpecifications(input.TagSpecifications, ['snapshot'])
    const volumeId = readId('volume', input.VolumeId!)
    const description = readDescription(input.Description)
    refuseGiven({ OutpostArn: input.OutpostArn, Location: (input.Location ?? 'regional') !== 'regional' })
    const snapshot = await context.cloud.snapshots.create(scopeOf(context), { volumeId, description, tags })
    return ec2SnapshotOf(snapshot, tags, await context.cloud.encryption.arnsOf([snapshot]))
  },

  async CreateSnapshots(input, context) {
    const { snapshot: tags } = readTagSpecifications(input.TagSpecifications, ['snapshot'])
    const { InstanceId, ExcludeBootVolume, ExcludeDataVolumeIds } = input.InstanceSpecification!
    refuseGiven({ OutpostArn: input.OutpostArn, Location: (input.Location ?? 'regional') !== 'regional' })
    const created = await context.cloud.snapshots.createTogether(scopeOf(context), {
      instanceId: readId('instance', InstanceId!),
      excludeBootVolume: ExcludeBootVolume ?? false,
      excludeDataVolumeIds: readIds('volume', ExcludeDataVolumeIds) ?? [],
      description: readDescription(input.Description),
      copyVolumeTags: input.CopyTagsFromSource === 'volume',
      tags,
    })
    return { Snapshots: created.map(({ snapshot, tags: own }) => ec2SnapshotInfo(snapshot, own)) }
  },

  async DescribeSnapshots(input, context) {
    const ids = readIds('snapshot', input.SnapshotIds)
    const page = await context.cloud.snapshots.list(scopeOf(context), {
      ids,
      filters: readFilters(input.Filters),
      owners: readUsers(input.OwnerIds, context, ownerAliases),
      restorableBy: readUsers(input.RestorableByUserIds, context, ['all']),
      page: readPage('DescribeSnapshots', input, context, { ids: { parameter: 'SnapshotIds', given: ids } }),
    })
    const found = page.items.map((snapshot) => snapshot.id)
    const tags = await context.cloud.tags.of(scopeOf(context), found)
    const arns = await context.cloud.encryption.arnsOf(page.items)
    const tiers = await context.cloud.snapshotTiers.of(found)
    return {
      Snapshots: page.items.map((snapshot) => ({
        ...ec2SnapshotOf(snapshot, tags.get(snapshot.id) ?? [], arns),
        ...ec2Tier(tiers.get(snapshot.id)!),
      })),
      NextToken: nextTokenOf('DescribeSnapshots', context, page.next),
    }
  },

  async CopySnapshot(input, context) {
    const { snapshot: tags } = readTagSpecifications(input.TagSpecifications, ['snapshot'])
    const { DestinationOutpostArn, CompletionDurationMinutes, DestinationAvailabilityZone } = input
    refuseGiven({ DestinationOutpostArn, CompletionDurationMinutes, DestinationAvailabilityZone })
    if (input.DestinationRegion && input.DestinationRegion !== context.region) {
      throw new KilnError(
        'InvalidParameterValue',
        `Value (${input.DestinationRegion}) for parameter DestinationRegion is invalid: it must be the region of the endpoint, ${context.region}`,
      )
    }
    const snapshot = await context.cloud.snapshots.copy(scopeOf(context), {
      sourceRegion: input.SourceRegion!,
      sourceSnapshotId: readId('snapshot', input.SourceSnapshotId!),
      description: readDescription(input.Description),
      encryption: readEncryption(input),
      tags,
      clientToken: readClientToken(input as { ClientToken?: string }),
    })
    return { SnapshotId: snapshot.id, Tags: ec2Tags(tags) }
  },

  async DeleteSnapshot(input, context) {
    await context.cloud.snapshots.delete(scopeOf(context), readId('snapshot', input.SnapshotId!))
    return {}
  },
}

function readDescription(text: string | undefined): string {
  if ((text ?? '').length <= descriptionMax) return text ?? ''
  throw new KilnError('InvalidParameterValue', `The Description is longer than ${descriptionMax} characters`)
}

/** What both shapes of a snapshot have. */
function ec2SnapshotInfo(snapshot: Snapshot, tags: readonly Tag[]): SnapshotInfo {
  return {
    SnapshotId: snapshot.id,
    VolumeId: snapshot.volumeId,
    VolumeSize: snapshot.sizeGib,
    State: snapshot.state as SnapshotState,
    StartTime: new Date(snapshot.startedAt),
    Progress: `${snapshot.progress}%`,
    OwnerId: snapshot.accountId,
    Description: snapshot.description,
    Encrypted: snapshot.encrypted === 1,
    Tags: ec2Tags(tags),
  }
}

function ec2SnapshotOf(snapshot: Snapshot, tags: readonly Tag[], arns: ReadonlyMap<string, string>): Ec2Snapshot {
  return {
    ...ec2SnapshotInfo(snapshot, tags),
    ...ec2Encryption(snapshot, arns),
    // The same for all snapshots that came from one volume or snapshot: what EC2 documents of this member.
    DataEncryptionKeyId: snapshot.dataKeyId ?? undefined,
    StateMessage: snapshot.stateMessage ?? undefined,
    CompletionTime: ec2Time(snapshot.completedAt),
    OwnerAlias: snapshot.ownerAlias ?? undefined,
    StorageTier: 'standard',
    FullSnapshotSizeInBytes: snapshot.dataBytes ?? undefined,
  }
}

function ec2Tier({ storageTier, restoreExpiresAt }: TierView): Ec2Snapshot {
  return { StorageTier: storageTier, RestoreExpiryTime: ec2Time(restoreExpiresAt) }
}
