/** The devices of an instance as the block device mapping of an image that is made of it. */
import { KilnError } from '../../lib/errors.ts'
import type { Volume, VolumeAttachment } from '../../state/volumes.ts'
import type { Device } from '../block-devices.ts'

/** Every attached volume; each gets its snapshot later. */
export function devicesOf(attachments: readonly VolumeAttachment[], volumes: readonly Volume[]): Device[] {
  return attachments.map(({ volumeId, deviceName, deleteOnTermination }) => {
    const { sizeGib, volumeType, iops, throughput, encrypted } = volumes.find((row) => row.id === volumeId)!
    return {
      ...{ deviceName, deleteOnTermination, sizeGib, volumeType, iops, throughput },
      ...{ snapshotId: null, encrypted, virtualName: null },
    }
  })
}

/** What a request may not change about the devices of the instance that an image is made of. */
export function checkDevicesOfInstance(
  rootDeviceName: string,
  present: readonly Device[],
  devices: readonly Device[],
): void {
  if (!devices.some((device) => device.deviceName === rootDeviceName && device.sizeGib !== null)) {
    throw new KilnError(
      'InvalidBlockDeviceMapping',
      `The root device ${rootDeviceName} cannot be left out of an image (BlockDeviceMapping)`,
    )
  }
  for (const { deviceName, sizeGib } of present) {
    const wished = devices.find((device) => device.deviceName === deviceName)
    if (!wished || wished.sizeGib === null || wished.snapshotId !== null || wished.sizeGib >= sizeGib!) continue
    throw new KilnError(
      'InvalidBlockDeviceMapping',
      `Volume of size ${wished.sizeGib}GB is smaller than the volume at ${deviceName}, expect size>= ${sizeGib}GB (BlockDeviceMapping.Ebs.VolumeSize)`,
    )
  }
}
