/**
 * Publishers' images that were pulled into one region, and come into the others: into those that are open at once, into
 * every other one when it opens. A region that has had an image is not given it again: what was deregistered stays away.
 */
import type { Image } from '../../state/images.ts'
import type { PulledImage } from '../../state/pulled-images.ts'
import type { Snapshot } from '../../state/snapshots.ts'
import type { Repositories } from '../../state/state.ts'
import type { CloudDeps } from '../deps.ts'
import { insertPublicImage } from './public-images.ts'

/** What makes an import the image of a publisher, which everybody sees. */
export interface Publication {
  ownerAlias: string | null
  /** False for a disk that a boot loader begins at once, without a partition table. */
  isPartitioned: boolean
  pulled: Pick<PulledImage, 'catalogueName' | 'version' | 'sourceUrl' | 'checksum' | 'verifiedBy'>
}

/** An image of a region, and the snapshot of its only disk. */
interface Offer {
  pulled: PulledImage
  image: Image
  snapshot: Snapshot & { rootHash: string }
}

export class PulledImages {
  readonly #deps: CloudDeps

  constructor(deps: CloudDeps) {
    this.#deps = deps
  }

  /** Those that can be launched, of all regions, the newest first. */
  async list(): Promise<PulledImage[]> {
    const { pulledImages, images } = this.#deps.state
    const rows = await pulledImages.list()
    const states = await Promise.all(rows.map(async ({ imageId }) => (await images.get(imageId))?.state))
    return rows.filter((_, index) => states[index] === 'available')
  }

  /**
   * Gives the region what others have. An image that cannot be brought is left out, and the log says why: the region is
   * of use without it, and the next start of the daemon tries again.
   */
  async bringTo(region: string): Promise<void> {
    const { state, log } = this.#deps
    const missing = await state.pulledImages.missingIn(region)
    const byName = Map.groupBy(missing, ({ accountId, imageName }) => `${accountId}/${imageName}`)
    for (const [name, rows] of byName) {
      try {
        await this.#bring(region, rows)
      } catch (error) {
        log.warn({ region, image: name, error }, 'a pulled image could not be brought into the region')
      }
    }
  }

  async #bring(region: string, rows: readonly PulledImage[]): Promise<void> {
    for (const row of rows) {
      const offer = await this.#offerOf(row)
      if (offer) return await this.#copy(region, offer)
    }
  }

  /** Undefined when the image was deregistered since. */
  async #offerOf(pulled: PulledImage): Promise<Offer | undefined> {
    const { images, snapshots } = this.#deps.state
    const image = await images.get(pulled.imageId)
    if (image?.state !== 'available') return undefined
    const [device] = (await images.devicesOf([image.id])).get(image.id)!
    const snapshot = device?.snapshotId ? await snapshots.get(device.snapshotId) : undefined
    if (snapshot?.state !== 'completed' || snapshot.rootHash === null) return undefined
    return { pulled, image, snapshot: { ...snapshot, rootHash: snapshot.rootHash } }
  }

  async #copy(region: string, { pulled, image, snapshot }: Offer): Promise<void> {
    const { state, blocks, clock } = this.#deps
    const { rootHash, sizeGib } = snapshot
    await blocks.copy({ root: rootHash, fromRegion: pulled.region, toRegion: region })
    const { dataBytes } = await blocks.info(region, rootHash)
    const { accountId, ownerAlias, name, architecture, rootDeviceName } = image
    await state.transaction(async (tx) => {
      const present = await tx.images.named(accountId, region, name)
      const imageId =
        present?.id ??
        (await insertPublicImage(tx, this.#deps, {
          owner: { accountId, ownerAlias, region },
          ...{ name, description: image.description ?? '', architecture, rootDeviceName },
          disk: { rootHash, dataBytes, sizeGib },
        }))
      await tx.pulledImages.put({ ...pulled, region, imageId, pulledAt: clock.now() })
    })
    await blocks.settle(region, rootHash)
  }
}

/** Makes the image that an import has registered public, in the import's own transaction. */
export async function publish(
  tx: Repositories,
  { ownerAlias, pulled }: Publication,
  made: Pick<PulledImage, 'accountId' | 'region' | 'imageName' | 'imageId' | 'fileBytes' | 'pulledAt'>,
): Promise<void> {
  await tx.images.update(made.imageId, { ownerAlias })
  await tx.images.grant(made.imageId, ['all'])
  const [device] = (await tx.images.devicesOf([made.imageId])).get(made.imageId)!
  if (ownerAlias === null) await tx.snapshots.grant(device!.snapshotId!, ['all'])
  await tx.pulledImages.put({ ...made, ...pulled })
}
