/** VPCs, subnets, security groups with their rules, and network interfaces. */
import type { Insertable, Selectable } from 'kysely'
import { insertRows } from './bulk.ts'
import type { Db } from './database.ts'
import { byCreation, type ListRequest, listPage, type Page } from './listing.ts'
import {
  networkInterfaceFilters,
  securityGroupFilters,
  securityGroupRuleFilters,
  subnetFilters,
  vpcFilters,
} from './network-filters.ts'
import type {
  NetworkInterfacesTable,
  SecurityGroupRulesTable,
  SecurityGroupsTable,
  SubnetsTable,
  VpcsTable,
} from './schema/networks.ts'

export type Vpc = Selectable<VpcsTable>
export type Subnet = Selectable<SubnetsTable>
export type SecurityGroup = Selectable<SecurityGroupsTable>
export type SecurityGroupRule = Selectable<SecurityGroupRulesTable>
export type NetworkInterface = Selectable<NetworkInterfacesTable>

export class NetworkRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async insertVpc(row: Insertable<VpcsTable>): Promise<void> {
    await this.#db.insertInto('vpcs').values(row).execute()
  }

  defaultVpc(accountId: string, region: string): Promise<Vpc | undefined> {
    return this.#db
      .selectFrom('vpcs')
      .selectAll()
      .where('accountId', '=', accountId)
      .where('region', '=', region)
      .where('isDefault', '=', 1)
      .executeTakeFirst()
  }

  vpc(id: string): Promise<Vpc | undefined> {
    return this.#db.selectFrom('vpcs').selectAll().where('id', '=', id).executeTakeFirst()
  }

  async vpcs(ids: readonly string[]): Promise<Vpc[]> {
    if (ids.length === 0) return []
    return await this.#db
      .selectFrom('vpcs')
      .selectAll()
      .where('id', 'in', [...ids])
      .execute()
  }

  listVpcs(region: string, request: ListRequest): Promise<Page<Vpc>> {
    const query = this.#db
      .selectFrom('vpcs')
      .selectAll()
      .where('vpcs.accountId', '=', request.accountId)
      .where('vpcs.region', '=', region)
    return listPage(query, vpcFilters, { time: 'vpcs.createdAt', id: 'vpcs.id' }, request, byCreation)
  }

  async updateVpc(id: string, patch: Partial<VpcsTable>): Promise<void> {
    await this.#db.updateTable('vpcs').set(patch).where('id', '=', id).execute()
  }

  async deleteVpc(id: string): Promise<void> {
    await this.#db.deleteFrom('vpcs').where('id', '=', id).execute()
  }

  async countVpcs(accountId: string, region: string): Promise<number> {
    const row = await this.#db
      .selectFrom('vpcs')
      .select((eb) => eb.fn.countAll<number | string>().as('count'))
      .where('accountId', '=', accountId)
      .where('region', '=', region)
      .executeTakeFirstOrThrow()
    return Number(row.count)
  }

  async vpcsWithDhcpOptions(dhcpOptionsId: string): Promise<Vpc[]> {
    return await this.#db.selectFrom('vpcs').selectAll().where('dhcpOptionsId', '=', dhcpOptionsId).execute()
  }

  subnetsOf(vpcId: string): Promise<Subnet[]> {
    return this.#db.selectFrom('subnets').selectAll().where('vpcId', '=', vpcId).execute()
  }

  async updateSubnet(id: string, patch: Partial<SubnetsTable>): Promise<void> {
    await this.#db.updateTable('subnets').set(patch).where('id', '=', id).execute()
  }

  async deleteSubnet(id: string): Promise<void> {
    await this.#db.deleteFrom('subnets').where('id', '=', id).execute()
  }

  async insertSubnets(rows: readonly Insertable<SubnetsTable>[]): Promise<void> {
    await this.#db
      .insertInto('subnets')
      .values([...rows])
      .execute()
  }

  subnet(id: string): Promise<Subnet | undefined> {
    return this.#db.selectFrom('subnets').selectAll().where('id', '=', id).executeTakeFirst()
  }

  subnets(ids: readonly string[]): Promise<Subnet[]> {
    if (ids.length === 0) return Promise.resolve([])
    return this.#db
      .selectFrom('subnets')
      .selectAll()
      .where('id', 'in', [...ids])
      .execute()
  }

  listSubnets(region: string, request: ListRequest): Promise<Page<Subnet>> {
    const query = this.#db
      .selectFrom('subnets')
      .selectAll()
      .where('subnets.accountId', '=', request.accountId)
      .where('subnets.region', '=', region)
    return listPage(query, subnetFilters, { time: 'subnets.createdAt', id: 'subnets.id' }, request, byCreation)
  }

  /** Addresses taken, by subnet. */
  async usedAddresses(subnetIds: readonly string[]): Promise<Map<string, number>> {
    if (subnetIds.length === 0) return new Map()
    const rows = await this.#db
      .selectFrom('networkInterfaces')
      .select(['subnetId', (eb) => eb.fn.countAll<number | string>().as('used')])
      .where('subnetId', 'in', [...subnetIds])
      .groupBy('subnetId')
      .execute()
    return new Map(rows.map((row) => [row.subnetId, Number(row.used)]))
  }

  async insertSecurityGroup(row: Insertable<SecurityGroupsTable>): Promise<void> {
    await this.#db.insertInto('securityGroups').values(row).execute()
  }

  securityGroup(id: string): Promise<SecurityGroup | undefined> {
    return this.#db.selectFrom('securityGroups').selectAll().where('id', '=', id).executeTakeFirst()
  }

  securityGroupByName(vpcId: string, name: string): Promise<SecurityGroup | undefined> {
    return this.#db
      .selectFrom('securityGroups')
      .selectAll()
      .where('vpcId', '=', vpcId)
      .where('name', '=', name)
      .executeTakeFirst()
  }

  securityGroups(ids: readonly string[]): Promise<SecurityGroup[]> {
    if (ids.length === 0) return Promise.resolve([])
    return this.#db
      .selectFrom('securityGroups')
      .selectAll()
      .where('id', 'in', [...ids])
      .execute()
  }

  listSecurityGroups(
    region: string,
    request: ListRequest & { names?: readonly string[] },
  ): Promise<Page<SecurityGroup>> {
    let query = this.#db
      .selectFrom('securityGroups')
      .selectAll()
      .where('securityGroups.accountId', '=', request.accountId)
      .where('securityGroups.region', '=', region)
    if (request.names) query = query.where('securityGroups.name', 'in', [...request.names])
    const order = { time: 'securityGroups.createdAt', id: 'securityGroups.id' }
    return listPage(query, securityGroupFilters, order, request, byCreation)
  }

  async deleteSecurityGroup(id: string): Promise<void> {
    await this.#db.deleteFrom('securityGroupRules').where('groupId', '=', id).execute()
    await this.#db.deleteFrom('securityGroups').where('id', '=', id).execute()
  }

  async countSecurityGroups(vpcId: string): Promise<number> {
    const row = await this.#db
      .selectFrom('securityGroups')
      .select((eb) => eb.fn.countAll<number | string>().as('count'))
      .where('vpcId', '=', vpcId)
      .executeTakeFirstOrThrow()
    return Number(row.count)
  }

  async insertRules(rows: readonly Insertable<SecurityGroupRulesTable>[]): Promise<void> {
    if (rows.length > 0)
      await this.#db
        .insertInto('securityGroupRules')
        .values([...rows])
        .execute()
  }

  rulesOf(groupIds: readonly string[]): Promise<SecurityGroupRule[]> {
    if (groupIds.length === 0) return Promise.resolve([])
    return this.#db
      .selectFrom('securityGroupRules')
      .selectAll()
      .where('groupId', 'in', [...groupIds])
      .orderBy('createdAt')
      .orderBy('id')
      .execute()
  }

  listRules(region: string, request: ListRequest): Promise<Page<SecurityGroupRule>> {
    const query = this.#db
      .selectFrom('securityGroupRules')
      .selectAll()
      .where('securityGroupRules.accountId', '=', request.accountId)
      .where('securityGroupRules.region', '=', region)
    const order = { time: 'securityGroupRules.createdAt', id: 'securityGroupRules.id' }
    return listPage(query, securityGroupRuleFilters, order, request, byCreation)
  }

  async updateRule(id: string, patch: Partial<SecurityGroupRulesTable>): Promise<void> {
    await this.#db.updateTable('securityGroupRules').set(patch).where('id', '=', id).execute()
  }

  async deleteRules(ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return
    await this.#db
      .deleteFrom('securityGroupRules')
      .where('id', 'in', [...ids])
      .execute()
  }

  /** Groups whose rules name that group. */
  async groupsReferring(groupId: string): Promise<string[]> {
    const rows = await this.#db
      .selectFrom('securityGroupRules')
      .select('groupId')
      .distinct()
      .where('referencedGroupId', '=', groupId)
      .where('groupId', '!=', groupId)
      .execute()
    return rows.map((row) => row.groupId)
  }

  /** All of them are members of all of the groups. */
  async insertInterfaces(
    rows: readonly Insertable<NetworkInterfacesTable>[],
    groupIds: readonly string[],
  ): Promise<void> {
    await insertRows(this.#db, 'networkInterfaces', rows)
    const memberships = rows.flatMap(({ id }) => groupIds.map((groupId) => ({ networkInterfaceId: id, groupId })))
    await insertRows(this.#db, 'networkInterfaceGroups', memberships)
  }

  async setInterfaceGroups(networkInterfaceId: string, groupIds: readonly string[]): Promise<void> {
    await this.#db.deleteFrom('networkInterfaceGroups').where('networkInterfaceId', '=', networkInterfaceId).execute()
    await this.#db
      .insertInto('networkInterfaceGroups')
      .values(groupIds.map((groupId) => ({ networkInterfaceId, groupId })))
      .execute()
  }

  async updateInterface(id: string, patch: Partial<NetworkInterfacesTable>): Promise<void> {
    await this.#db.updateTable('networkInterfaces').set(patch).where('id', '=', id).execute()
  }

  async deleteInterfaces(ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return
    await this.#db
      .updateTable('elasticAddresses')
      .set({ associationId: null, networkInterfaceId: null })
      .where('networkInterfaceId', 'in', [...ids])
      .execute()
    await this.#db
      .deleteFrom('networkInterfaceGroups')
      .where('networkInterfaceId', 'in', [...ids])
      .execute()
    await this.#db
      .deleteFrom('networkInterfaces')
      .where('id', 'in', [...ids])
      .execute()
  }

  attachedAs(attachmentId: string): Promise<NetworkInterface | undefined> {
    return this.#db
      .selectFrom('networkInterfaces')
      .selectAll()
      .where('attachmentId', '=', attachmentId)
      .executeTakeFirst()
  }

  async countInterfaces(accountId: string, region: string): Promise<number> {
    const row = await this.#db
      .selectFrom('networkInterfaces')
      .select((eb) => eb.fn.countAll<number | string>().as('count'))
      .where('accountId', '=', accountId)
      .where('region', '=', region)
      .executeTakeFirstOrThrow()
    return Number(row.count)
  }

  /** Of each instance the primary one first. */
  interfacesOf(instanceIds: readonly string[]): Promise<NetworkInterface[]> {
    if (instanceIds.length === 0) return Promise.resolve([])
    return this.#db
      .selectFrom('networkInterfaces')
      .selectAll()
      .where('instanceId', 'in', [...instanceIds])
      .orderBy('deviceIndex')
      .execute()
  }

  interfaces(ids: readonly string[]): Promise<NetworkInterface[]> {
    if (ids.length === 0) return Promise.resolve([])
    return this.#db
      .selectFrom('networkInterfaces')
      .selectAll()
      .where('id', 'in', [...ids])
      .execute()
  }

  interfacesInVpc(vpcId: string): Promise<NetworkInterface[]> {
    return this.#db.selectFrom('networkInterfaces').selectAll().where('vpcId', '=', vpcId).execute()
  }

  interfaceAt(vpcId: string, privateIp: string): Promise<NetworkInterface | undefined> {
    return this.#db
      .selectFrom('networkInterfaces')
      .selectAll()
      .where('vpcId', '=', vpcId)
      .where('privateIp', '=', privateIp)
      .executeTakeFirst()
  }

  listInterfaces(region: string, request: ListRequest): Promise<Page<NetworkInterface>> {
    const query = this.#db
      .selectFrom('networkInterfaces')
      .selectAll()
      .where('networkInterfaces.accountId', '=', request.accountId)
      .where('networkInterfaces.region', '=', region)
    const order = { time: 'networkInterfaces.createdAt', id: 'networkInterfaces.id' }
    return listPage(query, networkInterfaceFilters, order, request, byCreation)
  }

  /** Group ids by network interface id. */
  async groupsOfInterfaces(ids: readonly string[]): Promise<Map<string, string[]>> {
    const groups = new Map<string, string[]>(ids.map((id) => [id, []]))
    if (ids.length === 0) return groups
    const rows = await this.#db
      .selectFrom('networkInterfaceGroups')
      .selectAll()
      .where('networkInterfaceId', 'in', [...ids])
      .orderBy('groupId')
      .execute()
    for (const row of rows) groups.get(row.networkInterfaceId)?.push(row.groupId)
    return groups
  }

  /** Every public address that an interface or an account has. */
  async publicIps(): Promise<Set<string>> {
    const rows = await this.#db
      .selectFrom('networkInterfaces')
      .select('publicIp')
      .where('publicIp', 'is not', null)
      .execute()
    const kept = await this.#db.selectFrom('elasticAddresses').select('publicIp').execute()
    return new Set([...rows, ...kept].map((row) => row.publicIp!))
  }

  async privateIpsIn(subnetId: string): Promise<Set<string>> {
    const rows = await this.#db
      .selectFrom('networkInterfaces')
      .select('privateIp')
      .where('subnetId', '=', subnetId)
      .execute()
    return new Set(rows.map((row) => row.privateIp))
  }

  async isGroupInUse(groupId: string): Promise<boolean> {
    const row = await this.#db
      .selectFrom('networkInterfaceGroups')
      .select('groupId')
      .where('groupId', '=', groupId)
      .limit(1)
      .executeTakeFirst()
    return row !== undefined
  }
}
