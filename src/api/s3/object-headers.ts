/** The headers that say what an object is: read from a request, and written into an answer. */
import type { ObjectDescription, StoredObject } from '../../cloud/buckets/object-facts.ts'
import type { WriteCondition } from '../../cloud/buckets/objects.ts'
import { KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import { requestedAcl } from './access-control.ts'
import { invalidArgument, notImplemented } from './errors.ts'
import type { S3Request } from './request.ts'
import { storedCoding } from './upload-body.ts'

type Headers = ReadonlyMap<string, string>

const keptHeaders = ['cache-control', 'content-disposition', 'content-language', 'content-type', 'expires']
const metadataPrefix = 'x-amz-meta-'
const defaultContentType = 'binary/octet-stream'

/** Headers that ask for what Kiln has not: better refused than forgotten. */
const foreignHeaders: Readonly<Record<string, string>> = {
  'x-amz-server-side-encryption': 'Encryption of objects',
  'x-amz-server-side-encryption-customer-algorithm': 'Encryption of objects',
  'x-amz-object-lock-mode': 'A lock of objects',
  'x-amz-object-lock-retain-until-date': 'A lock of objects',
  'x-amz-object-lock-legal-hold': 'A lock of objects',
  'x-amz-tagging': 'A tag of objects',
  'x-amz-website-redirect-location': 'A web site of a bucket',
  'x-amz-write-offset-bytes': 'Appending to an object',
}

/** Throws `NotImplemented`, `InvalidStorageClass`, `MetadataTooLarge`, `InvalidArgument`. */
export function describedObject(headers: Headers): ObjectDescription {
  for (const [name, what] of Object.entries(foreignHeaders)) if (headers.has(name)) throw notImplemented(what)
  const storageClass = headers.get('x-amz-storage-class') ?? 'STANDARD'
  if (storageClass !== 'STANDARD') {
    throw new KilnError('InvalidStorageClass', 'The storage class you specified is not valid: Kiln has STANDARD alone.')
  }
  const acl = requestedAcl(headers)
  const described = { headers: headersToKeep(headers), metadata: metadataOf(headers) }
  // A form's fields may hold what no header can: nobody could ever read such an object.
  for (const [name, value] of Object.entries({ ...described.headers, ...described.metadata })) {
    if (!isHeaderName(name) || !isHeaderValue(value)) throw invalidArgument(`'${name.slice(0, 64)}' is no HTTP header.`)
  }
  return { ...described, ...(acl ? { acl } : {}) }
}

const isHeaderName = (text: string) => /^[\w!#$%&'*+.^`|~-]+$/.test(text)
const isHeaderValue = (text: string) => /^[\t\x20-\x7e\x80-\xff]*$/.test(text)

/** Text of the cloud's own that no header can carry, as S3 shows such: encoded after RFC 2047. */
function headerText(text: string): string {
  return isHeaderValue(text) ? text : `=?UTF-8?B?${Buffer.from(text).toString('base64')}?=`
}

function headersToKeep(headers: Headers): Record<string, string> {
  const kept: Record<string, string> = {}
  for (const name of keptHeaders) {
    const value = headers.get(name)
    if (value !== undefined) kept[name] = value
  }
  const coding = storedCoding(headers)
  if (coding !== undefined) kept['content-encoding'] = coding
  return kept
}

function metadataOf(headers: Headers): Record<string, string> {
  const metadata: Record<string, string> = {}
  let bytes = 0
  for (const [name, value] of headers) {
    if (!name.startsWith(metadataPrefix)) continue
    const key = name.slice(metadataPrefix.length)
    if (key === '') throw invalidArgument('A metadata header has no name.')
    metadata[key] = value
    bytes += key.length + value.length
  }
  if (bytes <= limits.objectMetadataBytes) return metadata
  throw new KilnError(
    'MetadataTooLarge',
    `Your metadata headers exceed the maximum allowed metadata size of ${limits.objectMetadataBytes} bytes.`,
  )
}

/** `If-Match` and `If-None-Match: *` of a write. */
export function writeCondition(headers: Headers): WriteCondition {
  const ifMatch = headers.get('if-match')
  const ifNoneMatch = headers.get('if-none-match')
  if (ifNoneMatch !== undefined && ifNoneMatch !== '*') {
    throw notImplemented('A condition If-None-Match other than * on a write')
  }
  return {
    ...(ifMatch === undefined ? {} : { ifMatch: withoutQuotes(ifMatch) }),
    ...(ifNoneMatch === undefined ? {} : { ifNoneMatch: '*' }),
  }
}

export const withoutQuotes = (etag: string) => etag.trim().replace(/^"(.*)"$/, '$1')
export const quoted = (etag: string) => `"${etag}"`
export const httpDate = (ms: number) => new Date(ms).toUTCString()

/**
 * Whether a reader that has the object already needs it again: `whole`, `not-modified`, or `failed`. `prefix` names the
 * headers of a copy's source. Source: RFC 9110, 13.2.2, as the notes of GetObject have it.
 */
export function readCondition(
  headers: Headers,
  object: Pick<StoredObject, 'etag' | 'modifiedAtMs'>,
  prefix = '',
): 'whole' | 'not-modified' | 'failed' {
  const header = (name: string) => headers.get(`${prefix}${name}`)
  const isAmong = (text: string) =>
    text.split(',').some((one) => one.trim() === '*' || withoutQuotes(one.trim().replace(/^W\//, '')) === object.etag)
  // HTTP dates know no fractions of a second.
  const modifiedAtMs = Math.floor(object.modifiedAtMs / 1000) * 1000
  const time = (name: string) => Date.parse(header(name) ?? '')
  const [match, noneMatch] = [header('if-match'), header('if-none-match')]
  if (match !== undefined) {
    if (!isAmong(match)) return 'failed'
  } else if (modifiedAtMs > time('if-unmodified-since')) {
    return 'failed'
  }
  if (noneMatch !== undefined) return isAmong(noneMatch) ? 'not-modified' : 'whole'
  return modifiedAtMs <= time('if-modified-since') ? 'not-modified' : 'whole'
}

/** Undefined for all of it, also where the header asks for several ranges or cannot be read. Throws `InvalidRange`. */
export function requestedRange(
  text: string | undefined,
  sizeBytes: number,
): { start: number; end: number } | undefined {
  const form = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(text?.trim() ?? '')
  if (!form || (form[1] === '' && form[2] === '')) return undefined
  const [first, last] = [form[1]!, form[2]!]
  const start = first === '' ? Math.max(0, sizeBytes - Number(last)) : Number(first)
  const end = first === '' || last === '' ? sizeBytes : Math.min(sizeBytes, Number(last) + 1)
  if (first !== '' && last !== '' && Number(first) > Number(last)) return undefined
  if (start < sizeBytes && start < end) return { start, end }
  throw new KilnError('InvalidRange', 'The requested range is not satisfiable')
}

/** What GetObject and HeadObject say of an object. */
export function objectHeaders({ query, requester }: S3Request, object: StoredObject): Record<string, string> {
  const overrides: Record<string, string> = {}
  for (const [name, value] of query) {
    if (!name.startsWith('response-')) continue
    const header = name.slice('response-'.length)
    if (!keptHeaders.includes(header) && header !== 'content-encoding') continue
    if (requester === 'anonymous') {
      throw new KilnError('InvalidRequest', 'Request specific response headers cannot be used for anonymous requests.')
    }
    if (!isHeaderValue(value)) throw invalidArgument(`${name} is no value of an HTTP header.`)
    overrides[header] = value
  }
  return {
    'content-type': defaultContentType,
    ...object.headers,
    ...overrides,
    ...Object.fromEntries(
      Object.entries(object.metadata).map(([key, text]) => [metadataPrefix + key, headerText(text)]),
    ),
    ...(object.partCount === null ? {} : { 'x-amz-mp-parts-count': String(object.partCount) }),
    ...(object.tags.length === 0 ? {} : { 'x-amz-tagging-count': String(object.tags.length) }),
    etag: quoted(object.etag),
    'last-modified': httpDate(object.modifiedAtMs),
    'accept-ranges': 'bytes',
    // A page that somebody has put here must not run as if it were Kiln's own: it could use the API.
    'content-security-policy': 'sandbox',
  }
}
