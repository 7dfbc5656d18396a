/**
 * The files that a disk in the instance store is made of. It begins with one layer. A bundle that is made of a running root
 * freezes that, and what the guest writes from then on goes into a layer of the bundle's own, whose name says when it came and
 * for which bundle. Layers stay: they go with the instance.
 */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

export interface RootLayer {
  path: string
  /** What froze the layers below; null of the first. */
  taskId: string | null
}

const frozenPattern = /^root-(\d{4})\.(bun-[0-9a-f]{17})\.qcow2$/

export const firstLayer = (folder: string, virtualName: string) => join(folder, `${virtualName}.qcow2`)

/** Lowest first. */
export async function layersOfRoot(folder: string): Promise<RootLayer[]> {
  const names = (await readdir(folder).catch(() => [])).filter((name) => frozenPattern.test(name)).sort()
  const later = names.map((name) => ({ path: join(folder, name), taskId: frozenPattern.exec(name)![2]! }))
  return [{ path: firstLayer(folder, 'root'), taskId: null }, ...later]
}

export function nextLayer(folder: string, layers: readonly RootLayer[], taskId: string): RootLayer {
  return { path: join(folder, `root-${String(layers.length).padStart(4, '0')}.${taskId}.qcow2`), taskId }
}
