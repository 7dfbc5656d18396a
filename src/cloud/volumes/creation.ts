/** CreateVolume: an empty volume, or one that reads a snapshot from its first moment on. */
import { KilnError } from '../../lib/errors.ts'
import { zonesOf } from '../../lib/regions.ts'
import { OperationFailure, type OperationKind } from '../../operations/operation.ts'
import type { Tag } from '../../state/tags.ts'
import type { Volume } from '../../state/volumes.ts'
import { answeredBefore, createOnce } from '../client-tokens.ts'
import type { ClientToken, CloudDeps, Scope } from '../deps.ts'
import type { Encryption, EncryptionWish } from '../encryption/encryption.ts'
import type { Snapshot, Snapshots } from '../snapshots/snapshots.ts'
import { checkInitializationRate, enqueueInitialization } from './initialization.ts'
import { checkMultiAttach, volumeParameters, volumeShape } from './volume-types.ts'
import type { Volumes } from './volumes.ts'

export interface CreateVolumeRequest {
  zone: string
  sizeGib: number | null
  snapshotId: string | null
  volumeType: string | null
  iops: number | null
  throughput: number | null
  initializationRate: number | null
  encryption: EncryptionWish
  multiAttach: boolean
  tags: readonly Tag[]
  clientToken?: ClientToken
}

const createVolumeKind = 'create-volume'

export class VolumeCreations {
  readonly #deps: CloudDeps
  readonly #volumes: Volumes
  readonly #snapshots: Snapshots
  readonly #encryption: Encryption

  constructor(deps: CloudDeps, rooms: { volumes: Volumes; snapshots: Snapshots; encryption: Encryption }) {
    this.#deps = deps
    this.#volumes = rooms.volumes
    this.#snapshots = rooms.snapshots
    this.#encryption = rooms.encryption
    deps.operations.register(createVolumeOperation(deps, rooms.volumes))
  }

  /** The new volume, still `creating`: its files follow. */
  async create(scope: Scope, request: CreateVolumeRequest): Promise<Volume> {
    const { state, operations } = this.#deps
    const before = await answeredBefore(state, scope, 'CreateVolume', request.clientToken)
    if (before) return await this.#volumes.get(scope, before[0]!)
    const { zone, snapshotId, initializationRate, tags } = request
    checkInitializationRate(initializationRate, 'VolumeInitializationRate', snapshotId !== null)
    if (!zonesOf(scope.region).includes(zone)) {
      throw new KilnError('InvalidZone.NotFound', `The zone '${zone}' does not exist (AvailabilityZone).`)
    }
    const snapshot = snapshotId === null ? undefined : await this.#source(scope, snapshotId)
    const shape = volumeShape({ ...request, sizeGib: sizeOf(request, snapshot) }, volumeParameters)
    if (request.multiAttach) checkMultiAttach(shape.volumeType)
    const keyId = await this.#encryption.keyForVolume(scope, request.encryption, snapshot)
    const [id] = await createOnce(this.#deps, scope, 'CreateVolume', request.clientToken, async (tx) => {
      const present = snapshotId === null ? undefined : await tx.snapshots.get(snapshotId)
      if (snapshotId !== null && present?.state !== 'completed') throw notThere(snapshotId)
      const sealing = await this.#encryption.volumeColumns(tx, keyId, present)
      const origin = { snapshotId, baseRoot: present?.rootHash ?? null, initializationRate }
      const multiAttach = request.multiAttach ? 1 : 0
      const about = { ...shape, ...sealing, ...origin, zone, multiAttach } as const
      const volumeId = await this.#volumes.insertNew(tx, scope, about, 'creating')
      await tx.tags.put({ id: volumeId, type: 'volume', ...scope }, tags)
      await operations.enqueue(tx, { kind: createVolumeKind, subjectId: volumeId, ...scope, input: {} })
      await enqueueInitialization(this.#deps, tx, scope, { id: volumeId, initializationRate })
      return [volumeId]
    })
    operations.wake()
    return await this.#volumes.get(scope, id!)
  }

  async #source(scope: Scope, id: string): Promise<Snapshot> {
    const snapshot = await this.#snapshots.get(scope, id)
    if (snapshot.state === 'completed') return snapshot
    throw new KilnError('IncorrectState', `Snapshot is in invalid state - ${snapshot.state} (SnapshotId ${id})`)
  }
}

function sizeOf({ sizeGib }: CreateVolumeRequest, snapshot: Snapshot | undefined): number {
  const size = sizeGib ?? snapshot?.sizeGib
  if (size === undefined) {
    throw new KilnError('MissingParameter', 'The request must contain the parameter size/snapshot (Size or SnapshotId)')
  }
  if (snapshot && size < snapshot.sizeGib) {
    throw new KilnError(
      'InvalidParameterValue',
      `Volume of size ${size}GB is smaller than snapshot '${snapshot.id}', expect size >= ${snapshot.sizeGib}GB (Size)`,
    )
  }
  return size
}

const notThere = (id: string) => new KilnError('InvalidSnapshot.NotFound', `The snapshot '${id}' does not exist.`)

function createVolumeOperation(deps: CloudDeps, volumes: Volumes): OperationKind<Record<string, never>, unknown> {
  const { state, locks } = deps
  return {
    kind: createVolumeKind,
    lane: 'volumes',
    steps: [
      {
        name: 'make-files',
        async run({ subjectId }) {
          await locks.hold(subjectId, async () => {
            const volume = await state.volumes.get(subjectId)
            if (!volume) throw new OperationFailure(`volume ${subjectId} is gone`)
            await volumes.disks.chain(volume)
            await state.volumes.move(subjectId, ['creating'], 'available')
          })
        },
      },
    ],
    async fail({ subjectId }) {
      await state.volumes.move(subjectId, ['creating'], 'error')
    },
  }
}
