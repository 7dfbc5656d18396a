import type { Insertable, Selectable } from 'kysely'
import type { Db } from './database.ts'
import type { FilterRules } from './filters.ts'
import { type ListRequest, listPage, type Page } from './listing.ts'
import type { KeyPairsTable } from './schema.ts'

export type KeyPair = Selectable<KeyPairsTable>

const keyPairFilters: FilterRules = {
  tags: { tagsOf: 'keyPairs.id' },
  'key-pair-id': { column: 'keyPairs.id' },
  fingerprint: { column: 'keyPairs.fingerprint' },
  'key-name': { column: 'keyPairs.name' },
}

export class KeyPairRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async insert(row: Insertable<KeyPairsTable>): Promise<void> {
    await this.#db.insertInto('keyPairs').values(row).execute()
  }

  named(accountId: string, region: string, name: string): Promise<KeyPair | undefined> {
    return this.#db
      .selectFrom('keyPairs')
      .selectAll()
      .where('accountId', '=', accountId)
      .where('region', '=', region)
      .where('name', '=', name)
      .executeTakeFirst()
  }

  async remove(id: string): Promise<void> {
    await this.#db.deleteFrom('keyPairs').where('id', '=', id).execute()
  }

  list(region: string, request: ListRequest & { names?: readonly string[] }): Promise<Page<KeyPair>> {
    let query = this.#db
      .selectFrom('keyPairs')
      .selectAll()
      .where('keyPairs.accountId', '=', request.accountId)
      .where('keyPairs.region', '=', region)
    if (request.names) query = query.where('keyPairs.name', 'in', [...request.names])
    const order = { time: 'keyPairs.createdAt', id: 'keyPairs.id' }
    return listPage(query, keyPairFilters, order, request, (row) => ({ time: row.createdAt, id: row.id }))
  }
}
