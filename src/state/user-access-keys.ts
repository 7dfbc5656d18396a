/** Access keys of IAM users. Those that a whole account has are in {@link SettingsRepository}. */
import type { Insertable, Selectable } from 'kysely'
import type { Db } from './database.ts'
import type { UserAccessKeysTable } from './schema/identities.ts'

export type UserAccessKey = Selectable<UserAccessKeysTable>

export class UserAccessKeyRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async insert(row: Insertable<UserAccessKeysTable>): Promise<void> {
    await this.#db.insertInto('userAccessKeys').values(row).execute()
  }

  get(id: string): Promise<UserAccessKey | undefined> {
    return this.#db.selectFrom('userAccessKeys').selectAll().where('id', '=', id).executeTakeFirst()
  }

  /** Oldest first. */
  of(userId: string): Promise<UserAccessKey[]> {
    return this.#db
      .selectFrom('userAccessKeys')
      .selectAll()
      .where('userId', '=', userId)
      .orderBy('createdAt')
      .orderBy('id')
      .execute()
  }

  async update(id: string, patch: Partial<UserAccessKeysTable>): Promise<void> {
    await this.#db.updateTable('userAccessKeys').set(patch).where('id', '=', id).execute()
  }

  async remove(id: string): Promise<void> {
    await this.#db.deleteFrom('userAccessKeys').where('id', '=', id).execute()
  }
}
