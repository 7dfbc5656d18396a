/** The tables of networks: VPCs and what is in them. */
import type { Flag, TimeMs } from '../schema.ts'

export interface VpcsTable {
  id: string
  accountId: string
  region: string
  cidr: string
  isDefault: Flag
  /** A set that the account has, or `default` for none. */
  dhcpOptionsId: string
  /** Kept and told; the resolver of a VPC answers in either case. */
  enableDnsSupport: Flag
  /** Kept and told; public addresses are loopback addresses, which no name resolves to. */
  enableDnsHostnames: Flag
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

/** A VPC's way out; null while no VPC has it. */
export interface InternetGatewaysTable {
  id: string
  accountId: string
  region: string
  vpcId: string | null
  createdAt: TimeMs
}

export interface RouteTablesTable {
  id: string
  accountId: string
  region: string
  vpcId: string
  createdAt: TimeMs
}

/** Beside the way within the VPC, which every table has and nobody can change. */
export interface RoutesTable {
  routeTableId: string
  /** A CIDR block, or the id of a prefix list. */
  destination: string
  /** An internet gateway, a NAT gateway or a VPC endpoint; a route whose target is gone or elsewhere leads nowhere. */
  targetId: string
}

export interface RouteTableAssociationsTable {
  id: string
  routeTableId: string
  vpcId: string
  /** Null for the main one of the VPC. */
  subnetId: string | null
}

export interface DhcpOptionsTable {
  id: string
  accountId: string
  region: string
  /** The one that VPCs begin with. */
  isDefault: Flag
  createdAt: TimeMs
}

export interface DhcpOptionValuesTable {
  dhcpOptionsId: string
  /** `domain-name`, `domain-name-servers` and so on, as EC2 calls them. */
  key: string
  ordinal: number
  value: string
}

export interface NetworkAclsTable {
  id: string
  accountId: string
  region: string
  vpcId: string
  /** The one that subnets of the VPC begin with. */
  isDefault: Flag
  createdAt: TimeMs
}

/** What no entry speaks of is denied. */
export interface NetworkAclEntriesTable {
  networkAclId: string
  isEgress: Flag
  /** The lowest comes first. */
  ruleNumber: number
  /** A protocol number as text, or `-1` for all. */
  protocol: string
  action: 'allow' | 'deny'
  cidrIpv4: string | null
  cidrIpv6: string | null
  /** Of TCP and UDP. */
  fromPort: number | null
  toPort: number | null
  /** Of ICMP; -1 for all. */
  icmpType: number | null
  icmpCode: number | null
}

/** Each subnet has exactly one. */
export interface NetworkAclAssociationsTable {
  id: string
  networkAclId: string
  vpcId: string
  subnetId: string
}

export interface PrefixListsTable {
  id: string
  /** `AWS` for those that all accounts see. */
  accountId: string
  region: string
  name: string
  addressFamily: 'IPv4' | 'IPv6'
  /** What rules and routes count it as. */
  maxEntries: number
  version: number
  state: 'create-complete' | 'modify-complete' | 'restore-complete'
  createdAt: TimeMs
}

/** A block is in the list from one version on, until another. */
export interface PrefixListEntriesTable {
  prefixListId: string
  cidr: string
  description: string | null
  fromVersion: number
  untilVersion: number | null
}

/** Of the gateway type: the routes that name it lead to what the prefix list holds. */
export interface VpcEndpointsTable {
  id: string
  accountId: string
  region: string
  vpcId: string
  serviceName: string
  prefixListId: string
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
  prefixListId: string | null
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
  /** A NAT gateway's is no one else's to change. */
  kind: 'interface' | 'nat_gateway'
  description: string
  mac: string
  privateIp: string
  publicIp: string | null
  /** Set when the public address is one that the account keeps. */
  allocationId: string | null
  associationId: string | null
  /** Kept and told; a guest sends under its own address alone in either case. */
  sourceDestCheck: Flag
  /** The instance that has it, since when, and at which place, of which 0 is the primary one's; null for none. */
  instanceId: string | null
  attachmentId: string | null
  attachedAt: TimeMs | null
  deviceIndex: number | null
  attachmentState: 'attaching' | 'attached' | 'detaching' | null
  deleteOnTermination: Flag
  createdAt: TimeMs
}

export interface NatGatewaysTable {
  id: string
  accountId: string
  region: string
  vpcId: string
  subnetId: string
  networkInterfaceId: string
  allocationId: string
  privateIp: string
  publicIp: string
  /** A deleted one is told of for a while. */
  state: 'available' | 'deleted'
  createdAt: TimeMs
  deletedAt: TimeMs | null
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
  internetGateways: InternetGatewaysTable
  routeTables: RouteTablesTable
  routes: RoutesTable
  routeTableAssociations: RouteTableAssociationsTable
  dhcpOptions: DhcpOptionsTable
  dhcpOptionValues: DhcpOptionValuesTable
  networkAcls: NetworkAclsTable
  networkAclEntries: NetworkAclEntriesTable
  networkAclAssociations: NetworkAclAssociationsTable
  prefixLists: PrefixListsTable
  prefixListEntries: PrefixListEntriesTable
  vpcEndpoints: VpcEndpointsTable
  securityGroups: SecurityGroupsTable
  securityGroupRules: SecurityGroupRulesTable
  networkInterfaces: NetworkInterfacesTable
  natGateways: NatGatewaysTable
  networkInterfaceGroups: NetworkInterfaceGroupsTable
  elasticAddresses: ElasticAddressesTable
}
