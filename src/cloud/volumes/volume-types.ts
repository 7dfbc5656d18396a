/**
 * What a volume may be, by type. Source: "Amazon EBS volume types" and the parameter descriptions of CreateVolume.
 * Sizes are GiB, IOPS are operations a second, throughput is MiB a second.
 */
import { KilnError } from '../../lib/errors.ts'

interface VolumeType {
  sizeGib: readonly [min: number, max: number]
  /** The range that may be asked for; absent where the type gives what its size gives. */
  iops?: readonly [min: number, max: number]
  iopsPerGib?: number
  iopsRequired?: boolean
  iopsDefault?: (sizeGib: number) => number
  throughput?: readonly [min: number, max: number]
  throughputDefault?: number
  throughputPerIops?: number
}

export const volumeTypes: Readonly<Record<string, VolumeType>> = {
  gp2: { sizeGib: [1, 16_384], iopsDefault: (size) => Math.min(16_000, Math.max(100, size * 3)) },
  gp3: {
    sizeGib: [1, 65_536],
    iops: [3000, 80_000],
    iopsPerGib: 500,
    iopsDefault: () => 3000,
    throughput: [125, 2000],
    throughputDefault: 125,
    throughputPerIops: 0.25,
  },
  io1: { sizeGib: [4, 16_384], iops: [100, 64_000], iopsPerGib: 50, iopsRequired: true },
  io2: { sizeGib: [4, 65_536], iops: [100, 256_000], iopsPerGib: 1000, iopsRequired: true },
  st1: { sizeGib: [125, 16_384] },
  sc1: { sizeGib: [125, 16_384] },
  standard: { sizeGib: [1, 1024] },
}

/** What EC2 takes when none is named. */
export const defaultVolumeType = 'gp2'

/** Whether IOPS can be asked for with that type. */
export function isProvisioned(type: string | null | undefined): boolean {
  return volumeTypes[type ?? defaultVolumeType]?.iops !== undefined
}

export interface VolumeShape {
  sizeGib: number
  volumeType: string
  iops: number | null
  throughput: number | null
}

/** What messages call the parameters: they stand alone in some requests, and inside of a mapping in others. */
export interface ShapeParameters {
  size: string
  volumeType: string
  iops: string
  throughput: string
}

export const volumeParameters: ShapeParameters = {
  size: 'Size',
  volumeType: 'VolumeType',
  iops: 'Iops',
  throughput: 'Throughput',
}

export function mappedParameters(deviceName: string): ShapeParameters {
  const ebs = `BlockDeviceMapping(${deviceName}).Ebs`
  return {
    size: `${ebs}.VolumeSize`,
    volumeType: `${ebs}.VolumeType`,
    iops: `${ebs}.Iops`,
    throughput: `${ebs}.Throughput`,
  }
}

/** Checks a wish against the type's rules and fills in what the type gives. */
export function volumeShape(
  wish: { sizeGib: number; volumeType?: string | null; iops?: number | null; throughput?: number | null },
  parameters: ShapeParameters,
): VolumeShape {
  const { sizeGib } = wish
  const volumeType = wish.volumeType ?? defaultVolumeType
  const rules = volumeTypes[volumeType]
  if (!rules)
    throw new KilnError('InvalidParameterValue', `Invalid value '${volumeType}' for ${parameters.volumeType}.`)
  const [min, max] = rules.sizeGib
  if (sizeGib < min || sizeGib > max) {
    throw new KilnError(
      'InvalidParameterValue',
      `Volume of ${sizeGib}GiB is invalid for ${parameters.size}; ${volumeType} volumes are from ${min}GiB to ${max}GiB.`,
    )
  }
  const iops = iopsOf(volumeType, rules, sizeGib, wish.iops ?? null, parameters.iops)
  const throughput = throughputOf(volumeType, rules, wish.throughput ?? null, parameters.throughput)
  if (rules.throughputPerIops && throughput! > iops! * rules.throughputPerIops) {
    throw new KilnError(
      'InvalidParameterValue',
      `${parameters.throughput} (MiBps) to iops ratio of ${throughput! / iops!} is too high; maximum is ${rules.throughputPerIops} MiBps per iops`,
    )
  }
  return { sizeGib, volumeType, iops, throughput }
}

function iopsOf(type: string, rules: VolumeType, sizeGib: number, iops: number | null, name: string): number | null {
  if (iops === null) {
    if (rules.iopsRequired) {
      throw new KilnError('MissingParameter', `The parameter ${name} must be specified for ${type} volumes.`)
    }
    return rules.iopsDefault?.(sizeGib) ?? null
  }
  if (!rules.iops) {
    throw new KilnError('InvalidParameterCombination', `The parameter ${name} is not supported for ${type} volumes.`)
  }
  const [min, max] = rules.iops
  if (iops < min || iops > max) {
    throw new KilnError('InvalidParameterValue', `${name} of ${iops} is not between ${min} and ${max} for ${type}.`)
  }
  if (rules.iopsPerGib && iops > min && iops > sizeGib * rules.iopsPerGib) {
    throw new KilnError(
      'InvalidParameterValue',
      `${name} to volume size ratio of ${iops / sizeGib} is too high; the maximum is ${rules.iopsPerGib}`,
    )
  }
  return iops
}

function throughputOf(type: string, rules: VolumeType, throughput: number | null, name: string): number | null {
  if (throughput === null) return rules.throughputDefault ?? null
  if (!rules.throughput) {
    throw new KilnError('InvalidParameterCombination', `The parameter ${name} is not supported for ${type} volumes.`)
  }
  const [min, max] = rules.throughput
  if (throughput < min || throughput > max) {
    throw new KilnError('InvalidParameterValue', `${name} of ${throughput} is not between ${min} and ${max}.`)
  }
  return throughput
}

/** Throws unless several instances may have a volume of that type at once. */
export function checkMultiAttach(volumeType: string): void {
  if (volumeType === 'io1' || volumeType === 'io2') return
  throw new KilnError(
    'InvalidParameterCombination',
    `The parameter MultiAttachEnabled is for io1 and io2 volumes, and not for ${volumeType}`,
  )
}
