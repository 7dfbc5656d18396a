/** How traffic leaves a VPC. Each VPC has one route table and one internet gateway; they change as little as the VPC. */
import type { InternetGateway, RouteTable } from '@aws-sdk/client-ec2'
import type { Cloud } from '../../../cloud/cloud.ts'
import { KilnError } from '../../../lib/errors.ts'
import { limits } from '../../../lib/limits.ts'
import type { Ec2Handlers } from '../handler.ts'
import { readFilters } from '../shared/filters.ts'
import { readIds } from '../shared/ids.ts'
import { askedFor, filtered, type ListedRules, pageOf } from '../shared/listed.ts'
import { nextTokenOf, readPage } from '../shared/pagination.ts'
import { scopeOf } from '../shared/scope.ts'
import { ec2InternetGateway, ec2RouteTable } from '../shared/vpc-shapes.ts'

export const routeHandlers = {
  async DescribeRouteTables(input, context) {
    const scope = scopeOf(context)
    const filters = readFilters(input.Filters)
    const ids = readIds('routeTable', input.RouteTableIds)
    const page = readPage('DescribeRouteTables', input, scope, {
      max: limits.routeTablePageMax,
      ids: { parameter: 'RouteTableIds', given: ids },
    })
    const { items: vpcs } = await context.cloud.vpcs.listVpcs(scope, {})
    const keyOf = (table: RouteTable) => table.RouteTableId!
    const tables = askedFor(vpcs.map(ec2RouteTable), keyOf, ids, (id) => {
      return new KilnError('InvalidRouteTableID.NotFound', `The routeTable ID '${id}' does not exist`)
    })
    const found = filtered(tables, routeTableFilters, filters)
    const { items, next } = pageOf(found, keyOf, page)
    return { RouteTables: items, NextToken: nextTokenOf('DescribeRouteTables', scope, next) }
  },

  async DescribeInternetGateways(input, context) {
    const scope = scopeOf(context)
    const filters = readFilters(input.Filters)
    const ids = readIds('internetGateway', input.InternetGatewayIds)
    const page = readPage('DescribeInternetGateways', input, scope, {
      ids: { parameter: 'InternetGatewayIds', given: ids },
    })
    const { items: vpcs } = await context.cloud.vpcs.listVpcs(scope, {})
    const keyOf = (gateway: InternetGateway) => gateway.InternetGatewayId!
    const gateways = askedFor(vpcs.map(ec2InternetGateway), keyOf, ids, (id) => {
      return new KilnError('InvalidInternetGatewayID.NotFound', `The internetGateway ID '${id}' does not exist`)
    })
    const found = filtered(gateways, internetGatewayFilters, filters)
    const { items, next } = pageOf(found, keyOf, page)
    return { InternetGateways: items, NextToken: nextTokenOf('DescribeInternetGateways', scope, next) }
  },
} satisfies Ec2Handlers<Pick<Cloud, 'vpcs'>>

/** Neither can be tagged in Kiln: filters by tag find none. */
const noTags = () => []
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
  'tag-key': noTags,
  'tag:*': noTags,
}

const internetGatewayFilters: ListedRules<InternetGateway> = {
  'internet-gateway-id': (gateway) => gateway.InternetGatewayId,
  'owner-id': (gateway) => gateway.OwnerId,
  'attachment.vpc-id': (gateway) => gateway.Attachments!.map((attachment) => attachment.VpcId),
  'attachment.state': (gateway) => gateway.Attachments!.map((attachment) => attachment.State),
  'tag-key': noTags,
  'tag:*': noTags,
}
