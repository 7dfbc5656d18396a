/** Disks that come, go, grow and are held back while the machine runs. Everything here may be asked for again. */
import { type Clock, waitFor } from '../../lib/clock.ts'
import { messageOf } from '../../lib/errors.ts'
import type { DiskChain, DiskLimits, MachineDisk } from '../driver.ts'
import {
  baseNode,
  baseNodeName,
  copyOnReadName,
  deviceNode,
  deviceNodeName,
  diskSerial,
  frozenLayer,
  isLayerNode,
  isNodeOf,
  layerNodeName,
  machineNodes,
  reopened,
  writableLayer,
} from './disk-chain.ts'
import { devicePathOfIo, diskDevice, peripheralPath } from './disk-device.ts'
import { addSecret, explained, removeSecret } from './disk-secrets.ts'
import type { QmpConnection } from './qmp.ts'

/** How long a guest may take to let go of a disk before the caller is told that it has not yet. */
const letGoWithinMs = 5000
const lookEveryMs = 20
/** Opening a chain may wait for a block server that is just coming up. */
const openTimeoutMs = 30_000
const changeTimeoutMs = 90_000
/** EBS counts an operation of up to 256 KiB as one. */
const operationBytes = 256 * 1024

interface NamedNode {
  'node-name': string
}

interface SizedNode extends NamedNode {
  image: { 'virtual-size': number }
}

export async function plugDisk(qmp: QmpConnection, disk: MachineDisk): Promise<void> {
  const { volumeId, chain } = disk
  if (await isPlugged(qmp, volumeId)) {
    if (!(await wasTaken(qmp, volumeId))) return
    throw new Error(
      `${volumeId} was taken from this guest by force, and it has not let go of the device since: reboot it`,
    )
  }
  // Left by somebody who was killed between the nodes and the device.
  await release(qmp, volumeId)
  try {
    if (chain.key) await addSecret(qmp, { volumeId, key: chain.key })
    for (const node of machineNodes(disk)) await qmp.execute('blockdev-add', node, openTimeoutMs)
    await qmp.execute('device_add', diskDevice(disk))
    if (disk.limits) await limitDisk(qmp, volumeId, disk.limits)
  } catch (error) {
    if (!(await isPlugged(qmp, volumeId))) await release(qmp, volumeId)
    throw new Error(explained(messageOf(error)), { cause: error })
  }
}

export async function unplugDisk(
  qmp: QmpConnection,
  clock: Clock,
  volumeId: string,
  { force }: { force: boolean },
): Promise<boolean> {
  if (await isPlugged(qmp, volumeId)) {
    // Taken away by force before: the guest still has a device, which stands on nothing.
    if (await wasTaken(qmp, volumeId)) return true
    await qmp.execute('device_del', { id: diskSerial(volumeId) }).catch((error) => {
      // The guest was asked before and has not answered yet.
      if (!String(error).includes('already in the process of unplug')) throw error
    })
    const isGone = async () => ((await isPlugged(qmp, volumeId)) ? undefined : true)
    const timing = { everyMs: lookEveryMs, timeoutMs: letGoWithinMs }
    if (!(await waitFor(clock, isGone, timing))) {
      if (force) await takeAway(qmp, volumeId)
      return force
    }
  }
  await release(qmp, volumeId)
  return true
}

/** Lets go of all that a disk without a device has left. */
async function release(qmp: QmpConnection, volumeId: string): Promise<void> {
  await removeNodes(qmp, volumeId)
  await removeSecret(qmp, volumeId)
}

const voidNodeName = (volumeId: string) => `${diskSerial(volumeId)}.void`

async function wasTaken(qmp: QmpConnection, volumeId: string): Promise<boolean> {
  const names = await nodeNames(qmp)
  return names.includes(voidNodeName(volumeId)) && !names.some((name) => isLayerNode(name, volumeId))
}

/** Lets the device stand on nothing, so that the volume's files are free although the guest still holds the device. */
async function takeAway(qmp: QmpConnection, volumeId: string): Promise<void> {
  const name = voidNodeName(volumeId)
  if (!(await hasNode(qmp, name))) {
    const size = await sizeOf(qmp, volumeId)
    await qmp.execute('blockdev-add', { driver: 'null-co', 'node-name': name, size, 'read-zeroes': true })
  }
  await qmp.execute('blockdev-reopen', { options: [deviceNode(volumeId, name)] }, changeTimeoutMs)
  await removeNodes(qmp, volumeId, [name, deviceNodeName(volumeId)])
  await removeSecret(qmp, volumeId)
}

export async function resizeDisk(qmp: QmpConnection, volumeId: string, sizeBytes: number): Promise<void> {
  if ((await sizeOf(qmp, volumeId)) >= sizeBytes) return
  await qmp.execute('block_resize', { 'node-name': deviceNodeName(volumeId), size: sizeBytes }, changeTimeoutMs)
}

export async function limitDisk(qmp: QmpConnection, volumeId: string, limits: DiskLimits | null): Promise<void> {
  if (!(await isPlugged(qmp, volumeId))) throw new Error(`the machine has no disk ${volumeId}`)
  const { iops, burst, bytesPerSecond } = limits ?? { iops: null, burst: null, bytesPerSecond: null }
  await qmp.execute('block_set_io_throttle', {
    id: devicePathOfIo(volumeId),
    ...{ bps: bytesPerSecond ?? 0, bps_rd: 0, bps_wr: 0, iops: iops ?? 0, iops_rd: 0, iops_wr: 0 },
    ...(iops !== null && { iops_size: operationBytes }),
    ...(iops !== null && burst && { iops_max: burst.iops, iops_max_length: burst.seconds }),
  })
}

/**
 * Puts the local file in the place of the served base, and takes the copy-on-read filter out: nothing needs to be kept
 * that is local anyway.
 */
export async function localizeBase(qmp: QmpConnection, { volumeId, chain }: MachineDisk): Promise<void> {
  if (!(await isPlugged(qmp, volumeId))) throw new Error(`the machine has no disk ${volumeId}`)
  await switchBase(qmp, volumeId, chain)
}

/** The same for whoever holds the disk's files, be it a machine or not. */
export async function switchBase(
  qmp: QmpConnection,
  volumeId: string,
  { base, layers, key }: DiskChain,
): Promise<void> {
  if (!base || !('path' in base)) throw new Error(`${volumeId} has no local base`)
  const served = baseNodeName(volumeId, { socketPath: '', exportName: '' })
  if (!(await hasNode(qmp, served))) return
  const local = baseNodeName(volumeId, base)
  const isSealed = key !== null
  if (!(await hasNode(qmp, local))) await qmp.execute('blockdev-add', baseNode(volumeId, base, isSealed))
  const lowest = { path: layers[0]!, isSealed }
  const layer = layers.length === 1 ? writableLayer(volumeId, lowest, null) : frozenLayer(volumeId, lowest, null)
  const device = deviceNode(volumeId, layerNodeName(volumeId, layers.at(-1)!))
  // One after the other, in this order. QEMU 7.2 opens a layer's file anew not while the layer is reopened, but at the next
  // change of the graph above it, and closes the file under requests that are under way. Reopening the device's node is
  // such a change for which the disk is drained; the removal of the filter is one for which it is not.
  await qmp.execute('blockdev-reopen', { options: [reopened(layer, local)] }, changeTimeoutMs)
  await qmp.execute('blockdev-reopen', { options: [device] }, changeTimeoutMs)
  for (const name of [copyOnReadName(volumeId), served]) {
    if (await hasNode(qmp, name)) await qmp.execute('blockdev-del', { 'node-name': name })
  }
}

async function isPlugged(qmp: QmpConnection, volumeId: string): Promise<boolean> {
  const devices = await qmp.execute<{ name: string }[]>('qom-list', { path: peripheralPath })
  return devices.some(({ name }) => name === diskSerial(volumeId))
}

async function nodeNames(qmp: QmpConnection): Promise<string[]> {
  const nodes = await qmp.execute<NamedNode[]>('query-named-block-nodes', { flat: true })
  return nodes.map((node) => node['node-name'])
}

async function hasNode(qmp: QmpConnection, name: string): Promise<boolean> {
  return (await nodeNames(qmp)).includes(name)
}

async function sizeOf(qmp: QmpConnection, volumeId: string): Promise<number> {
  const nodes = await qmp.execute<SizedNode[]>('query-named-block-nodes', { flat: true })
  const node = nodes.find((each) => each['node-name'] === deviceNodeName(volumeId))
  if (!node) throw new Error(`the machine has no disk ${volumeId}`)
  return node.image['virtual-size']
}

/** Removes what no device uses: QEMU lets go of a node only when nothing stands on it, so it takes as many rounds as layers. */
async function removeNodes(qmp: QmpConnection, volumeId: string, except: readonly string[] = []): Promise<void> {
  for (;;) {
    const names = (await nodeNames(qmp)).filter((name) => isNodeOf(name, volumeId) && !name.endsWith('-f'))
    const removed = await Promise.all(
      names
        .filter((name) => !except.includes(name))
        .map((name) =>
          qmp.execute('blockdev-del', { 'node-name': name }, changeTimeoutMs).then(
            () => true,
            () => false,
          ),
        ),
    )
    if (!removed.includes(true)) return
  }
}
