/** Values of the query, each within its bounds. */
import { invalidArgument } from './errors.ts'

/** Throws `InvalidArgument`; a number above `max` is `max`, as S3's page sizes are. */
export function readNumber(
  query: ReadonlyMap<string, string>,
  name: string,
  { min, max, usual }: { min: number; max: number; usual: number },
): number {
  const text = query.get(name)
  if (text === undefined || text === '') return usual
  if (/^\d{1,10}$/.test(text) && Number(text) >= min) return Math.min(max, Number(text))
  throw invalidArgument(`Argument ${name} must be an integer from ${min} to 2147483647.`)
}

/** A number that must lie within its bounds. Throws `InvalidArgument`. */
export function readExact(text: string | undefined, name: string, { min, max }: { min: number; max: number }): number {
  if (text !== undefined && /^\d{1,15}$/.test(text) && Number(text) >= min && Number(text) <= max) return Number(text)
  throw invalidArgument(`${name} must be an integer between ${min} and ${max}, inclusive.`)
}

/** How keys are written in a listing: as they are, or percent-encoded when the client asks so. Throws `InvalidArgument`. */
export function keyWriter(query: ReadonlyMap<string, string>): (key: string) => string {
  const encoding = query.get('encoding-type')
  if (encoding === undefined || encoding === '') return (key) => key
  if (encoding !== 'url') throw invalidArgument('Invalid Encoding Method specified in Request')
  return (key) => encodeURIComponent(key).replaceAll('%2F', '/')
}
