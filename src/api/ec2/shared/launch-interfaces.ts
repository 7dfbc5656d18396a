/** The network interfaces of RunInstances as a request brings them. Source: InstanceNetworkInterfaceSpecification. */
import type { InstanceNetworkInterfaceSpecification, RunInstancesRequest } from '@aws-sdk/client-ec2'
import type { InterfaceWish } from '../../../cloud/instances/further-interfaces.ts'
import { KilnError } from '../../../lib/errors.ts'
import { readId } from './ids.ts'
import { refuseGiven } from './unsupported.ts'

export interface LaunchInterfaces {
  /** What it says replaces the flat parameters; undefined where these say it. */
  primary: InstanceNetworkInterfaceSpecification | undefined
  further: InterfaceWish[]
}

/** New ones, described inline as Terraform and the console do, and such as are there already. */
export function readInterfaces(input: RunInstancesRequest): LaunchInterfaces {
  const interfaces = input.NetworkInterfaces ?? []
  if (interfaces.length === 0) return { primary: undefined, further: [] }
  for (const nic of interfaces) checkInterface(nic)
  if (input.SubnetId || input.PrivateIpAddress || input.SecurityGroupIds?.length || input.SecurityGroups?.length) {
    throw new KilnError(
      'InvalidParameterCombination',
      'Network interfaces (NetworkInterface) and an instance-level subnet ID, address or security groups may not be specified on the same request',
    )
  }
  const primaries = interfaces.filter((nic) => (nic.DeviceIndex ?? 0) === 0)
  const [primary] = primaries
  if (!primary || primaries.length > 1) {
    throw new KilnError(
      'InvalidParameterValue',
      `The primary interface has the DeviceIndex 0 (NetworkInterface): ${primary ? 'several have' : 'none has'}`,
    )
  }
  if (interfaces.length > 1 && interfaces.some((nic) => nic.AssociatePublicIpAddress)) {
    throw new KilnError(
      'InvalidParameterCombination',
      'The AssociatePublicIpAddress parameter cannot be specified when launching with multiple network interfaces.',
    )
  }
  return { primary, further: interfaces.filter((nic) => nic !== primary).map(readFurther) }
}

function readFurther(nic: InstanceNetworkInterfaceSpecification): InterfaceWish {
  return {
    deviceIndex: nic.DeviceIndex!,
    interfaceId: nic.NetworkInterfaceId ? readId('networkInterface', nic.NetworkInterfaceId) : null,
    subnetId: nic.SubnetId ? readId('subnet', nic.SubnetId) : null,
    groupIds: (nic.Groups ?? []).map((id) => readId('securityGroup', id)),
    privateIp: nic.PrivateIpAddress ?? null,
    description: nic.Description ?? '',
    deletesInterface: deletesInterface(nic),
  }
}

/** As on EC2, one that was there before the instance outlives it. */
export function deletesInterface(nic: InstanceNetworkInterfaceSpecification | undefined): boolean {
  return nic?.DeleteOnTermination ?? !nic?.NetworkInterfaceId
}

function checkInterface(nic: InstanceNetworkInterfaceSpecification): void {
  refuseGiven({
    'NetworkInterface.PrivateIpAddresses': nic.PrivateIpAddresses,
    'NetworkInterface.SecondaryPrivateIpAddressCount': (nic.SecondaryPrivateIpAddressCount ?? 0) !== 0,
    'NetworkInterface.Ipv6Addresses': nic.Ipv6Addresses,
    'NetworkInterface.Ipv6AddressCount': (nic.Ipv6AddressCount ?? 0) !== 0,
    'NetworkInterface.Ipv4Prefix': nic.Ipv4Prefixes,
    'NetworkInterface.Ipv4PrefixCount': (nic.Ipv4PrefixCount ?? 0) !== 0,
    'NetworkInterface.Ipv6Prefix': nic.Ipv6Prefixes,
    'NetworkInterface.Ipv6PrefixCount': (nic.Ipv6PrefixCount ?? 0) !== 0,
    'NetworkInterface.PrimaryIpv6': nic.PrimaryIpv6,
    'NetworkInterface.AssociateCarrierIpAddress': nic.AssociateCarrierIpAddress,
    'NetworkInterface.EnaSrdSpecification': nic.EnaSrdSpecification,
    'NetworkInterface.ConnectionTrackingSpecification': nic.ConnectionTrackingSpecification,
    'NetworkInterface.EnaQueueCount': nic.EnaQueueCount,
    'NetworkInterface.InterfaceType': (nic.InterfaceType ?? 'interface') !== 'interface',
    'NetworkInterface.NetworkCardIndex': (nic.NetworkCardIndex ?? 0) !== 0,
  })
  if (nic.NetworkInterfaceId) refuseBeside(nic)
}

/** An interface that is there has a subnet, groups and an address already. */
function refuseBeside(nic: InstanceNetworkInterfaceSpecification): void {
  const { SubnetId, PrivateIpAddress, Groups, AssociatePublicIpAddress, Description } = nic
  const given = { SubnetId, PrivateIpAddress, Groups, AssociatePublicIpAddress, Description }
  const name = Object.entries(given).find(([, value]) => value !== undefined && value !== '')?.[0]
  if (!name) return
  throw new KilnError(
    'InvalidParameterCombination',
    `The parameter NetworkInterface.${name} may not be used in combination with NetworkInterfaceId`,
  )
}
