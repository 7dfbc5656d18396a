/** The archive tier of snapshots. */
import type { SnapshotState, SnapshotTierStatus } from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import type { TierStatusView } from '../../../cloud/snapshots/snapshot-tiers.ts'
import type { Ec2Handlers } from '../handler.ts'
import { readFilters } from '../shared/filters.ts'
import { readId } from '../shared/ids.ts'
import { nextTokenOf, readPage } from '../shared/pagination.ts'
import { missing, notTogether } from '../shared/permissions.ts'
import { scopeOf } from '../shared/scope.ts'
import type { Tag } from '../shared/tag-specifications.ts'
import { ec2Tags, ec2Time } from '../shared/views.ts'

export const snapshotTierHandlers = {
  async ModifySnapshotTier(input, context) {
    const id = readId('snapshot', input.SnapshotId!)
    // The model allows one value, and the reference says that it must be given.
    if (input.StorageTier === undefined) throw missing('StorageTier')
    const startedAt = await context.cloud.snapshotTiers.archive(scopeOf(context), id)
    return { SnapshotId: id, TieringStartTime: new Date(startedAt) }
  },

  async RestoreSnapshotTier(input, context) {
    const id = readId('snapshot', input.SnapshotId!)
    const { TemporaryRestoreDays: days, PermanentRestore: permanent = false } = input
    if (permanent && days !== undefined) throw notTogether('PermanentRestore', 'TemporaryRestoreDays')
    if (!permanent && days === undefined) throw missing('TemporaryRestoreDays or PermanentRestore')
    const startedAt = await context.cloud.snapshotTiers.restore(scopeOf(context), id, permanent ? null : days!)
    return {
      SnapshotId: id,
      RestoreStartTime: new Date(startedAt),
      RestoreDuration: days,
      IsPermanentRestore: permanent,
    }
  },

  async DescribeSnapshotTierStatus(input, context) {
    const page = await context.cloud.snapshotTiers.list(scopeOf(context), {
      filters: readFilters(input.Filters),
      page: readPage('DescribeSnapshotTierStatus', input, context),
    })
    const ids = page.items.map((status) => status.id)
    const tags = await context.cloud.tags.of(scopeOf(context), ids)
    return {
      SnapshotTierStatuses: page.items.map((status) => ec2TierStatus(status, tags.get(status.id))),
      NextToken: nextTokenOf('DescribeSnapshotTierStatus', context, page.next),
    }
  },
} satisfies Ec2Handlers<Pick<Cloud, 'snapshotTiers' | 'tags'>>

function ec2TierStatus(status: TierStatusView, tags: readonly Tag[] | undefined): SnapshotTierStatus {
  return {
    SnapshotId: status.id,
    VolumeId: status.volumeId,
    Status: status.state as SnapshotState,
    OwnerId: status.accountId,
    Tags: ec2Tags(tags),
    StorageTier: status.storageTier,
    LastTieringStartTime: ec2Time(status.startedAt),
    LastTieringProgress: status.progress ?? undefined,
    LastTieringOperationStatus: status.operationStatus ?? undefined,
    LastTieringOperationStatusDetail: status.operationDetail ?? undefined,
    ArchivalCompleteTime: ec2Time(status.archivedAt),
    RestoreExpiryTime: ec2Time(status.restoreExpiresAt),
  }
}
