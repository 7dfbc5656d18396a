/** VPCs. Each account has a default one in each region, made when it first looks at that region. */
import { KilnError } from '../../lib/errors.ts'
import { newId } from '../../lib/ids.ts'
import { limits } from '../../lib/limits.ts'
import { zonesOf } from '../../lib/regions.ts'
import type { Page } from '../../state/listing.ts'
import type { Subnet, Vpc } from '../../state/networks.ts'
import type { Repositories } from '../../state/state.ts'
import type { Tag } from '../../state/tags.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import { type ListOf, listExisting, owned } from '../existing.ts'
import { checkVpcCidr } from './cidr-blocks.ts'
import { defaultDhcpOptions } from './dhcp-options.ts'
import { associateDefaultAcl, insertDefaultAcl } from './network-acls.ts'
import { dependency, subnetNotFound, vpcNotFound } from './not-found.ts'

/** Source: "Default VPCs" in the VPC user guide: a /16 with a /20 subnet in each zone. */
const defaultVpcCidr = '172.31.0.0/16'
const defaultSubnetCidr = (index: number) => `172.31.${index * 16}.0/20`

export type VpcView = Vpc
export type SubnetView = Subnet

export class Vpcs {
  readonly #deps: CloudDeps

  constructor(deps: CloudDeps) {
    this.#deps = deps
  }

  /** The account's default VPC in the region; made now if this is its first use. */
  async openDefault(scope: Scope): Promise<Vpc> {
    const { state, locks } = this.#deps
    const found = await state.networks.defaultVpc(scope.accountId, scope.region)
    if (found) return found
    return locks.hold(`default-vpc:${scope.accountId}:${scope.region}`, () =>
      state.transaction(
        async (tx) => (await tx.networks.defaultVpc(scope.accountId, scope.region)) ?? this.#makeDefault(tx, scope),
      ),
    )
  }

  async #makeDefault(tx: Repositories, scope: Scope): Promise<Vpc> {
    const { random, clock } = this.#deps
    const createdAt = clock.now()
    const vpc = await this.#insert(tx, scope, { cidr: defaultVpcCidr, isDefault: 1 })
    const subnets = zonesOf(scope.region).map((zone, index) => ({
      ...{ ...scope, id: newId('subnet', random), vpcId: vpc.id, zone, cidr: defaultSubnetCidr(index), createdAt },
      ...({ isDefault: 1, mapPublicIp: 1 } as const),
    }))
    await tx.networks.insertSubnets(subnets)
    await associateDefaultAcl(
      this.#deps,
      tx,
      vpc.id,
      subnets.map((subnet) => subnet.id),
    )
    const gatewayId = newId('internetGateway', random)
    await tx.routing.insertGateway({ ...scope, id: gatewayId, vpcId: vpc.id, createdAt })
    const [main] = await tx.routing.tablesOf(vpc.id)
    await tx.routing.insertRoute({ routeTableId: main!.id, destination: '0.0.0.0/0', targetId: gatewayId })
    return vpc
  }

  /** A VPC with what none is without: a main route table, a default network ACL, a default security group. */
  async #insert(tx: Repositories, scope: Scope, about: Pick<Vpc, 'cidr' | 'isDefault'>): Promise<Vpc> {
    const { random, clock } = this.#deps
    const createdAt = clock.now()
    const vpc: Vpc = {
      ...scope,
      ...about,
      id: newId('vpc', random),
      dhcpOptionsId: await defaultDhcpOptions(this.#deps, tx, scope),
      enableDnsSupport: 1,
      enableDnsHostnames: 0,
      createdAt,
    }
    await tx.networks.insertVpc(vpc)
    const routeTableId = newId('routeTable', random)
    await tx.routing.insertTable({ ...scope, id: routeTableId, vpcId: vpc.id, createdAt })
    const id = newId('routeTableAssociation', random)
    await tx.routing.associate({ id, routeTableId, vpcId: vpc.id, subnetId: null })
    await insertDefaultAcl(this.#deps, tx, scope, vpc.id)
    await this.#insertDefaultGroup(tx, scope, vpc)
    return vpc
  }

  async #insertDefaultGroup(tx: Repositories, scope: Scope, { id: vpcId, createdAt }: Vpc): Promise<void> {
    const { random } = this.#deps
    const groupId = newId('securityGroup', random)
    const description = 'default VPC security group'
    await tx.networks.insertSecurityGroup({ ...scope, id: groupId, vpcId, name: 'default', description, createdAt })
    const rule = {
      ...scope,
      groupId,
      protocol: '-1',
      fromPort: -1,
      toPort: -1,
      cidrIpv6: null,
      prefixListId: null,
      description: null,
      createdAt,
    }
    await tx.networks.insertRules([
      { ...rule, id: newId('securityGroupRule', random), isEgress: 0, cidrIpv4: null, referencedGroupId: groupId },
      { ...rule, id: newId('securityGroupRule', random), isEgress: 1, cidrIpv4: '0.0.0.0/0', referencedGroupId: null },
    ])
  }

  /** Throws InvalidVpc.Range, VpcLimitExceeded. */
  async create(scope: Scope, request: { cidr: string; tags: readonly Tag[] }): Promise<Vpc> {
    const cidr = checkVpcCidr(request.cidr)
    return await this.#deps.state.transaction(async (tx) => {
      if ((await tx.networks.countVpcs(scope.accountId, scope.region)) >= limits.vpcs) {
        throw new KilnError('VpcLimitExceeded', 'The maximum number of VPCs has been reached.')
      }
      const vpc = await this.#insert(tx, scope, { cidr, isDefault: 0 })
      await tx.tags.put({ id: vpc.id, type: 'vpc', ...scope }, request.tags)
      return vpc
    })
  }

  /** Throws DependencyViolation while there is something in it that was made apart. */
  async delete(scope: Scope, id: string): Promise<void> {
    await this.#deps.state.transaction(async (tx) => {
      const vpc = owned(await tx.networks.vpc(id), scope, () => vpcNotFound(id))
      if (vpc.isDefault === 1) {
        throw new KilnError(
          'OperationNotPermitted',
          `The vpc '${id}' is the default one of its region, which stays here`,
        )
      }
      const tables = await tx.routing.tablesOf(id)
      const acls = await tx.networkAcls.ofVpc(id)
      const isInUse =
        (await tx.networks.subnetsOf(id)).length > 0 ||
        (await tx.routing.gatewayOf(id)) !== undefined ||
        (await tx.vpcEndpoints.ofVpc(id)).length > 0 ||
        tables.length > 1 ||
        acls.length > 1 ||
        (await tx.networks.countSecurityGroups(id)) > 1
      if (isInUse) throw dependency('vpc', id)
      const group = (await tx.networks.securityGroupByName(id, 'default'))!
      const rules = await tx.networks.rulesOf([group.id])
      await tx.networks.deleteSecurityGroup(group.id)
      for (const table of tables) await tx.routing.removeTable(table.id)
      for (const acl of acls) await tx.networkAcls.remove(acl.id)
      await tx.networks.deleteVpc(id)
      await tx.tags.removeAll(id, group.id, ...[...tables, ...acls, ...rules].map((row) => row.id))
    })
  }

  async modify(
    scope: Scope,
    id: string,
    patch: Partial<Pick<Vpc, 'enableDnsSupport' | 'enableDnsHostnames'>>,
  ): Promise<void> {
    await this.#deps.state.transaction(async (tx) => {
      owned(await tx.networks.vpc(id), scope, () => vpcNotFound(id))
      await tx.networks.updateVpc(id, patch)
    })
  }

  /** Throws InvalidVpcID.NotFound for an id that the account has not in this region. */
  async listVpcs(scope: Scope, request: ListOf): Promise<Page<VpcView>> {
    const { networks } = this.#deps.state
    const list = (what: ListOf) => networks.listVpcs(scope.region, { ...what, accountId: scope.accountId })
    return listExisting(list, request, vpcNotFound)
  }

  /** Throws InvalidSubnetID.NotFound. */
  async listSubnets(scope: Scope, request: ListOf): Promise<Page<SubnetView>> {
    const { networks } = this.#deps.state
    const list = (what: ListOf) => networks.listSubnets(scope.region, { ...what, accountId: scope.accountId })
    return listExisting(list, request, subnetNotFound)
  }

  /** Addresses in use, by subnet. */
  usedAddresses(subnetIds: readonly string[]): Promise<Map<string, number>> {
    return this.#deps.state.networks.usedAddresses(subnetIds)
  }
}
