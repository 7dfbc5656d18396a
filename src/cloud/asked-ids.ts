/** Lists of resources that may be asked for by id. */
import type { KilnError } from '../lib/errors.ts'
import type { ListRequest, Page } from '../state/listing.ts'

/**
 * One page of a list. Where ids are given, all of them come at once, and one that does not exist is an error whatever
 * else narrows the list: a filter may only leave out what is there.
 */
export async function listAsked<Request extends Omit<ListRequest, 'accountId'>, Row extends { id: string }>(
  list: (request: Request) => Promise<Page<Row>>,
  request: Request,
  notFound: (ids: string[]) => KilnError,
): Promise<Page<Row>> {
  const { ids } = request
  if (!ids) return list(request)
  const page = await list({ ...request, page: undefined })
  const unseen = idsWithout(ids, page.items)
  if (unseen.length === 0) return page
  const missing = idsWithout(unseen, (await list({ ids: unseen } as unknown as Request)).items)
  if (missing.length > 0) throw notFound(missing)
  return page
}

/** Those of the ids that no row has. */
export function idsWithout(ids: readonly string[], rows: readonly { id: string }[]): string[] {
  const present = new Set(rows.map((row) => row.id))
  return ids.filter((id) => !present.has(id))
}
