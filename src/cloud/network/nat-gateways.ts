/**
 * NAT gateways: a way out for subnets that have none of their own, and none in. Source: "NAT gateways" in the VPC user
 * guide.
 */
import { KilnError } from '../../lib/errors.ts'
import { newId } from '../../lib/ids.ts'
import { limits } from '../../lib/limits.ts'
import type { ElasticAddress } from '../../state/elastic-addresses.ts'
import type { Page } from '../../state/listing.ts'
import type { NatGateway } from '../../state/nat-gateways.ts'
import type { Repositories } from '../../state/state.ts'
import type { Tag } from '../../state/tags.ts'
import { createOnce } from '../client-tokens.ts'
import type { ClientToken, CloudDeps, Scope } from '../deps.ts'
import { type ListOf, listExisting, owned } from '../existing.ts'
import { newInterface } from './interfaces.ts'
import { allocationNotFound, natGatewayNotFound } from './not-found.ts'
import { applyVpc } from './plan.ts'
import { ownedSubnet } from './subnets.ts'

export interface NatGatewayView extends NatGateway {
  associationId: string | null
}

/** How long a deleted one is told of. */
const toldForMs = 3600_000

export class NatGateways {
  readonly #deps: CloudDeps

  constructor(deps: CloudDeps) {
    this.#deps = deps
  }

  /**
   * With an interface of its own in the subnet. Throws InvalidSubnetID.NotFound, InvalidAllocationID.NotFound,
   * Resource.AlreadyAssociated, Gateway.NotAttached, NatGatewayLimitExceeded.
   */
  async create(
    scope: Scope,
    request: {
      subnetId: string
      allocationId: string
      privateIp: string | undefined
      tags: readonly Tag[]
      clientToken: ClientToken | undefined
    },
  ): Promise<NatGatewayView> {
    const { subnetId, clientToken } = request
    // A launch under way counts the subnet's free addresses under the same lock.
    const [id] = await this.#deps.locks.hold(`subnet:${subnetId}`, () =>
      createOnce(this.#deps, scope, 'CreateNatGateway', clientToken, (tx) => this.#insert(tx, scope, request)),
    )
    const view = (await this.list(scope, { ids: [id!] })).items[0]!
    await applyVpc(this.#deps, view.vpcId)
    return view
  }

  async #insert(
    tx: Repositories,
    scope: Scope,
    request: { subnetId: string; allocationId: string; privateIp: string | undefined; tags: readonly Tag[] },
  ): Promise<string[]> {
    const { random, clock } = this.#deps
    const { allocationId, privateIp, tags } = request
    const subnet = await ownedSubnet(tx, scope, request.subnetId)
    const address = owned(await tx.elasticAddresses.get(allocationId), scope, () => allocationNotFound(allocationId))
    if (address.networkInterfaceId) {
      throw new KilnError(
        'Resource.AlreadyAssociated',
        `Elastic IP address [${allocationId}] is already associated with associate-id ${address.associationId}`,
      )
    }
    if (!(await tx.routing.gatewayOf(subnet.vpcId))) {
      throw new KilnError('Gateway.NotAttached', `Network ${subnet.vpcId} has no Internet gateway attached`)
    }
    await this.#refuseTooMany(tx, subnet)
    const id = newId('natGateway', random)
    const description = `Interface for NAT Gateway ${id}`
    const nic = await newInterface(this.#deps, tx, subnet, { privateIp, description, kind: 'nat_gateway' })
    await tx.networks.insertInterfaces([nic], [])
    await this.#associate(tx, address, nic.id)
    await tx.natGateways.insert({
      ...{ ...scope, id, vpcId: subnet.vpcId, subnetId: subnet.id, networkInterfaceId: nic.id, allocationId },
      ...{ privateIp: nic.privateIp, publicIp: address.publicIp, state: 'available', createdAt: clock.now() },
    })
    await tx.tags.put({ id, type: 'natgateway', ...scope }, tags)
    return [id]
  }

  async #refuseTooMany(tx: Repositories, subnet: { vpcId: string; zone: string }): Promise<void> {
    const subnets = await tx.networks.subnetsOf(subnet.vpcId)
    const zoneOf = new Map(subnets.map(({ id, zone }) => [id, zone]))
    const present = await tx.natGateways.ofVpcs([subnet.vpcId])
    const inZone = present.filter(({ subnetId }) => zoneOf.get(subnetId) === subnet.zone).length
    if (inZone < limits.natGatewaysPerZone) return
    throw new KilnError(
      'NatGatewayLimitExceeded',
      `The maximum number of NAT gateways in ${subnet.zone} has been reached: ${limits.natGatewaysPerZone}.`,
    )
  }

  async #associate(tx: Repositories, { id, publicIp }: ElasticAddress, networkInterfaceId: string): Promise<void> {
    const associationId = newId('elasticAssociation', this.#deps.random)
    await tx.elasticAddresses.associate(id, { associationId, networkInterfaceId })
    await tx.networks.updateInterface(networkInterfaceId, { publicIp, allocationId: id, associationId })
  }

  /** Throws NatGatewayNotFound. */
  async list(scope: Scope, request: ListOf): Promise<Page<NatGatewayView>> {
    const { natGateways, networks } = this.#deps.state
    const list = (what: ListOf) => natGateways.list(scope.region, { ...what, accountId: scope.accountId })
    const page = await listExisting(list, request, natGatewayNotFound)
    const nics = await networks.interfaces(page.items.map((row) => row.networkInterfaceId))
    const view = (row: NatGateway): NatGatewayView => ({
      ...row,
      associationId: nics.find((nic) => nic.id === row.networkInterfaceId)?.associationId ?? null,
    })
    return { ...page, items: page.items.map(view) }
  }

  /** Its address is the account's to use again. Throws NatGatewayNotFound. */
  async delete(scope: Scope, id: string): Promise<void> {
    const { state, clock } = this.#deps
    const vpcId = await state.transaction(async (tx) => {
      const row = owned(await tx.natGateways.get(id), scope, () => natGatewayNotFound(id))
      if (row.state === 'deleted') return row.vpcId
      await tx.natGateways.markDeleted(id, clock.now())
      await tx.networks.deleteInterfaces([row.networkInterfaceId])
      return row.vpcId
    })
    await applyVpc(this.#deps, vpcId)
  }

  async removeLeftovers(): Promise<void> {
    const { state, clock } = this.#deps
    await state.transaction(async (tx) => {
      await tx.tags.removeAll(...(await tx.natGateways.removeDeletedBefore(clock.now() - toldForMs)))
    })
  }
}
