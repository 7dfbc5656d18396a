/**
 * Pages of a list that is made anew for each request: a token says behind which item the next page begins, and which
 * question it belongs to. What comes and goes between two pages shifts nothing.
 */
import { createHash } from 'node:crypto'
import { KilnError } from '../lib/errors.ts'

/** What items are in order by, part by part. */
export type PageMark = readonly (string | number)[]

export interface PageRequest {
  /** All that must stay the same from page to page. */
  question: unknown
  token: string | undefined
  size: number
}

/** `items` are in the order of their marks. Throws InvalidNextTokenException, and RequestChangedException. */
export function pageOf<Item>(
  items: readonly Item[],
  { question, token, size }: PageRequest,
  markOf: (item: Item) => PageMark,
): { items: Item[]; nextToken: string | undefined } {
  const about = createHash('sha256').update(JSON.stringify(question)).digest('base64url').slice(0, 16)
  const after = token === undefined ? undefined : readToken(token, about)
  const rest = after ? items.filter((item) => compare(markOf(item), after) > 0) : items
  const page = rest.slice(0, size)
  const last = rest.length > size ? page.at(-1) : undefined
  const next = last === undefined ? undefined : JSON.stringify([about, ...markOf(last)])
  return { items: page, nextToken: next && Buffer.from(next).toString('base64url') }
}

function readToken(token: string, about: string): PageMark {
  const [question, ...mark] = parsed(token)
  if (question === about) return mark
  throw new KilnError(
    'RequestChangedException',
    'Your request parameters changed between pages. Try again with the old parameters or without a pagination token.',
  )
}

function parsed(token: string): PageMark {
  try {
    const value: unknown = JSON.parse(Buffer.from(token, 'base64url').toString())
    const isMark = (part: unknown) => typeof part === 'string' || typeof part === 'number'
    if (Array.isArray(value) && value.length > 1 && value.every(isMark)) return value
  } catch {
    // Told below.
  }
  throw new KilnError('InvalidNextTokenException', 'The pagination token is invalid. Try again without one.')
}

function compare(a: PageMark, b: PageMark): number {
  for (const [index, part] of a.entries()) {
    const other = b[index]
    if (other === undefined) return 1
    if (part !== other) return part < other ? -1 : 1
  }
  return 0
}
