/**
 * Putting new empty layers on a running machine's disks, all at one instant: QEMU drains every disk concerned, flushes
 * it, and goes on writing to the new layers; what lies below does not change any more.
 */
import { isLayerNode, layerNodeName, writableLayer } from './disk-chain.ts'
import { hasSecret } from './disk-secrets.ts'
import type { QmpConnection } from './qmp.ts'

interface NamedNode {
  'node-name': string
  /** How many layers it stands on. A layer that was added and not put to use yet stands on none. */
  backing_file_depth: number
}

interface Overlay {
  node: string
  overlay: string
}

/** Draining waits for reads that are under way, and those may wait for a block server that is away. */
const freezeTimeoutMs = 90_000

/** `atRest` is called when everything is ready, and calls the last step, which takes milliseconds, when it should be done. */
export async function freezeDisks(
  qmp: QmpConnection,
  tops: readonly { volumeId: string; newLayerPath: string }[],
  atRest: (step: () => Promise<void>) => Promise<void> = (step) => step(),
): Promise<void> {
  // Not the flat form of the answer: that one tells no depths.
  const nodes = await qmp.execute<NamedNode[]>('query-named-block-nodes')
  const added: string[] = []
  const overlays: Overlay[] = []
  try {
    for (const { volumeId, newLayerPath } of tops) {
      const overlay = layerNodeName(volumeId, newLayerPath)
      const known = nodes.find((node) => node['node-name'] === overlay)
      if (known && known.backing_file_depth > 0) continue
      const node = topLayer(nodes, volumeId, overlay)
      if (!known) {
        const layer = { path: newLayerPath, isSealed: await hasSecret(qmp, volumeId) }
        await qmp.execute('blockdev-add', writableLayer(volumeId, layer, null))
        added.push(overlay)
      }
      overlays.push({ node, overlay })
    }
    if (overlays.length === 0) return
    const actions = overlays.map((data) => ({ type: 'blockdev-snapshot', data }))
    await atRest(async () => {
      await qmp.execute('transaction', { actions }, freezeTimeoutMs)
    })
  } catch (error) {
    // QEMU refuses to remove a layer that is in use: one of a freeze that took place although its answer got lost.
    for (const layer of added) await qmp.execute('blockdev-del', { 'node-name': layer }).catch(() => {})
    throw error
  }
}

function topLayer(nodes: readonly NamedNode[], volumeId: string, except: string): string {
  const layers = nodes.filter((node) => isLayerNode(node['node-name'], volumeId) && node['node-name'] !== except)
  const top = layers.sort((a, b) => b.backing_file_depth - a.backing_file_depth)[0]
  if (!top) throw new Error(`the machine has no disk ${volumeId}`)
  return top['node-name']
}
