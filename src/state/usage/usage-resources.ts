/** Whose usage it is, what of, and by which tags it is asked for. */
import { insertRows } from '../bulk.ts'
import type { Db } from '../database.ts'
import type { UsageResourcesTable } from '../schema/usage.ts'

const idsPerStatement = 500

/** Notes resources that are metered for the first time, with the tags that they have by now. */
export async function registerResources(
  db: Db,
  resources: readonly Omit<UsageResourcesTable, 'tags'>[],
): Promise<void> {
  for (let at = 0; at < resources.length; at += idsPerStatement) {
    const some = resources.slice(at, at + idsPerStatement)
    const ids = some.map(({ resourceId }) => resourceId)
    const known = await db.selectFrom('usageResources').select('resourceId').where('resourceId', 'in', ids).execute()
    const isKnown = new Set(known.map(({ resourceId }) => resourceId))
    const fresh = some.filter(({ resourceId }) => !isKnown.has(resourceId))
    await insertRows(
      db,
      'usageResources',
      fresh.map((resource) => ({ ...resource, tags: '{}' })),
    )
    await refreshTags(
      db,
      fresh.map(({ resourceId }) => resourceId),
    )
  }
}

/** Tags as their owner gave them; those of resources that are not metered are passed over. */
export async function refreshTags(db: Db, resourceIds: readonly string[]): Promise<void> {
  for (let at = 0; at < resourceIds.length; at += idsPerStatement) {
    const ids = resourceIds.slice(at, at + idsPerStatement)
    const resources = await db.selectFrom('usageResources').selectAll().where('resourceId', 'in', ids).execute()
    if (resources.length === 0) continue
    const rows = await db.selectFrom('tags').selectAll().where('resourceId', 'in', ids).orderBy('key').execute()
    for (const { resourceId, accountId, tags } of resources) {
      const own = rows.filter((row) => row.resourceId === resourceId && row.accountId === accountId)
      const now = JSON.stringify(Object.fromEntries(own.map(({ key, value }) => [key, value])))
      if (now === tags) continue
      await db.updateTable('usageResources').set({ tags: now }).where('resourceId', '=', resourceId).execute()
    }
  }
}
