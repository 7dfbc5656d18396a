/** Internet gateways: what a VPC needs for a way out. */
import { KilnError } from '../../lib/errors.ts'
import { newId } from '../../lib/ids.ts'
import { limits } from '../../lib/limits.ts'
import type { Page } from '../../state/listing.ts'
import type { InternetGateway } from '../../state/routing.ts'
import type { Repositories } from '../../state/state.ts'
import type { Tag } from '../../state/tags.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import { type ListOf, listExisting, owned } from '../existing.ts'
import { dependency, internetGatewayNotFound, vpcNotFound } from './not-found.ts'
import { applyVpc } from './plan.ts'

export class InternetGateways {
  readonly #deps: CloudDeps

  constructor(deps: CloudDeps) {
    this.#deps = deps
  }

  /** Throws InternetGatewayLimitExceeded. */
  async create(scope: Scope, tags: readonly Tag[]): Promise<InternetGateway> {
    const { state, random, clock } = this.#deps
    return await state.transaction(async (tx) => {
      if ((await tx.routing.countGateways(scope.accountId, scope.region)) >= limits.vpcs) {
        throw new KilnError('InternetGatewayLimitExceeded', 'The maximum number of internet gateways has been reached.')
      }
      const row = { ...scope, id: newId('internetGateway', random), vpcId: null, createdAt: clock.now() }
      await tx.routing.insertGateway(row)
      await tx.tags.put({ id: row.id, type: 'internet-gateway', ...scope }, tags)
      return row
    })
  }

  /** Throws InvalidInternetGatewayID.NotFound. */
  list({ accountId, region }: Scope, request: ListOf): Promise<Page<InternetGateway>> {
    const { routing } = this.#deps.state
    const list = (what: ListOf) => routing.listGateways(region, { ...what, accountId })
    return listExisting(list, request, internetGatewayNotFound)
  }

  /** Throws Resource.AlreadyAssociated when it or the VPC has another. */
  async attach(scope: Scope, id: string, vpcId: string): Promise<void> {
    await this.#deps.state.transaction(async (tx) => {
      const gateway = await ownedGateway(tx, scope, id)
      owned(await tx.networks.vpc(vpcId), scope, () => vpcNotFound(vpcId))
      if (gateway.vpcId !== null) {
        throw new KilnError(
          'Resource.AlreadyAssociated',
          `resource ${id} is already attached to network ${gateway.vpcId}`,
        )
      }
      if (await tx.routing.gatewayOf(vpcId)) {
        throw new KilnError(
          'InvalidParameterValue',
          `Network ${vpcId} already has an internet gateway attached (InternetGatewayId ${id})`,
        )
      }
      await tx.routing.attachGateway(id, vpcId)
    })
    await applyVpc(this.#deps, vpcId)
  }

  /** Throws Gateway.NotAttached, DependencyViolation while an interface of the VPC has a public address. */
  async detach(scope: Scope, id: string, vpcId: string): Promise<void> {
    await this.#deps.state.transaction(async (tx) => {
      const gateway = await ownedGateway(tx, scope, id)
      if (gateway.vpcId !== vpcId) {
        throw new KilnError('Gateway.NotAttached', `resource ${id} is not attached to network ${vpcId}`)
      }
      const nics = await tx.networks.interfacesInVpc(vpcId)
      if (nics.some((nic) => nic.publicIp !== null)) {
        throw new KilnError(
          'DependencyViolation',
          `Network ${vpcId} has some mapped public address(es). Please unmap those public address(es) before detaching the gateway.`,
        )
      }
      await tx.routing.attachGateway(id, null)
    })
    await applyVpc(this.#deps, vpcId)
  }

  /** Throws DependencyViolation while a VPC has it. */
  async delete(scope: Scope, id: string): Promise<void> {
    await this.#deps.state.transaction(async (tx) => {
      const gateway = await ownedGateway(tx, scope, id)
      if (gateway.vpcId !== null) throw dependency('internetGateway', id)
      await tx.routing.removeGateway(id)
      await tx.tags.removeAll(id)
    })
  }
}

async function ownedGateway(tx: Repositories, scope: Scope, id: string): Promise<InternetGateway> {
  return owned(await tx.routing.gateway(id), scope, () => internetGatewayNotFound(id))
}
