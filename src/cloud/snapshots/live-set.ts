/**
 * What must stay in a region's block store, gathered from everybody who needs something there. Whoever keeps roots or
 * blocks that no snapshot, volume or operation names adds a source to {@link liveSetOf}.
 */
import type { StoreDeps } from '../deps.ts'
import type { LiveObjects } from '../ports.ts'
import type { PublicImage } from '../regions/regions.ts'

/** A source must name all that it needed at any moment while it was asked: things change hands meanwhile. */
export type LiveSource = (region: string) => Promise<LiveObjects>

export class LiveSet {
  readonly #sources: LiveSource[] = []

  add(source: LiveSource): void {
    this.#sources.push(source)
  }

  async of(region: string): Promise<LiveObjects> {
    const live: LiveObjects = { roots: [], blocks: [] }
    for (const source of this.#sources) {
      const { roots, blocks } = await source(region)
      live.roots.push(...roots)
      live.blocks.push(...blocks)
    }
    return live
  }
}

/** All sources: the daemon and a check of a home that no daemon serves must see the same. */
export function liveSetOf(deps: StoreDeps, publicImages: readonly Pick<PublicImage, 'store' | 'root'>[]): LiveSet {
  const live = new LiveSet()
  live.add(rootsOfState(deps))
  live.add(blocksOfUploads(deps))
  live.add(rootsOfPublicImages(publicImages))
  return live
}

/** Snapshots; volumes, which read their snapshot for as long as it lies under them; and work that is not done. */
export function rootsOfState({ state }: StoreDeps): LiveSource {
  return async (region) => {
    // In the order in which roots change hands: from an operation to its snapshot, from a snapshot to volumes of it, and
    // to copies that were asked for.
    const before = await state.operations.unfinishedData()
    const snapshots = await state.snapshots.rooted(region)
    const volumes = await state.volumes.based(region)
    const after = await state.operations.unfinishedData()
    const operations = [...before, ...after].map(({ region: place, input, data }) => ({
      ...{ place, input: JSON.parse(input) as CopyLike, data: JSON.parse(data) as { root?: string } },
    }))
    const brought = operations.flatMap(({ place, data }) => (place === region && data.root ? [data.root] : []))
    const sources = operations.flatMap(({ input }) =>
      input.sourceRegion === region ? [input.sourceSnapshotId ?? [], input.sourceSnapshotIds ?? []].flat() : [],
    )
    const copied = (await state.snapshots.many([...new Set(sources)])).flatMap((row) => row.rootHash ?? [])
    const roots = [
      ...brought,
      ...snapshots.map((row) => row.rootHash),
      ...volumes.map((row) => row.baseRoot),
      ...copied,
    ]
    return { roots: [...new Set(roots)], blocks: [] }
  }
}

/** Snapshots that are being written block by block: no leaf names their blocks yet. */
export function blocksOfUploads({ state, blocks }: StoreDeps): LiveSource {
  return async (region) => {
    const { hashes, parentRoots } = await state.snapshotUploads.needed(region)
    return { roots: parentRoots, blocks: hashes.filter((hash) => hash !== blocks.contents.zeroHash) }
  }
}

/** What an unfinished copy or export was asked: its source stays readable, also when it is deleted meanwhile. */
interface CopyLike {
  sourceSnapshotId?: string
  sourceSnapshotIds?: string[]
  sourceRegion?: string
}

/** Stores of public images hold what regions that open later will need. */
export function rootsOfPublicImages(images: readonly Pick<PublicImage, 'store' | 'root'>[]): LiveSource {
  return async (region) => ({
    roots: images.filter((image) => image.store === region).map((image) => image.root),
    blocks: [],
  })
}
