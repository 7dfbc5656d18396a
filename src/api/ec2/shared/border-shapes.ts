/** Network ACLs and DHCP options as EC2 tells them. */
import type { DhcpOptions, NetworkAcl, NetworkAclEntry } from '@aws-sdk/client-ec2'
import type { DhcpOptionsView } from '../../../cloud/network/dhcp-options.ts'
import type { NetworkAclView } from '../../../cloud/network/network-acls.ts'
import type { Tag } from './tag-specifications.ts'
import { ec2Tags } from './views.ts'

export function ec2NetworkAcl(acl: NetworkAclView, tags: readonly Tag[]): NetworkAcl {
  return {
    NetworkAclId: acl.id,
    VpcId: acl.vpcId,
    OwnerId: acl.accountId,
    IsDefault: acl.isDefault === 1,
    Associations: acl.associations.map(({ id, networkAclId, subnetId }) => ({
      NetworkAclAssociationId: id,
      NetworkAclId: networkAclId,
      SubnetId: subnetId,
    })),
    Entries: acl.entries.map(ec2Entry),
    Tags: ec2Tags(tags),
  }
}

function ec2Entry(entry: NetworkAclView['entries'][number]): NetworkAclEntry {
  const { fromPort, toPort, icmpType, icmpCode } = entry
  return {
    CidrBlock: entry.cidrIpv4 ?? undefined,
    Ipv6CidrBlock: entry.cidrIpv6 ?? undefined,
    Egress: entry.isEgress === 1,
    Protocol: entry.protocol,
    RuleAction: entry.action,
    RuleNumber: entry.ruleNumber,
    PortRange: fromPort === null ? undefined : { From: fromPort, To: toPort! },
    IcmpTypeCode: icmpType === null ? undefined : { Type: icmpType, Code: icmpCode! },
  }
}

export function ec2DhcpOptions(options: DhcpOptionsView, tags: readonly Tag[]): DhcpOptions {
  return {
    DhcpOptionsId: options.id,
    OwnerId: options.accountId,
    DhcpConfigurations: options.configurations.map(({ key, values }) => ({
      Key: key,
      Values: values.map((value) => ({ Value: value })),
    })),
    Tags: ec2Tags(tags),
  }
}
