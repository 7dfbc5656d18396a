import { KilnError } from '../../lib/errors.ts'
import { newId } from '../../lib/ids.ts'
import type { ListRequest, Page } from '../../state/listing.ts'
import type { Flag } from '../../state/schema.ts'
import type { Repositories } from '../../state/state.ts'
import type { Volume, VolumeAttachment, VolumeLayer } from '../../state/volumes.ts'
import { idsWithout, listAsked } from '../asked-ids.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import type { VolumeEncryption } from '../encryption/encryption.ts'
import { arnOf } from '../encryption/named-keys.ts'
import { owned } from '../existing.ts'
import { isFastRestored } from '../snapshots/fast-restore-operations.ts'
import { hydrationOf } from './initialization.ts'
import { layerFileName, VolumeDisks } from './volume-disks.ts'
import type { VolumeShape } from './volume-types.ts'

export interface NewVolume extends VolumeShape, VolumeEncryption {
  zone: string
  snapshotId: string | null
  baseRoot: string | null
  /** MiB a second; absent or null to fetch the snapshot when there is time. */
  initializationRate?: number | null
  /** The volume that it is a copy of. */
  sourceVolumeId?: string
  fastRestored?: Flag
  multiAttach?: Flag
  hydratedAt?: number | null
}

export interface VolumeView extends Volume {
  attachments: VolumeAttachment[]
}

export interface VolumeUsage
  extends Pick<Volume, 'id' | 'accountId' | 'region' | 'zone' | 'sizeGib' | 'volumeType' | 'snapshotId' | 'state'> {
  /** The volume that it is a copy of. */
  sourceVolumeId: string | null
  /** The key that it is encrypted under; null for one that is not encrypted. */
  kmsKeyArn: string | null
  layers: number
  /** Whether a snapshot still lies under it. */
  isLazy: boolean
  /** How much of the snapshot has been fetched to stay (0 to 100), while that is under way. */
  hydrationPercent: number | null
  /** Bytes that its files take on this host. */
  localBytes: number
  /** Bytes of distinct blocks fetched from the snapshot's store for it. */
  fetchedBytes: number
  fetchedBlocks: number
  attachedTo: { instanceId: string; deviceName: string }[]
}

export class Volumes {
  readonly disks: VolumeDisks
  readonly #deps: CloudDeps

  constructor(deps: CloudDeps) {
    this.#deps = deps
    this.disks = new VolumeDisks(deps)
  }

  /** The rows of a new volume with its first layer. The files are made when it is first needed. */
  newRows(scope: Scope, volume: NewVolume, state: 'creating' | 'in-use'): { volume: Volume; layer: VolumeLayer } {
    const { clock, random } = this.#deps
    const id = newId('volume', random)
    return {
      volume: { ...scope, ...newVolume, ...volume, id, state, createdAt: clock.now() },
      layer: { volumeId: id, seq: 0, fileName: layerFileName(0), snapshotId: null, isMade: 0 },
    }
  }

  /** Writes a new volume in the caller's transaction; its id. */
  async insertNew(tx: Repositories, scope: Scope, about: NewVolume, state: 'creating' | 'in-use'): Promise<string> {
    const { snapshotId, zone, initializationRate } = about
    const isReady = snapshotId !== null && !initializationRate && (await isFastRestored(tx, scope, snapshotId, zone))
    const { volume, layer } = this.newRows(scope, { ...about, fastRestored: isReady ? 1 : 0 }, state)
    await tx.volumes.insert(volume, layer)
    return volume.id
  }

  async list(scope: Scope, request: Omit<ListRequest, 'accountId'>): Promise<Page<VolumeView>> {
    const { state } = this.#deps
    const { accountId, region } = scope
    const page = await listAsked(
      (what: typeof request) => state.volumes.list(region, { ...what, accountId }),
      request,
      ([id]) => notFound(id!),
    )
    const attachments = await state.volumes.attachmentsOfVolumes(page.items.map((row) => row.id))
    const byVolume = Map.groupBy(attachments, (attachment) => attachment.volumeId)
    const view = (row: Volume) => ({ ...row, attachments: byVolume.get(row.id) ?? [] })
    return { ...page, items: page.items.map(view) }
  }

  /** The volume, if the account has it in this region. Throws InvalidVolume.NotFound. */
  async get(scope: Scope, id: string, repositories: Repositories = this.#deps.state): Promise<Volume> {
    return owned(await repositories.volumes.get(id), scope, () => notFound(id))
  }

  /** The volume, whoever's it is: for whoever runs this Kiln. */
  async any(id: string): Promise<Volume> {
    const volume = await this.#deps.state.volumes.get(id)
    if (volume) return volume
    throw notFound(id)
  }

  /** What a volume takes on this host, and what it had served from its snapshot: for whoever runs this Kiln. */
  async usage(id: string): Promise<VolumeUsage> {
    const volume = await this.any(id)
    const { accountId, region, zone, sizeGib, volumeType, snapshotId, sourceVolumeId, state, dataKeyId } = volume
    const key = dataKeyId && (await this.#deps.state.encryption.keysOf([dataKeyId])).get(dataKeyId)
    const layers = (await this.#deps.state.volumes.layers(id)).length
    const isLazy = volume.baseRoot !== null && volume.hydratedAt === null
    const [underway] = await this.#deps.state.operations.unfinishedOf(hydrationOf(id))
    const hydrationPercent = underway?.progress ?? null
    const usage = { ...(await this.disks.usage(id)), hydrationPercent }
    const attachments = await this.#deps.state.volumes.attachmentsOfVolumes([id])
    const attachedTo = attachments.map(({ instanceId, deviceName }) => ({ instanceId, deviceName }))
    const about = { id, accountId, region, zone, sizeGib, volumeType, snapshotId, sourceVolumeId, state }
    return { ...about, kmsKeyArn: key ? arnOf(key) : null, layers, isLazy, ...usage, attachedTo }
  }

  /** Throws VolumeInUse while it is attached, IncorrectState when it is neither attached nor available. */
  async delete(scope: Scope, id: string): Promise<void> {
    const { state, locks } = this.#deps
    await this.get(scope, id)
    await locks.hold(id, async () => {
      await state.transaction(async (tx) => {
        const volume = await this.get(scope, id, tx)
        const [attachment] = await tx.volumes.attachmentsOfVolumes([id])
        if (attachment) {
          throw new KilnError('VolumeInUse', `Volume ${id} is currently attached to ${attachment.instanceId}`)
        }
        const reader = await tx.volumes.readerOf(id)
        if (reader !== undefined) {
          throw new KilnError('VolumeInUse', `Volume ${id} is being read for ${reader}; wait until that is completed`)
        }
        if (!(await tx.volumes.move(id, ['available', 'error'], 'deleting'))) {
          throw new KilnError('IncorrectState', `Volume ${id} is in state '${volume.state}' and cannot be deleted`)
        }
      })
      await this.destroy(id)
    })
  }

  /** Finishes what a crash left: volumes on their way out that no operation sees to, and folders of volumes that are no more. */
  async removeLeftovers(): Promise<void> {
    const { state, locks } = this.#deps
    const deleting = await state.volumes.inState('deleting')
    const attached = await state.volumes.attachmentsOfVolumes(deleting.map((volume) => volume.id))
    const isAttached = new Set(attached.map((attachment) => attachment.volumeId))
    for (const { id } of deleting) if (!isAttached.has(id)) await locks.hold(id, () => this.destroy(id))
    const folders = await this.disks.folders()
    const known = await state.volumes.many(folders)
    for (const id of idsWithout(folders, known)) await this.disks.remove(id)
  }

  /** Removes the rows and the files of a volume that nothing uses. May be repeated. */
  async destroy(id: string): Promise<void> {
    const { state, sharedDisks } = this.#deps
    if ((await state.volumes.get(id))?.multiAttach === 1) await sharedDisks.end(id)
    await state.transaction(async (tx) => {
      await tx.tags.removeAll(id)
      await tx.volumes.remove(id)
    })
    await this.disks.remove(id)
  }
}

const newVolume = {
  hydratedAt: null,
  autoEnableIo: 0,
  sourceVolumeId: null,
  initializationRate: null,
  fastRestored: 0,
  multiAttach: 0,
} as const

const notFound = (id: string) => new KilnError('InvalidVolume.NotFound', `The volume '${id}' does not exist.`)
