/** The standard tier and the archive. Source: "Archive Amazon EBS snapshots" in the EBS user guide. */
import { KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import type { Page } from '../../state/listing.ts'
import type { TieringStatus } from '../../state/schema.ts'
import type { SnapshotTier, SnapshotTierStatus } from '../../state/snapshot-tiers.ts'
import type { Repositories } from '../../state/state.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import { isArchived } from './archived.ts'
import type { Snapshots } from './snapshots.ts'
import {
  archiveKind,
  archiveOperation,
  type RestoreInput,
  restored,
  restoreKind,
  restoreOperation,
  restoreUnderWay,
} from './tier-operations.ts'

export interface TierView {
  storageTier: 'standard' | 'archive'
  /** When a temporary restore will be over; null without one. */
  restoreExpiresAt: number | null
}

export interface TierStatusView extends Omit<SnapshotTierStatus, 'tier' | 'restoreExpiresAt'>, TierView {}

type ListRequest = Omit<Parameters<Repositories['snapshotTiers']['list']>[1], 'accountId' | 'nowMs'>

const nothingUnderWay: readonly TieringStatus[] = [
  'archival-completed',
  'archival-failed',
  'temporary-restore-completed',
  'temporary-restore-failed',
  'permanent-restore-completed',
  'permanent-restore-failed',
]

function tierView(row: Pick<SnapshotTier, 'tier' | 'restoreExpiresAt'> | undefined, nowMs: number): TierView {
  const archived = isArchived(row, nowMs)
  return {
    storageTier: archived ? 'archive' : 'standard',
    restoreExpiresAt: archived ? null : (row?.restoreExpiresAt ?? null),
  }
}

/** Throws IncorrectState while the snapshot is being archived or restored. */
export async function checkNotTiering(tx: Repositories, snapshotId: string): Promise<SnapshotTier | undefined> {
  const row = await tx.snapshotTiers.get(snapshotId)
  if (!row || nothingUnderWay.includes(row.operationStatus)) return row
  throw new KilnError(
    'IncorrectState',
    `The snapshot '${snapshotId}' is being moved between tiers (${row.operationStatus}); wait until that is completed`,
  )
}

export class SnapshotTiers {
  readonly #deps: CloudDeps
  readonly #snapshots: Snapshots

  constructor(deps: CloudDeps, snapshots: Snapshots) {
    this.#deps = deps
    this.#snapshots = snapshots
    deps.operations.register(archiveOperation(deps))
    deps.operations.register(restoreOperation(deps))
  }

  /** When the archiving began. Throws InvalidSnapshot.InUse while an image needs the snapshot. */
  async archive(scope: Scope, snapshotId: string): Promise<number> {
    const { clock, operations } = this.#deps
    const startedAt = clock.now()
    await this.#serially(scope, snapshotId, async (tx) => {
      const snapshot = await tx.snapshots.get(snapshotId)
      if (snapshot?.state !== 'completed') {
        throw new KilnError('IncorrectState', `The snapshot '${snapshotId}' is not completed and cannot be archived`)
      }
      const tier = await checkNotTiering(tx, snapshotId)
      if (tier?.tier === 'archive') {
        throw new KilnError('IncorrectState', `The snapshot '${snapshotId}' is archived already`)
      }
      const [image] = await tx.images.usingSnapshot(snapshotId)
      if (image) {
        throw new KilnError('InvalidSnapshot.InUse', `The snapshot ${snapshotId} is currently in use by ${image}`)
      }
      await tx.snapshotTiers.put({
        ...{ snapshotId, startedAt, tier: 'standard', operationStatus: 'archival-in-progress', operationDetail: null },
        ...{ progress: 0, archivedAt: null, restoreExpiresAt: null },
      })
      await operations.enqueue(tx, { kind: archiveKind, subjectId: snapshotId, ...scope, input: {} })
    })
    operations.wake()
    return startedAt
  }

  /**
   * Brings an archived snapshot back, for a number of days or (null) for good; when the restoring began. One that is
   * there for a time already stays for another time, counted from now, or for good.
   */
  async restore(scope: Scope, snapshotId: string, days: number | null): Promise<number> {
    if (days !== null && (days < 1 || days > limits.temporaryRestoreDays)) {
      throw new KilnError(
        'InvalidParameterValue',
        `Value (${days}) for parameter TemporaryRestoreDays is invalid. It must be between 1 and ${limits.temporaryRestoreDays}.`,
      )
    }
    const { clock, operations } = this.#deps
    const startedAt = clock.now()
    await this.#serially(scope, snapshotId, async (tx) => {
      const tier = await checkNotTiering(tx, snapshotId)
      if (tier?.tier !== 'archive') {
        throw new KilnError(
          'IncorrectState',
          `The snapshot '${snapshotId}' is not archived: there is nothing to restore`,
        )
      }
      const begun = { ...tier, startedAt, operationDetail: null }
      if (!isArchived(tier, startedAt)) return tx.snapshotTiers.put({ ...begun, ...restored(days, startedAt) })
      const operationStatus = restoreUnderWay(days)
      await tx.snapshotTiers.put({ ...begun, operationStatus, progress: 0, restoreExpiresAt: null })
      const input: RestoreInput = { days }
      await operations.enqueue(tx, { kind: restoreKind, subjectId: snapshotId, ...scope, input })
    })
    operations.wake()
    return startedAt
  }

  /** One change of a snapshot's tier after the other, each in a transaction. */
  async #serially(scope: Scope, snapshotId: string, change: (tx: Repositories) => Promise<void>): Promise<void> {
    await this.#snapshots.owned(scope, snapshotId)
    await this.#deps.locks.hold(`tier:${snapshotId}`, () => this.#deps.state.transaction(change))
  }

  /** The account's own snapshots, in whatever tier they are. */
  async list(scope: Scope, request: ListRequest): Promise<Page<TierStatusView>> {
    const { accountId, region } = scope
    const nowMs = this.#deps.clock.now()
    const page = await this.#deps.state.snapshotTiers.list(region, { ...request, accountId, nowMs })
    return { ...page, items: page.items.map((row) => statusView(row, nowMs)) }
  }

  async of(snapshotIds: readonly string[]): Promise<Map<string, TierView>> {
    const rows = await this.#deps.state.snapshotTiers.of(snapshotIds)
    return new Map(snapshotIds.map((id) => [id, tierView(rows.get(id), this.#deps.clock.now())]))
  }
}

/** A temporary restore that is over leaves the snapshot as its archiving did. */
function statusView(row: SnapshotTierStatus, nowMs: number): TierStatusView {
  const { tier, restoreExpiresAt } = row
  const view = { ...row, ...tierView(tier === null ? undefined : { tier, restoreExpiresAt }, nowMs) }
  const isOver = row.operationStatus === 'temporary-restore-completed' && view.storageTier === 'archive'
  return isOver ? { ...view, operationStatus: 'archival-completed' } : view
}
