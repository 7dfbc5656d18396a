/** VPCs and what belongs to them as EC2 tells them. */
import type {
  AttachmentStatus,
  InternetGateway,
  NetworkInterface,
  NetworkInterfaceAttachment,
  NetworkInterfaceType,
  RouteTable,
  Subnet,
  Vpc,
} from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import { privateDnsName, usableAddresses } from '../../../cloud/network/addresses.ts'
import type { InterfaceDetail } from '../../../cloud/network/interfaces.ts'
import type { RouteTableView } from '../../../cloud/network/route-tables.ts'
import type { SubnetView, VpcView } from '../../../cloud/network/vpcs.ts'
import { isId } from '../../../lib/ids.ts'
import { zoneIdOf } from '../../../lib/regions.ts'
import type { Tag } from './tag-specifications.ts'
import { ec2Tags } from './views.ts'

type Tags = readonly Tag[] | undefined
/** As the cloud lists them. */
type GatewayRow = Awaited<ReturnType<Cloud['internetGateways']['list']>>['items'][number]

/** Its id follows from the VPC's own: there is exactly one. */
const associationId = (prefix: string, vpc: VpcView) => `${prefix}-${vpc.id.slice('vpc-'.length)}`

export function ec2Vpc(vpc: VpcView, tags: Tags): Vpc {
  return {
    VpcId: vpc.id,
    OwnerId: vpc.accountId,
    State: 'available',
    CidrBlock: vpc.cidr,
    CidrBlockAssociationSet: [
      {
        AssociationId: associationId('vpc-cidr-assoc', vpc),
        CidrBlock: vpc.cidr,
        CidrBlockState: { State: 'associated' },
      },
    ],
    DhcpOptionsId: vpc.dhcpOptionsId,
    InstanceTenancy: 'default',
    IsDefault: vpc.isDefault === 1,
    Tags: ec2Tags(tags),
  }
}

export function ec2Subnet(subnet: SubnetView, usedAddresses: number, tags: Tags): Subnet {
  return {
    SubnetId: subnet.id,
    SubnetArn: `arn:aws:ec2:${subnet.region}:${subnet.accountId}:subnet/${subnet.id}`,
    VpcId: subnet.vpcId,
    OwnerId: subnet.accountId,
    State: 'available',
    AvailabilityZone: subnet.zone,
    AvailabilityZoneId: zoneIdOf(subnet.zone),
    CidrBlock: subnet.cidr,
    AvailableIpAddressCount: usableAddresses(subnet.cidr) - usedAddresses,
    DefaultForAz: subnet.isDefault === 1,
    MapPublicIpOnLaunch: subnet.mapPublicIp === 1,
    MapCustomerOwnedIpOnLaunch: false,
    AssignIpv6AddressOnCreation: false,
    Ipv6CidrBlockAssociationSet: [],
    Ipv6Native: false,
    EnableDns64: false,
    PrivateDnsNameOptionsOnLaunch: {
      HostnameType: 'ip-name',
      EnableResourceNameDnsARecord: false,
      EnableResourceNameDnsAAAARecord: false,
    },
    Tags: ec2Tags(tags),
  }
}

type NicAddress = Pick<InterfaceDetail, 'publicIp' | 'accountId' | 'allocationId'>

/** Public addresses are loopback addresses: no name resolves to them. One that an account keeps is the account's. */
export function publicAssociation({ publicIp, accountId, allocationId }: NicAddress) {
  if (publicIp === null) return undefined
  return { PublicIp: publicIp, PublicDnsName: '', IpOwnerId: allocationId === null ? 'amazon' : accountId }
}

export function ec2NetworkInterface(nic: InterfaceDetail, tags: Tags): NetworkInterface {
  const { allocationId, associationId } = nic
  const association = publicAssociation(nic) && {
    ...publicAssociation(nic),
    ...{ AllocationId: allocationId ?? undefined, AssociationId: associationId ?? undefined },
  }
  const privateName = privateDnsName(nic.privateIp, nic.region)
  return {
    NetworkInterfaceId: nic.id,
    OwnerId: nic.accountId,
    AvailabilityZone: nic.zone,
    AvailabilityZoneId: zoneIdOf(nic.zone),
    VpcId: nic.vpcId,
    SubnetId: nic.subnetId,
    MacAddress: nic.mac,
    PrivateIpAddress: nic.privateIp,
    PrivateDnsName: privateName,
    PrivateIpAddresses: [
      { PrivateIpAddress: nic.privateIp, PrivateDnsName: privateName, Primary: true, Association: association },
    ],
    Association: association,
    Attachment: ec2Attachment(nic),
    Description: nic.description,
    Groups: nic.groups.map((group) => ({ GroupId: group.id, GroupName: group.name })),
    // EC2 writes a NAT gateway's in another way than its own model does.
    InterfaceType: nic.kind as NetworkInterfaceType,
    Ipv6Addresses: [],
    RequesterManaged: nic.kind !== 'interface',
    SourceDestCheck: nic.sourceDestCheck === 1,
    Status: nic.instanceId === null && nic.kind === 'interface' ? 'available' : 'in-use',
    TagSet: ec2Tags(tags),
  }
}

/** Undefined for one that no instance has. */
export function ec2Attachment(nic: InterfaceDetail): NetworkInterfaceAttachment | undefined {
  if (nic.instanceId === null) return undefined
  return {
    AttachmentId: nic.attachmentId!,
    InstanceId: nic.instanceId,
    InstanceOwnerId: nic.accountId,
    DeviceIndex: nic.deviceIndex!,
    NetworkCardIndex: 0,
    Status: nic.attachmentState!,
    AttachTime: new Date(nic.attachedAt!),
    DeleteOnTermination: nic.deleteOnTermination === 1,
  }
}

export function ec2RouteTable(table: RouteTableView, tags: Tags): RouteTable {
  return {
    RouteTableId: table.id,
    VpcId: table.vpcId,
    OwnerId: table.accountId,
    Associations: table.associations.map(({ id, subnetId }) => ({
      Main: subnetId === null,
      RouteTableAssociationId: id,
      RouteTableId: table.id,
      SubnetId: subnetId ?? undefined,
      AssociationState: { State: 'associated' },
    })),
    PropagatingVgws: [],
    Routes: [
      { DestinationCidrBlock: table.vpcCidr, GatewayId: 'local', Origin: 'CreateRouteTable', State: 'active' },
      ...table.routes.map((route) => ({
        ...(isId('prefixList', route.destination)
          ? { DestinationPrefixListId: route.destination }
          : { DestinationCidrBlock: route.destination }),
        ...(isId('natGateway', route.targetId) ? { NatGatewayId: route.targetId } : { GatewayId: route.targetId }),
        Origin: 'CreateRoute' as const,
        State: route.isActive ? ('active' as const) : ('blackhole' as const),
      })),
    ],
    Tags: ec2Tags(tags),
  }
}

export function ec2InternetGateway(gateway: GatewayRow, tags: Tags): InternetGateway {
  return {
    InternetGatewayId: gateway.id,
    OwnerId: gateway.accountId,
    // EC2 says `available` here, which its own model lacks.
    Attachments: gateway.vpcId === null ? [] : [{ VpcId: gateway.vpcId, State: 'available' as AttachmentStatus }],
    Tags: ec2Tags(tags),
  }
}
