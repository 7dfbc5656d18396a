/** Where the routes of subnets lead out of their VPC. */
import type { Route } from '../../state/routing.ts'
import type { Repositories } from '../../state/state.ts'

/** CIDR blocks: through the VPC's internet gateway, and through a NAT gateway that has such a way itself. */
export interface WaysOut {
  direct: string[]
  translated: string[]
}

/** Of the route table that each subnet follows. */
export async function readWaysOut(state: Repositories, vpcId: string): Promise<(subnetId: string) => WaysOut> {
  const { routing, prefixLists, natGateways } = state
  const gateway = await routing.gatewayOf(vpcId)
  const nats = new Map((await natGateways.ofVpcs([vpcId])).map((nat) => [nat.id, nat]))
  const associations = await routing.associationsOf([vpcId])
  const routes = await routing.routesOf([...new Set(associations.map(({ routeTableId }) => routeTableId))])
  const lists = await prefixLists.cidrsOf(routes.map(({ destination }) => destination))
  const tableOf = (subnetId: string | null) => associations.find((one) => one.subnetId === subnetId)?.routeTableId
  const blocks = (some: readonly Route[]) =>
    some.flatMap(({ destination }) => (destination.includes('/') ? destination : (lists.get(destination) ?? [])))
  const routesOf = (subnetId: string) => {
    const table = tableOf(subnetId) ?? tableOf(null)
    return routes.filter(({ routeTableId }) => routeTableId === table)
  }
  const directly = (subnetId: string) => routesOf(subnetId).filter(({ targetId }) => targetId === gateway?.id)
  return (subnetId) => ({
    direct: blocks(directly(subnetId)),
    translated: blocks(
      routesOf(subnetId).filter(({ targetId }) => {
        const nat = nats.get(targetId)
        return nat !== undefined && directly(nat.subnetId).length > 0
      }),
    ),
  })
}
