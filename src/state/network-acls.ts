/** Network ACLs: what may cross the border of a subnet, entry by entry. */
import type { Insertable, Selectable } from 'kysely'
import type { Db } from './database.ts'
import { absent, type FilterRule, type FilterRules, type Match } from './filters.ts'
import { byCreation, type ListRequest, listPage, type Page } from './listing.ts'
import type { NetworkAclAssociationsTable, NetworkAclEntriesTable, NetworkAclsTable } from './schema/networks.ts'

export type NetworkAcl = Selectable<NetworkAclsTable>
export type NetworkAclEntry = Selectable<NetworkAclEntriesTable>
export type NetworkAclAssociation = Selectable<NetworkAclAssociationsTable>

const ofEntries = (column: keyof NetworkAclEntriesTable, kind: Parameters<Match>[1] = 'text'): FilterRule => ({
  exists: (eb, match) =>
    eb.exists(
      eb
        .selectFrom('networkAclEntries as e')
        .select('e.networkAclId')
        .whereRef('e.networkAclId', '=', 'networkAcls.id')
        .where(match(`e.${column}`, kind)),
    ),
})

const ofAssociations = (column: keyof NetworkAclAssociationsTable): FilterRule => ({
  exists: (eb, match) =>
    eb.exists(
      eb
        .selectFrom('networkAclAssociations as a')
        .select('a.id')
        .whereRef('a.networkAclId', '=', 'networkAcls.id')
        .where(match(`a.${column}`)),
    ),
})

const filters: FilterRules = {
  ...absent('entry.operator.managed', 'entry.operator.principal'),
  tags: { tagsOf: 'networkAcls.id' },
  'association.association-id': ofAssociations('id'),
  'association.network-acl-id': ofAssociations('networkAclId'),
  'association.subnet-id': ofAssociations('subnetId'),
  default: { number: 'networkAcls.isDefault' },
  'entry.cidr': ofEntries('cidrIpv4'),
  'entry.egress': ofEntries('isEgress', 'number'),
  'entry.icmp.code': ofEntries('icmpCode', 'number'),
  'entry.icmp.type': ofEntries('icmpType', 'number'),
  'entry.ipv6-cidr': ofEntries('cidrIpv6'),
  'entry.port-range.from': ofEntries('fromPort', 'number'),
  'entry.port-range.to': ofEntries('toPort', 'number'),
  'entry.protocol': ofEntries('protocol'),
  'entry.rule-action': ofEntries('action'),
  'entry.rule-number': ofEntries('ruleNumber', 'number'),
  'network-acl-id': { column: 'networkAcls.id' },
  'owner-id': { column: 'networkAcls.accountId' },
  'vpc-id': { column: 'networkAcls.vpcId' },
}

type EntryKey = Pick<NetworkAclEntry, 'networkAclId' | 'isEgress' | 'ruleNumber'>

export class NetworkAclRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async insert(row: Insertable<NetworkAclsTable>): Promise<void> {
    await this.#db.insertInto('networkAcls').values(row).execute()
  }

  get(id: string): Promise<NetworkAcl | undefined> {
    return this.#db.selectFrom('networkAcls').selectAll().where('id', '=', id).executeTakeFirst()
  }

  ofVpc(vpcId: string): Promise<NetworkAcl[]> {
    return this.#db.selectFrom('networkAcls').selectAll().where('vpcId', '=', vpcId).execute()
  }

  list(region: string, request: ListRequest): Promise<Page<NetworkAcl>> {
    const query = this.#db
      .selectFrom('networkAcls')
      .selectAll()
      .where('networkAcls.accountId', '=', request.accountId)
      .where('networkAcls.region', '=', region)
    return listPage(query, filters, { time: 'networkAcls.createdAt', id: 'networkAcls.id' }, request, byCreation)
  }

  /** With its entries; nothing may be associated with it. */
  async remove(id: string): Promise<void> {
    await this.#db.deleteFrom('networkAclEntries').where('networkAclId', '=', id).execute()
    await this.#db.deleteFrom('networkAcls').where('id', '=', id).execute()
  }

  /** Egress first, in the order in which they are judged. */
  async entriesOf(ids: readonly string[]): Promise<NetworkAclEntry[]> {
    if (ids.length === 0) return []
    return await this.#db
      .selectFrom('networkAclEntries')
      .selectAll()
      .where('networkAclId', 'in', [...ids])
      .orderBy('isEgress', 'desc')
      .orderBy('ruleNumber')
      .execute()
  }

  async insertEntries(rows: readonly Insertable<NetworkAclEntriesTable>[]): Promise<void> {
    await this.#db
      .insertInto('networkAclEntries')
      .values([...rows])
      .execute()
  }

  /** Whether there was one. */
  async removeEntry({ networkAclId, isEgress, ruleNumber }: EntryKey): Promise<boolean> {
    const done = await this.#db
      .deleteFrom('networkAclEntries')
      .where('networkAclId', '=', networkAclId)
      .where('isEgress', '=', isEgress)
      .where('ruleNumber', '=', ruleNumber)
      .executeTakeFirst()
    return done.numDeletedRows > 0n
  }

  async associate(rows: readonly Insertable<NetworkAclAssociationsTable>[]): Promise<void> {
    await this.#db
      .insertInto('networkAclAssociations')
      .values([...rows])
      .execute()
  }

  association(id: string): Promise<NetworkAclAssociation | undefined> {
    return this.#db.selectFrom('networkAclAssociations').selectAll().where('id', '=', id).executeTakeFirst()
  }

  async associationsOf(networkAclIds: readonly string[]): Promise<NetworkAclAssociation[]> {
    if (networkAclIds.length === 0) return []
    return await this.#db
      .selectFrom('networkAclAssociations')
      .selectAll()
      .where('networkAclId', 'in', [...networkAclIds])
      .orderBy('subnetId')
      .execute()
  }

  async disassociateSubnet(subnetId: string): Promise<void> {
    await this.#db.deleteFrom('networkAclAssociations').where('subnetId', '=', subnetId).execute()
  }
}
