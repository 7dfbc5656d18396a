/** What comes with a VPC and cannot be changed: its network ACL, which lets everything through, and its DHCP options. */
import type { DhcpOptions, NetworkAcl } from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import { KilnError } from '../../../lib/errors.ts'
import type { Ec2Handlers } from '../handler.ts'
import { readFilters } from '../shared/filters.ts'
import { readIds } from '../shared/ids.ts'
import { askedFor, filtered, type ListedRules, pageOf } from '../shared/listed.ts'
import { nextTokenOf, readPage } from '../shared/pagination.ts'
import { scopeOf } from '../shared/scope.ts'
import { ec2DhcpOptions, ec2NetworkAcl } from '../shared/vpc-default-shapes.ts'

export const vpcDefaultHandlers = {
  async DescribeNetworkAcls(input, context) {
    const scope = scopeOf(context)
    const filters = readFilters(input.Filters)
    const ids = readIds('networkAcl', input.NetworkAclIds)
    const page = readPage('DescribeNetworkAcls', input, scope, { ids: { parameter: 'NetworkAclIds', given: ids } })
    const { items: vpcs } = await context.cloud.vpcs.listVpcs(scope, {})
    const { items: subnets } = await context.cloud.vpcs.listSubnets(scope, {})
    const keyOf = (acl: NetworkAcl) => acl.NetworkAclId!
    const all = vpcs.map((vpc) =>
      ec2NetworkAcl(
        vpc,
        subnets.filter((subnet) => subnet.vpcId === vpc.id),
      ),
    )
    const acls = askedFor(all, keyOf, ids, (id) => {
      return new KilnError('InvalidNetworkAclID.NotFound', `The networkAcl ID '${id}' does not exist`)
    })
    const { items, next } = pageOf(filtered(acls, networkAclFilters, filters), keyOf, page)
    return { NetworkAcls: items, NextToken: nextTokenOf('DescribeNetworkAcls', scope, next) }
  },

  async DescribeDhcpOptions(input, context) {
    const scope = scopeOf(context)
    const filters = readFilters(input.Filters)
    const ids = readIds('dhcpOptions', input.DhcpOptionsIds)
    const page = readPage('DescribeDhcpOptions', input, scope, { ids: { parameter: 'DhcpOptionsIds', given: ids } })
    const { items: vpcs } = await context.cloud.vpcs.listVpcs(scope, {})
    const keyOf = (options: DhcpOptions) => options.DhcpOptionsId!
    const sets = askedFor(vpcs.map(ec2DhcpOptions), keyOf, ids, (id) => {
      return new KilnError('InvalidDhcpOptionID.NotFound', `The dhcpOption ID '${id}' does not exist`)
    })
    const { items, next } = pageOf(filtered(sets, dhcpOptionsFilters, filters), keyOf, page)
    return { DhcpOptions: items, NextToken: nextTokenOf('DescribeDhcpOptions', scope, next) }
  },
} satisfies Ec2Handlers<Pick<Cloud, 'vpcs'>>

/** Neither can be tagged in Kiln, and no entry is about ICMP, ports or IPv6: filters by those find none. */
const none = () => []

const networkAclFilters: ListedRules<NetworkAcl> = {
  'association.association-id': (acl) => acl.Associations!.map((association) => association.NetworkAclAssociationId),
  'association.network-acl-id': (acl) => acl.Associations!.map((association) => association.NetworkAclId),
  'association.subnet-id': (acl) => acl.Associations!.map((association) => association.SubnetId),
  default: (acl) => acl.IsDefault,
  'entry.cidr': (acl) => acl.Entries!.map((entry) => entry.CidrBlock),
  'entry.egress': (acl) => acl.Entries!.map((entry) => entry.Egress),
  'entry.icmp.code': none,
  'entry.icmp.type': none,
  'entry.ipv6-cidr': none,
  'entry.port-range.from': none,
  'entry.port-range.to': none,
  'entry.protocol': (acl) => acl.Entries!.map((entry) => entry.Protocol),
  'entry.rule-action': (acl) => acl.Entries!.map((entry) => entry.RuleAction),
  'entry.rule-number': (acl) => acl.Entries!.map((entry) => entry.RuleNumber),
  'network-acl-id': (acl) => acl.NetworkAclId,
  'owner-id': (acl) => acl.OwnerId,
  'tag-key': none,
  'tag:*': none,
  'vpc-id': (acl) => acl.VpcId,
}

const dhcpOptionsFilters: ListedRules<DhcpOptions> = {
  'dhcp-options-id': (options) => options.DhcpOptionsId,
  key: (options) => options.DhcpConfigurations!.map((configuration) => configuration.Key),
  value: (options) => options.DhcpConfigurations!.flatMap(({ Values: values }) => values!.map((value) => value.Value)),
  'owner-id': (options) => options.OwnerId,
  'tag-key': none,
  'tag:*': none,
}
