import type { Db } from './database.ts'
import type { AccountSettingsTable } from './schema/account-settings.ts'

export type AccountSettings = Omit<AccountSettingsTable, 'accountId' | 'region'>

const unset: AccountSettings = {
  httpTokens: null,
  httpEndpoint: null,
  httpPutResponseHopLimit: null,
  instanceMetadataTags: null,
  serialConsoleAccess: 0,
  t2Credits: null,
  t3Credits: null,
  t3aCredits: null,
  t4gCredits: null,
}

export class AccountSettingsRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async get(accountId: string, region: string): Promise<AccountSettings> {
    const row = await this.#db
      .selectFrom('accountSettings')
      .select([
        ...(['httpTokens', 'httpEndpoint', 'httpPutResponseHopLimit', 'instanceMetadataTags'] as const),
        'serialConsoleAccess',
        ...(['t2Credits', 't3Credits', 't3aCredits', 't4gCredits'] as const),
      ])
      .where('accountId', '=', accountId)
      .where('region', '=', region)
      .executeTakeFirst()
    return row ?? unset
  }

  /** Changes at least one of the settings; the others stay. */
  async set(accountId: string, region: string, patch: Partial<AccountSettings>): Promise<void> {
    await this.#db
      .insertInto('accountSettings')
      .values({ accountId, region, ...unset, ...patch })
      .onConflict((conflict) => conflict.columns(['accountId', 'region']).doUpdateSet(patch))
      .execute()
  }
}
