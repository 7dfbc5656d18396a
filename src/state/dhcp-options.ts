/** What guests of VPCs are told by DHCP. */
import type { Insertable, Selectable } from 'kysely'
import type { Db } from './database.ts'
import type { FilterRule, FilterRules } from './filters.ts'
import { byCreation, type ListRequest, listPage, type Page } from './listing.ts'
import type { DhcpOptionsTable, DhcpOptionValuesTable } from './schema/networks.ts'

export type DhcpOptions = Selectable<DhcpOptionsTable>
export type DhcpOptionValue = Selectable<DhcpOptionValuesTable>

const ofValues = (column: 'key' | 'value'): FilterRule => ({
  exists: (eb, match) =>
    eb.exists(
      eb
        .selectFrom('dhcpOptionValues as v')
        .select('v.key')
        .whereRef('v.dhcpOptionsId', '=', 'dhcpOptions.id')
        .where(match(`v.${column}`)),
    ),
})

const filters: FilterRules = {
  tags: { tagsOf: 'dhcpOptions.id' },
  'dhcp-options-id': { column: 'dhcpOptions.id' },
  key: ofValues('key'),
  value: ofValues('value'),
  'owner-id': { column: 'dhcpOptions.accountId' },
}

export class DhcpOptionsRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async insert(row: Insertable<DhcpOptionsTable>, values: readonly Omit<DhcpOptionValue, 'dhcpOptionsId'>[]) {
    await this.#db.insertInto('dhcpOptions').values(row).execute()
    const { id: dhcpOptionsId } = row
    await this.#db
      .insertInto('dhcpOptionValues')
      .values(values.map((value) => ({ ...value, dhcpOptionsId })))
      .execute()
  }

  get(id: string): Promise<DhcpOptions | undefined> {
    return this.#db.selectFrom('dhcpOptions').selectAll().where('id', '=', id).executeTakeFirst()
  }

  /** The set that new VPCs of the account begin with. */
  defaultOf(accountId: string, region: string): Promise<DhcpOptions | undefined> {
    return this.#db
      .selectFrom('dhcpOptions')
      .selectAll()
      .where('accountId', '=', accountId)
      .where('region', '=', region)
      .where('isDefault', '=', 1)
      .orderBy('createdAt')
      .orderBy('id')
      .executeTakeFirst()
  }

  async count(accountId: string, region: string): Promise<number> {
    const row = await this.#db
      .selectFrom('dhcpOptions')
      .select((eb) => eb.fn.countAll<number | string>().as('count'))
      .where('accountId', '=', accountId)
      .where('region', '=', region)
      .executeTakeFirstOrThrow()
    return Number(row.count)
  }

  /** In the order in which they were given. */
  async valuesOf(ids: readonly string[]): Promise<DhcpOptionValue[]> {
    if (ids.length === 0) return []
    return await this.#db
      .selectFrom('dhcpOptionValues')
      .selectAll()
      .where('dhcpOptionsId', 'in', [...ids])
      .orderBy('key')
      .orderBy('ordinal')
      .execute()
  }

  list(region: string, request: ListRequest): Promise<Page<DhcpOptions>> {
    const query = this.#db
      .selectFrom('dhcpOptions')
      .selectAll()
      .where('dhcpOptions.accountId', '=', request.accountId)
      .where('dhcpOptions.region', '=', region)
    return listPage(query, filters, { time: 'dhcpOptions.createdAt', id: 'dhcpOptions.id' }, request, byCreation)
  }

  async remove(id: string): Promise<void> {
    await this.#db.deleteFrom('dhcpOptionValues').where('dhcpOptionsId', '=', id).execute()
    await this.#db.deleteFrom('dhcpOptions').where('id', '=', id).execute()
  }
}
