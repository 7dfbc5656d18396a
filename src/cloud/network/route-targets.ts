/** Where routes go, and through what. */
import { KilnError } from '../../lib/errors.ts'
import { isId } from '../../lib/ids.ts'
import { limits } from '../../lib/limits.ts'
import type { NatGateway } from '../../state/nat-gateways.ts'
import type { InternetGateway, Route, RouteTable } from '../../state/routing.ts'
import type { Repositories } from '../../state/state.ts'
import type { Scope } from '../deps.ts'
import { owned } from '../existing.ts'
import { canonicalCidr } from './cidr-blocks.ts'
import { visibleList } from './prefix-lists.ts'

export type RouteDestination = { cidr: string } | { prefixListId: string }

export interface RouteRequest {
  destination: RouteDestination
  /** An internet gateway, or a NAT gateway. */
  targetId: string
}

/** As it is kept: a CIDR block without host bits, or the id of a prefix list that the account may use. */
export async function readDestination(tx: Repositories, scope: Scope, to: RouteDestination): Promise<string> {
  return 'cidr' in to
    ? canonicalCidr(to.cidr, 'destinationCidrBlock')
    : (await visibleList(tx, scope, to.prefixListId)).id
}

/** Throws InvalidGatewayID.NotFound, InvalidNatGatewayID.NotFound, InvalidParameterValue for one of another VPC. */
export async function checkTarget(tx: Repositories, scope: Scope, table: RouteTable, id: string): Promise<void> {
  const gateway = isId('natGateway', id) ? await natGateway(tx, scope, id) : await internetGateway(tx, scope, id)
  if (gateway.vpcId !== table.vpcId) throw otherNetwork(`route table ${table.id}`, `network gateway ${id}`)
}

async function internetGateway(tx: Repositories, scope: Scope, id: string): Promise<InternetGateway> {
  return owned(await tx.routing.gateway(id), scope, () => {
    return new KilnError('InvalidGatewayID.NotFound', `The gateway ID '${id}' does not exist`)
  })
}

async function natGateway(tx: Repositories, scope: Scope, id: string): Promise<NatGateway> {
  const row = await tx.natGateways.get(id)
  return owned(row?.state === 'available' ? row : undefined, scope, () => {
    return new KilnError('InvalidNatGatewayID.NotFound', `The natGateway ID '${id}' does not exist`)
  })
}

/** Whether packets get anywhere through the target of a route of that VPC. */
export function leadsOn(
  targetId: string,
  {
    internetGateways,
    natGateways,
  }: { internetGateways: readonly InternetGateway[]; natGateways: readonly NatGateway[] },
  vpcId: string,
): boolean {
  if (isId('vpcEndpoint', targetId)) return true
  return [...internetGateways, ...natGateways].some((gateway) => gateway.id === targetId && gateway.vpcId === vpcId)
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
