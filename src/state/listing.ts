/** Lists, once for every aggregate: scope, ids, filters and keyset pages, all of it in SQL on an index. */
import type { Expression, SelectQueryBuilder, SqlBool } from 'kysely'
import { KilnError } from '../lib/errors.ts'
import { type Builder, type Filter, type FilterRules, filterCondition } from './filters.ts'
import type { Database } from './schema.ts'

export interface ListRequest {
  /** Who asks: its tags are the ones that filters see. */
  accountId: string
  /** Only these ids (or names, where the aggregate says so). */
  ids?: readonly string[]
  filters?: readonly Filter[]
  page?: PageRequest
}

export interface PageRequest {
  limit: number
  /** What {@link Page.next} of the page before said. */
  after?: string
}

export interface Page<T> {
  items: T[]
  /** Where the next page begins; null on the last. */
  next: string | null
}

/** The cursor of what is listed in the order in which it was made. */
export const byCreation = (row: { createdAt: number; id: string }) => ({ time: row.createdAt, id: row.id })

// biome-ignore lint/suspicious/noExplicitAny: see Builder.
type AnySelect<O> = SelectQueryBuilder<Database, any, O>

interface Order {
  /** A time column, then an id column: what the listing's index ends with. */
  time: string
  id: string
  /** The newest first. */
  isDescending?: boolean
}

/** Adds filters, order and page to a query and runs it. Every row must carry the two columns of the order. */
export async function listPage<O>(
  query: AnySelect<O>,
  rules: FilterRules,
  order: Order,
  request: ListRequest,
  read: (row: O) => { time: number; id: string },
): Promise<Page<O>> {
  let select = query
  if (request.ids) select = select.where(order.id as never, 'in', [...request.ids] as never)
  if (request.filters?.length) {
    select = select.where((eb) => filterCondition(eb as unknown as Builder, rules, request.filters!, request.accountId))
  }
  const direction = order.isDescending ? 'desc' : 'asc'
  select = select.orderBy(order.time as never, direction).orderBy(order.id as never, direction)
  const page = request.page
  if (!page) return { items: await select.execute(), next: null }
  if (page.after !== undefined) {
    const after = readCursor(page.after)
    select = select.where((eb) => isAfter(eb as unknown as Builder, order, after))
  }
  const rows = await select.limit(page.limit + 1).execute()
  const items = rows.slice(0, page.limit)
  const last = items.at(-1)
  if (rows.length <= page.limit || !last) return { items, next: null }
  const { time, id } = read(last)
  return { items, next: `${time}:${id}` }
}

function isAfter(eb: Builder, order: Order, after: { time: number; id: string }): Expression<SqlBool> {
  const time = eb.ref(order.time as never)
  const beyond = order.isDescending ? '<' : '>'
  return eb.or([
    eb(time, beyond, after.time as never),
    eb.and([eb(time, '=', after.time as never), eb(eb.ref(order.id as never), beyond, after.id as never)]),
  ])
}

function readCursor(text: string): { time: number; id: string } {
  const found = /^(\d{1,15}):([\w-]+)$/.exec(text)
  if (!found) throw new KilnError('InvalidPaginationToken', 'The provided pagination token is invalid')
  return { time: Number(found[1]), id: found[2]! }
}
