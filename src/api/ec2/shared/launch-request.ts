/** RunInstances as a request brings it. */
import type { IamInstanceProfileSpecification, RunInstancesRequest } from '@aws-sdk/client-ec2'
import type { ProfileWish } from '../../../cloud/identity/instance-profiles.ts'
import type { CpuCredits } from '../../../cloud/instances/cpu-credits.ts'
import { defaultInstanceType } from '../../../cloud/instances/instance-types.ts'
import type { LaunchRequest } from '../../../cloud/instances/launch.ts'
import { KilnError } from '../../../lib/errors.ts'
import { limits } from '../../../lib/limits.ts'
import { clipped } from '../codec/form.ts'
import { readDevices } from './block-device-mappings.ts'
import { readId } from './ids.ts'
import { deletesInterface, readInterfaces } from './launch-interfaces.ts'
import { readMarketOptions } from './spot-terms.ts'
import { readTagSpecifications } from './tag-specifications.ts'
import { refuseGiven } from './unsupported.ts'

/** Kinds of resources that a launch makes, or could make elsewhere, and whose tags it takes. */
export const launchTagTypes = ['instance', 'volume', 'network-interface', 'spot-instances-request'] as const

/** Of a request without a launch template: what the template says is in it already. */
export function readLaunch(input: RunInstancesRequest): LaunchRequest {
  refuseUnsupported(input)
  checkGroupNames(input)
  if (!input.ImageId) throw new KilnError('MissingParameter', 'The request must contain the parameter ImageId')
  const tags = readTagSpecifications(input.TagSpecifications, launchTagTypes)
  const { primary: nic, further } = readInterfaces(input)
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
    deletesInterface: deletesInterface(nic),
    interfaceDescription: nic?.Description ?? '',
    furtherInterfaces: further,
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
    cpuCredits: input.CreditSpecification
      ? readCredits(input.CreditSpecification.CpuCredits, 'CreditSpecification.CpuCredits')
      : null,
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

/** Source: CreditSpecificationRequest. */
export function readCredits(credits: string | undefined, parameter: string): CpuCredits {
  if (credits === 'standard' || credits === 'unlimited') return credits
  if (!credits) throw new KilnError('MissingParameter', `The request must contain the parameter ${parameter}`)
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
