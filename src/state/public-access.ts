import type { Db } from './database.ts'
import type { PublicAccessBlocksTable } from './schema.ts'

export type PublicAccessState = PublicAccessBlocksTable['state'] | 'unblocked'
type Key = Omit<PublicAccessBlocksTable, 'state'>

/** What accounts have forbidden themselves to share with everybody, by region and kind of resource. */
export class PublicAccessRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async get({ accountId, region, resourceType }: Key): Promise<PublicAccessState> {
    const row = await this.#db
      .selectFrom('publicAccessBlocks')
      .select('state')
      .where('accountId', '=', accountId)
      .where('region', '=', region)
      .where('resourceType', '=', resourceType)
      .executeTakeFirst()
    return row?.state ?? 'unblocked'
  }

  async block(row: PublicAccessBlocksTable): Promise<void> {
    await this.#db
      .insertInto('publicAccessBlocks')
      .values(row)
      .onConflict((conflict) =>
        conflict.columns(['accountId', 'region', 'resourceType']).doUpdateSet({ state: row.state }),
      )
      .execute()
  }

  async unblock({ accountId, region, resourceType }: Key): Promise<void> {
    await this.#db
      .deleteFrom('publicAccessBlocks')
      .where('accountId', '=', accountId)
      .where('region', '=', region)
      .where('resourceType', '=', resourceType)
      .execute()
  }
}
