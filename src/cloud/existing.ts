/** Lists of what an account has in a region, and single ones of it. */
import type { KilnError } from '../lib/errors.ts'
import type { ListRequest, Page } from '../state/listing.ts'
import { listAsked } from './asked-ids.ts'
import type { Scope } from './deps.ts'

export type ListOf = Omit<ListRequest, 'accountId'>

/** {@link listAsked} for what EC2 names one missing id of, however many are missing. */
export function listExisting<Row extends { id: string }>(
  list: (request: ListOf) => Promise<Page<Row>>,
  request: ListOf,
  notFound: (id: string) => KilnError,
): Promise<Page<Row>> {
  return listAsked(list, request, ([id]) => notFound(id!))
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
