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
  /** What it has of the instance store; null for nothing. */
  storage: InstanceStorage | null
  /** Whether an image in a bundle can be its root. */
  mayRootInInstanceStore: boolean
}

/** Disks in the instance store, all of one size. */
export interface InstanceStorage {
  count: number
  /** Each, in GB of 10⁹ bytes. */
  sizeGb: number
  media: 'hdd' | 'ssd'
  isNvme: boolean
}

/** The last two: how many disks of how many GB the instance store gives it. */
type Size = readonly [size: string, vcpus: number, memoryGib: number, disks?: number, diskGb?: number]

interface Family {
  family: string
  burstable?: boolean
  previous?: boolean
  xen?: boolean
  store?: 'hdd' | 'ssd' | 'nvme'
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
    ...{ family: 'm1', previous: true, xen: true, store: 'hdd' },
    sizes: [
      ['small', 1, 1.7, 1, 160],
      ['medium', 1, 3.75, 1, 410],
      ['large', 2, 7.5, 2, 420],
      ['xlarge', 4, 15, 4, 420],
    ],
  },
  {
    ...{ family: 'm2', previous: true, xen: true, store: 'hdd' },
    sizes: [
      ['xlarge', 2, 17.1, 1, 420],
      ['2xlarge', 4, 34.2, 1, 850],
      ['4xlarge', 8, 68.4, 2, 840],
    ],
  },
  {
    ...{ family: 'm3', previous: true, xen: true, store: 'ssd' },
    sizes: [
      ['medium', 1, 3.75, 1, 4],
      ['large', 2, 7.5, 1, 32],
      ['xlarge', 4, 15, 2, 40],
      ['2xlarge', 8, 30, 2, 80],
    ],
  },
  {
    ...{ family: 'c1', previous: true, xen: true, store: 'hdd' },
    sizes: [
      ['medium', 2, 1.7, 1, 350],
      ['xlarge', 8, 7, 4, 420],
    ],
  },
  {
    ...{ family: 'c3', previous: true, xen: true, store: 'ssd' },
    sizes: [
      ['large', 2, 3.75, 2, 16],
      ['xlarge', 4, 7.5, 2, 40],
      ['2xlarge', 8, 15, 2, 80],
      ['4xlarge', 16, 30, 2, 160],
      ['8xlarge', 32, 60, 2, 320],
    ],
  },
  {
    ...{ family: 'r3', previous: true, xen: true, store: 'ssd' },
    sizes: [
      ['large', 2, 15.25, 1, 32],
      ['xlarge', 4, 30.5, 1, 80],
      ['2xlarge', 8, 61, 1, 160],
      ['4xlarge', 16, 122, 1, 320],
      ['8xlarge', 32, 244, 2, 320],
    ],
  },
  {
    ...{ family: 'i2', previous: true, xen: true, store: 'ssd' },
    sizes: [
      ['xlarge', 4, 30.5, 1, 800],
      ['2xlarge', 8, 61, 2, 800],
      ['4xlarge', 16, 122, 4, 800],
      ['8xlarge', 32, 244, 8, 800],
    ],
  },
  {
    ...{ family: 'd2', xen: true, store: 'hdd' },
    sizes: [
      ['xlarge', 4, 30.5, 3, 2000],
      ['2xlarge', 8, 61, 6, 2000],
      ['4xlarge', 16, 122, 12, 2000],
    ],
  },
  {
    ...{ family: 'i3', xen: true, store: 'nvme' },
    sizes: [
      ['large', 2, 15.25, 1, 475],
      ['xlarge', 4, 30.5, 1, 950],
      ['2xlarge', 8, 61, 1, 1900],
      ['4xlarge', 16, 122, 2, 1900],
      ['8xlarge', 32, 244, 4, 1900],
      ['16xlarge', 64, 488, 8, 1900],
    ],
  },
  {
    ...{ family: 'm5d', store: 'nvme' },
    sizes: [
      ['large', 2, 8, 1, 75],
      ['xlarge', 4, 16, 1, 150],
      ['2xlarge', 8, 32, 1, 300],
      ['4xlarge', 16, 64, 2, 300],
      ['8xlarge', 32, 128, 2, 600],
      ['12xlarge', 48, 192, 2, 900],
      ['16xlarge', 64, 256, 4, 600],
      ['24xlarge', 96, 384, 4, 900],
    ],
  },
  {
    ...{ family: 'c5d', store: 'nvme' },
    sizes: [
      ['large', 2, 4, 1, 50],
      ['xlarge', 4, 8, 1, 100],
      ['2xlarge', 8, 16, 1, 200],
      ['4xlarge', 16, 32, 1, 400],
      ['9xlarge', 36, 72, 1, 900],
      ['12xlarge', 48, 96, 2, 900],
      ['18xlarge', 72, 144, 2, 900],
      ['24xlarge', 96, 192, 4, 900],
    ],
  },
  { family: 'm5', sizes: scaled(4) },
  { family: 'm6i', sizes: scaled(4) },
  { family: 'm7i', sizes: scaled(4) },
  {
    family: 'c5',
    sizes: [
      ['large', 2, 4],
      ['xlarge', 4, 8],
      ['2xlarge', 8, 16],
      ['4xlarge', 16, 32],
      ['9xlarge', 36, 72],
      ['12xlarge', 48, 96],
      ['18xlarge', 72, 144],
      ['24xlarge', 96, 192],
    ],
  },
  { family: 'c6i', sizes: scaled(2) },
  { family: 'c7i', sizes: scaled(2) },
  { family: 'r5', sizes: scaled(8) },
  { family: 'r6i', sizes: scaled(8) },
  { family: 'r7i', sizes: scaled(8) },
]

export const instanceTypes: ReadonlyMap<string, InstanceType> = new Map(
  families.flatMap(({ family, burstable = false, previous = false, xen = false, store, sizes }) =>
    sizes.map(([size, vcpus, memoryGib, disks, diskGb]): [string, InstanceType] => [
      `${family}.${size}`,
      {
        name: `${family}.${size}`,
        vcpus,
        memoryMib: memoryGib * 1024,
        threadsPerCore: vcpus > 1 && !xen ? 2 : 1,
        burstable,
        currentGeneration: !previous,
        hypervisor: xen ? 'xen' : 'nitro',
        storage:
          store && disks && diskGb
            ? { count: disks, sizeGb: diskGb, media: store === 'hdd' ? 'hdd' : 'ssd', isNvme: store === 'nvme' }
            : null,
        mayRootInInstanceStore: store === 'hdd' || store === 'ssd',
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
