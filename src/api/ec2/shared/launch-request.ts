/** RunInstances as a request brings it. */
import type {
  IamInstanceProfileSpecification,
  InstanceNetworkInterfaceSpecification,
  RunInstancesRequest,
} from '@aws-sdk/client-ec2'
import type { ProfileWish } from '../../../cloud/identity/instance-profiles.ts'
import { defaultInstanceType } from '../../../cloud/instances/instance-types.ts'
import type { LaunchRequest } from '../../../cloud/instances/launch.ts'
import { KilnError } from '../../../lib/errors.ts'
import { limits } from '../../../lib/limits.ts'
import { clipped } from '../codec/form.ts'
import { readDevices } from './block-device-mappings.ts'
import { readId } from './ids.ts'
import { readMarketOptions } from './spot-terms.ts'
import { readTagSpecifications } from './tag-specifications.ts'
import { refuseGiven } from './unsupported.ts'

/** Kinds of resources that a launch makes, or could make elsewhere, and whose tags it takes. */
export const launchTagTypes = ['instance', 'volume', 'network-interface', 'spot-instances-request'] as const

/** Of a request without a launch template: what the template says is in it already. */
export function readLaunch(input: RunInstancesRequest): LaunchRequest {
  refuseUnsupported(input)
  if (input.CreditSpecification) checkCredits(input.CreditSpecification, 'CreditSpecification.CpuCredits')
  checkGroupNames(input)
  if (!input.ImageId) throw new KilnError('MissingParameter', 'The request must contain the parameter ImageId')
  const tags = readTagSpecifications(input.TagSpecifications, launchTagTypes)
  const nic = primaryInterface(input)
  const spot = readMarketOptions(input, tags['spot-instances-request'])
  return {
    ...(spot && { spot }),
    imageId: readId('image', input.ImageId),
    instanceType: input.InstanceType ?? defaultInstanceType,
    minCount: input.MinCount!,
    maxCount: input.MaxCount!,
    keyName: input.KeyName || null,
    profile: readProfile(input.IamInstanceProfile),
    userData: readUserData(input.UserData),
    zone: input.Placement?.AvailabilityZone || null,
    subnetId: readOptional('subnet', nic?.SubnetId ?? input.SubnetId),
    securityGroupIds: (nic?.Groups ?? input.SecurityGroupIds ?? []).map((id) => readId('securityGroup', id)),
    securityGroupNames: input.SecurityGroups ?? [],
    privateIp: nic?.PrivateIpAddress ?? input.PrivateIpAddress ?? null,
    associatePublicIp: nic?.AssociatePublicIpAddress ?? null,
    interfaceId: nic?.NetworkInterfaceId ? readId('networkInterface', nic.NetworkInterfaceId) : null,
    // As on EC2, one that was there before the instance outlives it.
    deletesInterface: nic?.DeleteOnTermination ?? !nic?.NetworkInterfaceId,
    devices: readDevices(input.BlockDeviceMappings, { forLaunch: true }),
    shutdownBehavior: input.InstanceInitiatedShutdownBehavior ?? 'stop',
    disableApiTermination: input.DisableApiTermination ?? false,
    disableApiStop: input.DisableApiStop ?? false,
    ebsOptimized: input.EbsOptimized ?? false,
    monitoring: input.Monitoring?.Enabled ?? false,
    metadata: {
      httpTokens: input.MetadataOptions?.HttpTokens,
      httpEndpoint: input.MetadataOptions?.HttpEndpoint,
      httpPutResponseHopLimit: input.MetadataOptions?.HttpPutResponseHopLimit,
      instanceMetadataTags: input.MetadataOptions?.InstanceMetadataTags,
    },
    instanceTags: tags.instance,
    volumeTags: tags.volume,
    interfaceTags: tags['network-interface'],
  }
}

function refuseUnsupported(input: RunInstancesRequest): void {
  const { KernelId, RamdiskId, CpuOptions } = input
  const { ElasticGpuSpecification, ElasticInferenceAccelerators, LicenseSpecifications, SecondaryInterfaces } = input
  const { Ipv6Addresses, EnablePrimaryIpv6, AdditionalInfo, Operator, Placement: placement = {} } = input
  const { CapacityReservationSpecification: reservation, PrivateDnsNameOptions: dnsNames } = input
  refuseGiven({
    ...{ KernelId, RamdiskId, CpuOptions },
    ...{ ElasticGpuSpecification, ElasticInferenceAccelerators, LicenseSpecifications, SecondaryInterfaces },
    ...{ Ipv6Addresses, EnablePrimaryIpv6, AdditionalInfo, Operator },
    Ipv6AddressCount: (input.Ipv6AddressCount ?? 0) !== 0,
    'Monitoring.MetricCategoryId': input.Monitoring?.MetricCategoryIds,
    'CapacityReservationSpecification.CapacityReservationTarget': reservation?.CapacityReservationTarget,
    'CapacityReservationSpecification.CapacityReservationPreference':
      reservation?.CapacityReservationPreference === 'capacity-reservations-only',
    'MaintenanceOptions.AutoRecovery': input.MaintenanceOptions?.AutoRecovery === 'disabled',
    'NetworkPerformanceOptions.BandwidthWeighting':
      (input.NetworkPerformanceOptions?.BandwidthWeighting ?? 'default') !== 'default',
    'PrivateDnsNameOptions.HostnameType': (dnsNames?.HostnameType ?? 'ip-name') !== 'ip-name',
    'PrivateDnsNameOptions.EnableResourceNameDnsARecord': dnsNames?.EnableResourceNameDnsARecord,
    'PrivateDnsNameOptions.EnableResourceNameDnsAAAARecord': dnsNames?.EnableResourceNameDnsAAAARecord,
    'Placement.Affinity': (placement.Affinity ?? 'default') !== 'default',
    'Placement.SpreadDomain': placement.SpreadDomain,
    'HibernationOptions.Configured': input.HibernationOptions?.Configured,
    'EnclaveOptions.Enabled': input.EnclaveOptions?.Enabled,
    'Placement.AvailabilityZoneId': placement.AvailabilityZoneId,
    'Placement.GroupName': placement.GroupName,
    'Placement.GroupId': placement.GroupId,
    'Placement.PartitionNumber': placement.PartitionNumber,
    'Placement.HostId': placement.HostId,
    'Placement.HostResourceGroupArn': placement.HostResourceGroupArn,
    'Placement.Tenancy': (placement.Tenancy ?? 'default') !== 'default',
    'MetadataOptions.HttpProtocolIpv6': input.MetadataOptions?.HttpProtocolIpv6 === 'enabled',
  })
}

/** Null where none is wanted: Packer gives an empty name then. */
export function readProfile(profile: IamInstanceProfileSpecification | undefined): ProfileWish | null {
  const { Arn: arn, Name: name } = profile ?? {}
  return arn || name ? { ...(arn && { arn }), ...(name && { name }) } : null
}

/** Machines are never throttled, which is what `unlimited` says. Source: CreditSpecificationRequest. */
export function checkCredits({ CpuCredits: credits }: { CpuCredits?: string | undefined }, parameter: string): void {
  if (credits === 'unlimited') return
  if (!credits) throw new KilnError('MissingParameter', `The request must contain the parameter ${parameter}`)
  if (credits === 'standard') {
    throw new KilnError('UnsupportedOperation', `${parameter} standard is not supported yet: unlimited is`)
  }
  throw new KilnError(
    'InvalidCpuCredits',
    `Value (${clipped(credits)}) for parameter ${parameter} is invalid. Expected one of: standard, unlimited.`,
  )
}

/** Names stand for groups of the default VPC only. */
function checkGroupNames({ SecurityGroups: names, SubnetId: subnet }: RunInstancesRequest): void {
  if (!names?.length || !subnet) return
  throw new KilnError(
    'InvalidParameterCombination',
    'The parameter groupName (SecurityGroup) cannot be used with the parameter subnet (SubnetId)',
  )
}

/** One new interface, described inline as Terraform and the console do; what it says replaces the flat parameters. */
function primaryInterface(input: RunInstancesRequest): InstanceNetworkInterfaceSpecification | undefined {
  const interfaces = input.NetworkInterfaces ?? []
  if (interfaces.length === 0) return undefined
  const [nic] = interfaces
  if (interfaces.length === 1 && (nic?.DeviceIndex ?? 0) !== 0) {
    throw new KilnError(
      'InvalidParameterValue',
      `Value (${nic?.DeviceIndex}) for parameter NetworkInterface.1.DeviceIndex is invalid. The primary interface has index 0.`,
    )
  }
  if (interfaces.length > 1) {
    throw new KilnError(
      'UnsupportedOperation',
      'More than one network interface (NetworkInterface) is not supported yet',
    )
  }
  refuseGiven({
    'NetworkInterface.PrivateIpAddresses': nic?.PrivateIpAddresses,
    'NetworkInterface.SecondaryPrivateIpAddressCount': (nic?.SecondaryPrivateIpAddressCount ?? 0) !== 0,
    'NetworkInterface.Ipv6Addresses': nic?.Ipv6Addresses,
    'NetworkInterface.Ipv6AddressCount': (nic?.Ipv6AddressCount ?? 0) !== 0,
    'NetworkInterface.Ipv4Prefix': nic?.Ipv4Prefixes,
    'NetworkInterface.Ipv4PrefixCount': (nic?.Ipv4PrefixCount ?? 0) !== 0,
    'NetworkInterface.Ipv6Prefix': nic?.Ipv6Prefixes,
    'NetworkInterface.Ipv6PrefixCount': (nic?.Ipv6PrefixCount ?? 0) !== 0,
    'NetworkInterface.PrimaryIpv6': nic?.PrimaryIpv6,
    'NetworkInterface.AssociateCarrierIpAddress': nic?.AssociateCarrierIpAddress,
    'NetworkInterface.EnaSrdSpecification': nic?.EnaSrdSpecification,
    'NetworkInterface.ConnectionTrackingSpecification': nic?.ConnectionTrackingSpecification,
    'NetworkInterface.EnaQueueCount': nic?.EnaQueueCount,
    'NetworkInterface.InterfaceType': (nic?.InterfaceType ?? 'interface') !== 'interface',
    'NetworkInterface.NetworkCardIndex': (nic?.NetworkCardIndex ?? 0) !== 0,
  })
  if (nic?.NetworkInterfaceId) refuseBeside(nic)
  if (input.SubnetId || input.PrivateIpAddress || input.SecurityGroupIds?.length || input.SecurityGroups?.length) {
    throw new KilnError(
      'InvalidParameterCombination',
      'Network interfaces (NetworkInterface) and an instance-level subnet ID, address or security groups may not be specified on the same request',
    )
  }
  return nic
}

/** An interface that is there has a subnet, groups and an address already. */
function refuseBeside(nic: InstanceNetworkInterfaceSpecification): void {
  const { SubnetId, PrivateIpAddress, Groups, AssociatePublicIpAddress, Description } = nic
  const given = { SubnetId, PrivateIpAddress, Groups, AssociatePublicIpAddress, Description }
  const name = Object.entries(given).find(([, value]) => value !== undefined && value !== '')?.[0]
  if (!name) return
  throw new KilnError(
    'InvalidParameterCombination',
    `The parameter NetworkInterface.1.${name} may not be used in combination with NetworkInterfaceId`,
  )
}

function readOptional(kind: 'subnet', id: string | undefined): string | null {
  return id ? readId(kind, id) : null
}

/** Base64 as it came, once it is known to be base64 of at most 16 KB. */
export function readUserData(text: string | undefined): string | null {
  if (!text) return null
  const compact = text.replace(/\s/g, '')
  // Some tools leave the padding out; a text whose last character stands for no whole byte is none.
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(compact) || compact.replace(/=+$/, '').length % 4 === 1) {
    throw new KilnError('InvalidParameterValue', 'Invalid BASE64 encoding of user data (UserData)')
  }
  const bytes = Buffer.from(compact, 'base64').length
  if (bytes > limits.userDataBytes) {
    throw new KilnError(
      'InvalidParameterValue',
      `User data (UserData) is limited to ${limits.userDataBytes} bytes; this is ${bytes}`,
    )
  }
  return compact
}
