/**
 * The work behind ModifySnapshotTier and RestoreSnapshotTier.
 *
 * Archiving packs what the snapshot alone has as hard as zstd can. Restoring unpacks nothing: readers take one packing as
 * quickly as the other. It reads the whole snapshot instead, because what has lain untouched for long is given back only
 * when every block of it is found intact.
 */
import { OperationFailure, type OperationKind, type StepContext } from '../../operations/operation.ts'
import type { TieringStatus } from '../../state/schema.ts'
import type { CloudDeps } from '../deps.ts'
import { retrievedFromArchive } from '../metering/charge-rules.ts'
import { becomeWhole, releaseIncrements } from './snapshot-charges.ts'

export const archiveKind = 'archive-snapshot'
export const restoreKind = 'restore-snapshot'

export interface RestoreInput {
  /** Null for good. */
  days: number | null
}

/** One at a time: packing hard takes a processor for long. */
const lane = 'tiering'
const dayMs = 24 * 3600_000

export const restoreUnderWay = (days: number | null): TieringStatus =>
  days === null ? 'permanent-restore-in-progress' : 'temporary-restore-in-progress'

/** What a restore that is done, or changed while it lasts, says of the snapshot's tier. */
export const restored = (days: number | null, nowMs: number) =>
  days === null
    ? ({
        tier: 'standard',
        operationStatus: 'permanent-restore-completed',
        archivedAt: null,
        restoreExpiresAt: null,
      } as const)
    : ({ operationStatus: 'temporary-restore-completed', restoreExpiresAt: nowMs + days * dayMs } as const)

export function archiveOperation(
  deps: CloudDeps,
): OperationKind<Record<string, never>, { nextLeaf: number; bytesSaved: number }> {
  const { state, blocks, clock } = deps
  const underWay = 'archival-in-progress'
  return {
    kind: archiveKind,
    lane,
    steps: [
      {
        name: 'pack',
        async run(context) {
          const { subjectId, region, data, signal } = context
          const root = await rootOf(deps, subjectId)
          const others = await state.snapshots.rootsInUse(region, subjectId, clock.now())
          const request = { region, root, others, fromLeaf: data.nextLeaf ?? 0 }
          const packed = await blocks.repack(request, { signal, onPercent: tierProgress(deps, context, underWay) })
          data.bytesSaved = (data.bytesSaved ?? 0) + packed.bytesSaved
          if (packed.nextLeaf === null) return
          data.nextLeaf = packed.nextLeaf
          return { againInMs: 0 }
        },
      },
      {
        name: 'archive',
        async run({ subjectId, data, log }) {
          await releaseIncrements(deps, subjectId, async (tx) => {
            // The snapshot could be used until now.
            const [image] = await tx.images.usingSnapshot(subjectId)
            if (image) throw new OperationFailure(`the snapshot is in use by ${image}`)
            const archivedAt = clock.now()
            const patch = { tier: 'archive', progress: 100, archivedAt, restoreExpiresAt: null } as const
            const operationStatus = 'archival-completed'
            if (!(await tx.snapshotTiers.move(subjectId, [underWay], { ...patch, operationStatus }))) return false
            await tx.snapshots.revoke(subjectId)
            await becomeWhole(tx, subjectId)
            return true
          })
          log.info({ bytesSaved: data.bytesSaved }, 'archived')
        },
      },
    ],
    async fail({ subjectId }, { step, message }) {
      const patch = { operationStatus: 'archival-failed', operationDetail: `${step}: ${message}` } as const
      await state.snapshotTiers.move(subjectId, [underWay], patch)
    },
  }
}

export function restoreOperation(deps: CloudDeps): OperationKind<RestoreInput, unknown> {
  const { state, blocks, clock } = deps
  return {
    kind: restoreKind,
    lane,
    steps: [
      {
        name: 'verify',
        async run(context) {
          const { subjectId, region, input, signal } = context
          const root = await rootOf(deps, subjectId)
          const onPercent = tierProgress(deps, context, restoreUnderWay(input.days))
          await blocks.verify({ region, root }, { signal, onPercent })
        },
      },
      {
        name: 'restore',
        async run({ subjectId, input: { days } }) {
          await state.transaction(async (tx) => {
            const patch = { ...restored(days, clock.now()), progress: 100 }
            if (!(await tx.snapshotTiers.move(subjectId, [restoreUnderWay(days)], patch))) return
            const { id: resourceId, accountId, region, dataBytes } = (await tx.snapshots.get(subjectId))!
            const resource = { resourceId, accountId, region, kind: 'snapshot', imageId: null } as const
            await tx.usage.once(resource, retrievedFromArchive, BigInt(dataBytes ?? 0))
          })
        },
      },
    ],
    async fail({ subjectId, input: { days } }, { step, message }) {
      const operationStatus = days === null ? 'permanent-restore-failed' : 'temporary-restore-failed'
      const patch = { operationStatus, operationDetail: `${step}: ${message}` } as const
      await state.snapshotTiers.move(subjectId, [restoreUnderWay(days)], patch)
    },
  }
}

async function rootOf({ state }: CloudDeps, snapshotId: string): Promise<string> {
  const snapshot = await state.snapshots.get(snapshotId)
  if (snapshot?.rootHash) return snapshot.rootHash
  throw new OperationFailure(`snapshot ${snapshotId} is ${snapshot?.state ?? 'gone'}`)
}

/** Shows the progress of the operation as the tier's own; 100 is said only when it is done. */
function tierProgress(
  { state }: CloudDeps,
  { subjectId, progress }: Pick<StepContext<unknown, unknown>, 'subjectId' | 'progress'>,
  underWay: TieringStatus,
) {
  return async (percent: number) => {
    await progress(percent)
    await state.snapshotTiers.move(subjectId, [underWay], { progress: Math.min(99, Math.round(percent)) })
  }
}
