/** Default VPCs: each account has one in each region, made when it first looks at that region. */
import { KilnError } from '../../lib/errors.ts'
import { newId } from '../../lib/ids.ts'
import { zonesOf } from '../../lib/regions.ts'
import type { ListRequest, Page } from '../../state/listing.ts'
import type { NetworkInterface, SecurityGroup, Subnet, Vpc } from '../../state/networks.ts'
import type { Repositories } from '../../state/state.ts'
import type { CloudDeps, Scope } from '../deps.ts'

/** Source: "Default VPCs" in the VPC user guide: a /16 with a /20 subnet in each zone. */
const defaultVpcCidr = '172.31.0.0/16'
const defaultSubnetCidr = (index: number) => `172.31.${index * 16}.0/20`

type ListOf = Omit<ListRequest, 'accountId'>

export type VpcView = Vpc
export type SubnetView = Subnet

export interface InterfaceDetail extends NetworkInterface {
  groups: SecurityGroup[]
  /** Its instance's. */
  sourceDestCheck: boolean
}

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
    const vpc: Vpc = {
      ...scope,
      id: newId('vpc', random),
      cidr: defaultVpcCidr,
      isDefault: 1,
      dhcpOptionsId: newId('dhcpOptions', random),
      internetGatewayId: newId('internetGateway', random),
      mainRouteTableId: newId('routeTable', random),
      networkAclId: newId('networkAcl', random),
      createdAt,
    }
    await tx.networks.insertVpc(vpc)
    await tx.networks.insertSubnets(
      zonesOf(scope.region).map((zone, index) => ({
        ...scope,
        id: newId('subnet', random),
        vpcId: vpc.id,
        zone,
        cidr: defaultSubnetCidr(index),
        isDefault: 1,
        mapPublicIp: 1,
        createdAt,
      })),
    )
    const groupId = newId('securityGroup', random)
    await tx.networks.insertSecurityGroup({
      ...scope,
      id: groupId,
      vpcId: vpc.id,
      name: 'default',
      description: 'default VPC security group',
      createdAt,
    })
    const rule = {
      ...scope,
      groupId,
      protocol: '-1',
      fromPort: -1,
      toPort: -1,
      cidrIpv6: null,
      description: null,
      createdAt,
    }
    await tx.networks.insertRules([
      { ...rule, id: newId('securityGroupRule', random), isEgress: 0, cidrIpv4: null, referencedGroupId: groupId },
      { ...rule, id: newId('securityGroupRule', random), isEgress: 1, cidrIpv4: '0.0.0.0/0', referencedGroupId: null },
    ])
    return vpc
  }

  /** Throws InvalidVpcID.NotFound for an id that the account has not in this region. */
  async listVpcs(scope: Scope, request: ListOf): Promise<Page<VpcView>> {
    const { networks } = this.#deps.state
    const list = (what: ListOf) => networks.listVpcs(scope.region, { ...what, accountId: scope.accountId })
    return listExisting(
      list,
      request,
      (id) => new KilnError('InvalidVpcID.NotFound', `The vpc ID '${id}' does not exist`),
    )
  }

  /** Throws InvalidSubnetID.NotFound. */
  async listSubnets(scope: Scope, request: ListOf): Promise<Page<SubnetView>> {
    const { networks } = this.#deps.state
    const list = (what: ListOf) => networks.listSubnets(scope.region, { ...what, accountId: scope.accountId })
    return listExisting(
      list,
      request,
      (id) => new KilnError('InvalidSubnetID.NotFound', `The subnet ID '${id}' does not exist`),
    )
  }

  /** Throws InvalidNetworkInterfaceID.NotFound. */
  async listInterfaces(scope: Scope, request: ListOf): Promise<Page<InterfaceDetail>> {
    const { networks, instances } = this.#deps.state
    const list = (what: ListOf) => networks.listInterfaces(scope.region, { ...what, accountId: scope.accountId })
    const page = await listExisting(
      list,
      request,
      (id) => new KilnError('InvalidNetworkInterfaceID.NotFound', `The networkInterface ID '${id}' does not exist`),
    )
    const groupsOf = await networks.groupsOfInterfaces(page.items.map((nic) => nic.id))
    const groups = await networks.securityGroups([...new Set([...groupsOf.values()].flat())])
    const checking = (await instances.many(page.items.map((nic) => nic.instanceId))).filter(
      (instance) => instance.sourceDestCheck === 1,
    )
    const detail = (nic: NetworkInterface): InterfaceDetail => ({
      ...nic,
      groups: groups.filter((group) => groupsOf.get(nic.id)!.includes(group.id)),
      sourceDestCheck: checking.some((instance) => instance.id === nic.instanceId),
    })
    return { ...page, items: page.items.map(detail) }
  }

  /** Addresses in use, by subnet. */
  usedAddresses(subnetIds: readonly string[]): Promise<Map<string, number>> {
    return this.#deps.state.networks.usedAddresses(subnetIds)
  }
}

/** A page, once it is sure that all ids that were asked for exist: filters may leave some out, a wrong id is an error. */
async function listExisting<Row extends { id: string }>(
  list: (request: ListOf) => Promise<Page<Row>>,
  request: ListOf,
  notFound: (id: string) => KilnError,
): Promise<Page<Row>> {
  if (request.ids) {
    const { items } = await list({ ids: request.ids })
    const missing = request.ids.find((id) => !items.some((row) => row.id === id))
    if (missing) throw notFound(missing)
  }
  return list(request)
}
