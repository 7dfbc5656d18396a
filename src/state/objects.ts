/** Objects by key, in the order of their keys' bytes, and where their contents lie. */
import type { Insertable, Selectable } from 'kysely'
import { insertRows } from './bulk.ts'
import type { Db } from './database.ts'
import type { ObjectContentsTable, ObjectsTable } from './schema/buckets.ts'

export type ObjectRow = Selectable<ObjectsTable>
export type ObjectContent = Selectable<ObjectContentsTable>

/** What a listing shows of an object. */
export type ListedObject = Pick<ObjectRow, 'key' | 'etag' | 'sizeBytes' | 'modifiedAt' | 'ownerId' | 'checksum'>

/** Names that one statement asks about. */
const namesPerStatement = 500

export class ObjectRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  get(bucketId: string, key: string): Promise<ObjectRow | undefined> {
    return this.#db
      .selectFrom('objects')
      .selectAll()
      .where('bucketId', '=', bucketId)
      .where('key', '=', key)
      .executeTakeFirst()
  }

  contents(objectId: string): Promise<ObjectContent[]> {
    return this.#db.selectFrom('objectContents').selectAll().where('objectId', '=', objectId).orderBy('seq').execute()
  }

  /**
   * Puts the object in place of whatever has its key. Gives the names of contents that lost an object by that; others may
   * share them still ({@link unnamed}). In a transaction.
   */
  async put(row: Insertable<ObjectsTable>, contents: readonly Omit<ObjectContent, 'objectId'>[]): Promise<string[]> {
    const replaced = await this.remove(row.bucketId, row.key)
    await this.#db.insertInto('objects').values(row).execute()
    await insertRows(
      this.#db,
      'objectContents',
      contents.map((content) => ({ ...content, objectId: row.id })),
    )
    return replaced
  }

  async setTags(id: string, tags: string | null): Promise<void> {
    await this.#db.updateTable('objects').set({ tags }).where('id', '=', id).execute()
  }

  async setAcl(id: string, acl: string): Promise<void> {
    await this.#db.updateTable('objects').set({ acl }).where('id', '=', id).execute()
  }

  /** Gives the names of contents that lost an object by that. In a transaction. */
  async remove(bucketId: string, key: string): Promise<string[]> {
    const row = await this.#db
      .deleteFrom('objects')
      .where('bucketId', '=', bucketId)
      .where('key', '=', key)
      .returning('id')
      .executeTakeFirst()
    if (!row) return []
    const contents = await this.#db
      .deleteFrom('objectContents')
      .where('objectId', '=', row.id)
      .returning('contentName')
      .execute()
    return contents.map((content) => content.contentName)
  }

  /** At most `limit` objects whose keys are at least `from` (or above it) and below `before`, by key. */
  range(
    bucketId: string,
    about: { from: string; isFromIncluded: boolean; before: string | null; limit: number },
  ): Promise<ListedObject[]> {
    let query = this.#db
      .selectFrom('objects')
      .select(['key', 'etag', 'sizeBytes', 'modifiedAt', 'ownerId', 'checksum'])
      .where('bucketId', '=', bucketId)
      .where('key', about.isFromIncluded ? '>=' : '>', about.from)
    if (about.before !== null) query = query.where('key', '<', about.before)
    return query.orderBy('key').limit(about.limit).execute()
  }

  /** Which of these contents no object and no part of an upload names. */
  async unnamed(names: readonly string[]): Promise<string[]> {
    const named = new Set<string>()
    for (let at = 0; at < names.length; at += namesPerStatement) {
      const some = names.slice(at, at + namesPerStatement)
      for (const table of ['objectContents', 'multipartParts'] as const) {
        const rows = await this.#db.selectFrom(table).select('contentName').where('contentName', 'in', some).execute()
        for (const row of rows) named.add(row.contentName!)
      }
    }
    return [...new Set(names)].filter((name) => !named.has(name))
  }
}
