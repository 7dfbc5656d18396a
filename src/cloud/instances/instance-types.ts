/**
 * The instance types that can be launched, as data. Figures: "Amazon EC2 instance types" (vCPUs, memory in MiB).
 * A guest gets what its type says, bounded by what the host has ({@link machineSize}).
 */

export interface InstanceType {
  name: string
  vcpus: number
  memoryMib: number
  /** vCPUs that share a core. */
  threadsPerCore: number
  burstable: boolean
  currentGeneration: boolean
  hypervisor: 'nitro' | 'xen'
}

type Size = readonly [size: string, vcpus: number, memoryGib: number]

interface Family {
  family: string
  burstable?: boolean
  previous?: boolean
  xen?: boolean
  sizes: readonly Size[]
}

const burstableSizes: readonly Size[] = [
  ['nano', 2, 0.5],
  ['micro', 2, 1],
  ['small', 2, 2],
  ['medium', 2, 4],
  ['large', 2, 8],
  ['xlarge', 4, 16],
  ['2xlarge', 8, 32],
]

const scaled = (memoryPerVcpuGib: number): readonly Size[] =>
  (
    [
      ['large', 2],
      ['xlarge', 4],
      ['2xlarge', 8],
      ['4xlarge', 16],
      ['8xlarge', 32],
      ['12xlarge', 48],
      ['16xlarge', 64],
      ['24xlarge', 96],
    ] as const
  ).map(([size, vcpus]) => [size, vcpus, vcpus * memoryPerVcpuGib])

const families: readonly Family[] = [
  {
    family: 't2',
    burstable: true,
    xen: true,
    sizes: [
      ['nano', 1, 0.5],
      ['micro', 1, 1],
      ['small', 1, 2],
      ['medium', 2, 4],
      ['large', 2, 8],
      ['xlarge', 4, 16],
      ['2xlarge', 8, 32],
    ],
  },
  { family: 't3', burstable: true, sizes: burstableSizes },
  { family: 't3a', burstable: true, sizes: burstableSizes },
  {
    family: 'm1',
    previous: true,
    xen: true,
    sizes: [
      ['small', 1, 1.7],
      ['medium', 1, 3.75],
      ['large', 2, 7.5],
      ['xlarge', 4, 15],
    ],
  },
  { family: 'm5', sizes: scaled(4) },
  { family: 'm6i', sizes: scaled(4) },
  { family: 'm7i', sizes: scaled(4) },
  { family: 'c5', sizes: scaled(2) },
  { family: 'c6i', sizes: scaled(2) },
  { family: 'c7i', sizes: scaled(2) },
  { family: 'r5', sizes: scaled(8) },
  { family: 'r6i', sizes: scaled(8) },
  { family: 'r7i', sizes: scaled(8) },
]

export const instanceTypes: ReadonlyMap<string, InstanceType> = new Map(
  families.flatMap(({ family, burstable = false, previous = false, xen = false, sizes }) =>
    sizes.map(([size, vcpus, memoryGib]): [string, InstanceType] => [
      `${family}.${size}`,
      {
        name: `${family}.${size}`,
        vcpus,
        memoryMib: memoryGib * 1024,
        threadsPerCore: vcpus > 1 && !xen ? 2 : 1,
        burstable,
        currentGeneration: !previous,
        hypervisor: xen ? 'xen' : 'nitro',
      },
    ]),
  ),
)

/** What EC2 takes when a launch names no type. */
export const defaultInstanceType = 'm1.small'

/** What the guest gets: never more than the host has, and always enough to boot. */
export function machineSize(
  type: InstanceType,
  host: { cpus: number; memoryMib: number },
): { vcpus: number; memoryMib: number } {
  return {
    vcpus: Math.min(type.vcpus, host.cpus),
    memoryMib: Math.max(128, Math.floor(Math.min(type.memoryMib, host.memoryMib / 2))),
  }
}
