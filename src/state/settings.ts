/** What a whole installation knows of itself: secrets made once, regions opened, access keys. */
import type { Insertable, Selectable } from 'kysely'
import type { Db } from './database.ts'
import type { AccessKeysTable } from './schema.ts'

export type AccessKey = Selectable<AccessKeysTable>

export class SettingsRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  /** The value of a setting; when it has none, that of `make` is stored, unless another process was first. */
  async getOrMake(name: string, make: () => string): Promise<string> {
    const found = await this.value(name)
    if (found !== undefined) return found
    await this.#db
      .insertInto('settings')
      .values({ name, value: make() })
      .onConflict((conflict) => conflict.column('name').doNothing())
      .execute()
    return (await this.value(name))!
  }

  /** Undefined when it was never made. */
  async value(name: string): Promise<string | undefined> {
    return (await this.#db.selectFrom('settings').select('value').where('name', '=', name).executeTakeFirst())?.value
  }

  async put(name: string, value: string): Promise<void> {
    await this.#db
      .insertInto('settings')
      .values({ name, value })
      .onConflict((conflict) => conflict.column('name').doUpdateSet({ value }))
      .execute()
  }

  async openRegions(): Promise<string[]> {
    const rows = await this.#db.selectFrom('openRegions').select('name').orderBy('name').execute()
    return rows.map((row) => row.name)
  }

  /** False when another process has opened it in the meantime. */
  async markRegionOpen(name: string, openedAt: number): Promise<boolean> {
    const done = await this.#db
      .insertInto('openRegions')
      .values({ name, openedAt })
      .onConflict((conflict) => conflict.column('name').doNothing())
      .executeTakeFirst()
    return (done.numInsertedOrUpdatedRows ?? 0n) > 0n
  }

  async insertAccessKey(row: Insertable<AccessKeysTable>): Promise<void> {
    await this.#db.insertInto('accessKeys').values(row).execute()
  }

  accessKey(id: string): Promise<AccessKey | undefined> {
    return this.#db.selectFrom('accessKeys').selectAll().where('id', '=', id).executeTakeFirst()
  }

  accessKeys(): Promise<AccessKey[]> {
    return this.#db.selectFrom('accessKeys').selectAll().orderBy('createdAt').execute()
  }

  async deleteAccessKey(id: string): Promise<boolean> {
    const done = await this.#db.deleteFrom('accessKeys').where('id', '=', id).executeTakeFirst()
    return done.numDeletedRows > 0n
  }
}
