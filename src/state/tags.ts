import type { Selectable } from 'kysely'
import { KilnError } from '../lib/errors.ts'
import { insertRows } from './bulk.ts'
import type { Db } from './database.ts'
import { type Builder, type Filter, type FilterRules, filterCondition } from './filters.ts'
import type { Page, PageRequest } from './listing.ts'
import type { TagsTable } from './schema.ts'

export type TagRow = Selectable<TagsTable>
export interface Tag {
  key: string
  value: string
}

/** SQLite takes no expression that nests deeper than 1000. */
const tagsPerStatement = 200

const tagRowFilters: FilterRules = {
  key: { column: 'tags.key' },
  'resource-id': { column: 'tags.resourceId' },
  'resource-type': { column: 'tags.resourceType' },
  value: { column: 'tags.value' },
}

/** `tag:KEY` means a tag of that key with one of those values. */
function asRowFilters(filter: Filter): Filter[] {
  if (!filter.name.startsWith('tag:')) return [filter]
  const key = filter.name.slice('tag:'.length).replace(/[\\*?]/g, '\\$&')
  return [
    { name: 'key', values: [key] },
    { name: 'value', values: filter.values },
  ]
}

export class TagRepository {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  /** Sets tags; one of the same key is replaced. */
  async put(
    resource: { id: string; type: string; accountId: string; region: string },
    tags: readonly Tag[],
  ): Promise<void> {
    if (tags.length === 0) return
    const { id: resourceId, type: resourceType, accountId, region } = resource
    await this.#db
      .insertInto('tags')
      .values(tags.map(({ key, value }) => ({ resourceId, resourceType, accountId, region, key, value })))
      .onConflict((conflict) =>
        conflict.columns(['accountId', 'resourceId', 'key']).doUpdateSet((eb) => ({ value: eb.ref('excluded.value') })),
      )
      .execute()
  }

  /** Tags of new resources, which have none yet. */
  async insertAll(
    resources: readonly { id: string; type: string; accountId: string; region: string }[],
    tags: readonly Tag[],
  ): Promise<void> {
    const rows = resources.flatMap(({ id: resourceId, type: resourceType, accountId, region }) =>
      tags.map(({ key, value }) => ({ resourceId, resourceType, accountId, region, key, value })),
    )
    await insertRows(this.#db, 'tags', rows)
  }

  /** Removes tags by key, and by value too where one is given; no tags at all means all but those of the cloud itself. */
  async remove(
    accountId: string,
    resourceId: string,
    tags: readonly { key: string; value: string | undefined }[],
  ): Promise<void> {
    const own = this.#db.deleteFrom('tags').where('accountId', '=', accountId).where('resourceId', '=', resourceId)
    if (tags.length === 0) {
      await own.where('key', 'not like', 'aws:%').execute()
      return
    }
    for (let at = 0; at < tags.length; at += tagsPerStatement) {
      const some = tags.slice(at, at + tagsPerStatement)
      await own
        .where((eb) =>
          eb.or(
            some.map(({ key, value }) =>
              value === undefined ? eb('key', '=', key) : eb.and([eb('key', '=', key), eb('value', '=', value)]),
            ),
          ),
        )
        .execute()
    }
  }

  /** All accounts' tags of resources that are no more. */
  async removeAll(...resourceIds: string[]): Promise<void> {
    if (resourceIds.length > 0) await this.#db.deleteFrom('tags').where('resourceId', 'in', resourceIds).execute()
  }

  /** The tags that an account gave, by resource id, by key. */
  async of(accountId: string, resourceIds: readonly string[]): Promise<Map<string, Tag[]>> {
    const tags = new Map<string, Tag[]>(resourceIds.map((id) => [id, []]))
    if (resourceIds.length === 0) return tags
    const rows = await this.#db
      .selectFrom('tags')
      .selectAll()
      .where('accountId', '=', accountId)
      .where('resourceId', 'in', [...resourceIds])
      .orderBy('key')
      .execute()
    for (const { resourceId, key, value } of rows) tags.get(resourceId)?.push({ key, value })
    return tags
  }

  /** The cursor is the last `resourceId` and `key`, divided by a slash (keys may hold slashes, ids may not). */
  async list(
    region: string,
    request: { accountId: string; filters?: readonly Filter[]; page?: PageRequest },
  ): Promise<Page<TagRow>> {
    let query = this.#db
      .selectFrom('tags')
      .selectAll()
      .where('tags.accountId', '=', request.accountId)
      .where('tags.region', '=', region)
      .orderBy('tags.resourceId')
      .orderBy('tags.key')
    if (request.filters?.length) {
      const filters = request.filters.flatMap(asRowFilters)
      const { accountId } = request
      query = query.where((eb) => filterCondition(eb as unknown as Builder, tagRowFilters, filters, accountId))
    }
    const page = request.page
    if (!page) return { items: await query.execute(), next: null }
    if (page.after !== undefined) {
      const slash = page.after.indexOf('/')
      if (slash < 0) throw new KilnError('InvalidPaginationToken', 'The provided pagination token is invalid')
      const [id, key] = [page.after.slice(0, slash), page.after.slice(slash + 1)]
      query = query.where((eb) =>
        eb.or([eb('tags.resourceId', '>', id), eb.and([eb('tags.resourceId', '=', id), eb('tags.key', '>', key)])]),
      )
    }
    const rows = await query.limit(page.limit + 1).execute()
    const items = rows.slice(0, page.limit)
    const last = items.at(-1)
    return { items, next: rows.length > page.limit && last ? `${last.resourceId}/${last.key}` : null }
  }
}
