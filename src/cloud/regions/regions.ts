/**
 * Regions open on first use: the public images' blocks come into the region's own store, and the images are registered.
 */
import type { CloudDeps } from '../deps.ts'
import { gib } from '../volumes/volume-disks.ts'
import { type BundleRooms, type PublicBundle, registerPublicBundle } from './public-bundles.ts'
import { insertPublicImage } from './public-images.ts'
import { publicOwner } from './public-owner.ts'
import { PulledImages } from './pulled-images.ts'

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
  readonly pulled: PulledImages
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
    this.pulled = new PulledImages(deps)
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
      // Only now: an image that is pulled meanwhile either is found here, or finds the region open.
      await this.pulled.bringTo(region)
      this.#open.add(region)
    })
  }

  /** Brings what was pulled into every region that is open; requests there are answered meanwhile. */
  async spreadPulled(signal: AbortSignal): Promise<void> {
    for (const region of await this.opened()) {
      signal.throwIfAborted()
      await this.#deps.locks.hold(`region:${region}`, () => this.pulled.bringTo(region))
    }
  }

  /** Regions that were opened so far. */
  opened(): Promise<string[]> {
    return this.#deps.state.settings.openRegions()
  }

  async #register(region: string, image: PublicImage): Promise<void> {
    const { state, blocks } = this.#deps
    if (await state.images.named(publicOwner.accountId, region, image.name)) return
    await blocks.copy({ root: image.root, fromRegion: image.store, toRegion: region })
    const { dataBytes } = await blocks.info(region, image.root)
    const { accountId, alias: ownerAlias } = publicOwner
    await state.transaction(async (tx) => {
      if (await tx.images.named(accountId, region, image.name)) return
      await insertPublicImage(tx, this.#deps, {
        owner: { accountId, ownerAlias, region },
        ...{ name: image.name, description: image.description, architecture: image.architecture },
        rootDeviceName: rootDevice,
        disk: { rootHash: image.root, dataBytes, sizeGib: Math.ceil(image.sizeBytes / gib) },
      })
    })
    await blocks.settle(region, image.root)
  }
}
