/** Named encryption keys, the data keys that they seal, and what accounts have set for their volumes. */
import type { Insertable, Selectable } from 'kysely'
import type { Db } from './database.ts'
import type {
  DataKeysTable,
  EbsDefaultsTable,
  EncryptionKeyAliasesTable,
  EncryptionKeysTable,
  EncryptionKeyVersionsTable,
} from './schema/encryption.ts'

export type EncryptionKey = Selectable<EncryptionKeysTable>
export type EncryptionKeyVersion = Selectable<EncryptionKeyVersionsTable>
export type EncryptionKeyAlias = Selectable<EncryptionKeyAliasesTable>
export type DataKeyRow = Selectable<DataKeysTable>

export class EncryptionRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  async insertKey(row: Insertable<EncryptionKeysTable>, version: Insertable<EncryptionKeyVersionsTable>) {
    await this.#db.insertInto('encryptionKeys').values(row).execute()
    await this.#db.insertInto('encryptionKeyVersions').values(version).execute()
  }

  key(id: string): Promise<EncryptionKey | undefined> {
    return this.#db.selectFrom('encryptionKeys').selectAll().where('id', '=', id).executeTakeFirst()
  }

  /** All keys of all accounts, oldest first. */
  keys(): Promise<EncryptionKey[]> {
    return this.#db.selectFrom('encryptionKeys').selectAll().orderBy('createdAt').orderBy('id').execute()
  }

  keysIn(accountId: string, region: string): Promise<EncryptionKey[]> {
    return this.#db
      .selectFrom('encryptionKeys')
      .selectAll()
      .where('accountId', '=', accountId)
      .where('region', '=', region)
      .orderBy('id')
      .execute()
  }

  async hasKeys(): Promise<boolean> {
    return (await this.#db.selectFrom('encryptionKeys').select('id').limit(1).executeTakeFirst()) !== undefined
  }

  async countKeys(accountId: string, region: string): Promise<number> {
    const row = await this.#db
      .selectFrom('encryptionKeys')
      .select(({ fn }) => fn.countAll().as('count'))
      .where('accountId', '=', accountId)
      .where('region', '=', region)
      .executeTakeFirstOrThrow()
    return Number(row.count)
  }

  async updateKey(id: string, patch: Partial<EncryptionKeysTable>): Promise<void> {
    await this.#db.updateTable('encryptionKeys').set(patch).where('id', '=', id).execute()
  }

  async addVersion(row: Insertable<EncryptionKeyVersionsTable>): Promise<void> {
    await this.#db.insertInto('encryptionKeyVersions').values(row).execute()
  }

  version(keyId: string, version: number): Promise<EncryptionKeyVersion | undefined> {
    return this.#db
      .selectFrom('encryptionKeyVersions')
      .selectAll()
      .where('keyId', '=', keyId)
      .where('version', '=', version)
      .executeTakeFirst()
  }

  alias(accountId: string, region: string, name: string): Promise<EncryptionKeyAlias | undefined> {
    return this.#db
      .selectFrom('encryptionKeyAliases')
      .selectAll()
      .where('accountId', '=', accountId)
      .where('region', '=', region)
      .where('name', '=', name)
      .executeTakeFirst()
  }

  /** All aliases of all accounts. */
  aliases(): Promise<EncryptionKeyAlias[]> {
    return this.#db.selectFrom('encryptionKeyAliases').selectAll().orderBy('name').execute()
  }

  aliasesIn(accountId: string, region: string): Promise<EncryptionKeyAlias[]> {
    return this.#db
      .selectFrom('encryptionKeyAliases')
      .selectAll()
      .where('accountId', '=', accountId)
      .where('region', '=', region)
      .orderBy('name')
      .execute()
  }

  async insertAlias(row: Insertable<EncryptionKeyAliasesTable>): Promise<void> {
    await this.#db.insertInto('encryptionKeyAliases').values(row).execute()
  }

  async grant(keyId: string, grantee: string): Promise<void> {
    await this.#db
      .insertInto('encryptionKeyGrants')
      .values({ keyId, grantee })
      .onConflict((conflict) => conflict.columns(['keyId', 'grantee']).doNothing())
      .execute()
  }

  async revoke(keyId: string, grantee: string): Promise<void> {
    await this.#db.deleteFrom('encryptionKeyGrants').where('keyId', '=', keyId).where('grantee', '=', grantee).execute()
  }

  async granteesOf(keyId: string): Promise<string[]> {
    const rows = await this.#db
      .selectFrom('encryptionKeyGrants')
      .select('grantee')
      .where('keyId', '=', keyId)
      .orderBy('grantee')
      .execute()
    return rows.map((row) => row.grantee)
  }

  async insertDataKey(row: Insertable<DataKeysTable>): Promise<void> {
    await this.#db.insertInto('dataKeys').values(row).execute()
  }

  dataKey(id: string): Promise<DataKeyRow | undefined> {
    return this.#db.selectFrom('dataKeys').selectAll().where('id', '=', id).executeTakeFirst()
  }

  /** The same data key as sealed by that named key, if it ever was. */
  dataKeyUnder(originId: string, keyId: string): Promise<DataKeyRow | undefined> {
    return this.#db
      .selectFrom('dataKeys')
      .selectAll()
      .where('originId', '=', originId)
      .where('keyId', '=', keyId)
      .executeTakeFirst()
  }

  /** The named keys that seal those data keys, by the data keys' ids. */
  async keysOf(dataKeyIds: readonly string[]): Promise<Map<string, EncryptionKey>> {
    if (dataKeyIds.length === 0) return new Map()
    const rows = await this.#db
      .selectFrom('dataKeys as d')
      .innerJoin('encryptionKeys as k', 'k.id', 'd.keyId')
      .selectAll('k')
      .select('d.id as dataKeyId')
      .where('d.id', 'in', [...new Set(dataKeyIds)])
      .execute()
    return new Map(rows.map(({ dataKeyId, ...key }) => [dataKeyId, key]))
  }

  async defaults(
    accountId: string,
    region: string,
  ): Promise<Pick<EbsDefaultsTable, 'encryptsByDefault' | 'defaultKeyId'>> {
    const row = await this.#db
      .selectFrom('ebsDefaults')
      .select(['encryptsByDefault', 'defaultKeyId'])
      .where('accountId', '=', accountId)
      .where('region', '=', region)
      .executeTakeFirst()
    return row ?? { encryptsByDefault: 0, defaultKeyId: null }
  }

  async setDefaults(
    accountId: string,
    region: string,
    patch: Partial<Pick<EbsDefaultsTable, 'encryptsByDefault' | 'defaultKeyId'>>,
  ): Promise<void> {
    await this.#db
      .insertInto('ebsDefaults')
      .values({ accountId, region, encryptsByDefault: 0, defaultKeyId: null, ...patch })
      .onConflict((conflict) => conflict.columns(['accountId', 'region']).doUpdateSet(patch))
      .execute()
  }
}
