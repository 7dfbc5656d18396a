/** Who else may launch an image. The snapshots behind it need not be shared for that; for copying it they must be. */
import { KilnError } from '../../lib/errors.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import type { Encryption } from '../encryption/encryption.ts'
import type { PublicAccess } from '../public-access.ts'
import type { Images } from './images.ts'

export class ImagePermissions {
  readonly #deps: CloudDeps
  readonly #images: Images
  readonly #publicAccess: PublicAccess
  readonly #encryption: Encryption

  constructor(deps: CloudDeps, rooms: { images: Images; publicAccess: PublicAccess; encryption: Encryption }) {
    this.#deps = deps
    this.#images = rooms.images
    this.#publicAccess = rooms.publicAccess
    this.#encryption = rooms.encryption
  }

  /** Account ids, and `all`. Throws AuthFailure for another account's image. */
  async list(scope: Scope, imageId: string): Promise<string[]> {
    await this.#images.owned(scope, imageId)
    return (await this.#deps.state.images.granteesOf([imageId])).get(imageId)!
  }

  async change(
    scope: Scope,
    imageId: string,
    { add, remove }: { add: readonly string[]; remove: readonly string[] },
  ): Promise<void> {
    const image = await this.#images.owned(scope, imageId)
    if (image.state !== 'available') {
      throw new KilnError(
        'InvalidAMIID.Unavailable',
        `The image ID '${imageId}' is not available: it is ${image.state}`,
      )
    }
    await this.#publicAccess.checkSharing(scope, 'image', add)
    const snapshots = await this.#deps.state.snapshots.many(image.devices.flatMap((device) => device.snapshotId ?? []))
    const dataKeyIds = snapshots.map((snapshot) => snapshot.dataKeyId)
    await this.#encryption.checkSharing(`The image '${imageId}'`, dataKeyIds, add)
    await this.#deps.state.transaction(async (tx) => {
      await tx.images.revoke(imageId, remove)
      await tx.images.grant(imageId, add)
    })
  }

  /** Nobody but the owner may launch it any more. */
  async reset(scope: Scope, imageId: string): Promise<void> {
    await this.#images.owned(scope, imageId)
    await this.#deps.state.images.revoke(imageId)
  }
}
