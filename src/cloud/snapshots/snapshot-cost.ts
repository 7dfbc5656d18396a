/** What an image's snapshots take in their region's store, and what would be free without them; what two snapshots differ in. */
import { KilnError } from '../../lib/errors.ts'
import type { Image } from '../../state/images.ts'
import type { Snapshot } from '../../state/snapshots.ts'
import type { CloudDeps } from '../deps.ts'
import type { Progress, RootDifference } from '../ports.ts'
import type { LiveSet } from './live-set.ts'
import { rootOwners } from './root-owners.ts'
import { SnapshotFiles } from './snapshot-files.ts'

export interface SnapshotCost {
  snapshotId: string
  deviceNames: string[]
  sizeGib: number
  /** Bytes of blocks that are not zeros. */
  dataBytes: number
  /** Bytes that its distinct objects take in the store. */
  storedBytes: number
  /** Of these, bytes that nothing else needs. */
  uniqueBytes: number
  sharedBytes: number
  /** How many others share something with it. */
  sharedWith: { snapshots: number; volumes: number }
  /** Why deregistering the image would leave it, when it would. */
  staysBecause: string | null
}

export interface ImageCost {
  imageId: string
  name: string
  region: string
  snapshots: SnapshotCost[]
  /** Bytes that the store shrinks by when the image is deregistered with its snapshots and the store is collected. */
  freedBytes: number
}

export class SnapshotCosts {
  readonly #deps: CloudDeps
  readonly #live: LiveSet

  constructor(deps: CloudDeps, live: LiveSet) {
    this.#deps = deps
    this.#live = live
  }

  async ofImage(region: string, imageId: string, progress: Progress = {}): Promise<ImageCost> {
    const { state, blocks } = this.#deps
    const image = await this.#image(region, imageId)
    const devices = (await state.images.devicesOf([imageId])).get(imageId)!
    const ids = [...new Set(devices.flatMap((device) => device.snapshotId ?? []))]
    const snapshots = (await state.snapshots.many(ids)).filter((row) => row.rootHash !== null)
    const reasons = await Promise.all(snapshots.map((row) => this.#whyItStays(image, row)))
    const roots = snapshots.map((row) => row.rootHash!)
    const staying = await this.#others(region, ids)
    const leaving = [...roots.keys()].filter((index) => reasons[index] === null)
    const usage = await blocks.usage({ region, roots, leaving, staying }, progress)
    const owners = await rootOwners(this.#deps, region)
    const all = [...roots, ...staying.roots]
    const costs = snapshots.map((row, index): SnapshotCost => {
      const { sharedWith, ...bytes } = usage.roots[index]!
      const sharing = owners.ofAll([row.rootHash!, ...sharedWith.map((other) => all[other]!)])
      return {
        snapshotId: row.id,
        deviceNames: devices.filter((device) => device.snapshotId === row.id).map((device) => device.deviceName),
        sizeGib: row.sizeGib,
        ...bytes,
        sharedBytes: bytes.storedBytes - bytes.uniqueBytes,
        sharedWith: { snapshots: sharing.snapshots.length - 1, volumes: sharing.volumes.length },
        staysBecause: reasons[index]!,
      }
    })
    return { imageId, name: image.name, region, snapshots: costs, freedBytes: usage.freedBytes }
  }

  async difference(region: string, beforeId: string, afterId: string): Promise<RootDifference> {
    const [before, after] = [await this.#readable(region, beforeId), await this.#readable(region, afterId)]
    return await this.#deps.blocks.difference({ region, before: before.rootHash, after: after.rootHash })
  }

  /** The same, and the files that changed. */
  async fileDifference(region: string, beforeId: string, afterId: string, progress: Progress = {}) {
    const sides = { before: await this.#readable(region, beforeId), after: await this.#readable(region, afterId) }
    const [before, after] = [sides.before.rootHash, sides.after.rootHash]
    const blocks = await this.#deps.blocks.difference({ region, before, after })
    const fileSystems = await new SnapshotFiles(this.#deps).difference(region, sides, blocks, progress)
    return { ...blocks, fileSystems }
  }

  /** Everything live but those snapshots: what somebody else needs of a root of theirs stays with it. */
  async #others(region: string, ids: readonly string[]) {
    const { state } = this.#deps
    const own = new Set(ids)
    const rooted = await state.snapshots.rooted(region)
    const ownRoots = new Set(rooted.filter((row) => own.has(row.id)).map((row) => row.rootHash))
    const shared = new Set([
      ...rooted.filter((row) => !own.has(row.id)).map((row) => row.rootHash),
      ...(await state.volumes.based(region)).map((row) => row.baseRoot),
    ])
    const { roots, blocks } = await this.#live.of(region)
    return { roots: [...new Set(roots)].filter((root) => shared.has(root) || !ownRoots.has(root)), blocks }
  }

  /** As `Images.deregister` sees it: a snapshot that another image names, or that is another account's, is left. */
  async #whyItStays(image: Image, snapshot: Snapshot): Promise<string | null> {
    if (snapshot.accountId !== image.accountId) return `it belongs to account ${snapshot.accountId}`
    const users = await this.#deps.state.images.usingSnapshot(snapshot.id)
    const other = users.find((id) => id !== image.id)
    return other === undefined ? null : `${other} is made of it too`
  }

  async #image(region: string, imageId: string): Promise<Image> {
    const image = await this.#deps.state.images.get(imageId)
    if (image?.region === region && image.state !== 'deregistered') return image
    throw new KilnError('InvalidAMIID.NotFound', `The image id '[${imageId}]' does not exist in ${region}`)
  }

  async #readable(region: string, snapshotId: string): Promise<Snapshot & { rootHash: string }> {
    const snapshot = await this.#deps.state.snapshots.get(snapshotId)
    if (!snapshot || snapshot.region !== region || snapshot.state === 'deleted') {
      throw new KilnError('InvalidSnapshot.NotFound', `The snapshot '${snapshotId}' does not exist in ${region}.`)
    }
    const { rootHash } = snapshot
    if (rootHash) return { ...snapshot, rootHash }
    throw new KilnError('IncorrectState', `Snapshot '${snapshotId}' is ${snapshot.state}: it has no content yet`)
  }
}
