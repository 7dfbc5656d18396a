import type { Cloud } from '../../../cloud/cloud.ts'
import type { SubnetView, VpcView } from '../../../cloud/network/vpcs.ts'
import { KilnError } from '../../../lib/errors.ts'
import type { Ec2Handlers } from '../handler.ts'
import { describe } from '../shared/description.ts'
import { readId } from '../shared/ids.ts'
import { scopeOf } from '../shared/scope.ts'
import { readTagSpecifications } from '../shared/tag-specifications.ts'
import { refuseGiven } from '../shared/unsupported.ts'
import { ec2Subnet, ec2Vpc } from '../shared/vpc-shapes.ts'

export const vpcHandlers = {
  async CreateVpc(input, context) {
    const { CidrBlock: cidr, InstanceTenancy: tenancy, TagSpecifications: specifications, DryRun: _, ...others } = input
    refuseGiven(others)
    if (tenancy !== undefined && tenancy !== 'default') {
      throw new KilnError('UnsupportedOperation', `The tenancy ${tenancy} (InstanceTenancy) is not supported yet`)
    }
    if (cidr === undefined) throw new KilnError('MissingParameter', 'The request must contain the parameter cidrBlock')
    const { vpc: tags } = readTagSpecifications(specifications, ['vpc'])
    return { Vpc: ec2Vpc(await context.cloud.vpcs.create(scopeOf(context), { cidr, tags }), tags) }
  },

  async DeleteVpc(input, context) {
    await context.cloud.vpcs.delete(scopeOf(context), readId('vpc', input.VpcId!))
    return {}
  },

  async ModifyVpcAttribute(input, context) {
    const { EnableDnsSupport: support, EnableDnsHostnames: hostnames } = input
    refuseGiven({ EnableNetworkAddressUsageMetrics: input.EnableNetworkAddressUsageMetrics?.Value })
    if ((support === undefined) === (hostnames === undefined)) {
      throw new KilnError(
        'InvalidParameterCombination',
        'One of EnableDnsSupport and EnableDnsHostnames is changed at a time, and one must be given',
      )
    }
    const flag = (value: boolean | undefined) => (value ? 1 : 0)
    const patch = support ? { enableDnsSupport: flag(support.Value) } : { enableDnsHostnames: flag(hostnames!.Value) }
    await context.cloud.vpcs.modify(scopeOf(context), readId('vpc', input.VpcId!), patch as Partial<VpcView>)
    return {}
  },

  async CreateSubnet(input, context) {
    const { VpcId, CidrBlock: cidr, AvailabilityZone: zone = null, TagSpecifications, DryRun: _, ...others } = input
    refuseGiven(others)
    if (cidr === undefined) throw new KilnError('MissingParameter', 'The request must contain the parameter cidrBlock')
    const { subnet: tags } = readTagSpecifications(TagSpecifications, ['subnet'])
    const request = { vpcId: readId('vpc', VpcId!), cidr, zone, tags }
    return { Subnet: ec2Subnet(await context.cloud.subnets.create(scopeOf(context), request), 0, tags) }
  },

  async DeleteSubnet(input, context) {
    await context.cloud.subnets.delete(scopeOf(context), readId('subnet', input.SubnetId!))
    return {}
  },

  async ModifySubnetAttribute(input, context) {
    const { SubnetId, MapPublicIpOnLaunch: map, ...others } = input
    for (const [name, value] of Object.entries(others)) {
      refuseGiven({ [name]: typeof value === 'object' ? value.Value : value })
    }
    if (map?.Value === undefined) throw new KilnError('MissingParameter', 'No attribute (MapPublicIpOnLaunch) is given')
    const patch = { mapPublicIp: map.Value ? 1 : 0 } as Partial<SubnetView>
    await context.cloud.subnets.modify(scopeOf(context), readId('subnet', SubnetId!), patch)
    return {}
  },

  async DescribeVpcs(input, context) {
    const { items, NextToken } = await describe('DescribeVpcs', input, context, {
      kind: 'vpc',
      ids: ['VpcIds', input.VpcIds],
      list: (request) => context.cloud.vpcs.listVpcs(scopeOf(context), request),
      shape: ec2Vpc,
    })
    return { Vpcs: items, NextToken }
  },

  async DescribeVpcAttribute(input, context) {
    const vpcId = readId('vpc', input.VpcId!)
    const { items } = await context.cloud.vpcs.listVpcs(scopeOf(context), { ids: [vpcId] })
    const vpc = items[0]!
    switch (input.Attribute) {
      case 'enableDnsSupport':
        return { VpcId: vpcId, EnableDnsSupport: { Value: vpc.enableDnsSupport === 1 } }
      case 'enableDnsHostnames':
        return { VpcId: vpcId, EnableDnsHostnames: { Value: vpc.enableDnsHostnames === 1 } }
      default:
        return { VpcId: vpcId, EnableNetworkAddressUsageMetrics: { Value: false } }
    }
  },

  async DescribeSubnets(input, context) {
    const { items, NextToken } = await describe('DescribeSubnets', input, context, {
      kind: 'subnet',
      ids: ['SubnetIds', input.SubnetIds],
      list: (request) => context.cloud.vpcs.listSubnets(scopeOf(context), request),
      shape: (subnet, tags) => ({ subnet, tags }),
    })
    const used = await context.cloud.vpcs.usedAddresses(items.map(({ subnet }) => subnet.id))
    return { Subnets: items.map(({ subnet, tags }) => ec2Subnet(subnet, used.get(subnet.id) ?? 0, tags)), NextToken }
  },
} satisfies Ec2Handlers<Pick<Cloud, 'vpcs' | 'subnets' | 'tags'>>
