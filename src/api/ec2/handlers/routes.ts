/** How traffic leaves a VPC: route tables, their routes, and which subnets follow which. */
import type { CreateRouteRequest } from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import type { RouteDestination, RouteRequest } from '../../../cloud/network/route-targets.ts'
import { KilnError } from '../../../lib/errors.ts'
import { limits } from '../../../lib/limits.ts'
import type { Ec2Handlers } from '../handler.ts'
import { describe } from '../shared/description.ts'
import { readId } from '../shared/ids.ts'
import { scopeOf } from '../shared/scope.ts'
import { readTagSpecifications } from '../shared/tag-specifications.ts'
import { refuseGiven } from '../shared/unsupported.ts'
import { ec2RouteTable } from '../shared/vpc-shapes.ts'

export const routeHandlers = {
  async CreateRouteTable(input, context) {
    const { 'route-table': tags } = readTagSpecifications(input.TagSpecifications, ['route-table'])
    const table = await context.cloud.routeTables.create(scopeOf(context), readId('vpc', input.VpcId!), tags)
    return { RouteTable: ec2RouteTable(table, tags) }
  },

  async DeleteRouteTable(input, context) {
    await context.cloud.routeTables.delete(scopeOf(context), readId('routeTable', input.RouteTableId!))
    return {}
  },

  async CreateRoute(input, context) {
    await context.cloud.routeTables.addRoute(scopeOf(context), readId('routeTable', input.RouteTableId!), way(input))
    return { Return: true }
  },

  async ReplaceRoute(input, context) {
    refuseGiven({ LocalTarget: input.LocalTarget })
    await context.cloud.routeTables.replaceRoute(
      scopeOf(context),
      readId('routeTable', input.RouteTableId!),
      way(input),
    )
    return {}
  },

  async DeleteRoute(input, context) {
    const id = readId('routeTable', input.RouteTableId!)
    await context.cloud.routeTables.removeRoute(scopeOf(context), id, destination(input))
    return {}
  },

  async AssociateRouteTable(input, context) {
    refuseGiven({ GatewayId: input.GatewayId, PublicIpv4Pool: input.PublicIpv4Pool })
    if (input.SubnetId === undefined) {
      throw new KilnError('MissingParameter', 'The request must contain the parameter subnetId')
    }
    const id = readId('routeTable', input.RouteTableId!)
    const associationId = await context.cloud.routeTables.associate(
      scopeOf(context),
      id,
      readId('subnet', input.SubnetId),
    )
    return { AssociationId: associationId, AssociationState: { State: 'associated' } }
  },

  async DisassociateRouteTable(input, context) {
    const id = readId('routeTableAssociation', input.AssociationId!)
    await context.cloud.routeTables.disassociate(scopeOf(context), id)
    return {}
  },

  async ReplaceRouteTableAssociation(input, context) {
    const replaced = await context.cloud.routeTables.replaceAssociation(
      scopeOf(context),
      readId('routeTableAssociation', input.AssociationId!),
      readId('routeTable', input.RouteTableId!),
    )
    return { NewAssociationId: replaced.id, AssociationState: { State: 'associated' } }
  },

  async DescribeRouteTables(input, context) {
    const { items, NextToken } = await describe('DescribeRouteTables', input, context, {
      kind: 'routeTable',
      ids: ['RouteTableIds', input.RouteTableIds],
      page: { max: limits.routeTablePageMax },
      list: (request) => context.cloud.routeTables.list(scopeOf(context), request),
      shape: ec2RouteTable,
    })
    return { RouteTables: items, NextToken }
  },
} satisfies Ec2Handlers<Pick<Cloud, 'routeTables' | 'tags'>>

type Destination = Pick<
  CreateRouteRequest,
  'DestinationCidrBlock' | 'DestinationIpv6CidrBlock' | 'DestinationPrefixListId'
>

function destination(input: Destination): RouteDestination {
  const { DestinationCidrBlock: cidr, DestinationPrefixListId: listId, DestinationIpv6CidrBlock } = input
  refuseGiven({ DestinationIpv6CidrBlock })
  if (cidr !== undefined && listId !== undefined) {
    throw new KilnError(
      'InvalidParameterCombination',
      'The parameter destinationCidrBlock may not be used in combination with destinationPrefixListId',
    )
  }
  if (listId !== undefined) return { prefixListId: readId('prefixList', listId) }
  if (cidr !== undefined) return { cidr }
  throw new KilnError('MissingParameter', 'The request must contain the parameter destinationCidrBlock')
}

/** What leads out is an internet gateway, or a NAT gateway. */
function way(input: Omit<CreateRouteRequest, 'RouteTableId'>): RouteRequest {
  const { GatewayId: gatewayId, NatGatewayId: natId, DryRun: _, DestinationCidrBlock, ...others } = input
  const { DestinationIpv6CidrBlock, DestinationPrefixListId, ...targets } = others
  const to = destination({ DestinationCidrBlock, DestinationIpv6CidrBlock, DestinationPrefixListId })
  refuseGiven({ ...targets, RouteTableId: undefined })
  if (gatewayId !== undefined && natId !== undefined) {
    throw new KilnError(
      'InvalidParameterCombination',
      'The parameter gatewayId may not be used in combination with natGatewayId',
    )
  }
  if (natId !== undefined) return { destination: to, targetId: readId('natGateway', natId) }
  if (gatewayId !== undefined) return { destination: to, targetId: readId('internetGateway', gatewayId) }
  throw new KilnError('MissingParameter', 'The request must contain the parameter gatewayId')
}
