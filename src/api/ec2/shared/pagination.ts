/** `MaxResults` and `NextToken`, once for every Describe operation. */
import { KilnError } from '../../../lib/errors.ts'
import { limits } from '../../../lib/limits.ts'
import { cursorOf, type Place, pageToken } from '../../page-tokens.ts'
import type { OperationName } from '../handler.ts'

export interface PageRequest {
  limit: number
  /** The cursor where the page before ended. */
  after?: string
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
  return next === null ? undefined : pageToken(operation, place, next)
}

function readToken(operation: OperationName, place: Place, token: string): string {
  const cursor = cursorOf(operation, place, token)
  if (cursor === undefined) {
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
