/** The network ACL and the DHCP options of a VPC as EC2 tells them. */
import type { DhcpOptions, NetworkAcl, NetworkAclEntry, RuleAction } from '@aws-sdk/client-ec2'
import { privateDomain } from '../../../cloud/network/addresses.ts'
import type { SubnetView, VpcView } from '../../../cloud/network/vpcs.ts'

/** What is in no other entry; EC2 tells this number although it is written `*`. */
const lastRuleNumber = 32_767

const entry = (egress: boolean, number: number, action: RuleAction): NetworkAclEntry => ({
  CidrBlock: '0.0.0.0/0',
  Egress: egress,
  Protocol: '-1',
  RuleAction: action,
  RuleNumber: number,
})

/** Source: "Default network ACL for a VPC" in the VPC user guide. Security groups alone decide what passes. */
export function ec2NetworkAcl(vpc: VpcView, subnets: readonly SubnetView[]): NetworkAcl {
  return {
    NetworkAclId: vpc.networkAclId,
    VpcId: vpc.id,
    OwnerId: vpc.accountId,
    IsDefault: true,
    Associations: subnets.map((subnet) => ({
      NetworkAclAssociationId: `aclassoc-${subnet.id.slice('subnet-'.length)}`,
      NetworkAclId: vpc.networkAclId,
      SubnetId: subnet.id,
    })),
    Entries: [true, false].flatMap((egress) => [entry(egress, 100, 'allow'), entry(egress, lastRuleNumber, 'deny')]),
    Tags: [],
  }
}

/** What guests are told: the domain of their names, and the resolver of the VPC where there is one. */
export function ec2DhcpOptions(vpc: VpcView): DhcpOptions {
  return {
    DhcpOptionsId: vpc.dhcpOptionsId,
    OwnerId: vpc.accountId,
    DhcpConfigurations: [
      { Key: 'domain-name', Values: [{ Value: privateDomain(vpc.region) }] },
      { Key: 'domain-name-servers', Values: [{ Value: 'AmazonProvidedDNS' }] },
    ],
    Tags: [],
  }
}
