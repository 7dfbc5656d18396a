/** Whose a root of a region's store is. */
import type { StoreDeps } from '../deps.ts'

export interface RootOwners {
  snapshots: string[]
  /** Images that name one of the snapshots. */
  images: string[]
  /** Volumes that still read the root. */
  volumes: string[]
}

export interface RootOwnership {
  of(root: string): RootOwners
  ofAll(roots: readonly string[]): RootOwners
}

export async function rootOwners({ state }: StoreDeps, region: string): Promise<RootOwnership> {
  const snapshots = Map.groupBy(await state.snapshots.rooted(region), (row) => row.rootHash)
  const volumes = Map.groupBy(await state.volumes.based(region), (row) => row.baseRoot)
  const uses = Map.groupBy(await state.images.snapshotUses(region), (use) => use.snapshotId)
  const ofAll = (roots: readonly string[]): RootOwners => {
    const distinct = [...new Set(roots)]
    const ids = distinct.flatMap((root) => snapshots.get(root)?.map((row) => row.id) ?? [])
    return {
      snapshots: ids,
      images: [...new Set(ids.flatMap((id) => uses.get(id)?.map((use) => use.imageId) ?? []))],
      volumes: distinct.flatMap((root) => volumes.get(root)?.map((row) => row.id) ?? []),
    }
  }
  return { of: (root) => ofAll([root]), ofAll }
}
