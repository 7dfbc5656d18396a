/**
 * What is charged of what there is. Sources: the pages "Amazon EC2 On-Demand Pricing" (an instance while it runs; a spot instance under a name of its own),
 * "Amazon EBS pricing" (provisioned size, IOPS and throughput over what a type includes, snapshots by what they store,
 * the archive for 90 days at least), "Amazon VPC pricing" (public IPv4 addresses).
 */
import type { ChargeRules, Charges } from '../../state/usage/metering.ts'
import { publicOwner } from '../regions/public-owner.ts'

const daySeconds = 86_400

/** Bytes that leave a region for another, charged to whoever has them copied, in the region that they leave. */
export const copiedBetweenRegions = 'DataTransfer-Regional-Out'
/** Bytes that come back from the archive. */
export const retrievedFromArchive = 'EBS:SnapshotArchiveRetrieval'

/** What comes with the size of a gp3 volume. Operations a second; MiB a second. */
const includedOfGp3 = { iops: 3000, throughput: 125 }

/** Where the next price of an io2 volume's IOPS begins. */
const io2Tiers = [32_000, 64_000] as const

function iopsCharges(volumeType: string, iops: number): Charges {
  if (volumeType === 'gp3') return positive({ 'EBS:VolumeP-IOPS.gp3': iops - includedOfGp3.iops })
  if (volumeType === 'io1') return { 'EBS:VolumeP-IOPS.io1': iops }
  if (volumeType !== 'io2') return {}
  const [second, third] = io2Tiers
  return positive({
    'EBS:VolumeP-IOPS.io2': Math.min(iops, second),
    'EBS:VolumeP-IOPS.io2.tier2': Math.min(iops, third) - second,
    'EBS:VolumeP-IOPS.io2.tier3': iops - third,
  })
}

const positive = (charges: Charges): Charges =>
  Object.fromEntries(Object.entries(charges).filter(([, quantity]) => quantity > 0))

export const chargeRules: ChargeRules = {
  instance({ state, instanceType, spotRequestId }) {
    if (state === 'terminated') return {}
    // The other states cost nothing; that they lasted is worth knowing.
    if (state !== 'running') return { [`InstanceTime.${state}:${instanceType}`]: 1 }
    return { [`${spotRequestId === null ? 'BoxUsage' : 'SpotUsage'}:${instanceType}`]: 1 }
  },
  volume({ state, volumeType, sizeGib, iops, throughput }) {
    if (state !== 'creating' && state !== 'available' && state !== 'in-use') return {}
    return {
      [`EBS:VolumeUsage.${volumeType}`]: sizeGib,
      ...iopsCharges(volumeType, iops ?? 0),
      ...positive({
        'EBS:VolumeP-Throughput.gp3': volumeType === 'gp3' ? (throughput ?? 0) - includedOfGp3.throughput : 0,
      }),
    }
  },
  snapshot({ state, ownerAlias, dataBytes, chargedBytes }, tier, nowMs) {
    if (state !== 'completed' || ownerAlias !== null) return {}
    if (tier?.tier !== 'archive') return positive({ 'EBS:SnapshotUsage': chargedBytes ?? 0 })
    const isRestored = tier.restoreExpiresAt !== null && tier.restoreExpiresAt > nowMs
    return positive({
      'EBS:SnapshotArchiveStorage': dataBytes ?? 0,
      'EBS:SnapshotUsage': isRestored ? (dataBytes ?? 0) : 0,
    })
  },
  fastRestore: ({ state }) =>
    positive({ 'EBS:FastSnapshotRestore': state === 'optimizing' || state === 'enabled' ? 1 : 0 }),
  address: ({ publicIp }) => positive({ 'PublicIPv4:InUseAddress': publicIp === null ? 0 : 1 }),
  // While an interface has it, it is charged there.
  elasticAddress: ({ networkInterfaceId }) =>
    positive({ 'PublicIPv4:IdleAddress': networkInterfaceId === null ? 1 : 0 }),
  bucket: ({ accountId }) => (accountId === publicOwner.accountId ? null : 'TimedStorage-ByteHrs'),
  minimumTimes: {
    'EBS:SnapshotArchiveStorage': { seconds: 90 * daySeconds, usageType: 'EBS:SnapshotArchiveEarlyDelete' },
  },
}
