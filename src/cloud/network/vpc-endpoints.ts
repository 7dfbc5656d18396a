/**
 * VPC endpoints of the gateway type: routes to a service, without a way out. Guests reach S3 beside their metadata from
 * every subnet; an endpoint says so in the route tables that name it. Source: "Gateway endpoints" in the AWS PrivateLink
 * guide.
 */
import { type ErrorCode, isKilnError, KilnError } from '../../lib/errors.ts'
import { newId } from '../../lib/ids.ts'
import { limits } from '../../lib/limits.ts'
import type { Page } from '../../state/listing.ts'
import type { Repositories } from '../../state/state.ts'
import type { Tag } from '../../state/tags.ts'
import type { VpcEndpoint } from '../../state/vpc-endpoints.ts'
import { createOnce } from '../client-tokens.ts'
import type { ClientToken, CloudDeps, Scope } from '../deps.ts'
import { type ListOf, listExisting, owned } from '../existing.ts'
import { awsPrefixListId, ensureAwsPrefixLists, serviceName } from './aws-prefix-lists.ts'
import { routeTableNotFound, vpcEndpointNotFound, vpcNotFound } from './not-found.ts'

export interface VpcEndpointView extends VpcEndpoint {
  routeTableIds: string[]
}

export interface EndpointFailure {
  id: string
  code: ErrorCode
  message: string
}

/** What endpoints can lead to. */
export const gatewayServices = (region: string): readonly string[] => [serviceName(region, 's3')]

export class VpcEndpoints {
  readonly #deps: CloudDeps

  constructor(deps: CloudDeps) {
    this.#deps = deps
  }

  /** Throws InvalidServiceName, InvalidVpcID.NotFound, InvalidRouteTableID.NotFound, RouteAlreadyExists. */
  async create(
    scope: Scope,
    request: {
      vpcId: string
      service: string
      routeTableIds: readonly string[]
      tags: readonly Tag[]
      clientToken: ClientToken | undefined
    },
  ): Promise<VpcEndpointView> {
    const { random, clock } = this.#deps
    const { vpcId, service, routeTableIds, tags } = request
    checkService(scope.region, service)
    await ensureAwsPrefixLists(this.#deps, scope.region)
    const [id] = await createOnce(this.#deps, scope, 'CreateVpcEndpoint', request.clientToken, async (tx) => {
      owned(await tx.networks.vpc(vpcId), scope, () => vpcNotFound(vpcId))
      if ((await tx.vpcEndpoints.ofVpc(vpcId)).length >= limits.endpointsPerVpc) {
        throw new KilnError('VpcEndpointLimitExceeded', 'The maximum number of VPC endpoints has been reached.')
      }
      const row: VpcEndpoint = {
        ...{ ...scope, id: newId('vpcEndpoint', random), vpcId, serviceName: service },
        ...{ prefixListId: awsPrefixListId(scope.region, 's3'), createdAt: clock.now() },
      }
      await tx.vpcEndpoints.insert(row)
      for (const tableId of new Set(routeTableIds)) await addRoute(tx, scope, row, tableId)
      await tx.tags.put({ id: row.id, type: 'vpc-endpoint', ...scope }, tags)
      return [row.id]
    })
    return (await this.list(scope, { ids: [id!] })).items[0]!
  }

  /** Throws InvalidVpcEndpointId.NotFound. */
  async list(scope: Scope, request: ListOf): Promise<Page<VpcEndpointView>> {
    const { vpcEndpoints, routing } = this.#deps.state
    const list = (what: ListOf) => vpcEndpoints.list(scope.region, { ...what, accountId: scope.accountId })
    const page = await listExisting(list, request, vpcEndpointNotFound)
    const routes = await routing.routesTo(page.items.map((row) => row.id))
    const view = (row: VpcEndpoint): VpcEndpointView => ({
      ...row,
      routeTableIds: routes.filter((route) => route.targetId === row.id).map((route) => route.routeTableId),
    })
    return { ...page, items: page.items.map(view) }
  }

  /** Throws InvalidVpcEndpointId.NotFound, InvalidRouteTableID.NotFound, RouteAlreadyExists. */
  async modify(
    scope: Scope,
    id: string,
    { add, remove }: { add: readonly string[]; remove: readonly string[] },
  ): Promise<void> {
    await this.#deps.state.transaction(async (tx) => {
      const endpoint = owned(await tx.vpcEndpoints.get(id), scope, () => vpcEndpointNotFound(id))
      const present = (await tx.routing.routesTo([id])).map((route) => route.routeTableId)
      for (const tableId of new Set(remove)) {
        if (!present.includes(tableId)) throw routeTableNotFound(tableId)
        await tx.routing.removeRoute(tableId, endpoint.prefixListId)
      }
      for (const tableId of new Set(add)) await addRoute(tx, scope, endpoint, tableId)
    })
  }

  /** Each by itself; those that could not be deleted. */
  async delete(scope: Scope, ids: readonly string[]): Promise<EndpointFailure[]> {
    const failures: EndpointFailure[] = []
    for (const id of ids) {
      try {
        await this.#deps.state.transaction(async (tx) => {
          const endpoint = owned(await tx.vpcEndpoints.get(id), scope, () => vpcEndpointNotFound(id))
          for (const { routeTableId } of await tx.routing.routesTo([id])) {
            await tx.routing.removeRoute(routeTableId, endpoint.prefixListId)
          }
          await tx.vpcEndpoints.remove(id)
          await tx.tags.removeAll(id)
        })
      } catch (error) {
        if (!isKilnError(error)) throw error
        failures.push({ id, code: error.code, message: error.message })
      }
    }
    return failures
  }
}

export function checkService(region: string, service: string): void {
  if (gatewayServices(region).includes(service)) return
  throw new KilnError(
    'InvalidServiceName',
    `The Vpc Endpoint Service '${service.slice(0, 200)}' does not exist (ServiceName)`,
  )
}

async function addRoute(tx: Repositories, scope: Scope, endpoint: VpcEndpoint, tableId: string): Promise<void> {
  const table = owned(await tx.routing.table(tableId), scope, () => routeTableNotFound(tableId))
  if (table.vpcId !== endpoint.vpcId) {
    throw new KilnError(
      'InvalidParameterValue',
      `Route table ${tableId} (RouteTableId) and network ${endpoint.vpcId} belong to different networks`,
    )
  }
  const { prefixListId } = endpoint
  if ((await tx.routing.routesOf([tableId])).some((route) => route.destination === prefixListId)) {
    throw new KilnError(
      'RouteAlreadyExists',
      `route table ${tableId} already has a route with destination-prefix-list-id ${prefixListId}`,
    )
  }
  await tx.routing.insertRoute({ routeTableId: tableId, destination: prefixListId, targetId: endpoint.id })
}
