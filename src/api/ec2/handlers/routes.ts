/** How traffic leaves a VPC: route tables, their routes, and which subnets follow which. */
import type { CreateRouteRequest, RouteTable } from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import { KilnError } from '../../../lib/errors.ts'
import { limits } from '../../../lib/limits.ts'
import type { Ec2Handlers } from '../handler.ts'
import { readFilters } from '../shared/filters.ts'
import { readId, readIds } from '../shared/ids.ts'
import { askedFor, filtered, type ListedRules, pageOf, tagRules } from '../shared/listed.ts'
import { nextTokenOf, readPage } from '../shared/pagination.ts'
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
    const { cloud } = context
    const scope = scopeOf(context)
    const filters = readFilters(input.Filters)
    const ids = readIds('routeTable', input.RouteTableIds)
    const page = readPage('DescribeRouteTables', input, scope, {
      max: limits.routeTablePageMax,
      ids: { parameter: 'RouteTableIds', given: ids },
    })
    const views = await cloud.routeTables.list(scope)
    const tags = await cloud.tags.of(
      scope,
      views.map((view) => view.id),
    )
    const keyOf = (table: RouteTable) => table.RouteTableId!
    const all = views.map((view) => ec2RouteTable(view, tags.get(view.id)))
    const tables = askedFor(all, keyOf, ids, (id) => {
      return new KilnError('InvalidRouteTableID.NotFound', `The routeTable ID '${id}' does not exist`)
    })
    const { items, next } = pageOf(filtered(tables, routeTableFilters, filters), keyOf, page)
    return { RouteTables: items, NextToken: nextTokenOf('DescribeRouteTables', scope, next) }
  },
} satisfies Ec2Handlers<Pick<Cloud, 'routeTables' | 'tags'>>

type Destination = Pick<
  CreateRouteRequest,
  'DestinationCidrBlock' | 'DestinationIpv6CidrBlock' | 'DestinationPrefixListId'
>

function destination(input: Destination): string {
  const { DestinationIpv6CidrBlock, DestinationPrefixListId } = input
  refuseGiven({ DestinationIpv6CidrBlock, DestinationPrefixListId })
  if (input.DestinationCidrBlock !== undefined) return input.DestinationCidrBlock
  throw new KilnError('MissingParameter', 'The request must contain the parameter destinationCidrBlock')
}

/** The one target that leads out is an internet gateway. */
function way(input: Omit<CreateRouteRequest, 'RouteTableId'>): { destination: string; gatewayId: string } {
  const { GatewayId: gatewayId, DryRun: _, DestinationCidrBlock, ...others } = input
  const { DestinationIpv6CidrBlock, DestinationPrefixListId, ...targets } = others
  const to = destination({ DestinationCidrBlock, DestinationIpv6CidrBlock, DestinationPrefixListId })
  refuseGiven({ ...targets, RouteTableId: undefined })
  if (gatewayId !== undefined) return { destination: to, gatewayId: readId('internetGateway', gatewayId) }
  throw new KilnError('MissingParameter', 'The request must contain the parameter gatewayId')
}

const none = () => []

const routeTableFilters: ListedRules<RouteTable> = {
  'route-table-id': (table) => table.RouteTableId,
  'vpc-id': (table) => table.VpcId,
  'owner-id': (table) => table.OwnerId,
  'association.main': (table) => table.Associations!.map((association) => association.Main),
  'association.route-table-id': (table) => table.Associations!.map((association) => association.RouteTableId),
  'association.route-table-association-id': (table) =>
    table.Associations!.map((association) => association.RouteTableAssociationId),
  'association.subnet-id': (table) => table.Associations!.map((association) => association.SubnetId),
  'association.gateway-id': none,
  'route.destination-ipv6-cidr-block': none,
  'route.destination-prefix-list-id': none,
  'route.egress-only-internet-gateway-id': none,
  'route.instance-id': none,
  'route.nat-gateway-id': none,
  'route.transit-gateway-id': none,
  'route.vpc-peering-connection-id': none,
  'route.destination-cidr-block': (table) => table.Routes!.map((route) => route.DestinationCidrBlock),
  'route.gateway-id': (table) => table.Routes!.map((route) => route.GatewayId),
  'route.origin': (table) => table.Routes!.map((route) => route.Origin),
  'route.state': (table) => table.Routes!.map((route) => route.State),
  ...tagRules,
}
