/**
 * What a guest may do with a volume in a second, where its type promises a figure. Source: "Amazon EBS volume types".
 */
import type { Volume } from '../../state/volumes.ts'
import type { DiskLimits } from '../ports.ts'

const mib = 1024 ** 2

type Limits = (volume: Pick<Volume, 'sizeGib' | 'iops' | 'throughput'>) => DiskLimits

const tib = (gibs: number) => gibs / 1024

/** Throughput volumes: so many MiB a second for each TiB, and never more than `most`. */
const byThroughput =
  (perTib: number, most: number): Limits =>
  ({ sizeGib }) => ({
    iops: null,
    burst: null,
    // A volume that has not been used lately bursts well above its base; what it may reach is what it is held to.
    bytesPerSecond: Math.min(most, Math.max(1, perTib * tib(sizeGib))) * mib,
  })

/** Provisioned operations; each moves up to so many KiB at that rate. */
const byOperations =
  (kibPerOperation: number, mostMib: number): Limits =>
  ({ iops }) => ({
    iops,
    burst: null,
    bytesPerSecond: iops === null ? null : Math.min(mostMib * mib, iops * kibPerOperation * 1024),
  })

/** Volumes below 1,000 GiB reach 3,000 operations a second from credits that last for half an hour. */
const gp2Burst = { iops: 3000, seconds: 1800 }

const limitsByType: Readonly<Record<string, Limits>> = {
  gp2: ({ sizeGib, iops }) => ({
    iops,
    burst: iops !== null && iops < gp2Burst.iops ? gp2Burst : null,
    bytesPerSecond: (sizeGib <= 170 ? 128 : 250) * mib,
  }),
  gp3: ({ iops, throughput }) => ({ iops, burst: null, bytesPerSecond: throughput === null ? null : throughput * mib }),
  io1: byOperations(256, 1000),
  io2: byOperations(256, 4000),
  st1: byThroughput(250, 500),
  sc1: byThroughput(80, 250),
}

/** Null for a type that promises nothing in figures. */
export function volumeLimits(volume: Volume): DiskLimits | null {
  return limitsByType[volume.volumeType]?.(volume) ?? null
}
