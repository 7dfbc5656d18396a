/** The work behind CompleteSnapshot: a root of the parent's blocks and of those that were written. */
import { OperationFailure, type OperationKind } from '../../operations/operation.ts'
import type { CloudDeps } from '../deps.ts'
import type { BlockAt } from '../ports.ts'
import { gib } from '../volumes/volume-disks.ts'
import { type BroughtBlocks, completeStep, failSnapshot } from './snapshot-completion.ts'

export const assembleKind = 'assemble-snapshot'

const blocksPerQuery = 5000

export function assembleOperation(deps: CloudDeps): OperationKind<Record<string, never>, BroughtBlocks> {
  const { state, blocks } = deps
  return {
    kind: assembleKind,
    lane: 'blocks',
    steps: [
      {
        name: 'assemble',
        async run({ subjectId, region, data, signal, progress }) {
          const [snapshot, upload] = [await state.snapshots.get(subjectId), await state.snapshotUploads.get(subjectId)]
          if (!snapshot || !upload) throw new OperationFailure(`the upload of ${subjectId} is gone`)
          const parent = upload.parentSnapshotId ? await rootOf(upload.parentSnapshotId) : null
          const assembled = await blocks.contents.assemble(
            {
              ...{ region, parent, sizeBytes: snapshot.sizeGib * gib },
              changes: writtenBlocks(deps, subjectId),
              changeCount: upload.changedBlocks ?? 0,
            },
            { signal, onPercent: progress },
          )
          data.root = assembled.root
          data.dataBytes = assembled.info.dataBytes
          data.storedBytes = upload.storedBytes + assembled.bytesStored
        },
      },
      completeStep(deps),
      { name: 'forget', run: ({ subjectId }) => forget(subjectId) },
    ],
    async fail({ subjectId }, failure) {
      await failSnapshot(deps, subjectId, failure)
      await forget(subjectId)
    },
  }

  /** Also of a parent that was deleted in the meantime: its row keeps the root. */
  async function rootOf(parentId: string): Promise<string> {
    const root = (await state.snapshots.get(parentId))?.rootHash
    if (root) return root
    throw new OperationFailure(`the parent snapshot ${parentId} is gone`)
  }

  async function forget(snapshotId: string): Promise<void> {
    await state.transaction((tx) => tx.snapshotUploads.close(snapshotId, 'sealed'))
  }
}

/** What was written to an upload, in ascending order, without having all of it in memory. */
export async function* writtenBlocks(
  { state }: Pick<CloudDeps, 'state'>,
  snapshotId: string,
): AsyncGenerator<BlockAt & { sealed: string | null }> {
  for (let last = -1; ; ) {
    const rows = await state.snapshotUploads.blocksAfter(snapshotId, last, blocksPerQuery)
    for (const { blockIndex: index, hash, sealedChecksum: sealed } of rows) yield { index, hash, sealed }
    if (rows.length < blocksPerQuery) return
    last = rows.at(-1)!.blockIndex
  }
}
