/** Buckets: whose they are, and where. */
import type { Insertable, Selectable } from 'kysely'
import type { Db } from './database.ts'
import type { BucketsTable } from './schema/buckets.ts'

export type BucketRow = Selectable<BucketsTable>

export class BucketRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async insert(row: Insertable<BucketsTable>): Promise<void> {
    await this.#db.insertInto('buckets').values(row).execute()
  }

  named(name: string): Promise<BucketRow | undefined> {
    return this.#db.selectFrom('buckets').selectAll().where('name', '=', name).executeTakeFirst()
  }

  get(id: string): Promise<BucketRow | undefined> {
    return this.#db.selectFrom('buckets').selectAll().where('id', '=', id).executeTakeFirst()
  }

  async setAcl(id: string, acl: string): Promise<void> {
    await this.#db.updateTable('buckets').set({ acl }).where('id', '=', id).execute()
  }

  /** The account's buckets that begin with `prefix` and come after `after`, by name. */
  list(
    accountId: string,
    about: { prefix: string; after: string; limit: number; region?: string },
  ): Promise<BucketRow[]> {
    let query = this.#db
      .selectFrom('buckets')
      .selectAll()
      .where('accountId', '=', accountId)
      .where('name', '>', about.after)
    if (about.prefix) query = query.where('name', '>=', about.prefix).where('name', '<', `${about.prefix}\x7f`)
    if (about.region) query = query.where('region', '=', about.region)
    return query.orderBy('name').limit(about.limit).execute()
  }

  async count(accountId: string): Promise<number> {
    const row = await this.#db
      .selectFrom('buckets')
      .select((eb) => eb.fn.countAll<number>().as('count'))
      .where('accountId', '=', accountId)
      .executeTakeFirstOrThrow()
    return Number(row.count)
  }

  /** Regions in which there are buckets. */
  async regions(): Promise<string[]> {
    const rows = await this.#db.selectFrom('buckets').select('region').distinct().orderBy('region').execute()
    return rows.map((row) => row.region)
  }

  async hasObjects(id: string): Promise<boolean> {
    const row = await this.#db.selectFrom('objects').select('id').where('bucketId', '=', id).limit(1).executeTakeFirst()
    return row !== undefined
  }

  async remove(id: string): Promise<void> {
    await this.#db.deleteFrom('buckets').where('id', '=', id).execute()
  }
}
