/** What internet gateways and route tables can be filtered by. Source: the Filters of their Describe operations. */
import { type Expression, type SqlBool, sql } from 'kysely'
import { absent, type Builder, type FilterRule, type FilterRules } from './filters.ts'
import type { RouteTableAssociationsTable } from './schema/networks.ts'

export const internetGatewayFilters: FilterRules = {
  tags: { tagsOf: 'internetGateways.id' },
  'internet-gateway-id': { column: 'internetGateways.id' },
  'owner-id': { column: 'internetGateways.accountId' },
  'attachment.vpc-id': { column: 'internetGateways.vpcId' },
  'attachment.state': {
    text: (eb) => sql`case when ${eb.ref('internetGateways.vpcId' as never)} is null then null else 'available' end`,
  },
}

const ofAssociations = (column: keyof RouteTableAssociationsTable): FilterRule => ({
  exists: (eb, match) =>
    eb.exists(
      eb
        .selectFrom('routeTableAssociations as a')
        .select('a.id')
        .whereRef('a.routeTableId', '=', 'routeTables.id')
        .where(match(`a.${column}`)),
    ),
})

const isMain: FilterRule = {
  truth: (eb) =>
    eb.exists(
      eb
        .selectFrom('routeTableAssociations as a')
        .select('a.id')
        .whereRef('a.routeTableId', '=', 'routeTables.id')
        .where('a.subnetId', 'is', null),
    ),
}

/** What a route other than the local one says of itself. */
const ofRoutes = (eb: Builder, ...conditions: Expression<SqlBool>[]): Expression<SqlBool> =>
  eb.exists(
    eb
      .selectFrom('routes as r')
      .leftJoin('internetGateways as g', 'g.id', 'r.targetId')
      .leftJoin('natGateways as n', 'n.id', 'r.targetId')
      .select('r.destination')
      .whereRef('r.routeTableId', '=', 'routeTables.id')
      .where(eb.or(conditions)),
  )

/** A column of a route, where it is of that kind. */
const ifLike = (column: 'r.destination' | 'r.target_id', pattern: string) =>
  sql`case when ${sql.raw(column)} like ${pattern} then ${sql.raw(column)} end`

const routeState = sql`case when g.vpc_id = route_tables.vpc_id or n.state = 'available' or r.target_id like 'vpce-%' then 'active'
  else 'blackhole' end`

/** Every table has the local route, which stands in no row. */
export const routeTableFilters: FilterRules = {
  ...absent(
    'association.gateway-id',
    'route.destination-ipv6-cidr-block',
    'route.egress-only-internet-gateway-id',
    'route.instance-id',
    'route.transit-gateway-id',
    'route.vpc-peering-connection-id',
  ),
  tags: { tagsOf: 'routeTables.id' },
  'route-table-id': { column: 'routeTables.id' },
  'vpc-id': { column: 'routeTables.vpcId' },
  'owner-id': { column: 'routeTables.accountId' },
  'association.main': isMain,
  'association.route-table-id': ofAssociations('routeTableId'),
  'association.route-table-association-id': ofAssociations('id'),
  'association.subnet-id': ofAssociations('subnetId'),
  'route.destination-cidr-block': {
    exists: (eb, match) =>
      eb.or([
        ofRoutes(eb, match(ifLike('r.destination', '%/%'))),
        eb.exists(
          eb.selectFrom('vpcs as v').select('v.id').whereRef('v.id', '=', 'routeTables.vpcId').where(match('v.cidr')),
        ),
      ]),
  },
  'route.destination-prefix-list-id': {
    exists: (eb, match) => ofRoutes(eb, match(ifLike('r.destination', 'pl-%'))),
  },
  'route.gateway-id': {
    exists: (eb, match) =>
      eb.or([
        match(sql`'local'`),
        ofRoutes(eb, match(ifLike('r.target_id', 'igw-%')), match(ifLike('r.target_id', 'vpce-%'))),
      ]),
  },
  'route.nat-gateway-id': {
    exists: (eb, match) => ofRoutes(eb, match(ifLike('r.target_id', 'nat-%'))),
  },
  'route.origin': {
    exists: (eb, match) => eb.or([match(sql`'CreateRouteTable'`), ofRoutes(eb, match(sql`'CreateRoute'`))]),
  },
  'route.state': {
    exists: (eb, match) => eb.or([match(sql`'active'`), ofRoutes(eb, match(routeState))]),
  },
}
