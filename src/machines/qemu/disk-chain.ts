/**
 * A disk's chain as QEMU block nodes. The files record no backing: every link is named here, and the lowest layer says
 * `backing: null` when there is no base, so that a file's own header can never lead QEMU to another file.
 *
 * Node names carry the volume and the layer, so that a process which did not build the graph still finds its way in it.
 * QEMU allows 31 characters: 20 of the volume's serial, a dot, 10 of the path's hash.
 */
import { createHash } from 'node:crypto'
import type { DiskChain } from '../driver.ts'

/** One object of QMP's `BlockdevOptions`. */
export type BlockNode = Readonly<Record<string, unknown>> & { driver: string; 'node-name': string }

/**
 * How long a read waits for a block server that went away. After that it fails, which pauses the guest (`rerror=stop`)
 * until a retry succeeds; so this bounds how long QEMU's own commands can be held up, not how long an outage may last.
 */
const reconnectSeconds = 60
/** How long a start waits for a block server that is just coming up. */
const openTimeoutSeconds = 10

/** What the guest sees as the disk's serial: at most 20 characters, so the dash goes. */
export function diskSerial(volumeId: string): string {
  return volumeId.replace('-', '')
}

export function layerNodeName(volumeId: string, path: string): string {
  return `${diskSerial(volumeId)}.${createHash('sha256').update(path).digest('hex').slice(0, 10)}`
}

/** Whether a node is one of that volume's layers, and not its base or its filter. */
export function isLayerNode(nodeName: string, volumeId: string): boolean {
  return (
    nodeName.startsWith(`${diskSerial(volumeId)}.`) && /^[0-9a-f]{10}$/.test(nodeName.slice(nodeName.indexOf('.') + 1))
  )
}

/** The layer that the guest writes. Blocks of zeros that it writes, and what it discards, take no room. */
export function writableLayer(volumeId: string, path: string, backing: string | null): BlockNode {
  return {
    driver: 'qcow2',
    'node-name': layerNodeName(volumeId, path),
    discard: 'unmap',
    'detect-zeroes': 'unmap',
    backing,
    file: { driver: 'file', filename: path, discard: 'unmap' },
  }
}

function frozenLayer(volumeId: string, path: string, backing: string | null, locking: 'auto' | 'off'): BlockNode {
  return {
    driver: 'qcow2',
    'node-name': layerNodeName(volumeId, path),
    'read-only': true,
    backing,
    file: { driver: 'file', filename: path, 'read-only': true, locking },
  }
}

function baseNode(volumeId: string, base: NonNullable<DiskChain['base']>): BlockNode {
  return {
    driver: 'nbd',
    'node-name': `${diskSerial(volumeId)}.base`,
    'read-only': true,
    server: { type: 'unix', path: base.socketPath },
    export: base.exportName,
    'reconnect-delay': reconnectSeconds,
    'open-timeout': openTimeoutSeconds,
  }
}

/**
 * The nodes of a machine's disk, each after what it stands on; the device uses the last. Over a base that is a
 * copy-on-read filter: what was read once from the block server is read from the top layer ever after.
 */
export function writableChain(volumeId: string, chain: DiskChain): BlockNode[] {
  const nodes = stack(volumeId, chain, (path, backing, isTop) =>
    isTop ? writableLayer(volumeId, path, backing) : frozenLayer(volumeId, path, backing, 'auto'),
  )
  if (chain.base) {
    nodes.push({
      driver: 'copy-on-read',
      'node-name': `${diskSerial(volumeId)}.cor`,
      file: nodes.at(-1)!['node-name'],
      discard: 'unmap',
    })
  }
  return nodes
}

/**
 * The nodes of a chain that is only read, while a machine may hold its files: no locks are taken, which is safe because
 * frozen layers do not change.
 */
export function readableChain(volumeId: string, chain: DiskChain): BlockNode[] {
  return stack(volumeId, chain, (path, backing) => frozenLayer(volumeId, path, backing, 'off'))
}

function stack(
  volumeId: string,
  chain: DiskChain,
  layer: (path: string, backing: string | null, isTop: boolean) => BlockNode,
): BlockNode[] {
  if (chain.layers.length === 0) throw new Error(`the disk ${volumeId} has no layer`)
  const nodes = chain.base ? [baseNode(volumeId, chain.base)] : []
  for (const [index, path] of chain.layers.entries()) {
    nodes.push(layer(path, nodes.at(-1)?.['node-name'] ?? null, index === chain.layers.length - 1))
  }
  return nodes
}
