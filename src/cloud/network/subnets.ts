/** Subnets of VPCs: a part of its addresses in one zone. */
import { KilnError } from '../../lib/errors.ts'
import { newId } from '../../lib/ids.ts'
import { limits } from '../../lib/limits.ts'
import { zonesOf } from '../../lib/regions.ts'
import type { Subnet } from '../../state/networks.ts'
import type { Repositories } from '../../state/state.ts'
import type { Tag } from '../../state/tags.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import { owned } from '../existing.ts'
import { checkSubnetCidr } from './cidr-blocks.ts'
import { associateDefaultAcl } from './network-acls.ts'
import { dependency, subnetNotFound, vpcNotFound } from './not-found.ts'

export class Subnets {
  readonly #deps: CloudDeps

  constructor(deps: CloudDeps) {
    this.#deps = deps
  }

  /** In the first zone unless one is given. Throws InvalidVpcID.NotFound, InvalidSubnet.Range, InvalidSubnet.Conflict. */
  async create(
    scope: Scope,
    request: { vpcId: string; cidr: string; zone: string | null; tags: readonly Tag[] },
  ): Promise<Subnet> {
    const { state, random, clock } = this.#deps
    const zones = zonesOf(scope.region)
    if (request.zone !== null && !zones.includes(request.zone)) {
      throw new KilnError(
        'InvalidParameterValue',
        `Value (${request.zone}) for parameter availabilityZone is invalid. Subnets can currently only be created in the following availability zones: ${zones.join(', ')}.`,
      )
    }
    return await state.transaction(async (tx) => {
      const vpc = owned(await tx.networks.vpc(request.vpcId), scope, () => vpcNotFound(request.vpcId))
      const others = await tx.networks.subnetsOf(vpc.id)
      if (others.length >= limits.subnetsPerVpc) {
        throw new KilnError('SubnetLimitExceeded', 'The maximum number of subnets has been reached.')
      }
      const cidrs = others.map((other) => other.cidr)
      const subnet: Subnet = {
        ...{ ...scope, id: newId('subnet', random), vpcId: vpc.id, zone: request.zone ?? zones[0]! },
        ...{ cidr: checkSubnetCidr(request.cidr, vpc.cidr, cidrs), isDefault: 0, mapPublicIp: 0 },
        createdAt: clock.now(),
      }
      await tx.networks.insertSubnets([subnet])
      await associateDefaultAcl(this.#deps, tx, vpc.id, [subnet.id])
      await tx.tags.put({ id: subnet.id, type: 'subnet', ...scope }, request.tags)
      return subnet
    })
  }

  async modify(scope: Scope, id: string, patch: Partial<Pick<Subnet, 'mapPublicIp'>>): Promise<void> {
    await this.#deps.state.transaction(async (tx) => {
      await ownedSubnet(tx, scope, id)
      await tx.networks.updateSubnet(id, patch)
    })
  }

  /** Throws DependencyViolation while an interface is in it. */
  async delete(scope: Scope, id: string): Promise<void> {
    // A launch under way counts the subnet's free addresses under the same lock.
    await this.#deps.locks.hold(`subnet:${id}`, () =>
      this.#deps.state.transaction(async (tx) => {
        await ownedSubnet(tx, scope, id)
        if (((await tx.networks.usedAddresses([id])).get(id) ?? 0) > 0) throw dependency('subnet', id)
        await tx.routing.disassociateSubnet(id)
        await tx.networkAcls.disassociateSubnet(id)
        await tx.networks.deleteSubnet(id)
        await tx.tags.removeAll(id)
      }),
    )
  }
}

/** Throws InvalidSubnetID.NotFound. */
export async function ownedSubnet(tx: Repositories, scope: Scope, id: string): Promise<Subnet> {
  return owned(await tx.networks.subnet(id), scope, () => subnetNotFound(id))
}
