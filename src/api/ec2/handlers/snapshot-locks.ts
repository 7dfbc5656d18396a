/** Locks of snapshots. */
import type { Cloud } from '../../../cloud/cloud.ts'
import type { LockView } from '../../../cloud/snapshots/snapshot-locks.ts'
import type { Ec2Handlers } from '../handler.ts'
import { readFilters } from '../shared/filters.ts'
import { readId, readIds } from '../shared/ids.ts'
import { nextTokenOf, readPage } from '../shared/pagination.ts'
import { scopeOf } from '../shared/scope.ts'
import { ec2Time } from '../shared/views.ts'

export const snapshotLockHandlers = {
  async LockSnapshot(input, context) {
    const id = readId('snapshot', input.SnapshotId!)
    const lock = await context.cloud.snapshotLocks.lock(scopeOf(context), id, {
      mode: input.LockMode!,
      coolOffHours: input.CoolOffPeriod ?? null,
      durationDays: input.LockDuration ?? null,
      expirationDate: input.ExpirationDate?.getTime() ?? null,
    })
    return ec2Lock(lock)
  },

  async UnlockSnapshot(input, context) {
    const id = readId('snapshot', input.SnapshotId!)
    await context.cloud.snapshotLocks.unlock(scopeOf(context), id)
    return { SnapshotId: id }
  },

  async DescribeLockedSnapshots(input, context) {
    const ids = readIds('snapshot', input.SnapshotIds)
    const page = await context.cloud.snapshotLocks.list(scopeOf(context), {
      ids,
      filters: readFilters(input.Filters),
      page: readPage('DescribeLockedSnapshots', input, context, { ids: { parameter: 'SnapshotIds', given: ids } }),
    })
    return {
      Snapshots: page.items.map((lock) => ({ ...ec2Lock(lock), OwnerId: lock.accountId })),
      NextToken: nextTokenOf('DescribeLockedSnapshots', context, page.next),
    }
  },
} satisfies Ec2Handlers<Pick<Cloud, 'snapshotLocks'>>

function ec2Lock(lock: LockView) {
  return {
    SnapshotId: lock.snapshotId,
    LockState: lock.lockState,
    LockDuration: lock.durationDays,
    CoolOffPeriod: lock.coolOffHours ?? undefined,
    CoolOffPeriodExpiresOn: ec2Time(lock.coolOffUntil),
    LockCreatedOn: ec2Time(lock.createdAt),
    LockDurationStartTime: ec2Time(lock.startsAt),
    LockExpiresOn: ec2Time(lock.expiresAt),
  }
}
