/** The device that a guest sees of a volume, and the names by which QEMU knows it. */
import type { MachineDisk } from '../driver.ts'
import { deviceNodeName, diskSerial } from './disk-chain.ts'

/**
 * An error of the host (no space, block server gone) pauses the guest instead of reaching its file system: once the host
 * is well again the guest goes on where it was.
 */
export function diskDevice({ volumeId, slot }: MachineDisk) {
  const serial = diskSerial(volumeId)
  return {
    driver: 'virtio-blk-pci',
    id: serial,
    serial,
    drive: deviceNodeName(volumeId),
    bus: `port${slot}`,
    bootindex: slot,
    werror: 'stop',
    rerror: 'stop',
  }
}

/** Where devices lie that were given an id, plugged in at the start or later. */
export const peripheralPath = '/machine/peripheral'

/** The part of the device that reads and writes. */
export function devicePathOfIo(volumeId: string): string {
  return `${peripheralPath}/${diskSerial(volumeId)}/virtio-backend`
}
