/** What requests ask of the spot market, and what is told about a spot request. */
import type {
  LaunchSpecification,
  RequestSpotInstancesRequest,
  RunInstancesRequest,
  SpotMarketOptions,
} from '@aws-sdk/client-ec2'
import { checkMaxPrice } from '../../../cloud/spot/market.ts'
import type { SpotRequestFacts, SpotTerms } from '../../../cloud/spot/spot-requests.ts'
import { KilnError } from '../../../lib/errors.ts'
import type { Tag } from './tag-specifications.ts'
import { refuseGiven } from './unsupported.ts'

type Wish = Pick<RequestSpotInstancesRequest, 'ValidFrom'> & SpotMarketOptions

/** Of RunInstances; undefined for on-demand instances. */
export function readMarketOptions(input: RunInstancesRequest, tags: readonly Tag[]): SpotTerms | undefined {
  const { InstanceMarketOptions: market } = input
  if (!market?.MarketType && !market?.SpotOptions) return undefined
  const { MarketType: type = 'spot', SpotOptions: options = {} } = market
  if (type !== 'spot') {
    throw new KilnError(
      'UnsupportedOperation',
      `InstanceMarketOptions.MarketType ${type} is not supported yet: spot is`,
    )
  }
  const isPersistent = options.SpotInstanceType === 'persistent'
  if (isPersistent && (options.InstanceInterruptionBehavior ?? 'terminate') === 'terminate') {
    throw new KilnError(
      'InvalidParameterCombination',
      'Persistent Spot Instance requests (InstanceMarketOptions.SpotOptions.SpotInstanceType) need the InstanceInterruptionBehavior stop or hibernate',
    )
  }
  if (options.ValidUntil && !isPersistent) {
    throw new KilnError(
      'InvalidParameterCombination',
      'InstanceMarketOptions.SpotOptions.ValidUntil is supported for persistent requests only',
    )
  }
  return readSpotTerms(options, 'InstanceMarketOptions.SpotOptions.MaxPrice', input, tags)
}

/** `priceName` is what the request calls the price that is paid at most. */
export function readSpotTerms(
  wish: Wish,
  priceName: string,
  launch: Partial<RunInstancesRequest>,
  tags: readonly Tag[],
): SpotTerms {
  refuseGiven({ BlockDurationMinutes: wish.BlockDurationMinutes })
  // Packer gives an empty price where the on-demand price is meant.
  if (wish.MaxPrice) checkMaxPrice(wish.MaxPrice, priceName)
  return {
    type: wish.SpotInstanceType ?? 'one-time',
    interruption: wish.InstanceInterruptionBehavior ?? 'terminate',
    maxPrice: wish.MaxPrice || null,
    validFrom: wish.ValidFrom?.getTime() ?? null,
    validUntil: wish.ValidUntil?.getTime() ?? null,
    specification: JSON.stringify(specificationOf(launch)),
    facts: factsOf(launch),
    tags,
  }
}

/** As DescribeSpotInstanceRequests tells it. User data are not told. */
function specificationOf(launch: Partial<RunInstancesRequest>): LaunchSpecification {
  const { ImageId, InstanceType, KeyName, SubnetId, BlockDeviceMappings, EbsOptimized, Placement } = launch
  const ids = (launch.SecurityGroupIds ?? []).map((GroupId) => ({ GroupId }))
  const names = (launch.SecurityGroups ?? []).map((GroupName) => ({ GroupName }))
  return {
    ...{ ImageId, InstanceType, KeyName, SubnetId, BlockDeviceMappings, EbsOptimized },
    Placement: Placement && { AvailabilityZone: Placement.AvailabilityZone },
    Monitoring: { Enabled: launch.Monitoring?.Enabled ?? false },
    NetworkInterfaces: launch.NetworkInterfaces,
    SecurityGroups: [...ids, ...names],
  }
}

export const readSpecification = (text: string): LaunchSpecification => JSON.parse(text) as LaunchSpecification

function factsOf(launch: Partial<RunInstancesRequest>): SpotRequestFacts {
  const some = (...values: readonly unknown[]) => values.filter((value) => value !== undefined).map(String)
  const devices = launch.BlockDeviceMappings ?? []
  const disks = devices.map(({ Ebs: ebs }) => ebs)
  const interfaces = launch.NetworkInterfaces ?? []
  return {
    'launch.block-device-mapping.delete-on-termination': some(...disks.map((ebs) => ebs?.DeleteOnTermination)),
    'launch.block-device-mapping.device-name': some(...devices.map((device) => device.DeviceName)),
    'launch.block-device-mapping.snapshot-id': some(...disks.map((ebs) => ebs?.SnapshotId)),
    'launch.block-device-mapping.volume-size': some(...disks.map((ebs) => ebs?.VolumeSize)),
    'launch.block-device-mapping.volume-type': some(...disks.map((ebs) => ebs?.VolumeType)),
    'launch.group-id': some(...(launch.SecurityGroupIds ?? [])),
    'launch.group-name': some(...(launch.SecurityGroups ?? [])),
    'launch.image-id': some(launch.ImageId),
    'launch.instance-type': some(launch.InstanceType),
    'launch.key-name': some(launch.KeyName),
    'launch.monitoring-enabled': some(launch.Monitoring?.Enabled ?? false),
    'network-interface.addresses.primary': interfaces.length > 0 ? ['true'] : [],
    'network-interface.delete-on-termination': some(...interfaces.map((nic) => nic.DeleteOnTermination)),
    'network-interface.description': some(...interfaces.map((nic) => nic.Description)),
    'network-interface.device-index': some(...interfaces.map((nic) => nic.DeviceIndex)),
    'network-interface.group-id': some(...interfaces.flatMap((nic) => nic.Groups ?? [])),
    'network-interface.private-ip-address': some(...interfaces.map((nic) => nic.PrivateIpAddress)),
    'network-interface.subnet-id': some(...interfaces.map((nic) => nic.SubnetId)),
  }
}
