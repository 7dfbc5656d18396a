import type { Insertable, Selectable } from 'kysely'
import type { Db } from './database.ts'
import type { ClientTokensTable } from './schema.ts'

export type ClientToken = Selectable<ClientTokensTable>

export class ClientTokenRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  find(key: { accountId: string; region: string; action: string; token: string }): Promise<ClientToken | undefined> {
    return this.#db
      .selectFrom('clientTokens')
      .selectAll()
      .where('accountId', '=', key.accountId)
      .where('region', '=', key.region)
      .where('action', '=', key.action)
      .where('token', '=', key.token)
      .executeTakeFirst()
  }

  /** False when another request has stored the token in the meantime. */
  async insert(row: Insertable<ClientTokensTable>): Promise<boolean> {
    const done = await this.#db
      .insertInto('clientTokens')
      .values(row)
      .onConflict((conflict) => conflict.columns(['accountId', 'region', 'action', 'token']).doNothing())
      .executeTakeFirst()
    return (done.numInsertedOrUpdatedRows ?? 0n) > 0n
  }

  async removeBefore(timeMs: number): Promise<void> {
    await this.#db.deleteFrom('clientTokens').where('createdAt', '<', timeMs).execute()
  }
}
