/**
 * The usage types that are metered, as data: what is counted, which unit a price is for, and how AWS rounds. Names are AWS's,
 * without the prefix of a region; see `billing-codes.ts` for how AWS's own reports write them.
 *
 * Sources: "Understand codes for Amazon EBS in billing and usage reports", "Understand codes for Amazon VPC in billing and
 * usage reports", "Understanding your AWS billing and usage reports for Amazon S3", "Amazon EC2 On-Demand Pricing".
 */
import { secondsOfMonth } from './amounts.ts'

/** What a price is for. `GB` is 2³⁰ bytes, as in AWS's reports; a month is the calendar month in UTC. */
export type PriceUnit = 'Hrs' | 'GB-Mo' | 'GB' | 'IOPS-Mo' | 'MiBps-Mo'

/** A run's length: 60 seconds at least, begun hours whole, or as it was. */
export type Rounding = 'second' | 'hour' | 'none'

export interface UsageTypeFacts {
  usageType: string
  /** The service in whose name AWS bills it. */
  service: 'AmazonEC2' | 'AmazonS3' | 'AmazonVPC'
  /** As in AWS's price list, which has none for addresses. */
  productFamily: string | null
  unit: PriceUnit
  /** What the time of an amount is divided by; `once` for what is used at once and has no time. */
  per: 'hour' | 'month' | 'once'
  /** What of the quantity makes one of the unit: 2³⁰ where bytes are counted. */
  perUnit: bigint
  /** AWS's, where a sheet does not say otherwise. */
  rounding: Rounding
  /** Metered for reports; without a price it costs nothing, and nobody misses one. */
  reportOnly: boolean
  description: string
}

type Row = Omit<UsageTypeFacts, 'usageType' | 'perUnit' | 'reportOnly'> & { bytes?: boolean; reportOnly?: boolean }

const instanceType = '[a-z0-9-]{1,20}\\.[a-z0-9-]{1,20}'
const compute = { service: 'AmazonEC2', productFamily: 'Compute Instance', unit: 'Hrs', per: 'hour' } as const
const volumes = { service: 'AmazonEC2', per: 'month', rounding: 'second' } as const
const snapshots = { service: 'AmazonEC2', productFamily: 'Storage Snapshot', rounding: 'none', bytes: true } as const
const addresses = { service: 'AmazonVPC', productFamily: null, unit: 'Hrs', per: 'hour' } as const

const rows: readonly (readonly [pattern: string, row: Row])[] = [
  [`BoxUsage:${instanceType}`, { ...compute, rounding: 'second', description: 'instance running' }],
  [`SpotUsage:${instanceType}`, { ...compute, rounding: 'second', description: 'spot instance running' }],
  [
    `InstanceTime\\.(pending|stopping|stopped|shutting-down):${instanceType}`,
    { ...compute, rounding: 'none', reportOnly: true, description: 'instance not running' },
  ],
  [
    'EBS:VolumeUsage\\.(gp2|gp3|io1|io2|st1|sc1|standard)',
    { ...volumes, productFamily: 'Storage', unit: 'GB-Mo', description: 'volume storage' },
  ],
  [
    'EBS:VolumeP-IOPS\\.(gp3|io1|io2|io2\\.tier2|io2\\.tier3)',
    { ...volumes, productFamily: 'System Operation', unit: 'IOPS-Mo', description: 'provisioned IOPS' },
  ],
  [
    'EBS:VolumeP-Throughput\\.gp3',
    {
      ...volumes,
      ...{ productFamily: 'Provisioned Throughput', unit: 'MiBps-Mo', description: 'throughput over 125 MiB/s' },
    },
  ],
  ['EBS:SnapshotUsage', { ...snapshots, unit: 'GB-Mo', per: 'month', description: 'snapshot storage' }],
  ['EBS:SnapshotArchiveStorage', { ...snapshots, unit: 'GB-Mo', per: 'month', description: 'archived snapshots' }],
  [
    'EBS:SnapshotArchiveEarlyDelete',
    { ...snapshots, unit: 'GB-Mo', per: 'month', description: 'rest of 90 days in the archive' },
  ],
  ['EBS:SnapshotArchiveRetrieval', { ...snapshots, unit: 'GB', per: 'once', description: 'restored from the archive' }],
  [
    // AWS bills minutes, an hour at least. Of the two that are counted, whole hours keep that least.
    'EBS:FastSnapshotRestore',
    {
      ...{ service: 'AmazonEC2', productFamily: 'Fast Snapshot Restore', unit: 'Hrs', per: 'hour', rounding: 'hour' },
      description: 'fast snapshot restore, each zone',
    },
  ],
  [
    'TimedStorage-ByteHrs',
    {
      ...{ service: 'AmazonS3', productFamily: 'Storage', unit: 'GB-Mo', per: 'month', rounding: 'none', bytes: true },
      description: 'objects in S3',
    },
  ],
  [
    'DataTransfer-Regional-Out',
    {
      ...{
        service: 'AmazonEC2',
        productFamily: 'Data Transfer',
        unit: 'GB',
        per: 'once',
        rounding: 'none',
        bytes: true,
      },
      description: 'copied to another region',
    },
  ],
  ['PublicIPv4:InUseAddress', { ...addresses, rounding: 'second', description: 'public address in use' }],
  ['PublicIPv4:IdleAddress', { ...addresses, rounding: 'second', description: 'public address not in use' }],
]

const patterns = rows.map(([pattern, row]) => ({ pattern: new RegExp(`^(?:${pattern})$`), row }))

/** Names come from outside as well: what was asked is not kept for ever. */
const mostRemembered = 4096
const remembered = new Map<string, UsageTypeFacts>()

/** What is known of a usage type; undefined when there is none of this name. */
export function usageTypeFacts(usageType: string): UsageTypeFacts | undefined {
  const known = remembered.get(usageType)
  if (known) return known
  const row = patterns.find(({ pattern }) => pattern.test(usageType))?.row
  const facts = row && factsOf(usageType, row)
  if (facts && remembered.size < mostRemembered) remembered.set(usageType, facts)
  return facts
}

function factsOf(usageType: string, { bytes = false, reportOnly = false, ...row }: Row): UsageTypeFacts {
  return { usageType, ...row, perUnit: bytes ? 2n ** 30n : 1n, reportOnly }
}

/** What an amount is divided by to have it in units: 3600 for hours, the month's seconds, 2³⁰ for GB. */
export function divisorOf({ per, perUnit }: UsageTypeFacts, month: string): bigint {
  if (per === 'once') return perUnit
  return perUnit * (per === 'hour' ? 3600n : secondsOfMonth(month))
}
