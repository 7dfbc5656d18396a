/** Prefix lists, an account's own and those of AWS, with all versions of their entries. */
import { type Insertable, type Selectable, sql } from 'kysely'
import { insertRows } from './bulk.ts'
import type { Db } from './database.ts'
import type { FilterRules } from './filters.ts'
import { byCreation, type ListRequest, listPage, type Page, type PageRequest } from './listing.ts'
import type { PrefixListEntriesTable, PrefixListsTable } from './schema/networks.ts'

export type PrefixList = Selectable<PrefixListsTable>
export type PrefixListEntry = Pick<Selectable<PrefixListEntriesTable>, 'cidr' | 'description'>

/** Whose the lists are that every account sees. */
export const prefixListsOfAll = 'AWS'

const filters: FilterRules = {
  tags: { tagsOf: 'prefixLists.id' },
  'owner-id': { column: 'prefixLists.accountId' },
  'prefix-list-id': { column: 'prefixLists.id' },
  'prefix-list-name': { column: 'prefixLists.name' },
}

export class PrefixListRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async insert(row: Insertable<PrefixListsTable>, entries: readonly PrefixListEntry[]): Promise<void> {
    await this.#db.insertInto('prefixLists').values(row).execute()
    await this.addEntries(row.id, entries, row.version)
  }

  get(id: string): Promise<PrefixList | undefined> {
    return this.#db.selectFrom('prefixLists').selectAll().where('id', '=', id).executeTakeFirst()
  }

  async many(ids: readonly string[]): Promise<PrefixList[]> {
    if (ids.length === 0) return []
    return await this.#db
      .selectFrom('prefixLists')
      .selectAll()
      .where('id', 'in', [...ids])
      .execute()
  }

  async count(accountId: string, region: string): Promise<number> {
    const row = await this.#db
      .selectFrom('prefixLists')
      .select((eb) => eb.fn.countAll<number | string>().as('count'))
      .where('accountId', '=', accountId)
      .where('region', '=', region)
      .executeTakeFirstOrThrow()
    return Number(row.count)
  }

  /** The account's and those of AWS, or those of AWS alone. */
  list(region: string, request: ListRequest & { isOfAllOnly?: boolean }): Promise<Page<PrefixList>> {
    const owners = request.isOfAllOnly ? [prefixListsOfAll] : [prefixListsOfAll, request.accountId]
    const query = this.#db
      .selectFrom('prefixLists')
      .selectAll()
      .where('prefixLists.accountId', 'in', owners)
      .where('prefixLists.region', '=', region)
    return listPage(query, filters, { time: 'prefixLists.createdAt', id: 'prefixLists.id' }, request, byCreation)
  }

  async update(id: string, patch: Partial<PrefixListsTable>): Promise<void> {
    await this.#db.updateTable('prefixLists').set(patch).where('id', '=', id).execute()
  }

  /** With all versions. */
  async remove(id: string): Promise<void> {
    await this.#db.deleteFrom('prefixListEntries').where('prefixListId', '=', id).execute()
    await this.#db.deleteFrom('prefixLists').where('id', '=', id).execute()
  }

  /** Those of a version, by their text; the cursor is the last one. */
  async entriesAt(id: string, version: number, page?: PageRequest): Promise<Page<PrefixListEntry>> {
    let query = this.#db
      .selectFrom('prefixListEntries')
      .select(['cidr', 'description'])
      .where('prefixListId', '=', id)
      .where('fromVersion', '<=', version)
      .where((eb) => eb.or([eb('untilVersion', 'is', null), eb('untilVersion', '>', version)]))
      .orderBy('cidr')
    if (!page) return { items: await query.execute(), next: null }
    if (page.after !== undefined) query = query.where('cidr', '>', page.after)
    const rows = await query.limit(page.limit + 1).execute()
    const items = rows.slice(0, page.limit)
    return { items, next: rows.length > page.limit ? items.at(-1)!.cidr : null }
  }

  /** The blocks of each list as it is now. */
  async cidrsOf(ids: readonly string[]): Promise<Map<string, string[]>> {
    if (ids.length === 0) return new Map()
    const rows = await this.#db
      .selectFrom('prefixListEntries')
      .select(['prefixListId', 'cidr'])
      .where('prefixListId', 'in', [...ids])
      .where('untilVersion', 'is', null)
      .orderBy('cidr')
      .execute()
    const byList = Map.groupBy(rows, (row) => row.prefixListId)
    return new Map([...byList].map(([id, entries]) => [id, entries.map((entry) => entry.cidr)]))
  }

  async addEntries(prefixListId: string, entries: readonly PrefixListEntry[], fromVersion: number): Promise<void> {
    const rows = entries.map((entry) => ({ ...entry, prefixListId, fromVersion, untilVersion: null }))
    await insertRows(this.#db, 'prefixListEntries', rows)
  }

  /** From that version on they are no longer in the list. */
  async endEntries(prefixListId: string, cidrs: readonly string[], untilVersion: number): Promise<void> {
    if (cidrs.length === 0) return
    await this.#db
      .updateTable('prefixListEntries')
      .set({ untilVersion })
      .where('prefixListId', '=', prefixListId)
      .where('untilVersion', 'is', null)
      .where('cidr', 'in', [...cidrs])
      .execute()
  }

  /** Groups and route tables that name the list, by id; the cursor is the last one. */
  async users(id: string, page?: PageRequest): Promise<Page<{ id: string; accountId: string; vpcId: string }>> {
    const groups = this.#db
      .selectFrom('securityGroups as g')
      .select(['g.id', 'g.accountId', 'g.vpcId'])
      .where((eb) =>
        eb.exists(
          eb
            .selectFrom('securityGroupRules as r')
            .select(sql`1`.as('one'))
            .whereRef('r.groupId', '=', 'g.id')
            .where('r.prefixListId', '=', id),
        ),
      )
    const tables = this.#db
      .selectFrom('routeTables as t')
      .innerJoin('routes as r', 'r.routeTableId', 't.id')
      .select(['t.id', 't.accountId', 't.vpcId'])
      .where('r.destination', '=', id)
    let query = this.#db.selectFrom(groups.unionAll(tables).as('users')).selectAll().orderBy('id')
    if (!page) return { items: await query.execute(), next: null }
    if (page.after !== undefined) query = query.where('id', '>', page.after)
    const rows = await query.limit(page.limit + 1).execute()
    const items = rows.slice(0, page.limit)
    return { items, next: rows.length > page.limit ? items.at(-1)!.id : null }
  }
}
