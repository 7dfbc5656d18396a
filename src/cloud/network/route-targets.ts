/** Where routes go, and through what. */
import { KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import type { Route, RouteTable } from '../../state/routing.ts'
import type { Repositories } from '../../state/state.ts'
import type { Scope } from '../deps.ts'
import { canonicalCidr } from './cidr-blocks.ts'
import { visibleList } from './prefix-lists.ts'

export type RouteDestination = { cidr: string } | { prefixListId: string }

export interface RouteRequest {
  destination: RouteDestination
  /** An internet gateway. */
  targetId: string
}

/** As it is kept: a CIDR block without host bits, or the id of a prefix list that the account may use. */
export async function readDestination(tx: Repositories, scope: Scope, to: RouteDestination): Promise<string> {
  return 'cidr' in to
    ? canonicalCidr(to.cidr, 'destinationCidrBlock')
    : (await visibleList(tx, scope, to.prefixListId)).id
}

/** Throws InvalidGatewayID.NotFound, InvalidParameterValue for a gateway of another VPC. */
export async function checkTarget(
  tx: Repositories,
  { accountId, region }: Scope,
  table: RouteTable,
  id: string,
): Promise<void> {
  const gateway = await tx.routing.gateway(id)
  if (gateway?.accountId !== accountId || gateway.region !== region) {
    throw new KilnError('InvalidGatewayID.NotFound', `The gateway ID '${id}' does not exist`)
  }
  if (gateway.vpcId !== table.vpcId) throw otherNetwork(`route table ${table.id}`, `network gateway ${id}`)
}

/** A prefix list counts as often as it may have entries. */
export async function refuseTooManyRoutes(tx: Repositories, routes: readonly Route[]): Promise<void> {
  const lists = await tx.prefixLists.many(routes.map((route) => route.destination))
  const count = routes.length - lists.length + lists.reduce((sum, list) => sum + list.maxEntries, 0)
  if (count <= limits.routesPerTable) return
  throw new KilnError('RouteLimitExceeded', 'The maximum number of routes has been reached.')
}

export const otherNetwork = (one: string, other: string) =>
  new KilnError('InvalidParameterValue', `${one} and ${other} belong to different networks`)
