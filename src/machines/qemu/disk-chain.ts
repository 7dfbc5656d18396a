/**
 * A disk's chain as QEMU block nodes. The files record no backing: every link is named here, and the lowest layer says
 * `backing: null` when there is no base, so that a file's own header can never lead QEMU to another file.
 *
 * Node names carry the volume and the layer, so that a process which did not build the graph still finds its way in it.
 * QEMU allows 31 characters: 20 of the volume's serial, a dot, 8 of the path's hash, `-f` for the layer's file.
 */
import { createHash } from 'node:crypto'
import type { DiskChain, MachineDisk, ServedBase } from '../driver.ts'

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
  return `${diskSerial(volumeId)}.${createHash('sha256').update(path).digest('hex').slice(0, 8)}`
}

/** Whether a node is one of that volume's layers, and not its base or its filter. */
export function isLayerNode(nodeName: string, volumeId: string): boolean {
  return isNodeOf(nodeName, volumeId) && /^[0-9a-f]{8}$/.test(nodeName.slice(nodeName.indexOf('.') + 1))
}

export function isNodeOf(nodeName: string, volumeId: string): boolean {
  return nodeName.startsWith(`${diskSerial(volumeId)}.`)
}

/** The node that the device uses. It only passes on, so that what lies under it can be changed while the guest runs. */
export function deviceNodeName(volumeId: string): string {
  return `${diskSerial(volumeId)}.dev`
}

export function deviceNode(volumeId: string, under: string): BlockNode {
  return { driver: 'raw', 'node-name': deviceNodeName(volumeId), discard: 'unmap', file: under }
}

/** One file of a disk. A sealed one is opened with the disk's secret, which the process must have already. */
interface LayerFile {
  path: string
  isSealed: boolean
}

/** The secret object that holds a disk's key. */
export function secretName(volumeId: string): string {
  return `${diskSerial(volumeId)}.key`
}

const seal = (volumeId: string, isSealed: boolean) =>
  isSealed ? { encrypt: { format: 'luks', 'key-secret': secretName(volumeId) } } : {}

/**
 * The layer that the guest writes. Blocks of zeros that it writes, and what it discards, take no room: which parts of a
 * sealed disk are in use can be seen from outside.
 */
export function writableLayer(volumeId: string, { path, isSealed }: LayerFile, backing: string | null): BlockNode {
  const name = layerNodeName(volumeId, path)
  return {
    driver: 'qcow2',
    'node-name': name,
    discard: 'unmap',
    'detect-zeroes': 'unmap',
    ...seal(volumeId, isSealed),
    backing,
    file: { driver: 'file', 'node-name': fileOf(name), filename: path, discard: 'unmap' },
  }
}

export function frozenLayer(
  volumeId: string,
  { path, isSealed }: LayerFile,
  backing: string | null,
  locking: 'auto' | 'off' = 'auto',
): BlockNode {
  const name = layerNodeName(volumeId, path)
  return {
    driver: 'qcow2',
    'node-name': name,
    'read-only': true,
    ...seal(volumeId, isSealed),
    backing,
    file: { driver: 'file', 'node-name': fileOf(name), filename: path, 'read-only': true, locking },
  }
}

const fileOf = (layerNode: string) => `${layerNode}-f`

/** A layer's node as QEMU wants it named when its options are changed: its file stays the one that is open. */
export function reopened(layer: BlockNode, backing: string): BlockNode {
  return { ...layer, backing, file: fileOf(layer['node-name']) }
}

export const baseNodeName = (volumeId: string, base: NonNullable<DiskChain['base']>) =>
  `${diskSerial(volumeId)}.${'path' in base ? 'local' : 'base'}`

export function baseNode(volumeId: string, base: NonNullable<DiskChain['base']>, isSealed: boolean): BlockNode {
  const common = { 'node-name': baseNodeName(volumeId, base), 'read-only': true }
  // The file does not change any more, and a snapshot's reader may open it at the same time.
  if ('path' in base) {
    const file = { driver: 'file', filename: base.path, 'read-only': true, locking: 'off' }
    if (isSealed) return { driver: 'qcow2', ...common, ...seal(volumeId, true), backing: null, file }
    return { driver: 'raw', ...common, file }
  }
  return {
    driver: 'nbd',
    ...common,
    ...serverOptions(base),
  }
}

const serverOptions = ({ socketPath, exportName }: ServedBase) => ({
  server: { type: 'unix', path: socketPath },
  export: exportName,
  'reconnect-delay': reconnectSeconds,
  'open-timeout': openTimeoutSeconds,
})

/**
 * The nodes of a machine's disk, each after what it stands on; the device uses the last. Over a served base lies a
 * copy-on-read filter: what was read once from the block server is read from the top layer ever after.
 */
export function writableChain(volumeId: string, chain: DiskChain): BlockNode[] {
  const nodes = stack(volumeId, chain, (file, backing, isTop) =>
    isTop ? writableLayer(volumeId, file, backing) : frozenLayer(volumeId, file, backing),
  )
  if (chain.base && !('path' in chain.base)) {
    const file = nodes.at(-1)!['node-name']
    nodes.push({ driver: 'copy-on-read', 'node-name': copyOnReadName(volumeId), file, discard: 'unmap' })
  }
  return [...nodes, deviceNode(volumeId, nodes.at(-1)!['node-name'])]
}

/** The nodes of a disk that a machine uses; the device uses the last. */
export function machineNodes({ volumeId, chain, shared }: MachineDisk): BlockNode[] {
  if (!shared) return writableChain(volumeId, chain)
  const name = `${diskSerial(volumeId)}.shared`
  const node = { driver: 'nbd', 'node-name': name, discard: 'unmap', ...serverOptions(shared) }
  return [node, deviceNode(volumeId, name)]
}

export const copyOnReadName = (volumeId: string) => `${diskSerial(volumeId)}.cor`

/**
 * The nodes of a chain that is only read, while a machine may hold its files: no locks are taken, which is safe because
 * frozen layers do not change.
 */
export function readableChain(volumeId: string, chain: DiskChain): BlockNode[] {
  return stack(volumeId, chain, (file, backing) => frozenLayer(volumeId, file, backing, 'off'))
}

function stack(
  volumeId: string,
  chain: DiskChain,
  layer: (file: LayerFile, backing: string | null, isTop: boolean) => BlockNode,
): BlockNode[] {
  if (chain.layers.length === 0) throw new Error(`the disk ${volumeId} has no layer`)
  const isSealed = chain.key !== null
  const nodes = chain.base ? [baseNode(volumeId, chain.base, isSealed)] : []
  for (const [index, path] of chain.layers.entries()) {
    nodes.push(layer({ path, isSealed }, nodes.at(-1)?.['node-name'] ?? null, index === chain.layers.length - 1))
  }
  return nodes
}
