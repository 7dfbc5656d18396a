/**
 * Elastic IP addresses: a public address that an account keeps, and that moves from one interface to another. Source:
 * "Elastic IP addresses" in the EC2 user guide.
 */
import { KilnError } from '../../lib/errors.ts'
import { newId } from '../../lib/ids.ts'
import { limits } from '../../lib/limits.ts'
import type { ElasticAddress } from '../../state/elastic-addresses.ts'
import type { ListRequest } from '../../state/listing.ts'
import type { NetworkInterface } from '../../state/networks.ts'
import type { Repositories } from '../../state/state.ts'
import type { Tag } from '../../state/tags.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import { owned } from '../existing.ts'
import { ownedInstance } from '../instances/owned-instance.ts'
import { allocationNotFound, associationNotFound, interfaceNotFound } from './not-found.ts'
import { applyVpc } from './plan.ts'

/** An address by what it is called, or by what it is. */
export type AddressRef = { allocationId: string } | { publicIp: string }
export type AddressTarget = { instanceId: string } | { networkInterfaceId: string }

export interface ElasticAddressView extends ElasticAddress {
  /** What it is associated with. */
  nic: NetworkInterface | undefined
}

export class ElasticAddresses {
  readonly #deps: CloudDeps

  constructor(deps: CloudDeps) {
    this.#deps = deps
  }

  /** Throws AddressLimitExceeded. */
  async allocate(scope: Scope, tags: readonly Tag[]): Promise<ElasticAddress> {
    const { state, network, random, clock } = this.#deps
    return await state.transaction(async (tx) => {
      if ((await tx.elasticAddresses.count(scope.accountId, scope.region)) >= limits.elasticAddresses) {
        throw new KilnError('AddressLimitExceeded', 'The maximum number of addresses has been reached.')
      }
      const publicIp = await network.allocatePublicIp(await tx.networks.publicIps())
      const row = {
        ...{ ...scope, id: newId('elasticAddress', random), publicIp, createdAt: clock.now() },
        ...{ associationId: null, networkInterfaceId: null },
      }
      await tx.elasticAddresses.insert(row)
      await tx.tags.put({ id: row.id, type: 'elastic-ip', ...scope }, tags)
      return row
    })
  }

  /** Throws InvalidAllocationID.NotFound or InvalidAddress.NotFound for any that the account has not in this region. */
  async list(
    scope: Scope,
    request: Pick<ListRequest, 'ids' | 'filters'> & { publicIps?: readonly string[] },
  ): Promise<ElasticAddressView[]> {
    const { elasticAddresses, networks } = this.#deps.state
    const { accountId } = scope
    for (const allocationId of request.ids ?? []) await this.#owned(this.#deps.state, scope, { allocationId })
    for (const publicIp of request.publicIps ?? []) await this.#owned(this.#deps.state, scope, { publicIp })
    const { items } = await elasticAddresses.list(scope.region, { ...request, accountId })
    const nics = await networks.interfaces(items.flatMap((row) => row.networkInterfaceId ?? []))
    return items.map((row) => ({ ...row, nic: nics.find((nic) => nic.id === row.networkInterfaceId) }))
  }

  /**
   * The id of the association. An address that the interface had is free again; one that another interface has moves,
   * unless `mayMove` is false: Resource.AlreadyAssociated.
   */
  async associate(
    scope: Scope,
    ref: AddressRef,
    target: AddressTarget,
    { mayMove, privateIp }: { mayMove: boolean; privateIp?: string },
  ): Promise<string> {
    const { state, random } = this.#deps
    const touched = new Set<string>()
    const associationId = await state.transaction(async (tx) => {
      const address = await this.#owned(tx, scope, ref)
      const nic = await this.#targetOf(tx, scope, target)
      if (privateIp !== undefined && privateIp !== nic.privateIp) {
        throw new KilnError(
          'InvalidParameterValue',
          `The private IP address ${privateIp} (PrivateIpAddress) is not assigned to the network interface ${nic.id}`,
        )
      }
      if (address.networkInterfaceId === nic.id) return address.associationId!
      if (!(await tx.routing.gatewayOf(nic.vpcId))) {
        throw new KilnError('Gateway.NotAttached', `Network ${nic.vpcId} is not attached to any internet gateway`)
      }
      if (address.networkInterfaceId && !mayMove) {
        throw new KilnError(
          'Resource.AlreadyAssociated',
          `resource ${address.id} is already associated with associate-id ${address.associationId}`,
        )
      }
      await this.#free(tx, address, touched)
      const former = await tx.elasticAddresses.ofInterface(nic.id)
      if (former) await tx.elasticAddresses.associate(former.id, null)
      const place = { associationId: newId('elasticAssociation', random), networkInterfaceId: nic.id }
      await tx.elasticAddresses.associate(address.id, place)
      await tx.networks.updateInterface(nic.id, {
        ...{ publicIp: address.publicIp, allocationId: address.id, associationId: place.associationId },
      })
      touched.add(nic.vpcId)
      return place.associationId
    })
    await this.#applyAll(touched)
    return associationId
  }

  /** Throws InvalidAssociationID.NotFound, InvalidAddress.NotFound. An address that nothing has is left as it is. */
  async disassociate(scope: Scope, ref: { associationId: string } | { publicIp: string }): Promise<void> {
    const touched = new Set<string>()
    await this.#deps.state.transaction(async (tx) => {
      const address = 'publicIp' in ref ? await this.#owned(tx, scope, ref) : await associated(tx, scope, ref)
      await this.#free(tx, address, touched)
    })
    await this.#applyAll(touched)
  }

  /** Throws InvalidIPAddress.InUse while something has it. */
  async release(scope: Scope, ref: AddressRef): Promise<void> {
    await this.#deps.state.transaction(async (tx) => {
      const address = await this.#owned(tx, scope, ref)
      if (address.networkInterfaceId) {
        throw new KilnError('InvalidIPAddress.InUse', `Address ${address.publicIp} is in use.`)
      }
      await tx.tags.removeAll(address.id)
      await tx.elasticAddresses.remove(address.id)
    })
  }

  /** Takes the address from whatever has it, which gets a new one if its subnet gives such. */
  async #free(tx: Repositories, address: ElasticAddress, touched: Set<string>): Promise<void> {
    if (!address.networkInterfaceId) return
    const [nic] = await tx.networks.interfaces([address.networkInterfaceId])
    if (nic && nic.kind !== 'interface') {
      throw new KilnError(
        'OperationNotPermitted',
        `You are not allowed to manage the address ${address.publicIp}: a NAT gateway has it`,
      )
    }
    await tx.elasticAddresses.associate(address.id, null)
    if (!nic) return
    touched.add(nic.vpcId)
    await tx.networks.updateInterface(nic.id, { publicIp: null, allocationId: null, associationId: null })
    // Only a primary interface gets one of its own.
    if (nic.instanceId === null || nic.deviceIndex !== 0) return
    const [instance, subnet] = [await tx.instances.get(nic.instanceId), await tx.networks.subnet(nic.subnetId)]
    if (subnet?.mapPublicIp !== 1 || (instance?.state !== 'running' && instance?.state !== 'pending')) return
    const publicIp = await this.#deps.network.allocatePublicIp(await tx.networks.publicIps())
    await tx.networks.updateInterface(nic.id, { publicIp })
  }

  async #targetOf(tx: Repositories, scope: Scope, target: AddressTarget): Promise<NetworkInterface> {
    if ('networkInterfaceId' in target) {
      const [nic] = await tx.networks.interfaces([target.networkInterfaceId])
      return owned(nic, scope, () => interfaceNotFound(target.networkInterfaceId))
    }
    const instance = await ownedInstance(tx, scope, target.instanceId)
    const [nic] = await tx.networks.interfacesOf([instance.id])
    const canHave = instance.state === 'pending' || instance.state === 'running' || instance.state === 'stopped'
    if (nic && (canHave || instance.state === 'stopping')) return nic
    throw new KilnError(
      'InvalidInstanceID',
      `The instance '${instance.id}' is not in a valid state for this operation: it is ${instance.state}`,
    )
  }

  async #owned(state: Repositories, scope: Scope, ref: AddressRef): Promise<ElasticAddress> {
    if ('allocationId' in ref) {
      const row = await state.elasticAddresses.get(ref.allocationId)
      return owned(row, scope, () => allocationNotFound(ref.allocationId))
    }
    const row = await state.elasticAddresses.at(ref.publicIp)
    return owned(row, scope, () => new KilnError('InvalidAddress.NotFound', `Address '${ref.publicIp}' not found.`))
  }

  /** One after the other: whoever lost an address stops listening there before another begins. */
  async #applyAll(vpcIds: ReadonlySet<string>): Promise<void> {
    for (const vpcId of vpcIds) await applyVpc(this.#deps, vpcId)
  }
}

async function associated(
  tx: Repositories,
  scope: Scope,
  { associationId }: { associationId: string },
): Promise<ElasticAddress> {
  return owned(await tx.elasticAddresses.associated(associationId), scope, () => associationNotFound(associationId))
}
