import { describe, expect, test } from 'vitest'
import { regionNames } from '../lib/regions.ts'
import { secondsOfMonth } from './amounts.ts'
import { awsUsageType, billingCode, parseAwsUsageType } from './billing-codes.ts'
import { divisorOf, usageTypeFacts } from './usage-types.ts'

const metered = [
  'BoxUsage:t3.micro',
  'InstanceTime.stopped:m5.large',
  ...['gp2', 'gp3', 'io1', 'io2', 'st1', 'sc1', 'standard'].map((type) => `EBS:VolumeUsage.${type}`),
  ...['gp3', 'io1', 'io2', 'io2.tier2', 'io2.tier3'].map((type) => `EBS:VolumeP-IOPS.${type}`),
  'EBS:VolumeP-Throughput.gp3',
  'EBS:SnapshotUsage',
  'EBS:SnapshotArchiveStorage',
  'EBS:SnapshotArchiveEarlyDelete',
  'EBS:SnapshotArchiveRetrieval',
  'EBS:FastSnapshotRestore',
  'TimedStorage-ByteHrs',
  'DataTransfer-Regional-Out',
  'PublicIPv4:InUseAddress',
  'PublicIPv4:IdleAddress',
]

describe('usage types', () => {
  test.each([
    ['BoxUsage:t3.micro', '2026-11', 3600n],
    ['InstanceTime.stopping:t3.micro', '2026-11', 3600n],
    ['EBS:VolumeUsage.gp3', '2026-11', 2_592_000n],
    ['EBS:VolumeUsage.gp3', '2026-12', 2_678_400n],
    ['EBS:VolumeP-IOPS.io2.tier3', '2026-02', 2_419_200n],
    ['EBS:SnapshotUsage', '2026-11', 2n ** 30n * 2_592_000n],
    ['TimedStorage-ByteHrs', '2028-02', 2n ** 30n * 2_505_600n],
    ['EBS:SnapshotArchiveRetrieval', '2026-11', 2n ** 30n],
    ['DataTransfer-Regional-Out', '2026-11', 2n ** 30n],
    ['EBS:FastSnapshotRestore', '2026-11', 3600n],
  ])('an amount of %s in %s is divided by %s for units', (usageType, month, divisor) => {
    expect(divisorOf(usageTypeFacts(usageType)!, month)).toBe(divisor)
  })

  test('what an instance does not run is metered for reports', () => {
    const reportOnly = metered.filter((usageType) => usageTypeFacts(usageType)!.reportOnly)
    expect(reportOnly).toEqual(['InstanceTime.stopped:m5.large'])
  })

  test.each([
    'BoxUsage',
    'BoxUsage:',
    'EU-BoxUsage:t3.micro',
    'EBS:VolumeUsage.gp4',
    'EBS:VolumeUsage',
    '',
    '__proto__',
    `BoxUsage:${'a'.repeat(99)}.large`,
  ])('%j is none', (usageType) => expect(usageTypeFacts(usageType)).toBeUndefined())

  test.each(['2026-13', '2026-00', '26-01', '2026-1', '2026-01-01', ''])('%j is no month', (month) => {
    expect(() => secondsOfMonth(month)).toThrow('is not a month')
  })
})

describe("AWS's names of usage", () => {
  test.each([
    ['BoxUsage:t3.micro', 'us-east-1', 'BoxUsage:t3.micro'],
    ['BoxUsage:t3.micro', 'eu-west-1', 'EU-BoxUsage:t3.micro'],
    ['EBS:VolumeUsage.gp3', 'ap-south-1', 'APS3-EBS:VolumeUsage.gp3'],
    ['EBS:VolumeUsage.io1', 'eu-central-1', 'EUC1-EBS:VolumeUsage.piops'],
    ['EBS:VolumeUsage.standard', 'us-east-1', 'EBS:VolumeUsage'],
    ['EBS:VolumeP-IOPS.io1', 'us-west-2', 'USW2-EBS:VolumeP-IOPS.piops'],
    ['TimedStorage-ByteHrs', 'ap-southeast-3', 'APS4-TimedStorage-ByteHrs'],
    ['PublicIPv4:InUseAddress', 'us-east-1', 'USE1-PublicIPv4:InUseAddress'],
  ])('%s in %s is %s', (usageType, region, aws) => {
    expect(awsUsageType(usageType, region)).toBe(aws)
    expect(parseAwsUsageType(aws)).toEqual({ usageType, region })
  })

  test('every region has its own code, and every usage type comes back', () => {
    const regions = Object.keys(regionNames)
    expect(new Set(regions.map(billingCode)).size).toBe(regions.length)
    for (const region of regions) {
      for (const usageType of metered) {
        expect(parseAwsUsageType(awsUsageType(usageType, region))).toEqual({ usageType, region })
      }
    }
  })

  test('Ireland and Virginia are known by both of their codes', () => {
    expect(parseAwsUsageType('EUW1-EBS:SnapshotUsage')).toEqual({ usageType: 'EBS:SnapshotUsage', region: 'eu-west-1' })
    expect(parseAwsUsageType('USE1-EBS:SnapshotUsage')).toEqual({ usageType: 'EBS:SnapshotUsage', region: 'us-east-1' })
  })
})
