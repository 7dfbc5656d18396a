/**
 * Disks in the instance store: the root that came out of a bundle, and blank ephemeral disks. They are files in a folder of
 * their instance, and go with it; an ephemeral disk of an EBS-backed instance goes already when it is stopped. Source:
 * "Instance store temporary block storage for EC2 instances" in the EC2 user guide.
 */
import { existsSync } from 'node:fs'
import { link, mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import { flush } from '../../lib/stable-storage.ts'
import { OperationFailure } from '../../operations/operation.ts'
import type { Image } from '../../state/images.ts'
import type { InstanceDisk } from '../../state/instance-disks.ts'
import type { Instance } from '../../state/instances.ts'
import type { Repositories } from '../../state/state.ts'
import type { Device } from '../block-devices.ts'
import type { Bundles } from '../bundles/bundles.ts'
import { explained } from '../bundles/explained.ts'
import type { CloudDeps } from '../deps.ts'
import { type InstanceStorage, instanceTypes } from '../instances/instance-types.ts'
import type { MachineDisk } from '../ports.ts'
import { writeSparse } from '../transfers/sparse-file.ts'
import { firstLayer, layersOfRoot } from './root-layers.ts'

export const rootName = 'root'

const sectorBytes = 512
const gigabyte = 1e9
/** Below the folder of the instance store; no instance is called so. */
const imagesFolder = 'images'
export const baseFile = 'base.raw'

/** From the last slot down, so that volumes find theirs where they always do; the first is the root's. */
const slotsFromAbove = Array.from(
  { length: limits.disksPerInstance - 1 },
  (_, index) => limits.disksPerInstance - 1 - index,
)

export interface PrepareOptions {
  signal: AbortSignal
  /** 0 to 100. */
  onPercent(percent: number): void
}

export class InstanceDisks {
  readonly #deps: CloudDeps
  readonly #bundles: Bundles

  constructor(deps: CloudDeps, bundles: Bundles) {
    this.#deps = deps
    this.#bundles = bundles
  }

  /**
   * What an instance of that type has of the instance store: its root if the image lies in a bundle, and the ephemeral
   * disks that are mapped, as far as the type has them. Disks behind NVMe are there without a mapping.
   */
  newRows(
    instance: Pick<Instance, 'id'>,
    image: Pick<Image, 'rootDeviceName' | 'rootDeviceType'>,
    mapped: readonly Device[],
    storage: InstanceStorage | null,
  ): InstanceDisk[] {
    const row = (virtualName: string, deviceName: string, slot: number, sizeBytes: number): InstanceDisk => {
      return { id: this.#newId(), instanceId: instance.id, virtualName, deviceName, slot, sizeBytes }
    }
    const ephemeral = ephemeralDisks(mapped, storage).map(({ virtualName, deviceName }, index) =>
      row(virtualName, deviceName, slotsFromAbove[index]!, storage!.sizeGb * gigabyte),
    )
    if (image.rootDeviceType === 'ebs') return ephemeral
    return [row(rootName, image.rootDeviceName, 0, limits.instanceStoreRootBytes), ...ephemeral]
  }

  /**
   * Fits the ephemeral disks of an EBS-backed instance that is being started to the type that it has by now. Disks that were
   * mapped stay where they were, as far as the type has them. `takenSlots` are those of its volumes. Source: "Change the
   * instance type for your Amazon EC2 instance" in the EC2 user guide.
   */
  async fit(tx: Repositories, { id, instanceType }: Instance, takenSlots: readonly number[]): Promise<void> {
    const storage = instanceTypes.get(instanceType)?.storage ?? null
    const present = await tx.instanceDisks.of([id])
    const mapped = present.filter(({ virtualName, deviceName }) => deviceName !== nvmeNameOf(virtualName))
    const names = ephemeralDisks(mapped, storage)
    const free = slotsFromAbove.filter((slot) => !takenSlots.includes(slot))
    // What finds no place beside so many volumes is left out, as what the type has not.
    const rows = names.slice(0, free.length).map((names, index): InstanceDisk => {
      return { id: this.#newId(), instanceId: id, ...names, slot: free[index]!, sizeBytes: storage!.sizeGb * gigabyte }
    })
    if (present.length === 0 && rows.length === 0) return
    await tx.instanceDisks.removeOf(id)
    await tx.instanceDisks.insert(rows)
  }

  #newId(): string {
    return `AWS-${this.#deps.random.bytes(9).toString('hex').slice(0, 17)}`
  }

  /** Fetches the root out of the image's bundle, or takes what another instance has fetched. Repeat after a crash. */
  async prepareRoot(instance: Instance, options: PrepareOptions): Promise<void> {
    const folder = this.folderOf(instance.id)
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const base = join(folder, baseFile)
    if (existsSync(base)) return
    const takeRoot = async () => {
      const unpacked = await this.#unpack(instance.imageId, options)
      await link(unpacked, base).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error
      })
    }
    await this.#deps.locks.hold(`bundle:${instance.imageId}`, takeRoot, options.signal)
    await flush(folder)
  }

  /** The disks as a machine has them; missing files are made, but for a root that was lost. */
  async machineDisks(instanceId: string): Promise<MachineDisk[]> {
    const rows = await this.#deps.state.instanceDisks.of([instanceId])
    if (rows.length === 0) return []
    await mkdir(this.folderOf(instanceId), { recursive: true, mode: 0o700 })
    return Promise.all(rows.map((row) => this.#machineDisk(row)))
  }

  async #machineDisk({ id, instanceId, virtualName, slot, sizeBytes }: InstanceDisk): Promise<MachineDisk> {
    const folder = this.folderOf(instanceId)
    const layer = firstLayer(folder, virtualName)
    const base = virtualName === rootName ? { path: join(folder, baseFile) } : null
    if (base && !existsSync(base.path)) throw new OperationFailure('the root in the instance store is missing')
    if (!existsSync(layer)) await this.#deps.disks.createLayer(layer, sizeBytes, null)
    const layers = base ? (await layersOfRoot(folder)).map(({ path }) => path) : [layer]
    return { volumeId: id, slot, chain: { base, layers, key: null } }
  }

  /** What the guest wrote is gone when this resolves. The rows stay: a stopped instance starts with blank disks. */
  async discard(instanceId: string): Promise<void> {
    await rm(this.folderOf(instanceId), { recursive: true, force: true })
  }

  /** The instance has no disks any more; what was unpacked for it goes, unless another instance uses it. */
  async remove({ id, imageId }: Pick<Instance, 'id' | 'imageId'>): Promise<void> {
    const { state, locks } = this.#deps
    await this.discard(id)
    await state.instanceDisks.removeOf(id)
    // Looked at before, too: nobody waits here while another instance fetches the same root.
    if ((await state.instanceDisks.rootedOn(imageId)).length > 0) return
    await locks.hold(`bundle:${imageId}`, async () => {
      if ((await state.instanceDisks.rootedOn(imageId)).length > 0) return
      await rm(this.#unpackedPath(imageId), { force: true })
    })
  }

  /** Folders and unpacked bundles of which the state knows nothing. */
  async removeLeftovers(): Promise<void> {
    const { state, locks, instanceStoreDir } = this.#deps
    const known = new Set(await state.instanceDisks.instanceIds())
    for (const name of await readdir(instanceStoreDir).catch(() => [])) {
      if (name === imagesFolder || known.has(name)) continue
      // One that is just being launched has its rows by now.
      if ((await state.instanceDisks.of([name])).length === 0) await this.discard(name)
    }
    for (const name of await readdir(join(instanceStoreDir, imagesFolder)).catch(() => [])) {
      const imageId = name.split('.')[0]!
      await locks.hold(`bundle:${imageId}`, async () => {
        if ((await state.instanceDisks.rootedOn(imageId)).length > 0) return
        await rm(join(instanceStoreDir, imagesFolder, name), { force: true })
      })
    }
  }

  /** One file for all instances of the image on this host. For a caller that holds the image's bundle. */
  async #unpack(imageId: string, { signal, onPercent }: PrepareOptions): Promise<string> {
    const path = this.#unpackedPath(imageId)
    if (existsSync(path)) return path
    const image = await this.#deps.state.images.get(imageId)
    if (!image?.rootBytes) throw new OperationFailure(`the image ${imageId} has no bundle`)
    const folder = join(this.#deps.instanceStoreDir, imagesFolder)
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const onProgress = (bytes: number, ofBytes: number) => onPercent(Math.floor((100 * bytes) / ofBytes))
    const root = this.#bundles.openImage(image, { signal, onProgress })
    const unfinished = `${path}.new`
    try {
      const sizeBytes = Math.ceil(Number(image.rootBytes) / sectorBytes) * sectorBytes
      await explained(() => writeSparse(unfinished, sizeBytes, wholeSectors(root), signal))
      await rename(unfinished, path)
      await flush(folder)
    } catch (error) {
      await rm(unfinished, { force: true })
      signal.throwIfAborted()
      if ((error as NodeJS.ErrnoException).code === 'ENOSPC') {
        throw new OperationFailure(`the host has no room for the root: ${messageOf(error)}`, { cause: error })
      }
      throw error
    }
    return path
  }

  folderOf(instanceId: string): string {
    return join(this.#deps.instanceStoreDir, instanceId)
  }

  #unpackedPath(imageId: string): string {
    return join(this.#deps.instanceStoreDir, imagesFolder, `${imageId}.raw`)
  }
}

function ephemeralDisks(
  mapped: readonly Pick<Device, 'virtualName' | 'deviceName'>[],
  storage: InstanceStorage | null,
): { virtualName: string; deviceName: string }[] {
  if (!storage) return []
  const names = Array.from({ length: storage.count }, (_, index) => `ephemeral${index}`)
  // What the type has not is left out, as on EC2.
  const wished = mapped.filter(({ virtualName }) => virtualName !== null && names.includes(virtualName))
  // A disk is there once, where it was mapped last: the request's mapping comes after the image's.
  const devices = new Map(wished.map(({ virtualName, deviceName }) => [virtualName!, deviceName]))
  const disks = [...devices].map(([virtualName, deviceName]) => ({ virtualName, deviceName }))
  if (!storage.isNvme) return disks
  const missing = names.filter((name) => !disks.some(({ virtualName }) => virtualName === name))
  return [...disks, ...missing.map((virtualName) => ({ virtualName, deviceName: nvmeNameOf(virtualName) }))]
}

/** The root's controller is the first. */
const nvmeNameOf = (virtualName: string) => `/dev/nvme${1 + Number(virtualName.replace('ephemeral', ''))}n1`

/** A disk ends with a whole sector. */
async function* wholeSectors(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let length = 0
  for await (const piece of source) {
    length += piece.length
    yield piece
  }
  const rest = length % sectorBytes
  if (rest > 0) yield Buffer.alloc(sectorBytes - rest)
}
