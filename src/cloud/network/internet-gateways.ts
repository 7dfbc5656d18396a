/** Internet gateways: what a VPC needs for a way out. */
import { KilnError } from '../../lib/errors.ts'
import { newId } from '../../lib/ids.ts'
import { limits } from '../../lib/limits.ts'
import type { InternetGateway } from '../../state/routing.ts'
import type { Repositories } from '../../state/state.ts'
import type { Tag } from '../../state/tags.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import { applyVpc } from './plan.ts'
import { dependency } from './vpcs.ts'

export class InternetGateways {
  readonly #deps: CloudDeps

  constructor(deps: CloudDeps) {
    this.#deps = deps
  }

  /** Throws InternetGatewayLimitExceeded. */
  async create(scope: Scope, tags: readonly Tag[]): Promise<InternetGateway> {
    const { state, random, clock } = this.#deps
    return await state.transaction(async (tx) => {
      if ((await tx.routing.gateways(scope.accountId, scope.region)).length >= limits.vpcs) {
        throw new KilnError('InternetGatewayLimitExceeded', 'The maximum number of internet gateways has been reached.')
      }
      const row = { ...scope, id: newId('internetGateway', random), vpcId: null, createdAt: clock.now() }
      await tx.routing.insertGateway(row)
      await tx.tags.put({ id: row.id, type: 'internet-gateway', ...scope }, tags)
      return row
    })
  }

  list({ accountId, region }: Scope): Promise<InternetGateway[]> {
    return this.#deps.state.routing.gateways(accountId, region)
  }

  /** Throws Resource.AlreadyAssociated when it or the VPC has another. */
  async attach(scope: Scope, id: string, vpcId: string): Promise<void> {
    await this.#deps.state.transaction(async (tx) => {
      const gateway = await ownedGateway(tx, scope, id)
      const vpc = await tx.networks.vpc(vpcId)
      if (vpc?.accountId !== scope.accountId || vpc.region !== scope.region) {
        throw new KilnError('InvalidVpcID.NotFound', `The vpc ID '${vpcId}' does not exist`)
      }
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

async function ownedGateway(tx: Repositories, { accountId, region }: Scope, id: string): Promise<InternetGateway> {
  const gateway = await tx.routing.gateway(id)
  if (gateway?.accountId === accountId && gateway.region === region) return gateway
  throw new KilnError('InvalidInternetGatewayID.NotFound', `The internetGateway ID '${id}' does not exist`)
}
