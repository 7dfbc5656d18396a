/** What many operations of IAM take: names that may be left out, pages, tags, kinds of paths. */
import type { Tag as IamTag } from '@aws-sdk/client-iam'
import { KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import { clipped } from '../ec2/codec/form.ts'
import { cursorOf, pageToken } from '../page-tokens.ts'
import type { IamContext } from './handler.ts'

interface Tag {
  key: string
  value: string
}

/** IAM's lists belong to no region. */
const nowhere = ''
const tagKeyShape = /^[\p{L}\p{Z}\p{N}_.:/=+\-@]+$/u
const tagValueShape = /^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u

export interface PagedInput {
  Marker?: string | undefined
  MaxItems?: number | undefined
}

export interface PagedAnswer {
  IsTruncated: boolean
  Marker?: string
}

/** Throws ValidationError. */
export function readPage({ Marker: marker, MaxItems: maxItems }: PagedInput, { operation, accountId }: IamContext) {
  const limit = maxItems ?? limits.identityPageDefault
  if (limit < 1 || limit > limits.identityPageMax) {
    throw invalid('maxItems', String(limit), `between 1 and ${limits.identityPageMax}`)
  }
  if (marker === undefined) return { limit }
  const after = cursorOf(operation, { accountId, region: nowhere }, marker)
  if (after === undefined) throw new KilnError('ValidationError', `Invalid Marker: ${clipped(marker)}`)
  return { limit, after }
}

export function pageAnswer(next: string | null, { operation, accountId }: IamContext): PagedAnswer {
  if (next === null) return { IsTruncated: false }
  return { IsTruncated: true, Marker: pageToken(operation, { accountId, region: nowhere }, next) }
}

/** One page of a list that a quota keeps short. */
export function shortPage<Item>(
  items: readonly Item[],
  input: PagedInput,
  context: IamContext,
): { items: Item[]; answer: PagedAnswer } {
  const { limit, after } = readPage(input, context)
  const from = after === undefined ? 0 : Number(after)
  const next = from + limit < items.length ? String(from + limit) : null
  return { items: items.slice(from, from + limit), answer: pageAnswer(next, context) }
}

/** Throws InvalidInput and ValidationError, in IAM's words for tags. */
export function readTags(tags: readonly IamTag[] | undefined): Tag[] {
  if (!tags) return []
  if (tags.length > limits.tagsPerResource) {
    throw invalid('tags', String(tags.length), `of at most ${limits.tagsPerResource} items`)
  }
  const read = tags.map(({ Key: key, Value: value }) => ({ key: checkTagKey(key), value: value ?? '' }))
  const keys = new Set<string>()
  for (const { key, value } of read) {
    if (value.length > limits.tagValueLength || !tagValueShape.test(value)) {
      throw invalid('tags.member.value', value, `of at most ${limits.tagValueLength} letters, digits and _.:/=+-@`)
    }
    if (keys.has(key.toLowerCase())) {
      throw new KilnError('InvalidInput', 'Duplicate tag keys found. Please note that Tag keys are case insensitive.')
    }
    keys.add(key.toLowerCase())
  }
  return read
}

export function readTagKeys(keys: readonly string[] | undefined): string[] {
  if ((keys?.length ?? 0) > limits.tagsPerResource) {
    throw invalid('tagKeys', String(keys!.length), `of at most ${limits.tagsPerResource} items`)
  }
  return (keys ?? []).map((key) => checkTagKey(key))
}

function checkTagKey(key: string | undefined): string {
  if (!key || key.length > limits.tagKeyLength || !tagKeyShape.test(key)) {
    throw invalid('tagKey', key ?? '', `of 1 to ${limits.tagKeyLength} letters, digits and _.:/=+-@`)
  }
  if (!key.toLowerCase().startsWith('aws:')) return key
  throw new KilnError('InvalidInput', `Tag keys beginning with aws: are reserved (${clipped(key)}).`)
}

/** Throws ValidationError. */
export function readPathPrefix(prefix: string | undefined): string | undefined {
  if (prefix === undefined || /^\/[\u0021-\u007f]{0,511}$/.test(prefix)) return prefix
  throw invalid('pathPrefix', prefix, 'a path that begins with /')
}

/** The name of the user who asks, where none is given. Throws ValidationError for whoever is no user. */
export function userNameOf(name: string | undefined, { caller }: IamContext): string {
  if (name !== undefined) return name
  if (caller.kind === 'user') return caller.identity!.name
  throw new KilnError('ValidationError', 'Must specify userName when calling with non-User credentials')
}

/** Policies come back percent-encoded: RFC 3986. */
export function encodedPolicy(document: string): string {
  return encodeURIComponent(document).replace(
    /[!'()*]/g,
    (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

/** Whole seconds, as IAM tells times. */
export const iamTime = (timeMs: number) => new Date(Math.floor(timeMs / 1000) * 1000)

export function invalid(member: string, value: string, expected: string): KilnError {
  return new KilnError(
    'ValidationError',
    `1 validation error detected: Value '${clipped(value)}' at '${member}' failed to satisfy constraint: Member must be ${expected}`,
  )
}
