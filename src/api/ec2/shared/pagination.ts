/**
 * `MaxResults` and `NextToken`, once for every Describe operation.
 *
 * A token holds the cursor of the page before and a checksum that binds it to the operation, account and region that it
 * was given for: a token that was changed, or carried elsewhere, is refused. It is no secret and grants nothing: what a
 * page may show is decided anew each time. So it needs no key, and any server can read what any other has given out.
 */
import { createHash } from 'node:crypto'
import { KilnError } from '../../../lib/errors.ts'
import { limits } from '../../../lib/limits.ts'
import type { OperationName } from '../handler.ts'

export interface PageRequest {
  limit: number
  /** The cursor where the page before ended. */
  after?: string
}

export interface Place {
  accountId: string
  region: string
}

interface PagedInput {
  MaxResults?: number | undefined
  NextToken?: string | undefined
}

interface PageRules {
  min?: number
  max?: number
  /** The ids that the caller asks for, under EC2's name of the parameter: they come all at once or not at all. */
  ids?: { parameter: string; given: readonly string[] | undefined }
}

/** Throws `InvalidParameterValue`, `InvalidParameterCombination` or `InvalidPaginationToken`. */
export function readPage(
  operation: OperationName,
  input: PagedInput,
  place: Place,
  rules: PageRules = {},
): PageRequest {
  const { MaxResults: maxResults, NextToken: nextToken } = input
  const { min = limits.pageMin, max = limits.pageMax, ids } = rules
  if (maxResults !== undefined) {
    if (ids?.given?.length) {
      throw new KilnError(
        'InvalidParameterCombination',
        `The parameter ${ids.parameter} cannot be used with the parameter maxResults`,
      )
    }
    if (maxResults < min) throw outOfRange(maxResults, `greater than ${min}`)
    if (maxResults > max) throw outOfRange(maxResults, `less than ${max}`)
  }
  const limit = maxResults ?? Math.min(max, limits.pageDefault)
  return nextToken === undefined ? { limit } : { limit, after: readToken(operation, place, nextToken) }
}

/** What a handler answers as `NextToken`; undefined on the last page. */
export function nextTokenOf(operation: OperationName, place: Place, next: string | null): string | undefined {
  return next === null ? undefined : checksum(operation, place, next) + Buffer.from(next).toString('base64url')
}

const checksumLength = 22

function checksum(operation: OperationName, { accountId, region }: Place, cursor: string): string {
  const bound = JSON.stringify(['page', operation, accountId, region, cursor])
  return createHash('sha256').update(bound).digest('base64url').slice(0, checksumLength)
}

function readToken(operation: OperationName, place: Place, token: string): string {
  const cursor = Buffer.from(token.slice(checksumLength), 'base64url').toString()
  if (nextTokenOf(operation, place, cursor) !== token) {
    throw new KilnError('InvalidPaginationToken', 'The provided pagination token is invalid')
  }
  return cursor
}

function outOfRange(value: number, expected: string): KilnError {
  return new KilnError(
    'InvalidParameterValue',
    `Value ( ${value} ) for parameter maxResults is invalid. Expecting a value ${expected}.`,
  )
}
