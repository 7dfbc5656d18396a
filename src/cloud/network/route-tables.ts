/**
 * Route tables: where packets of a subnet go that are not for the VPC. A subnet follows its own, or the VPC's main one. The
 * ways out are an internet gateway and NAT gateways; a route whose gateway is gone, or is not this VPC's, leads nowhere (`blackhole`).
 */
import { KilnError } from '../../lib/errors.ts'
import { isId, newId } from '../../lib/ids.ts'
import { limits } from '../../lib/limits.ts'
import type { Page } from '../../state/listing.ts'
import type { Route, RouteTable, RouteTableAssociation } from '../../state/routing.ts'
import type { Repositories } from '../../state/state.ts'
import type { Tag } from '../../state/tags.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import { type ListOf, listExisting, owned } from '../existing.ts'
import { associationNotFound, dependency, routeTableNotFound, vpcNotFound } from './not-found.ts'
import { applyVpc } from './plan.ts'
import {
  checkTarget,
  leadsOn,
  otherNetwork,
  type RouteDestination,
  type RouteRequest,
  readDestination,
  refuseTooManyRoutes,
} from './route-targets.ts'
import { ownedSubnet } from './subnets.ts'

export interface RouteTableView extends RouteTable {
  vpcCidr: string
  routes: (Route & { isActive: boolean })[]
  associations: RouteTableAssociation[]
}

const isEndpoint = (targetId: string) => isId('vpcEndpoint', targetId)

export class RouteTables {
  readonly #deps: CloudDeps

  constructor(deps: CloudDeps) {
    this.#deps = deps
  }

  /** Throws InvalidVpcID.NotFound, RouteTableLimitExceeded. */
  async create(scope: Scope, vpcId: string, tags: readonly Tag[]): Promise<RouteTableView> {
    const { state, random, clock } = this.#deps
    const id = newId('routeTable', random)
    await state.transaction(async (tx) => {
      owned(await tx.networks.vpc(vpcId), scope, () => vpcNotFound(vpcId))
      if ((await tx.routing.tablesOf(vpcId)).length >= limits.routeTablesPerVpc) {
        throw new KilnError('RouteTableLimitExceeded', 'The maximum number of route tables has been reached.')
      }
      await tx.routing.insertTable({ ...scope, id, vpcId, createdAt: clock.now() })
      await tx.tags.put({ id, type: 'route-table', ...scope }, tags)
    })
    return (await this.list(scope, { ids: [id] })).items[0]!
  }

  /** Throws InvalidRouteTableID.NotFound. */
  async list({ accountId, region }: Scope, request: ListOf): Promise<Page<RouteTableView>> {
    const { routing, networks, natGateways } = this.#deps.state
    const list = (what: ListOf) => routing.listTables(region, { ...what, accountId })
    const page = await listExisting(list, request, routeTableNotFound)
    const routes = await routing.routesOf(page.items.map((table) => table.id))
    const vpcIds = [...new Set(page.items.map((table) => table.vpcId))]
    const associations = await routing.associationsOf(vpcIds)
    const vpcs = await networks.vpcs(vpcIds)
    const gateways = {
      internetGateways: await routing.gatewaysOf(vpcIds),
      natGateways: await natGateways.ofVpcs(vpcIds),
    }
    const view = (table: RouteTable): RouteTableView => ({
      ...table,
      vpcCidr: vpcs.find((vpc) => vpc.id === table.vpcId)!.cidr,
      routes: routes
        .filter((route) => route.routeTableId === table.id)
        .map((route) => ({ ...route, isActive: leadsOn(route.targetId, gateways, table.vpcId) })),
      associations: associations.filter((association) => association.routeTableId === table.id),
    })
    return { ...page, items: page.items.map(view) }
  }

  /** Throws DependencyViolation for a main table, and for one that a subnet follows. */
  async delete(scope: Scope, id: string): Promise<void> {
    await this.#deps.state.transaction(async (tx) => {
      const table = await this.#owned(tx, scope, id)
      const associations = await tx.routing.associationsOf([table.vpcId])
      if (associations.some(({ routeTableId }) => routeTableId === id)) throw dependency('routeTable', id)
      await tx.routing.removeTable(id)
      await tx.tags.removeAll(id)
    })
  }

  /** Throws RouteAlreadyExists, RouteLimitExceeded, InvalidGatewayID.NotFound, InvalidPrefixListID.NotFound. */
  async addRoute(scope: Scope, id: string, route: RouteRequest): Promise<void> {
    await this.#change(scope, id, route.destination, async (tx, table, destination) => {
      await checkTarget(tx, scope, table, route.targetId)
      const present = await tx.routing.routesOf([id])
      if (present.some((one) => one.destination === destination)) {
        throw new KilnError('RouteAlreadyExists', `The route identified by ${destination} already exists.`)
      }
      const added = { routeTableId: id, destination, targetId: route.targetId }
      await refuseTooManyRoutes(tx, [...present, added])
      await tx.routing.insertRoute(added)
    })
  }

  /** Throws InvalidRoute.NotFound. */
  async replaceRoute(scope: Scope, id: string, route: RouteRequest): Promise<void> {
    await this.#change(scope, id, route.destination, async (tx, table, destination) => {
      await checkTarget(tx, scope, table, route.targetId)
      if (!(await tx.routing.changeRoute(id, destination, route.targetId))) throw noRoute(id, destination)
    })
  }

  /** Throws InvalidRoute.NotFound. */
  async removeRoute(scope: Scope, id: string, destination: RouteDestination): Promise<void> {
    await this.#change(scope, id, destination, async (tx, _, text) => {
      if (!(await tx.routing.removeRoute(id, text))) throw noRoute(id, text)
    })
  }

  /** The id of the association. Throws Resource.AlreadyAssociated when the subnet follows another table. */
  async associate(scope: Scope, id: string, subnetId: string): Promise<string> {
    const { state, random } = this.#deps
    const { associationId, vpcId } = await state.transaction(async (tx) => {
      const table = await this.#owned(tx, scope, id)
      const subnet = await ownedSubnet(tx, scope, subnetId)
      if (subnet.vpcId !== table.vpcId) throw otherNetwork(`Route table ${id}`, `subnet ${subnetId}`)
      const present = (await tx.routing.associationsOf([table.vpcId])).find((one) => one.subnetId === subnetId)
      if (present?.routeTableId === id) return { associationId: present.id, vpcId: table.vpcId }
      if (present) {
        throw new KilnError(
          'Resource.AlreadyAssociated',
          `the specified association for route table ${id} conflicts with an existing association`,
        )
      }
      const associationId = newId('routeTableAssociation', random)
      await tx.routing.associate({ id: associationId, routeTableId: id, vpcId: table.vpcId, subnetId })
      return { associationId, vpcId: table.vpcId }
    })
    await applyVpc(this.#deps, vpcId)
    return associationId
  }

  /** The subnet follows the main table again. Throws InvalidAssociationID.NotFound, InvalidParameterValue for the main one. */
  async disassociate(scope: Scope, associationId: string): Promise<void> {
    const vpcId = await this.#deps.state.transaction(async (tx) => {
      const association = await this.#association(tx, scope, associationId)
      if (association.subnetId === null) {
        throw new KilnError(
          'InvalidParameterValue',
          `cannot disassociate the main route table association ${associationId}`,
        )
      }
      await tx.routing.disassociate(associationId)
      return association.vpcId
    })
    await applyVpc(this.#deps, vpcId)
  }

  /** The id of the new association; that of a main table makes another the main one. */
  async replaceAssociation(scope: Scope, associationId: string, id: string): Promise<{ id: string; isMain: boolean }> {
    const { state, random } = this.#deps
    const { vpcId, ...replaced } = await state.transaction(async (tx) => {
      const { subnetId, vpcId } = await this.#association(tx, scope, associationId)
      const table = await this.#owned(tx, scope, id)
      if (table.vpcId !== vpcId) throw otherNetwork(`Route table ${id}`, `association ${associationId}`)
      await tx.routing.disassociate(associationId)
      const newAssociation = { id: newId('routeTableAssociation', random), routeTableId: id, vpcId, subnetId }
      await tx.routing.associate(newAssociation)
      return { id: newAssociation.id, isMain: subnetId === null, vpcId }
    })
    await applyVpc(this.#deps, vpcId)
    return replaced
  }

  async #change(
    scope: Scope,
    id: string,
    to: RouteDestination,
    change: (tx: Repositories, table: RouteTable, destination: string) => Promise<void>,
  ): Promise<void> {
    const vpcId = await this.#deps.state.transaction(async (tx) => {
      const table = await this.#owned(tx, scope, id)
      const destination = await readDestination(tx, scope, to)
      const vpc = (await tx.networks.vpc(table.vpcId))!
      if (destination === vpc.cidr) {
        throw new KilnError('InvalidParameterValue', `cannot change the local route ${vpc.cidr} in route table ${id}`)
      }
      const present = (await tx.routing.routesOf([id])).find((route) => route.destination === destination)
      if (present && isEndpoint(present.targetId)) {
        throw new KilnError(
          'InvalidParameterValue',
          `cannot change the route to ${destination} in route table ${id}: VPC endpoint ${present.targetId} keeps it`,
        )
      }
      await change(tx, table, destination)
      return table.vpcId
    })
    await applyVpc(this.#deps, vpcId)
  }

  async #association(tx: Repositories, scope: Scope, id: string): Promise<RouteTableAssociation> {
    const association = await tx.routing.association(id)
    const table = association && (await tx.routing.table(association.routeTableId))
    owned(table, scope, () => associationNotFound(id))
    return association!
  }

  async #owned(tx: Repositories, scope: Scope, id: string): Promise<RouteTable> {
    return owned(await tx.routing.table(id), scope, () => routeTableNotFound(id))
  }
}

const noRoute = (id: string, destination: string) =>
  new KilnError('InvalidRoute.NotFound', `no route to ${destination} in route table ${id} is there to be changed`)
