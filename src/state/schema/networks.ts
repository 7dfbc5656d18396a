/** The tables of networks: VPCs and what is in them. */
import type { Flag, TimeMs } from '../schema.ts'

export interface VpcsTable {
  id: string
  accountId: string
  region: string
  cidr: string
  isDefault: Flag
  dhcpOptionsId: string
  internetGatewayId: string
  mainRouteTableId: string
  networkAclId: string
  createdAt: TimeMs
}

export interface SubnetsTable {
  id: string
  vpcId: string
  accountId: string
  region: string
  zone: string
  cidr: string
  isDefault: Flag
  mapPublicIp: Flag
  createdAt: TimeMs
}

export interface SecurityGroupsTable {
  id: string
  accountId: string
  region: string
  vpcId: string
  name: string
  description: string
  createdAt: TimeMs
}

/** One source or destination of one permission; EC2 numbers them one by one. */
export interface SecurityGroupRulesTable {
  id: string
  groupId: string
  accountId: string
  region: string
  isEgress: Flag
  /** `tcp`, `udp`, `icmp`, `icmpv6`, a protocol number as text, or `-1` for all. */
  protocol: string
  fromPort: number
  toPort: number
  cidrIpv4: string | null
  cidrIpv6: string | null
  referencedGroupId: string | null
  description: string | null
  createdAt: TimeMs
}

export interface NetworkInterfacesTable {
  id: string
  accountId: string
  region: string
  zone: string
  vpcId: string
  subnetId: string
  instanceId: string
  attachmentId: string
  mac: string
  privateIp: string
  publicIp: string | null
  /** Set when the public address is one that the account keeps. */
  allocationId: string | null
  associationId: string | null
  deleteOnTermination: Flag
  createdAt: TimeMs
}

/** A public address that an account keeps. */
export interface ElasticAddressesTable {
  /** `eipalloc-…` */
  id: string
  accountId: string
  region: string
  publicIp: string
  associationId: string | null
  networkInterfaceId: string | null
  createdAt: TimeMs
}

export interface NetworkInterfaceGroupsTable {
  networkInterfaceId: string
  groupId: string
}

export interface NetworkTables {
  vpcs: VpcsTable
  subnets: SubnetsTable
  securityGroups: SecurityGroupsTable
  securityGroupRules: SecurityGroupRulesTable
  networkInterfaces: NetworkInterfacesTable
  networkInterfaceGroups: NetworkInterfaceGroupsTable
  elasticAddresses: ElasticAddressesTable
}
