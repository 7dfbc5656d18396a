import { expect, test } from 'vitest'
import { billedService } from './billed-services.ts'
import { normalizationFactor } from './normalized-usage.ts'

test.each([
  ['BoxUsage:t3.micro', 'Amazon Elastic Compute Cloud - Compute'],
  ['InstanceTime.stopped:t3.micro', 'Amazon Elastic Compute Cloud - Compute'],
  ['EBS:VolumeUsage.gp3', 'EC2 - Other'],
  ['EBS:SnapshotUsage', 'EC2 - Other'],
  ['EBS:FastSnapshotRestore', 'EC2 - Other'],
  ['DataTransfer-Regional-Out', 'EC2 - Other'],
  ['TimedStorage-ByteHrs', 'Amazon Simple Storage Service'],
  ['PublicIPv4:InUseAddress', 'Amazon Virtual Private Cloud'],
  ['Tea', undefined],
])('%s is billed by %s', (usageType, service) => {
  expect(billedService(usageType)).toBe(service)
})

test.each([
  ['BoxUsage:t3.nano', 0.25],
  ['BoxUsage:t3.micro', 0.5],
  ['BoxUsage:m5.large', 4],
  ['BoxUsage:m5.xlarge', 8],
  ['BoxUsage:m5.24xlarge', 192],
  ['BoxUsage:m5.metal', undefined],
  ['BoxUsage:m5.constructor', undefined],
  ['InstanceTime.stopped:t3.micro', undefined],
  ['EBS:VolumeUsage.gp3', undefined],
])('an hour of %s counts for %d', (usageType, factor) => {
  expect(normalizationFactor(usageType)?.valueOf()).toBe(factor)
})
