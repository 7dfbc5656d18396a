/** RunInstances as a request brings it. */
import type { InstanceNetworkInterfaceSpecification, RunInstancesRequest } from '@aws-sdk/client-ec2'
import { defaultInstanceType } from '../../../cloud/instances/instance-types.ts'
import type { LaunchRequest } from '../../../cloud/instances/launch.ts'
import { defaultMetadataOptions, metadataOptions } from '../../../cloud/instances/metadata-options.ts'
import { KilnError } from '../../../lib/errors.ts'
import { limits } from '../../../lib/limits.ts'
import { readDevices } from './block-device-mappings.ts'
import { readClientToken } from './client-tokens.ts'
import { readId } from './ids.ts'
import { readTagSpecifications } from './tag-specifications.ts'
import { refuseGiven } from './unsupported.ts'

export function readLaunch(input: RunInstancesRequest): LaunchRequest {
  refuseUnsupported(input)
  if (!input.ImageId) throw new KilnError('MissingParameter', 'The request must contain the parameter ImageId')
  const tags = readTagSpecifications(input.TagSpecifications, [
    'instance',
    'volume',
    'network-interface',
    'spot-instances-request',
  ])
  const nic = primaryInterface(input)
  return {
    imageId: readId('image', input.ImageId),
    instanceType: input.InstanceType ?? defaultInstanceType,
    minCount: input.MinCount!,
    maxCount: input.MaxCount!,
    keyName: input.KeyName || null,
    userData: readUserData(input.UserData),
    zone: input.Placement?.AvailabilityZone || null,
    subnetId: readOptional('subnet', nic?.SubnetId ?? input.SubnetId),
    securityGroupIds: (nic?.Groups ?? input.SecurityGroupIds ?? []).map((id) => readId('securityGroup', id)),
    securityGroupNames: input.SecurityGroups ?? [],
    privateIp: nic?.PrivateIpAddress ?? input.PrivateIpAddress ?? null,
    associatePublicIp: nic?.AssociatePublicIpAddress ?? null,
    devices: readDevices(input.BlockDeviceMappings),
    shutdownBehavior: input.InstanceInitiatedShutdownBehavior ?? 'stop',
    disableApiTermination: input.DisableApiTermination ?? false,
    disableApiStop: input.DisableApiStop ?? false,
    ebsOptimized: input.EbsOptimized ?? false,
    monitoring: input.Monitoring?.Enabled ?? false,
    metadata: metadataOptions(defaultMetadataOptions, {
      httpTokens: input.MetadataOptions?.HttpTokens,
      httpEndpoint: input.MetadataOptions?.HttpEndpoint,
      httpPutResponseHopLimit: input.MetadataOptions?.HttpPutResponseHopLimit,
      instanceMetadataTags: input.MetadataOptions?.InstanceMetadataTags,
    }),
    instanceTags: tags.instance,
    volumeTags: tags.volume,
    interfaceTags: tags['network-interface'],
    clientToken: readClientToken(input),
  }
}

function refuseUnsupported(input: RunInstancesRequest): void {
  const { LaunchTemplate, InstanceMarketOptions, KernelId, RamdiskId, IamInstanceProfile, CpuOptions } = input
  const { ElasticGpuSpecification, ElasticInferenceAccelerators, LicenseSpecifications, SecondaryInterfaces } = input
  const { Ipv6Addresses, EnablePrimaryIpv6, AdditionalInfo, Placement: placement = {} } = input
  refuseGiven({
    ...{ LaunchTemplate, InstanceMarketOptions, KernelId, RamdiskId, IamInstanceProfile, CpuOptions },
    ...{ ElasticGpuSpecification, ElasticInferenceAccelerators, LicenseSpecifications, SecondaryInterfaces },
    ...{ Ipv6Addresses, EnablePrimaryIpv6, AdditionalInfo },
    Ipv6AddressCount: (input.Ipv6AddressCount ?? 0) > 0,
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

/** One new interface, described inline as Terraform and the console do; what it says replaces the flat parameters. */
function primaryInterface(input: RunInstancesRequest): InstanceNetworkInterfaceSpecification | undefined {
  const interfaces = input.NetworkInterfaces ?? []
  if (interfaces.length === 0) return undefined
  const [nic] = interfaces
  if (interfaces.length > 1 || (nic?.DeviceIndex ?? 0) !== 0) {
    throw new KilnError(
      'UnsupportedOperation',
      'More than one network interface (NetworkInterface) is not supported yet',
    )
  }
  refuseGiven({
    'NetworkInterface.NetworkInterfaceId': nic?.NetworkInterfaceId,
    'NetworkInterface.PrivateIpAddresses': nic?.PrivateIpAddresses,
    'NetworkInterface.SecondaryPrivateIpAddressCount': (nic?.SecondaryPrivateIpAddressCount ?? 0) > 0,
    'NetworkInterface.Ipv6Addresses': nic?.Ipv6Addresses,
    'NetworkInterface.Ipv6AddressCount': (nic?.Ipv6AddressCount ?? 0) > 0,
    'NetworkInterface.DeleteOnTermination': nic?.DeleteOnTermination === false,
    'NetworkInterface.InterfaceType': (nic?.InterfaceType ?? 'interface') !== 'interface',
    'NetworkInterface.NetworkCardIndex': (nic?.NetworkCardIndex ?? 0) !== 0,
  })
  if (input.SubnetId || input.PrivateIpAddress || input.SecurityGroupIds?.length || input.SecurityGroups?.length) {
    throw new KilnError(
      'InvalidParameterCombination',
      'Network interfaces (NetworkInterface) and an instance-level subnet ID, address or security groups may not be specified on the same request',
    )
  }
  return nic
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
