import type { Cloud } from '../../../cloud/cloud.ts'
import type { Ec2Handlers } from '../handler.ts'
import { readFilters } from '../shared/filters.ts'
import { readId, readIds } from '../shared/ids.ts'
import { nextTokenOf, readPage } from '../shared/pagination.ts'
import { scopeOf } from '../shared/scope.ts'
import { ec2NetworkInterface, ec2Subnet, ec2Vpc } from '../shared/vpc-shapes.ts'

export const vpcHandlers = {
  async DescribeVpcs(input, context) {
    const { cloud } = context
    const scope = scopeOf(context)
    const ids = readIds('vpc', input.VpcIds)
    const page = await cloud.vpcs.listVpcs(scope, {
      ids,
      filters: readFilters(input.Filters),
      page: readPage('DescribeVpcs', input, scope, { ids: { parameter: 'VpcIds', given: ids } }),
    })
    const tags = await cloud.tags.of(scope, idsOf(page.items))
    return {
      Vpcs: page.items.map((vpc) => ec2Vpc(vpc, tags.get(vpc.id))),
      NextToken: nextTokenOf('DescribeVpcs', scope, page.next),
    }
  },

  async DescribeVpcAttribute(input, context) {
    const vpcId = readId('vpc', input.VpcId!)
    await context.cloud.vpcs.listVpcs(scopeOf(context), { ids: [vpcId] })
    switch (input.Attribute) {
      case 'enableDnsSupport':
        return { VpcId: vpcId, EnableDnsSupport: { Value: true } }
      case 'enableDnsHostnames':
        // Public addresses are loopback addresses, which no name resolves to.
        return { VpcId: vpcId, EnableDnsHostnames: { Value: false } }
      default:
        return { VpcId: vpcId, EnableNetworkAddressUsageMetrics: { Value: false } }
    }
  },

  async DescribeSubnets(input, context) {
    const { cloud } = context
    const scope = scopeOf(context)
    const ids = readIds('subnet', input.SubnetIds)
    const page = await cloud.vpcs.listSubnets(scope, {
      ids,
      filters: readFilters(input.Filters),
      page: readPage('DescribeSubnets', input, scope, { ids: { parameter: 'SubnetIds', given: ids } }),
    })
    const tags = await cloud.tags.of(scope, idsOf(page.items))
    const used = await cloud.vpcs.usedAddresses(idsOf(page.items))
    return {
      Subnets: page.items.map((subnet) => ec2Subnet(subnet, used.get(subnet.id) ?? 0, tags.get(subnet.id))),
      NextToken: nextTokenOf('DescribeSubnets', scope, page.next),
    }
  },

  async DescribeNetworkInterfaces(input, context) {
    const { cloud } = context
    const scope = scopeOf(context)
    const ids = readIds('networkInterface', input.NetworkInterfaceIds)
    const page = await cloud.vpcs.listInterfaces(scope, {
      ids,
      filters: readFilters(input.Filters),
      page: readPage('DescribeNetworkInterfaces', input, scope, {
        ids: { parameter: 'NetworkInterfaceIds', given: ids },
      }),
    })
    const tags = await cloud.tags.of(scope, idsOf(page.items))
    return {
      NetworkInterfaces: page.items.map((nic) => ec2NetworkInterface(nic, tags.get(nic.id))),
      NextToken: nextTokenOf('DescribeNetworkInterfaces', scope, page.next),
    }
  },
} satisfies Ec2Handlers<Pick<Cloud, 'vpcs' | 'tags'>>

const idsOf = (rows: readonly { id: string }[]) => rows.map((row) => row.id)
