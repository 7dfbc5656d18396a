/** The work behind CopySnapshot: bring what the target region's store lacks, and only that; under another key, everything. */
import { OperationFailure, type OperationKind } from '../../operations/operation.ts'
import type { CloudDeps } from '../deps.ts'
import { blockKeyOf } from '../encryption/data-keys.ts'
import { copiedBetweenRegions } from '../metering/charge-rules.ts'
import { type BroughtBlocks, completeStep, failSnapshot, snapshotProgress } from './snapshot-completion.ts'

export interface CopyInput {
  sourceSnapshotId: string
  sourceRegion: string
  /** The copy has another data key: its blocks are sealed anew. */
  reseals?: boolean
}

export const copySnapshotKind = 'copy-snapshot'

export function copySnapshotOperation(deps: CloudDeps): OperationKind<CopyInput, BroughtBlocks> {
  const { state, blocks } = deps
  return {
    kind: copySnapshotKind,
    lane: 'blocks',
    steps: [
      {
        name: 'move-blocks',
        async run(context) {
          const { subjectId, accountId, input, data, region, signal } = context
          const source = await state.snapshots.get(input.sourceSnapshotId)
          // A copy may be asked for while its source is still being made: EC2 lets it wait.
          if (source?.state === 'pending') return { againInMs: 200 }
          if (!source?.rootHash) {
            throw new OperationFailure(`source snapshot ${input.sourceSnapshotId} is ${source?.state ?? 'gone'}`)
          }
          const onPercent = snapshotProgress(deps, context)
          const { sourceRegion: fromRegion } = input
          // Also where no block is opened: a copy of what the account cannot use is refused, as on EC2.
          const fromKey = await blockKeyOf(deps, accountId, source.dataKeyId)
          const toKey = await blockKeyOf(deps, accountId, (await state.snapshots.get(subjectId))!.dataKeyId)
          const way = { root: source.rootHash, fromRegion, toRegion: region }
          const { root, stats } = input.reseals
            ? await blocks.reseal({ ...way, fromKey, toKey }, { signal, onPercent })
            : { root: source.rootHash, stats: await blocks.copy(way, { signal, onPercent }) }
          data.root = root
          data.dataBytes = source.dataBytes ?? 0
          // A repeated copy finds what an interrupted one has brought: its bytes are counted once.
          data.storedBytes = (data.storedBytes ?? 0) + stats.bytesMoved
        },
      },
      completeStep(deps, async (tx, { subjectId, accountId, region, input, data }) => {
        if (input.sourceRegion === region) return
        const resource = {
          resourceId: subjectId,
          accountId,
          region: input.sourceRegion,
          kind: 'snapshot',
          imageId: null,
        } as const
        await tx.usage.once(resource, copiedBetweenRegions, BigInt(data.storedBytes!))
      }),
    ],
    fail: ({ subjectId }, failure) => failSnapshot(deps, subjectId, failure),
  }
}
