import type { CreateNetworkAclEntryRequest } from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import type { EntryRequest } from '../../../cloud/network/network-acl-entries.ts'
import type { Ec2Handlers } from '../handler.ts'
import { ec2NetworkAcl } from '../shared/border-shapes.ts'
import { readClientToken } from '../shared/client-tokens.ts'
import { describe } from '../shared/description.ts'
import { readId } from '../shared/ids.ts'
import { scopeOf } from '../shared/scope.ts'
import { readTagSpecifications } from '../shared/tag-specifications.ts'

export const networkAclHandlers = {
  async CreateNetworkAcl(input, context) {
    const { 'network-acl': tags } = readTagSpecifications(input.TagSpecifications, ['network-acl'])
    const request = { vpcId: readId('vpc', input.VpcId!), tags, clientToken: readClientToken(input) }
    const acl = await context.cloud.networkAcls.create(scopeOf(context), request)
    return { NetworkAcl: ec2NetworkAcl(acl, tags), ClientToken: input.ClientToken }
  },

  async CreateNetworkAclEntry(input, context) {
    const id = readId('networkAcl', input.NetworkAclId!)
    await context.cloud.networkAcls.addEntry(scopeOf(context), id, entryRequest(input))
    return {}
  },

  async ReplaceNetworkAclEntry(input, context) {
    const id = readId('networkAcl', input.NetworkAclId!)
    await context.cloud.networkAcls.replaceEntry(scopeOf(context), id, entryRequest(input))
    return {}
  },

  async DeleteNetworkAclEntry(input, context) {
    const id = readId('networkAcl', input.NetworkAclId!)
    const name = { isEgress: input.Egress!, ruleNumber: input.RuleNumber! }
    await context.cloud.networkAcls.removeEntry(scopeOf(context), id, name)
    return {}
  },

  async ReplaceNetworkAclAssociation(input, context) {
    const associationId = readId('networkAclAssociation', input.AssociationId!)
    const id = readId('networkAcl', input.NetworkAclId!)
    const { networkAcls } = context.cloud
    return { NewAssociationId: await networkAcls.replaceAssociation(scopeOf(context), associationId, id) }
  },

  async DeleteNetworkAcl(input, context) {
    await context.cloud.networkAcls.delete(scopeOf(context), readId('networkAcl', input.NetworkAclId!))
    return {}
  },

  async DescribeNetworkAcls(input, context) {
    const { items, NextToken } = await describe('DescribeNetworkAcls', input, context, {
      kind: 'networkAcl',
      ids: ['NetworkAclIds', input.NetworkAclIds],
      list: (request) => context.cloud.networkAcls.list(scopeOf(context), request),
      shape: ec2NetworkAcl,
    })
    return { NetworkAcls: items, NextToken }
  },
} satisfies Ec2Handlers<Pick<Cloud, 'networkAcls' | 'tags'>>

function entryRequest(input: CreateNetworkAclEntryRequest): EntryRequest {
  const { PortRange: ports, IcmpTypeCode: icmp } = input
  return {
    isEgress: input.Egress!,
    ruleNumber: input.RuleNumber!,
    protocol: input.Protocol!,
    action: input.RuleAction!,
    cidrIpv4: input.CidrBlock || undefined,
    cidrIpv6: input.Ipv6CidrBlock || undefined,
    ports: ports && { from: ports.From, to: ports.To },
    icmp: icmp && { type: icmp.Type, code: icmp.Code },
  }
}
