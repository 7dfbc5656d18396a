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
import type { CopyPlan, Encryption, EncryptionWish } from '../encryption/encryption.ts'
import { mergeTags } from '../tags.ts'
import type { FreezeRequest } from '../volumes/volume-disks.ts'
import type { Volumes } from '../volumes/volumes.ts'
import { checkNotArchived } from './archived.ts'
import { captureOperation, enqueueCapture } from './capture-operation.ts'
import { type CopyInput, copySnapshotKind, copySnapshotOperation } from './copy-operation.ts'
import { type InstanceVolumesRequest, volumesOfInstance } from './instance-volumes.ts'
import { releaseIncrements } from './snapshot-charges.ts'
import { checkNotLocked } from './snapshot-locks.ts'
import { checkNotTiering } from './snapshot-tiers.ts'

/** What EC2 shows as the volume of a snapshot that was not taken of one: a copy, or one that was written block by block. */
export const volumeOfCopies = 'vol-ffffffff'

/** A request waits so long for the instant of its snapshot: a machine that shuts down may take a minute. */
const freezeWithinMs = 5000

export class Snapshots {
  readonly #deps: CloudDeps
  readonly #volumes: Volumes
  readonly #encryption: Encryption

  constructor(deps: CloudDeps, volumes: Volumes, encryption: Encryption) {
    this.#deps = deps
    this.#volumes = volumes
    this.#encryption = encryption
    deps.operations.register(captureOperation(deps, volumes.disks))
    deps.operations.register(copySnapshotOperation(deps))
  }

  /** Snapshots the volume as it is at this moment: its top is frozen before this resolves. */
  async create(
    scope: Scope,
    request: { volumeId: string; description: string; tags: readonly Tag[] },
  ): Promise<Snapshot> {
    const { state } = this.#deps
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
    await this.#freezeNow([volumeId], this.#volumes.disks.freezeOne({ volumeId, snapshotId: snapshot.id }))
    return snapshot
  }

  /** Snapshots volumes of an instance, all as they are at one moment. In the order of the instance's devices. */
  async createTogether(
    scope: Scope,
    request: InstanceVolumesRequest & { description: string; tags: readonly Tag[]; copyVolumeTags: boolean },
  ): Promise<{ snapshot: Snapshot; tags: readonly Tag[] }[]> {
    const { instanceId, description, copyVolumeTags } = request
    const startedAt = this.#deps.clock.now()
    const created = await this.#deps.state.transaction(async (tx) => {
      const volumes = await volumesOfInstance(tx, scope, request)
      const ofVolumes = await tx.tags.of(scope.accountId, copyVolumeTags ? volumes.map(({ id }) => id) : [])
      const rows: { snapshot: Snapshot; tags: readonly Tag[] }[] = []
      for (const volume of volumes) {
        const tags = mergeTags(ofVolumes.get(volume.id) ?? [], request.tags)
        rows.push({ tags, snapshot: await this.insertPending(tx, scope, { volume, description, tags, startedAt }) })
      }
      const together = { instanceId, requests: freezeRequests(rows) }
      for (const { snapshot } of rows) {
        await enqueueCapture(this.#deps, tx, snapshot, { volumeId: snapshot.volumeId, together })
      }
      return rows
    })
    const volumes = created.map(({ snapshot }) => snapshot.volumeId)
    await this.#freezeNow(volumes, this.#volumes.disks.freeze(instanceId, freezeRequests(created)))
    return created
  }

  /** The instant of a snapshot is its request. Should this fail, or the machine be busy for long, the operation does it. */
  async #freezeNow(volumes: readonly string[], freezing: Promise<void>): Promise<void> {
    const { operations, clock, log } = this.#deps
    await within(clock, freezing, { what: `freezing ${volumes}`, timeoutMs: freezeWithinMs }).catch((error) =>
      log.warn({ err: error, volumes }, 'freezing is left to the operation'),
    )
    operations.wake()
  }

  /** Writes a pending snapshot of a volume, in the caller's transaction. Its blocks are read when somebody asks for it. */
  async insertPending(
    tx: Repositories,
    scope: Scope,
    request: { volume: Volume; description: string; tags: readonly Tag[]; startedAt?: number },
  ): Promise<Snapshot> {
    const { volume, description, tags, startedAt = this.#deps.clock.now() } = request
    const { id: volumeId, sizeGib, dataKeyId } = volume
    const about = { volumeId, sizeGib, dataKeyId, description }
    const snapshot = { ...this.#newRow(scope, about), startedAt }
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
      encryption: EncryptionWish
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
    const plan = await this.#encryption.planCopy(scope, request.encryption, source)
    const [id] = await createOnce(this.#deps, scope, 'CopySnapshot', request.clientToken, async (tx) => {
      const { description, tags } = request
      return [(await this.insertCopy(tx, scope, { source, plan, description, tags })).id]
    })
    operations.wake()
    return (await state.snapshots.get(id!))!
  }

  /** Writes a pending copy and its operation, in the caller's transaction. */
  async insertCopy(
    tx: Repositories,
    scope: Scope,
    request: { source: Snapshot; plan: CopyPlan; description: string; tags: readonly Tag[] },
  ): Promise<Snapshot> {
    const { source, plan, description, tags } = request
    await checkNotArchived(tx, this.#deps.clock, [source.id])
    const { dataKeyId, reseals } = await this.#encryption.copyDataKey(tx, scope, plan, source)
    const about = { volumeId: volumeOfCopies, sizeGib: source.sizeGib, dataKeyId, description }
    const snapshot = { ...this.#newRow(scope, about), copiedFromId: source.id }
    await tx.snapshots.insert(snapshot)
    await tx.tags.put({ id: snapshot.id, type: 'snapshot', ...scope }, tags)
    const input: CopyInput = { sourceSnapshotId: source.id, sourceRegion: source.region, reseals }
    await this.#deps.operations.enqueue(tx, { kind: copySnapshotKind, subjectId: snapshot.id, ...scope, input })
    return snapshot
  }

  /** Writes a pending snapshot whose blocks somebody will send, in the caller's transaction. */
  async insertUpload(
    tx: Repositories,
    scope: Scope,
    request: { sizeGib: number; dataKeyId: string | null; description: string; tags: readonly Tag[] },
  ): Promise<Snapshot> {
    const { sizeGib, dataKeyId, description, tags } = request
    const snapshot = this.#newRow(scope, { volumeId: volumeOfCopies, sizeGib, dataKeyId, description })
    await tx.snapshots.insert(snapshot)
    await tx.tags.put({ id: snapshot.id, type: 'snapshot', ...scope }, tags)
    return snapshot
  }

  #newRow(
    scope: Scope,
    about: { volumeId: string; sizeGib: number; dataKeyId: string | null; description: string },
  ): Snapshot {
    return {
      ...scope,
      ...about,
      id: newId('snapshot', this.#deps.random),
      ownerAlias: null,
      state: 'pending',
      stateMessage: null,
      progress: 0,
      encrypted: about.dataKeyId === null ? 0 : 1,
      rootHash: null,
      dataBytes: null,
      storedBytes: null,
      chargeParentId: null,
      chargedBytes: null,
      copiedFromId: null,
      startedAt: this.#deps.clock.now(),
      completedAt: null,
    }
  }

  /**
   * A snapshot that the account may make volumes, images and copies of: its own, one that is shared with it, or a public
   * image's. Throws InvalidSnapshot.NotFound, or IncorrectState while it is archived.
   */
  async get(scope: Scope, id: string): Promise<Snapshot> {
    const { state, clock } = this.#deps
    const row = await this.#readable(scope, id)
    await checkNotArchived(state, clock, [id])
    return row
  }

  /** A snapshot of the account's own, archived or not. Throws OperationNotPermitted for one that is only shared with it. */
  async owned(scope: Scope, id: string): Promise<Snapshot> {
    const row = await this.#readable(scope, id)
    if (row.accountId === scope.accountId) return row
    throw new KilnError('OperationNotPermitted', `The snapshot '${id}' belongs to another account`)
  }

  async #readable({ region, accountId }: Scope, id: string): Promise<Snapshot> {
    const [row] = await this.#deps.state.snapshots.readable(region, accountId, [id])
    if (row) return row
    throw notFound(id)
  }

  /** A snapshot that an image names: who may launch the image needs no permission for it. */
  async ofImage(id: string): Promise<Snapshot> {
    const row = await this.#deps.state.snapshots.get(id)
    if (row && row.state !== 'deleted') return row
    throw notFound(id)
  }

  /** Throws as {@link get} does unless all snapshots of the mapping can still be used, in the caller's transaction. */
  async checkUsable(
    tx: Repositories,
    { region, accountId }: Scope,
    devices: readonly { snapshotId: string | null }[],
  ): Promise<void> {
    const ids = devices.flatMap((device) => device.snapshotId ?? [])
    const [missing] = idsWithout(ids, await tx.snapshots.readable(region, accountId, ids))
    if (missing) throw notFound(missing)
    await checkNotArchived(tx, this.#deps.clock, ids)
  }

  async list(scope: Scope, request: Omit<SnapshotListRequest, 'accountId' | 'nowMs'>): Promise<Page<Snapshot>> {
    const { accountId, region } = scope
    const nowMs = this.#deps.clock.now()
    return listAsked(
      (what: typeof request) => this.#deps.state.snapshots.list(region, { ...what, accountId, nowMs }),
      request,
      ([id]) => notFound(id!),
    )
  }

  /**
   * Throws InvalidSnapshot.InUse while an image names it, OperationNotPermitted while it is locked. Its blocks go when the
   * collector finds that nothing needs them.
   */
  async delete(scope: Scope, id: string): Promise<void> {
    const { clock } = this.#deps
    await this.owned(scope, id)
    await releaseIncrements(this.#deps, id, async (tx) => {
      const [image] = await tx.images.usingSnapshot(id)
      if (image) throw new KilnError('InvalidSnapshot.InUse', `The snapshot ${id} is currently in use by ${image}`)
      await checkNotLocked(tx, id, clock.now())
      await checkNotTiering(tx, id)
      // Deleting one that is still being written is how its writer gives it up.
      const isGivenUp = await tx.snapshotUploads.close(id, 'open')
      const from: SnapshotState[] = isGivenUp ? ['pending'] : ['completed', 'error']
      if (!(await tx.snapshots.move(id, from, { state: 'deleted' }))) {
        throw new KilnError('IncorrectState', `The snapshot '${id}' is pending; wait until it is completed`)
      }
      await tx.tags.removeAll(id)
      return true
    })
  }
}

const notFound = (id: string) => new KilnError('InvalidSnapshot.NotFound', `The snapshot '${id}' does not exist.`)

export type { Snapshot }

const freezeRequests = (rows: readonly { snapshot: Snapshot }[]): FreezeRequest[] =>
  rows.map(({ snapshot: { id, volumeId } }) => ({ volumeId, snapshotId: id }))
