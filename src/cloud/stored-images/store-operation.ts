/** The work behind CreateStoreImageTask: the image's facts and the blocks of its snapshots flow into one object. */
import { isKilnError } from '../../lib/errors.ts'
import { OperationFailure, type OperationKind, type StepContext } from '../../operations/operation.ts'
import type { Snapshot } from '../../state/snapshots.ts'
import type { StoredImageTask } from '../../state/stored-image-tasks.ts'
import type { Tag } from '../../state/tags.ts'
import type { ObjectPlace } from '../buckets/object-facts.ts'
import type { Objects } from '../buckets/objects.ts'
import type { CloudDeps } from '../deps.ts'
import { blockKeyOf } from '../encryption/data-keys.ts'
import type { PackedSnapshot } from '../ports.ts'
import { gib } from '../volumes/volume-disks.ts'
import { encodeHeader, type StoredImageFacts, withDigest } from './header.ts'

export const storeImageKind = 'store-image'

export interface StoreImageInput {
  /** What the image was when it was asked for: it is stored as that, whatever becomes of it meanwhile. */
  facts: StoredImageFacts
  /** Whose blocks go with it, in the order of the facts. Kept readable until the operation has ended. */
  sourceSnapshotIds: string[]
  sourceRegion: string
  metadata: Record<string, string>
  objectTags: readonly Tag[]
}

export function storeImageOperation(deps: CloudDeps, objects: Objects): OperationKind<StoreImageInput, object> {
  const { state, blocks, clock } = deps

  async function packed(accountId: string, ids: readonly string[]): Promise<PackedSnapshot[]> {
    const rows = new Map((await state.snapshots.many(ids)).map((row) => [row.id, row]))
    return await Promise.all(ids.map((id) => packedSnapshot(deps, accountId, rows.get(id), id)))
  }

  async function store(context: StepContext<StoreImageInput, object>): Promise<void> {
    const { subjectId, input, accountId, region, signal } = context
    const task = (await state.storedImageTasks.get(subjectId))!
    const snapshots = await packed(accountId, input.sourceSnapshotIds)
    const onPercent = async (percent: number) => {
      await context.progress(percent)
      await state.storedImageTasks.update(subjectId, { progress: Math.min(99, Math.round(percent)) })
    }
    const facts = await withCounts(deps, region, input.facts, snapshots)
    const content = withDigest(streamOf(facts, blocks.pack({ region, snapshots }, { signal, onPercent })))
    const about = { metadata: { ...input.metadata, 'ami-store-date': isoTime(clock.now()) }, tags: input.objectTags }
    await objects.put(accountId, placeOf(task), { content, ...about })
  }

  return {
    kind: storeImageKind,
    lane: 'transfers',
    steps: [
      {
        name: 'store',
        run: (context) => store(context).catch((error) => Promise.reject(publicFailure(error))),
      },
      {
        name: 'complete',
        run: ({ subjectId }) => state.storedImageTasks.update(subjectId, { state: 'Completed', progress: 100 }),
      },
    ],
    fail: ({ subjectId }, { message }) =>
      state.storedImageTasks.update(subjectId, { state: 'Failed', failureReason: message }),
  }
}

async function packedSnapshot(
  deps: CloudDeps,
  accountId: string,
  snapshot: Snapshot | undefined,
  id: string,
): Promise<PackedSnapshot> {
  if (!snapshot?.rootHash) throw new OperationFailure(`the snapshot ${id} is ${snapshot?.state ?? 'gone'}`)
  return { root: snapshot.rootHash, sealKey: await blockKeyOf(deps, accountId, snapshot.dataKeyId) }
}

async function withCounts(
  { blocks }: CloudDeps,
  region: string,
  facts: StoredImageFacts,
  packed: readonly PackedSnapshot[],
): Promise<StoredImageFacts> {
  const snapshots: StoredImageFacts['snapshots'][number][] = []
  for (const [index, { root }] of packed.entries()) {
    const { sizeBytes, blockCount } = await blocks.info(region, root)
    snapshots.push({ ...facts.snapshots[index]!, sizeBytes, blockCount })
  }
  return { ...facts, snapshots }
}

async function* streamOf(facts: StoredImageFacts, blocks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield encodeHeader(facts)
  yield* blocks
}

/** What cannot be done is told to whoever asked; what may pass is tried again. */
export function publicFailure(error: unknown): unknown {
  if (isKilnError(error)) return new OperationFailure(`${error.code}: ${error.message}`, { cause: error })
  return error
}

export const placeOf = ({ bucket, objectKey }: Pick<StoredImageTask, 'bucket' | 'objectKey'>): ObjectPlace => ({
  bucket,
  key: objectKey,
})

export const isoTime = (ms: number) => new Date(ms).toISOString()

export const sizeOf = ({ snapshots }: Pick<StoredImageFacts, 'snapshots'>): number =>
  snapshots.reduce((sum, { sizeBytes }) => sum + sizeBytes / gib, 0)
