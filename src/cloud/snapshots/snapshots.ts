import { within } from '../../lib/clock.ts'
import { KilnError } from '../../lib/errors.ts'
import { newId } from '../../lib/ids.ts'
import { regionNames } from '../../lib/regions.ts'
import type { Page } from '../../state/listing.ts'
import type { SnapshotState } from '../../state/schema.ts'
import type { Snapshot, SnapshotListRequest } from '../../state/snapshots.ts'
import type { Repositories } from '../../state/state.ts'
import type { Tag } from '../../state/tags.ts'
import type { Volume } from '../../state/volumes.ts'
import { idsWithout, listAsked } from '../asked-ids.ts'
import { answeredBefore, createOnce } from '../client-tokens.ts'
import type { ClientToken, CloudDeps, Scope } from '../deps.ts'
import type { Volumes } from '../volumes/volumes.ts'
import { captureOperation, enqueueCapture } from './capture-operation.ts'
import { type CopyInput, copySnapshotKind, copySnapshotOperation } from './copy-operation.ts'

/** What EC2 shows as the volume of a snapshot that was not taken of one: a copy, or one that was written block by block. */
export const volumeOfCopies = 'vol-ffffffff'

/** A request waits so long for the instant of its snapshot: a machine that shuts down may take a minute. */
const freezeWithinMs = 5000

export class Snapshots {
  readonly #deps: CloudDeps
  readonly #volumes: Volumes

  constructor(deps: CloudDeps, volumes: Volumes) {
    this.#deps = deps
    this.#volumes = volumes
    deps.operations.register(captureOperation(deps, volumes.disks))
    deps.operations.register(copySnapshotOperation(deps))
  }

  /** Snapshots the volume as it is at this moment: its top is frozen before this resolves. */
  async create(
    scope: Scope,
    request: { volumeId: string; description: string; tags: readonly Tag[] },
  ): Promise<Snapshot> {
    const { state, operations, clock, log } = this.#deps
    const { volumeId, description, tags } = request
    const snapshot = await state.transaction(async (tx) => {
      const volume = await this.#volumes.get(scope, volumeId, tx)
      if (volume.state !== 'available' && volume.state !== 'in-use') {
        throw new KilnError(
          'IncorrectState',
          `Volume ${volumeId} is in state '${volume.state}' and cannot be snapshotted`,
        )
      }
      const row = await this.insertPending(tx, scope, { volume, description, tags })
      await enqueueCapture(this.#deps, tx, row, { volumeId })
      return row
    })
    // The instant of the snapshot is now. Should this fail, or its machine be busy for long, the operation does it.
    const freezing = this.#volumes.disks.freezeOne({ volumeId, snapshotId: snapshot.id })
    await within(clock, freezing, { what: `freezing ${volumeId}`, timeoutMs: freezeWithinMs }).catch((error) =>
      log.warn({ err: error, snapshot: snapshot.id }, 'freezing is left to the operation'),
    )
    operations.wake()
    return snapshot
  }

  /** Writes a pending snapshot of a volume, in the caller's transaction. Its blocks are read when somebody asks for it. */
  async insertPending(
    tx: Repositories,
    scope: Scope,
    request: { volume: Volume; description: string; tags: readonly Tag[] },
  ): Promise<Snapshot> {
    const { volume, description, tags } = request
    const snapshot = this.#newRow(scope, { volumeId: volume.id, sizeGib: volume.sizeGib, description })
    await tx.snapshots.insert(snapshot)
    await tx.tags.put({ id: snapshot.id, type: 'snapshot', ...scope }, tags)
    return snapshot
  }

  /** Copies a snapshot of `sourceRegion` into the scope's region. */
  async copy(
    scope: Scope,
    request: {
      sourceRegion: string
      sourceSnapshotId: string
      description: string
      tags: readonly Tag[]
      clientToken?: ClientToken
    },
  ): Promise<Snapshot> {
    const { state, operations } = this.#deps
    const before = await answeredBefore(state, scope, 'CopySnapshot', request.clientToken)
    if (before) return (await state.snapshots.get(before[0]!))!
    if (!Object.hasOwn(regionNames, request.sourceRegion)) {
      throw new KilnError('InvalidRegion', `Invalid value '${request.sourceRegion}' for SourceRegion.`)
    }
    const source = await this.get({ ...scope, region: request.sourceRegion }, request.sourceSnapshotId)
    const [id] = await createOnce(this.#deps, scope, 'CopySnapshot', request.clientToken, async (tx) => {
      const { description, tags } = request
      return [(await this.insertCopy(tx, scope, { source, description, tags })).id]
    })
    operations.wake()
    return (await state.snapshots.get(id!))!
  }

  /** Writes a pending copy and its operation, in the caller's transaction. */
  async insertCopy(
    tx: Repositories,
    scope: Scope,
    request: { source: Snapshot; description: string; tags: readonly Tag[] },
  ): Promise<Snapshot> {
    const { source, description, tags } = request
    const snapshot = this.#newRow(scope, { volumeId: volumeOfCopies, sizeGib: source.sizeGib, description })
    await tx.snapshots.insert(snapshot)
    await tx.tags.put({ id: snapshot.id, type: 'snapshot', ...scope }, tags)
    const input: CopyInput = { sourceSnapshotId: source.id, sourceRegion: source.region }
    await this.#deps.operations.enqueue(tx, { kind: copySnapshotKind, subjectId: snapshot.id, ...scope, input })
    return snapshot
  }

  /** Writes a pending snapshot whose blocks somebody will send, in the caller's transaction. */
  async insertUpload(
    tx: Repositories,
    scope: Scope,
    request: { sizeGib: number; description: string; tags: readonly Tag[] },
  ): Promise<Snapshot> {
    const { sizeGib, description, tags } = request
    const snapshot = this.#newRow(scope, { volumeId: volumeOfCopies, sizeGib, description })
    await tx.snapshots.insert(snapshot)
    await tx.tags.put({ id: snapshot.id, type: 'snapshot', ...scope }, tags)
    return snapshot
  }

  #newRow(scope: Scope, about: { volumeId: string; sizeGib: number; description: string }): Snapshot {
    return {
      ...scope,
      ...about,
      id: newId('snapshot', this.#deps.random),
      ownerAlias: null,
      state: 'pending',
      stateMessage: null,
      progress: 0,
      encrypted: 0,
      rootHash: null,
      dataBytes: null,
      storedBytes: null,
      startedAt: this.#deps.clock.now(),
      completedAt: null,
    }
  }

  /** A snapshot that the account may read: its own, or one of the public images'. Throws InvalidSnapshot.NotFound. */
  async get(scope: Scope, id: string): Promise<Snapshot> {
    const row = await this.#deps.state.snapshots.get(id)
    if (row && isReadable(row, scope)) return row
    throw notFound(id)
  }

  /** Throws InvalidSnapshot.NotFound unless all snapshots of the mapping are still there, in the caller's transaction. */
  async checkReadable(
    tx: Repositories,
    scope: Scope,
    devices: readonly { snapshotId: string | null }[],
  ): Promise<void> {
    const ids = devices.flatMap((device) => device.snapshotId ?? [])
    const rows = (await tx.snapshots.many(ids)).filter((row) => isReadable(row, scope))
    const [missing] = idsWithout(ids, rows)
    if (missing) throw notFound(missing)
  }

  async list(scope: Scope, request: Omit<SnapshotListRequest, 'accountId'>): Promise<Page<Snapshot>> {
    const { accountId, region } = scope
    return listAsked(
      (what: typeof request) => this.#deps.state.snapshots.list(region, { ...what, accountId }),
      request,
      ([id]) => notFound(id!),
    )
  }

  /** Throws InvalidSnapshot.InUse while an image names it. Its blocks go when the collector finds that nothing needs them. */
  async delete(scope: Scope, id: string): Promise<void> {
    const snapshot = await this.get(scope, id)
    if (snapshot.accountId !== scope.accountId) {
      throw new KilnError('OperationNotPermitted', `The snapshot '${id}' belongs to another account`)
    }
    await this.#deps.state.transaction(async (tx) => {
      const [image] = await tx.images.usingSnapshot(id)
      if (image) throw new KilnError('InvalidSnapshot.InUse', `The snapshot ${id} is currently in use by ${image}`)
      // Deleting one that is still being written is how its writer gives it up.
      const isGivenUp = await tx.snapshotUploads.close(id, 'open')
      const from: SnapshotState[] = isGivenUp ? ['pending'] : ['completed', 'error']
      if (!(await tx.snapshots.move(id, from, { state: 'deleted' }))) {
        throw new KilnError('IncorrectState', `The snapshot '${id}' is pending; wait until it is completed`)
      }
      await tx.tags.removeAll(id)
    })
  }
}

const isReadable = (row: Snapshot, { accountId, region }: Scope) =>
  (row.accountId === accountId || row.ownerAlias !== null) && row.region === region && row.state !== 'deleted'

const notFound = (id: string) => new KilnError('InvalidSnapshot.NotFound', `The snapshot '${id}' does not exist.`)

export type { Snapshot }
