/**
 * Tokens of pages, for every service that lists what lies in the state. A token holds the cursor of the page before and a
 * checksum that binds it to the operation, account and region that it was given for: a token that was changed, or carried
 * elsewhere, is refused. It is no secret and grants nothing: what a page may show is decided anew each time. So it needs no
 * key, and any server can read what any other has given out.
 */
import { createHash } from 'node:crypto'

export interface Place {
  accountId: string
  region: string
}

const checksumLength = 22

export function pageToken(operation: string, place: Place, cursor: string): string {
  return checksum(operation, place, cursor) + Buffer.from(cursor).toString('base64url')
}

/** Undefined for a token that was not given out for that operation there. */
export function cursorOf(operation: string, place: Place, token: string): string | undefined {
  const cursor = Buffer.from(token.slice(checksumLength), 'base64url').toString()
  return pageToken(operation, place, cursor) === token ? cursor : undefined
}

function checksum(operation: string, { accountId, region }: Place, cursor: string): string {
  const bound = JSON.stringify(['page', operation, accountId, region, cursor])
  return createHash('sha256').update(bound).digest('base64url').slice(0, checksumLength)
}
