/** Network cards: the first one is part of the machine, others come and go while it runs. */
import { type Clock, waitFor } from '../../lib/clock.ts'
import type { NicAttachment } from '../../network/driver.ts'
import type { MachineNic } from '../driver.ts'
import { peripheralPath } from './disk-device.ts'
import type { QmpConnection } from './qmp.ts'

/** How long a guest may take to let go of a card before the caller is told that it has not yet. */
const letGoWithinMs = 5000
const lookEveryMs = 20

const cardId = (index: number) => `nic${index}`
const backendId = (index: number) => `net${index}`
export const cardPort = (index: number) => `nicport${index}`

type Options = Readonly<Record<string, string>>

/** What carries a card's packets; undefined for a card that is not there. */
export function backendOf(index: number, attachment: NicAttachment): Options | undefined {
  if (attachment.kind !== 'tap') return undefined
  return { type: 'tap', id: backendId(index), ifname: attachment.ifname, script: 'no', downscript: 'no' }
}

/** Without an option ROM: nothing here boots from the network, and the ROM costs boot time. */
export function cardOf({ index, mac }: MachineNic): Options {
  const place = { id: cardId(index), netdev: backendId(index), mac, bus: cardPort(index) }
  return { driver: 'virtio-net-pci', ...place, romfile: '', 'disable-legacy': 'on' }
}

/** Nothing happens when it is there. Throws with the reason. */
export async function plugCard(qmp: QmpConnection, nic: MachineNic): Promise<void> {
  const backend = backendOf(nic.index, nic.attachment)
  if (!backend) return
  if (await isPlugged(qmp, nic.index)) {
    if (!(await wasCutOff(qmp, nic.index))) return
    throw new Error(
      `card ${nic.index} was cut off from this guest by force, and it has not let go of the device since: reboot it`,
    )
  }
  // Left by somebody who was killed between the two.
  await removeBackend(qmp, nic.index)
  await qmp.execute('netdev_add', backend)
  try {
    await qmp.execute('device_add', cardOf(nic))
  } catch (error) {
    await removeBackend(qmp, nic.index)
    throw error
  }
}

/** Whether the guest has let go of it. With `force` it is cut off from the network in any case. */
export async function unplugCard(
  qmp: QmpConnection,
  clock: Clock,
  index: number,
  { force }: { force: boolean },
): Promise<boolean> {
  if (await isPlugged(qmp, index)) {
    // The guest still has a card, which leads nowhere.
    if (await wasCutOff(qmp, index)) return true
    await qmp.execute('device_del', { id: cardId(index) }).catch((error) => {
      // The guest was asked before and has not answered yet.
      if (!String(error).includes('already in the process of unplug')) throw error
    })
    const isGone = async () => ((await isPlugged(qmp, index)) ? undefined : true)
    if (!(await waitFor(clock, isGone, { everyMs: lookEveryMs, timeoutMs: letGoWithinMs })) && !force) return false
  }
  await removeBackend(qmp, index)
  return true
}

async function isPlugged(qmp: QmpConnection, index: number): Promise<boolean> {
  const devices = await qmp.execute<{ name: string }[]>('qom-list', { path: peripheralPath })
  return devices.some(({ name }) => name === cardId(index))
}

/** Whether nothing carries a card's packets any more: only then can something of that name be made. */
async function wasCutOff(qmp: QmpConnection, index: number): Promise<boolean> {
  const probe = { type: 'user', id: backendId(index), restrict: true }
  try {
    await qmp.execute('netdev_add', probe)
  } catch (error) {
    if (String(error).includes('Duplicate')) return false
    throw error
  }
  await qmp.execute('netdev_del', { id: probe.id })
  return true
}

async function removeBackend(qmp: QmpConnection, index: number): Promise<void> {
  await qmp.execute('netdev_del', { id: backendId(index) }).catch((error) => {
    if (!String(error).includes('not found')) throw error
  })
}
