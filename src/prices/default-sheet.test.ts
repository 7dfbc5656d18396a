import { describe, expect, test } from 'vitest'
import { shortText } from './money.ts'
import { defaultPriceSheet } from './sheets.ts'

const sheet = defaultPriceSheet()
const regions = ['us-east-1', 'us-east-2', 'us-west-2', 'eu-west-1', 'eu-central-1', 'ap-southeast-1']

const priceOf = (usageType: string, region: string) => {
  const found = sheet.priceOf(usageType, region)
  return found && shortText(found.price, 10)
}

describe("the sheet that comes with Kiln: AWS's public on-demand prices", () => {
  test('says whose they are, and of which day', () => {
    expect(sheet.head).toEqual({
      ...{ currency: 'USD', asOf: '2026-01-19' },
      source: expect.stringMatching(/^AWS public price list: on-demand, Linux/),
    })
  })

  test.each([
    ['BoxUsage:t3.micro', 'us-east-1', '0.0104'],
    ['BoxUsage:t3.micro', 'eu-west-1', '0.0114'],
    ['BoxUsage:m5.large', 'eu-central-1', '0.115'],
    ['BoxUsage:c7i.24xlarge', 'us-east-1', '4.284'],
    ['BoxUsage:m1.small', 'us-east-1', '0.044'],
    ['EBS:VolumeUsage.gp3', 'us-east-1', '0.08'],
    ['EBS:VolumeUsage.gp3', 'eu-central-1', '0.0952'],
    ['EBS:VolumeUsage.gp3', 'ap-southeast-1', '0.096'],
    ['EBS:SnapshotUsage', 'eu-west-1', '0.05'],
    ['TimedStorage-ByteHrs', 'us-east-1', '0.023'],
    ['PublicIPv4:InUseAddress', 'sa-east-1', '0.005'],
  ])('%s in %s costs %s', (usageType, region, price) => expect(priceOf(usageType, region)).toBe(price))

  test('us-east-1 has a price of every usage type but of instances that do not run', () => {
    const volumes = ['gp2', 'gp3', 'io1', 'io2', 'st1', 'sc1', 'standard'].map((type) => `EBS:VolumeUsage.${type}`)
    const iops = ['gp3', 'io1', 'io2', 'io2.tier2', 'io2.tier3'].map((type) => `EBS:VolumeP-IOPS.${type}`)
    const snapshots = ['Usage', 'ArchiveStorage', 'ArchiveEarlyDelete', 'ArchiveRetrieval'].map(
      (s) => `EBS:Snapshot${s}`,
    )
    const others = ['EBS:VolumeP-Throughput.gp3', 'EBS:FastSnapshotRestore', 'TimedStorage-ByteHrs']
    const network = ['DataTransfer-Regional-Out', 'PublicIPv4:InUseAddress', 'PublicIPv4:IdleAddress']
    for (const usageType of [...volumes, ...iops, ...snapshots, ...others, ...network]) {
      expect(priceOf(usageType, 'us-east-1'), usageType).toBeDefined()
    }
    expect(priceOf('InstanceTime.stopped:t3.micro', 'us-east-1')).toBeUndefined()
  })

  test.each(regions)('%s has instances, volumes and snapshots', (region) => {
    for (const usageType of [
      'BoxUsage:t3.micro',
      'BoxUsage:r7i.24xlarge',
      'EBS:VolumeUsage.gp3',
      'EBS:SnapshotUsage',
    ]) {
      expect(priceOf(usageType, region), usageType).toBeDefined()
    }
  })

  test('a region that nobody has read the prices of has none of instances', () => {
    expect(priceOf('BoxUsage:t3.micro', 'af-south-1')).toBeUndefined()
  })
})
