/** Keys in the order of their bytes, with those below one delimiter taken together. Source: ListObjectsV2 in the S3 API reference. */
import type { ListedObject as ListedRow } from '../../state/objects.ts'
import type { Repositories } from '../../state/state.ts'
import { type ObjectChecksum, readChecksum } from './object-facts.ts'

export interface ListingRequest {
  prefix: string
  /** Keys that have it after the prefix are listed as one common prefix; empty for none. */
  delimiter: string
  /** Only what comes after this key, or after all keys of this common prefix; empty for the beginning. */
  after: string
  /** Whether `after` may be a common prefix of this listing, which then was listed already. */
  isAfterListed: boolean
  /** Objects and common prefixes together. */
  limit: number
}

export interface ListedObject {
  key: string
  /** Without quotes. */
  etag: string
  sizeBytes: number
  modifiedAtMs: number
  ownerId: string
  checksum: ObjectChecksum | null
}

export interface ObjectListing {
  objects: ListedObject[]
  prefixes: string[]
  /** What `after` the next page begins; null on the last. */
  next: string | null
}

/** A common prefix that swallows everything that was read asks for little at a time, until there is more to list. */
const fewRows = 16

/** Every query is a range of the index on the bucket's keys, of at most one row more than was asked for. */
export async function listObjects(
  { objects: repository }: Pick<Repositories, 'objects'>,
  bucketId: string,
  request: ListingRequest,
): Promise<ObjectListing> {
  const { prefix, delimiter, limit } = request
  const before = successorOf(prefix)
  const objects: ListedObject[] = []
  const prefixes: string[] = []
  let cursor = firstCursor(request)
  let next: string | null = null
  let rowLimit = limit + 1
  while (cursor !== null) {
    const asked = Math.min(rowLimit, limit + 1 - objects.length - prefixes.length)
    const rows = await repository.range(bucketId, { ...cursor, before, limit: asked })
    let swallowed: string | null = null
    for (const row of rows) {
      if (swallowed !== null && row.key.startsWith(swallowed)) continue
      if (objects.length + prefixes.length === limit) return { objects, prefixes, next }
      swallowed = commonPrefixOf(row.key, prefix, delimiter)
      if (swallowed === null) objects.push(listed(row))
      else prefixes.push(swallowed)
      next = swallowed ?? row.key
    }
    if (rows.length < asked) break
    cursor = swallowed === null ? { from: rows.at(-1)!.key, isFromIncluded: false } : startAt(successorOf(swallowed))
    rowLimit = swallowed === null ? limit + 1 : fewRows
  }
  return { objects, prefixes, next: null }
}

function listed({ modifiedAt, sizeBytes, checksum, ...row }: ListedRow): ListedObject {
  return {
    ...row,
    sizeBytes: Number(sizeBytes),
    modifiedAtMs: Number(modifiedAt),
    checksum: readChecksum(checksum),
  }
}

type Cursor = { from: string; isFromIncluded: boolean } | null

const startAt = (key: string | null): Cursor => (key === null ? null : { from: key, isFromIncluded: true })

function firstCursor({ prefix, delimiter, after, isAfterListed }: ListingRequest): Cursor {
  if (after === '' || compareKeys(after, prefix) < 0) return startAt(prefix)
  const wasPrefix = isAfterListed && commonPrefixOf(after, prefix, delimiter) === after
  return wasPrefix ? startAt(successorOf(after)) : { from: after, isFromIncluded: false }
}

/** `a/` for the key `a/b/c`; null for a key that has no delimiter after the prefix. */
function commonPrefixOf(key: string, prefix: string, delimiter: string): string | null {
  if (delimiter === '' || !key.startsWith(prefix)) return null
  const at = key.indexOf(delimiter, prefix.length)
  return at < 0 ? null : key.slice(0, at + delimiter.length)
}

/** By the bytes of their UTF-8. */
export function compareKeys(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

/** The least text that is above every text with this prefix, in the order of UTF-8; null when there is none. */
export function successorOf(prefix: string): string | null {
  const points = Array.from(prefix, (character) => character.codePointAt(0)!)
  while (points.length > 0) {
    const last = points.pop()!
    if (last === 0x10ffff) continue
    // Code points from D800 to DFFF are no characters.
    return String.fromCodePoint(...points, last === 0xd7ff ? 0xe000 : last + 1)
  }
  return null
}
