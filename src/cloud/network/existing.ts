/** Lists of what an account has in a region, and single ones of it. */
import type { KilnError } from '../../lib/errors.ts'
import type { ListRequest, Page } from '../../state/listing.ts'
import type { Scope } from '../deps.ts'

export type ListOf = Omit<ListRequest, 'accountId'>

/** A page, once it is sure that all ids that were asked for exist: filters may leave some out, a wrong id is an error. */
export async function listExisting<Row extends { id: string }>(
  list: (request: ListOf) => Promise<Page<Row>>,
  request: ListOf,
  notFound: (id: string) => KilnError,
): Promise<Page<Row>> {
  if (request.ids) {
    const { items } = await list({ ids: request.ids })
    const missing = request.ids.find((id) => !items.some((row) => row.id === id))
    if (missing) throw notFound(missing)
  }
  return list(request)
}

/** The row, when it is the account's and in the region. Throws otherwise. */
export function owned<Row extends Scope>(
  row: Row | undefined,
  { accountId, region }: Scope,
  notFound: () => KilnError,
): Row {
  if (row?.accountId === accountId && row.region === region) return row
  throw notFound()
}
