/**
 * Block device mappings: what an image says, what a launch or a registration changes about it, and the volumes that come
 * of both. Source: "Block device mappings for volumes on Amazon EC2 instances".
 */
import { KilnError } from '../lib/errors.ts'
import { limits } from '../lib/limits.ts'
import type { ImageBlockDevice } from '../state/images.ts'
import type { Snapshot } from '../state/snapshots.ts'
import { isProvisioned, mappedParameters, volumeShape } from './volumes/volume-types.ts'

/** One entry of a request; what it leaves out is the image's or the type's default. */
export interface DeviceWish {
  deviceName: string
  noDevice: boolean
  virtualName?: string
  /** Present when the entry is about an EBS volume. */
  ebs?: {
    snapshotId?: string
    sizeGib?: number
    volumeType?: string
    iops?: number
    throughput?: number
    /** MiB a second; only a launch takes it. */
    initializationRate?: number
    deleteOnTermination?: boolean
    encrypted?: boolean
    kmsKeyId?: string
  }
}

export type Device = Omit<ImageBlockDevice, 'imageId' | 'ordinal'>

export const devicePattern =
  /^(\/dev\/(sd[a-z]{1,2}\d{0,2}|xvd[a-z]{1,2}\d{0,2}|hd[a-z]\d{0,2}|nvme\d+n\d+)|sd[a-z]{1,2}\d{0,2}|xvd[a-z]{1,2}\d{0,2})$/
const virtualNamePattern = /^ephemeral\d{1,2}$/

function checkWishes(wishes: readonly DeviceWish[]): void {
  const seen = new Set<string>()
  if (wishes.length > limits.disksPerInstance) throw tooMany()
  for (const { deviceName, virtualName, ebs } of wishes) {
    if (!devicePattern.test(deviceName)) {
      throw new KilnError('InvalidBlockDeviceMapping', `Invalid device name ${deviceName}`)
    }
    if (seen.has(deviceName)) {
      throw new KilnError('InvalidBlockDeviceMapping', `Duplicate device name ${deviceName} in BlockDeviceMapping`)
    }
    seen.add(deviceName)
    if (virtualName !== undefined && !virtualNamePattern.test(virtualName)) {
      throw new KilnError('InvalidBlockDeviceMapping', `Invalid virtual name '${virtualName}' for device ${deviceName}`)
    }
    if (virtualName !== undefined && ebs) {
      throw new KilnError(
        'InvalidBlockDeviceMapping',
        `Device ${deviceName} cannot be both ephemeral and an EBS volume`,
      )
    }
  }
}

/**
 * Lays wishes over what there is. Entries for known devices change them, others are added, NoDevice removes.
 * `snapshotOf` finds a snapshot that the caller may read, or throws InvalidSnapshot.NotFound; it is told whether the
 * snapshot was there (and the wish only changes other things) or comes with the wish.
 */
export async function mergeDevices(
  present: readonly Device[],
  wishes: readonly DeviceWish[],
  snapshotOf: (id: string, isPresent: boolean) => Promise<Snapshot>,
): Promise<Device[]> {
  checkWishes(wishes)
  const devices = new Map(present.map((device) => [device.deviceName, device]))
  for (const wish of wishes) {
    if (wish.noDevice) devices.delete(wish.deviceName)
    else devices.set(wish.deviceName, await wishedDevice(devices.get(wish.deviceName), wish, snapshotOf))
  }
  const merged = [...devices.values()]
  if (merged.filter((device) => device.sizeGib !== null).length > limits.disksPerInstance) throw tooMany()
  return merged
}

async function wishedDevice(
  present: Device | undefined,
  { deviceName, virtualName, ebs }: DeviceWish,
  snapshotOf: (id: string, isPresent: boolean) => Promise<Snapshot>,
): Promise<Device> {
  if (virtualName !== undefined) return { ...noVolume, deviceName, virtualName }
  if (!ebs) {
    throw new KilnError('InvalidBlockDeviceMapping', `The device ${deviceName} needs an Ebs, VirtualName or NoDevice`)
  }
  const snapshotId = ebs.snapshotId ?? present?.snapshotId ?? null
  const snapshot = snapshotId ? await snapshotOf(snapshotId, snapshotId === present?.snapshotId) : undefined
  const sizeGib = ebs.sizeGib ?? present?.sizeGib ?? snapshot?.sizeGib
  if (sizeGib === undefined) {
    throw new KilnError(
      'MissingParameter',
      `The request must contain the parameter size or snapshotId for ${deviceName}`,
    )
  }
  if (snapshot && sizeGib < snapshot.sizeGib) {
    throw new KilnError(
      'InvalidBlockDeviceMapping',
      `Volume of size ${sizeGib}GB is smaller than snapshot '${snapshot.id}', expect size>= ${snapshot.sizeGib}GB (BlockDeviceMapping.Ebs.VolumeSize of ${deviceName})`,
    )
  }
  // Figures that were provisioned stay with their volume type; those that follow from the size follow the new size.
  const type = ebs.volumeType ?? present?.volumeType
  const keepsFigures = type === present?.volumeType && isProvisioned(type)
  const shape = volumeShape(
    {
      sizeGib,
      volumeType: type,
      iops: ebs.iops ?? (keepsFigures ? present?.iops : null),
      throughput: ebs.throughput ?? (keepsFigures ? present?.throughput : null),
    },
    mappedParameters(deviceName),
  )
  return {
    ...shape,
    deviceName,
    snapshotId,
    deleteOnTermination: (ebs.deleteOnTermination ?? present?.deleteOnTermination !== 0) ? 1 : 0,
    // What a snapshot holds decides for it; a volume that begins empty is as it was asked to be.
    encrypted: snapshot ? snapshot.encrypted : (ebs.encrypted ?? present?.encrypted === 1) ? 1 : 0,
    virtualName: null,
  }
}

/**
 * Throws InvalidBlockDeviceMapping when the mapping of an image says of encryption what only a launch may say. Source:
 * EbsBlockDevice in the EC2 API reference. `present` are volumes that the image is made of.
 */
export function checkImageEncryption(present: readonly Device[], wishes: readonly DeviceWish[]): void {
  for (const { deviceName, ebs } of wishes) {
    if (ebs?.kmsKeyId !== undefined) {
      throw new KilnError(
        'InvalidBlockDeviceMapping',
        `An image names no key: BlockDeviceMapping.Ebs.KmsKeyId of ${deviceName} is for launches`,
      )
    }
    if (ebs?.encrypted === undefined) continue
    if (ebs.snapshotId !== undefined) {
      throw new KilnError(
        'InvalidBlockDeviceMapping',
        `the encrypted flag cannot be specified since device ${deviceName} has a snapshot specified.`,
      )
    }
    const volume = present.find((device) => device.deviceName === deviceName && device.sizeGib !== null)
    if (!volume || (volume.encrypted === 1) === ebs.encrypted) continue
    throw new KilnError(
      'InvalidBlockDeviceMapping',
      `The volume at ${deviceName} is ${volume.encrypted ? '' : 'not '}encrypted, and an image of it too (BlockDeviceMapping.Ebs.Encrypted)`,
    )
  }
}

const tooMany = () =>
  new KilnError(
    'InvalidBlockDeviceMapping',
    `At most ${limits.disksPerInstance} block devices are supported (BlockDeviceMapping)`,
  )

const noVolume = {
  snapshotId: null,
  sizeGib: null,
  volumeType: null,
  iops: null,
  throughput: null,
  deleteOnTermination: 0,
  encrypted: 0,
} as const
