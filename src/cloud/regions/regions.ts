/**
 * Regions open on first use: the public images' blocks come into the region's own store, and the images are registered.
 */
import { newId } from '../../lib/ids.ts'
import type { CloudDeps } from '../deps.ts'
import { gib } from '../volumes/volume-disks.ts'
import { type BundleRooms, type PublicBundle, registerPublicBundle } from './public-bundles.ts'
import { publicOwner } from './public-owner.ts'

/** A public image that every region has. Its blocks were captured once. */
export interface PublicImage {
  name: string
  description: string
  architecture: string
  /** The store that holds its blocks; every region takes its own from there. */
  store: string
  root: string
  sizeBytes: number
}

const rootDevice = '/dev/xvda'

export class Regions {
  readonly #deps: CloudDeps
  readonly #publicImages: readonly PublicImage[]
  readonly #bundles: readonly PublicBundle[]
  readonly #rooms: BundleRooms
  readonly #open = new Set<string>()

  constructor(
    deps: CloudDeps,
    { images, bundles }: { images: readonly PublicImage[]; bundles: readonly PublicBundle[] },
    rooms: BundleRooms,
  ) {
    this.#deps = deps
    this.#publicImages = images
    this.#bundles = bundles
    this.#rooms = rooms
  }

  /** Makes sure that the region is open and has the present public images. Quick once it is. */
  async open(region: string): Promise<void> {
    if (this.#open.has(region)) return
    await this.#deps.locks.hold(`region:${region}`, async () => {
      if (this.#open.has(region)) return
      const { state, blocks, clock } = this.#deps
      if (!(await this.opened()).includes(region)) await blocks.openRegion(region)
      for (const image of this.#publicImages) await this.#register(region, image)
      for (const image of this.#bundles) await registerPublicBundle(this.#deps, this.#rooms, region, image)
      await state.settings.markRegionOpen(region, clock.now())
      this.#open.add(region)
    })
  }

  /** Regions that were opened so far. */
  opened(): Promise<string[]> {
    return this.#deps.state.settings.openRegions()
  }

  async #register(region: string, image: PublicImage): Promise<void> {
    const { state, blocks, clock, random } = this.#deps
    if (await state.images.named(publicOwner.accountId, region, image.name)) return
    await blocks.copy({ root: image.root, fromRegion: image.store, toRegion: region })
    const { dataBytes } = await blocks.info(region, image.root)
    const createdAt = clock.now()
    const snapshotId = newId('snapshot', random)
    const sizeGib = Math.ceil(image.sizeBytes / gib)
    const owner = { accountId: publicOwner.accountId, ownerAlias: publicOwner.alias, region }
    await state.transaction(async (tx) => {
      if (await tx.images.named(publicOwner.accountId, region, image.name)) return
      await tx.snapshots.insert({
        ...owner,
        id: snapshotId,
        volumeId: 'vol-ffffffff',
        sizeGib,
        state: 'completed',
        stateMessage: null,
        progress: 100,
        description: image.description,
        encrypted: 0,
        dataKeyId: null,
        rootHash: image.root,
        dataBytes,
        storedBytes: 0,
        chargeParentId: null,
        chargedBytes: dataBytes,
        copiedFromId: null,
        startedAt: createdAt,
        completedAt: createdAt,
      })
      await tx.images.insert(
        {
          ...owner,
          id: newId('image', random),
          name: image.name,
          description: image.description,
          state: 'available',
          stateReasonCode: null,
          stateReasonMessage: null,
          architecture: image.architecture,
          rootDeviceName: rootDevice,
          rootDeviceType: 'ebs',
          ...{ imageLocation: null, manifestHash: null, bundleBytes: null, rootBytes: null },
          virtualizationType: 'hvm',
          enaSupport: 1,
          sriovNetSupport: 'simple',
          bootMode: 'legacy-bios',
          imdsSupport: null,
          tpmSupport: null,
          platformDetails: 'Linux/UNIX',
          sourceInstanceId: null,
          sourceImageId: null,
          sourceImageRegion: null,
          createdAt,
          deregisteredAt: null,
        },
        [
          {
            deviceName: rootDevice,
            snapshotId,
            sizeGib,
            volumeType: 'gp3',
            iops: 3000,
            throughput: 125,
            deleteOnTermination: 1,
            encrypted: 0,
            virtualName: null,
          },
        ],
        ['all'],
      )
    })
    await blocks.settle(region, image.root)
  }
}
