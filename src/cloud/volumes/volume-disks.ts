/**
 * Volumes as files: the qcow2 layers of each, what lies under them, and how their tops are frozen.
 *
 * The rows come first, the files follow, and then the rows say that the files were made. A layer without a file is made
 * by {@link VolumeDisks.chain} when none was made before; otherwise what was written to it is lost, and an empty file must
 * not stand in for it. A file that the state does not name is litter.
 */
import { existsSync } from 'node:fs'
import { link, mkdir, readdir, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { isId } from '../../lib/ids.ts'
import { flush } from '../../lib/stable-storage.ts'
import { OperationFailure } from '../../operations/operation.ts'
import type { Volume, VolumeLayer } from '../../state/volumes.ts'
import type { CloudDeps } from '../deps.ts'
import { blockKeyOf, diskKeyOf } from '../encryption/data-keys.ts'
import type { DiskChain, DiskLimits, MachineDisk, ServedBase } from '../ports.ts'
import { volumeLimits } from './volume-limits.ts'

export const gib = 1024 ** 3

/** What a machine opens of a disk that is served to it. */
const nothingToOpen: DiskChain = { base: null, layers: [], key: null }

export interface FreezeRequest {
  volumeId: string
  snapshotId: string
}

export class VolumeDisks {
  readonly #deps: CloudDeps

  constructor(deps: CloudDeps) {
    this.#deps = deps
  }

  folderOf(volumeId: string): string {
    return join(this.#deps.volumesDir, volumeId)
  }

  pathOf(layer: VolumeLayer): string {
    return join(this.folderOf(layer.volumeId), layer.fileName)
  }

  /** The volume's whole chain, ready to be opened: missing layers made, the block server up if it is needed. */
  async chain(volume: Volume): Promise<DiskChain> {
    const layers = await this.#deps.state.volumes.layers(volume.id)
    await this.#ensureFiles(volume, layers)
    return this.#chainOf(await this.#restoreFast(volume), layers)
  }

  /** The chain as it was frozen for a snapshot, and which of its layers the snapshot before it has not seen. */
  async frozenChain(volume: Volume, snapshotId: string): Promise<{ chain: DiskChain; layers: VolumeLayer[] }> {
    const all = await this.#deps.state.volumes.layers(volume.id)
    const top = all.findIndex((layer) => layer.snapshotId === snapshotId)
    if (top < 0) throw new Error(`volume ${volume.id} has no layer frozen for ${snapshotId}`)
    const layers = all.slice(0, top + 1)
    this.#checkMade(layers)
    return { chain: await this.#chainOf(volume, layers), layers }
  }

  /**
   * The volume as a machine has it in that slot, for a caller that holds the instance's lock. What was begun while nobody
   * had the volume ends first; from then on such work waits for that lock.
   */
  async machineDisk(volumeId: string, slot: number): Promise<MachineDisk> {
    return await this.#deps.locks.hold(volumeId, async () => {
      const volume = await this.#deps.state.volumes.get(volumeId)
      if (!volume) throw new OperationFailure(`volume ${volumeId} is gone`)
      if (volume.multiAttach === 1)
        return { volumeId, slot, chain: nothingToOpen, shared: await this.serveHeld(volume) }
      return { volumeId, slot, chain: await this.chain(volume), limits: this.#limitsOf(volume) }
    })
  }

  #limitsOf(volume: Volume): DiskLimits | null {
    return this.#deps.enforcesVolumeLimits ? volumeLimits(volume) : null
  }

  /** Serves a volume to all instances that have it. For a caller that holds the volume's lock. */
  async serveHeld(volume: Volume): Promise<ServedBase> {
    const { sharedDisks } = this.#deps
    const disk = { volumeId: volume.id, chain: await this.chain(volume), limits: this.#limitsOf(volume) }
    return await sharedDisks.serve(disk)
  }

  /** Ends serving a volume that no instance has any more. */
  async endSharing(volumeId: string): Promise<void> {
    const { state, locks, sharedDisks } = this.#deps
    await locks.hold(volumeId, async () => {
      const [attachment] = await state.volumes.attachmentsOfVolumes([volumeId])
      if (!attachment) await sharedDisks.end(volumeId)
    })
  }

  /**
   * Does something about a volume while nobody else does, and tells which instance has it. An attachment that comes or
   * goes meanwhile is waited for. A volume that several may have is nobody's.
   */
  async holding<T>(volumeId: string, work: (instanceId: string | null) => Promise<T>): Promise<T> {
    const { state, locks } = this.#deps
    const holder = async () => {
      if ((await state.volumes.get(volumeId))?.multiAttach === 1) return null
      return (await state.volumes.attachmentsOfVolumes([volumeId]))[0]?.instanceId ?? null
    }
    for (;;) {
      const instanceId = await holder()
      const done = await locks.hold(instanceId ?? volumeId, async () =>
        (await holder()) === instanceId ? { result: await work(instanceId) } : undefined,
      )
      if (done) return done.result
    }
  }

  async #chainOf(volume: Volume, layers: readonly VolumeLayer[]): Promise<DiskChain> {
    const key = await diskKeyOf(this.#deps, volume)
    return { base: await this.#baseOf(volume), layers: layers.map((layer) => this.pathOf(layer)), key }
  }

  async #baseOf(volume: Volume): Promise<DiskChain['base']> {
    const { id: volumeId, accountId, region, baseRoot: root, baseDataKeyId, hydratedAt } = volume
    if (!root) return null
    if (hydratedAt !== null) return this.localBase(volumeId)
    const sealKey = await blockKeyOf(this.#deps, accountId, baseDataKeyId)
    return await this.#deps.blocks.serve({ region, root, volumeId, sealKey })
  }

  /** A new volume whose snapshot is kept ready begins with all of it; when it is not there after all, with none of it. */
  async #restoreFast(volume: Volume): Promise<Volume> {
    const { id, baseRoot, hydratedAt, fastRestored } = volume
    if (fastRestored === 0 || baseRoot === null || hydratedAt !== null) return volume
    const { state, clock } = this.#deps
    const isThere = await this.takeReadyBase(volume)
    const change = isThere ? { hydratedAt: clock.now() } : { fastRestored: 0 as const }
    await state.volumes.update(id, change)
    return { ...volume, ...change }
  }

  /**
   * Where a snapshot lies that is kept ready for new volumes. Not every one is there. Each lineage has its own: snapshots
   * in which nothing was written have one root, whatever they are encrypted with.
   */
  readyBase({ region, root, dataKeyId }: { region: string; root: string; dataKeyId: string | null }): string {
    const name = dataKeyId === null ? `${root}.raw` : `${root}.${dataKeyId}.raw`
    return join(this.#deps.volumesDir, readyBasesFolder, region, name)
  }

  /**
   * Gives the volume what is kept ready of its snapshot; false when that is not there, or encrypted as the snapshot is
   * where the volume is not.
   */
  async takeReadyBase({ id, region, baseRoot, dataKeyId, baseDataKeyId }: Volume): Promise<boolean> {
    if (baseRoot === null || dataKeyId !== baseDataKeyId) return false
    return await this.#linkBase(this.readyBase({ region, root: baseRoot, dataKeyId }), id)
  }

  /** Where the whole snapshot under a volume lies once it was fetched. */
  localBase(volumeId: string): { path: string } {
    return { path: join(this.folderOf(volumeId), 'base.raw') }
  }

  async #ensureFiles(volume: Volume, layers: readonly VolumeLayer[]): Promise<void> {
    this.#checkMade(layers)
    const fresh = layers.filter((layer) => !layer.isMade)
    if (fresh.length === 0) return
    const key = await diskKeyOf(this.#deps, volume)
    await mkdir(this.folderOf(volume.id), { recursive: true, mode: 0o700 })
    for (const path of fresh.map((layer) => this.pathOf(layer))) {
      if (!existsSync(path)) await this.#deps.disks.createLayer(path, volume.sizeGib * gib, key)
    }
    const seqs = fresh.map((layer) => layer.seq)
    await this.#deps.state.volumes.markLayersMade(volume.id, seqs)
  }

  #checkMade(layers: readonly VolumeLayer[]): void {
    const lost = layers.find((layer) => layer.isMade && !existsSync(this.pathOf(layer)))
    if (lost) throw new OperationFailure(`file ${this.pathOf(lost)} of volume ${lost.volumeId} is missing`)
  }

  /**
   * Freezes the tops of volumes, all at one instant: each gets a new empty layer, and what was its top belongs to the
   * snapshot from then on. All of the volumes are attached to `instanceId`. Asking again for the same snapshots changes
   * nothing.
   */
  async freeze(instanceId: string, requests: readonly FreezeRequest[]): Promise<void> {
    const [only, ...others] = requests
    const isShared = only && (await this.#deps.state.volumes.get(only.volumeId))?.multiAttach === 1
    if (isShared && others.length === 0) return await this.freezeOne(only)
    await this.#deps.locks.hold(instanceId, () => this.freezeHeld(instanceId, requests))
  }

  /** {@link freeze} for one volume, wherever it is now. */
  async freezeOne(request: FreezeRequest): Promise<void> {
    await this.holding(request.volumeId, (instanceId) => this.freezeHeld(instanceId, [request]))
  }

  /** {@link freeze} for a caller that holds the instance's or the volume's lock. */
  async freezeHeld(instanceId: string | null, requests: readonly FreezeRequest[]): Promise<void> {
    const { state, machines, sharedDisks, quiescesGuests, log } = this.#deps
    const volumeIds = requests.map((request) => request.volumeId)
    const attachments = await state.volumes.attachmentsOfVolumes(volumeIds)
    const shared = new Set((await state.volumes.many(volumeIds)).filter((row) => row.multiAttach).map((row) => row.id))
    // One that several instances have is frozen for all of them, and alone.
    const isHere = (volumeId: string) =>
      (instanceId === null && shared.has(volumeId)) ||
      (attachments.find((row) => row.volumeId === volumeId)?.instanceId ?? null) === instanceId
    // New layers need their keys: without these nothing is begun.
    for (const volume of await state.volumes.many(volumeIds.filter(isHere))) await diskKeyOf(this.#deps, volume)
    // A layer that is growing must have grown before another one of that size lies on it.
    for (const volumeId of volumeIds.filter(isHere)) await this.growHeld(instanceId, volumeId)
    await state.transaction(async (tx) => {
      for (const { volumeId, snapshotId } of requests) {
        const layers = await tx.volumes.layers(volumeId)
        if (layers.some((layer) => layer.snapshotId === snapshotId)) continue
        const top = layers.at(-1)
        const volume = await tx.volumes.get(volumeId)
        if (!top || !volume) throw new OperationFailure(`volume ${volumeId} is gone`)
        if (!isHere(volumeId)) {
          throw new OperationFailure(`volume ${volumeId} was detached before its snapshot could be taken`)
        }
        await tx.snapshots.update(snapshotId, { sizeGib: volume.sizeGib })
        const seq = top.seq + 1
        await tx.volumes.updateLayer(volumeId, top.seq, { snapshotId })
        await tx.volumes.addLayer({ volumeId, seq, fileName: layerFileName(seq), snapshotId: null, isMade: 0 })
      }
    })
    const tops: { volumeId: string; newLayerPath: string }[] = []
    for (const volume of await state.volumes.many(volumeIds.filter(isHere))) {
      const layers = await state.volumes.layers(volume.id)
      await this.#ensureFiles(volume, layers)
      tops.push({ volumeId: volume.id, newLayerPath: this.pathOf(layers.at(-1)!) })
    }
    if (instanceId === null) {
      const served = tops.filter(({ volumeId }) => shared.has(volumeId))
      for (const { volumeId, newLayerPath } of served) {
        if (await sharedDisks.isServed(volumeId)) await sharedDisks.freeze(volumeId, newLayerPath)
      }
    }
    if (instanceId === null || tops.length === 0) return
    const status = await machines.inspect(instanceId)
    if (status.state === 'absent') return
    const { quiesced } = await machines.freeze(instanceId, tops, { quiesce: quiescesGuests })
    log.info({ instance: instanceId, volumes: volumeIds, quiesced }, 'disks were frozen for snapshots')
  }

  /**
   * Brings the volume to the size that a modification under way asks for, under the running guest or at rest. For a
   * caller that holds the instance's or the volume's lock; may be repeated.
   */
  async growHeld(instanceId: string | null, volumeId: string): Promise<void> {
    const { state, machines, disks, sharedDisks } = this.#deps
    const modification = await state.volumeModifications.get(volumeId)
    const volume = await state.volumes.get(volumeId)
    if (modification?.state !== 'modifying' || !volume) return
    const { targetSizeGib: sizeGib } = modification
    if (sizeGib <= volume.sizeGib) return
    if (volume.multiAttach === 1 && (await sharedDisks.isServed(volumeId))) {
      throw new OperationFailure(`volume ${volumeId} can grow only while no instance has it`)
    }
    const layers = await state.volumes.layers(volumeId)
    await this.#ensureFiles(volume, layers)
    const isHeld = instanceId !== null && (await machines.inspect(instanceId)).state !== 'absent'
    if (isHeld) await machines.resizeDisk(instanceId, volumeId, sizeGib * gib)
    else await disks.growLayer(this.pathOf(layers.at(-1)!), sizeGib * gib)
    await state.volumes.update(volumeId, { sizeGib })
  }

  /**
   * Gives the volume the base of another one that was made of the same snapshot: one file under both names, which nobody
   * ever writes. False when that cannot be.
   */
  async shareBase(fromVolumeId: string, volumeId: string): Promise<boolean> {
    return await this.#linkBase(this.localBase(fromVolumeId).path, volumeId)
  }

  async #linkBase(from: string, volumeId: string): Promise<boolean> {
    const isThere = await link(from, this.localBase(volumeId).path).then(
      () => true,
      (error: NodeJS.ErrnoException) => error.code === 'EEXIST',
    )
    // Its name must be as durable as the row that will count on it.
    if (isThere) await flush(this.folderOf(volumeId))
    return isThere
  }

  /**
   * Gives a new volume the frozen layers of another one under their names there, and its local base if it has one: files
   * under both names, which nobody ever writes. They are there for good when this resolves.
   */
  async shareFiles(
    layers: readonly VolumeLayer[],
    volumeId: string,
    { hasLocalBase }: { hasLocalBase: boolean },
  ): Promise<void> {
    this.#checkMade(layers)
    const folder = this.folderOf(volumeId)
    await mkdir(folder, { recursive: true, mode: 0o700 })
    for (const layer of layers) {
      await link(this.pathOf(layer), join(folder, layer.fileName)).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error
      })
    }
    const from = layers[0]!.volumeId
    if (hasLocalBase && !(await this.shareBase(from, volumeId))) {
      throw new OperationFailure(`file ${this.localBase(from).path} of volume ${from} is missing`)
    }
    await flush(folder)
  }

  /** Whether so much can be fetched and the disk still has that share of itself free for what guests write. */
  async hasRoomFor(bytes: number, reserve: number): Promise<boolean> {
    const { bavail, blocks, bsize } = await statfs(this.#deps.volumesDir)
    return bavail * bsize - bytes > blocks * bsize * reserve
  }

  /** Bytes that the volume's files take on this host, and what it had served from its snapshot. */
  async usage(volumeId: string): Promise<{ localBytes: number; fetchedBytes: number; fetchedBlocks: number }> {
    const layers = (await this.#deps.state.volumes.layers(volumeId)).map((layer) => this.pathOf(layer))
    const paths = [...layers, this.localBase(volumeId).path]
    const reads = await this.#deps.blocks.volumeReads(volumeId)
    const { localBytes } = await this.#deps.disks.usage(paths.filter((path) => existsSync(path)))
    return { localBytes, fetchedBytes: reads.bytesFetched, fetchedBlocks: reads.blocksFetched }
  }

  /** The ids of volumes that have a folder on this host. */
  async folders(): Promise<string[]> {
    const names = await readdir(this.#deps.volumesDir).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return []
      throw error
    })
    return names.filter((name) => isId('volume', name))
  }

  /** Removes the volume's files and counters. The rows go first. */
  async remove(volumeId: string): Promise<void> {
    // The folder last: as long as it is there, a removal that a crash broke off is taken up again.
    await this.#deps.blocks.forgetVolume(volumeId)
    // Hydration may just be writing there, until it notices that the volume is gone.
    await rm(this.folderOf(volumeId), { recursive: true, force: true, maxRetries: 10, retryDelay: 20 })
  }
}

/** Beside the folders of the volumes, because hard links need one file system. */
export const readyBasesFolder = 'snapshot-bases'

export const layerFileName = (seq: number) => `layer-${String(seq).padStart(4, '0')}.qcow2`
