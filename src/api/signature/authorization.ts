/**
 * What a request says of its signer: the `Authorization` header or the query of a presigned URL. Nothing is verified
 * here. Signature Version 4 is everybody's; of version 2, which only S3 still takes, see {@link readVersion2}.
 */
import { KilnError } from '../../lib/errors.ts'
import { readVersion2, version2Scheme } from './version2-authorization.ts'

export const algorithm = 'AWS4-HMAC-SHA256'

/** The parts of a request that a signature covers, as they came over the wire. */
export interface SignedRequest {
  method: string
  /** Path and query, still percent-encoded: `/a%20b?c=d`. */
  target: string
  /** Every header in the order it came; names in any capitalisation, repeated names allowed. */
  headers: readonly (readonly [name: string, value: string])[]
  /** Undefined when the body is still to be read, and checked by whoever reads it. */
  body: Uint8Array | undefined
}

export interface CredentialScope {
  accessKeyId: string
  /** `YYYYMMDD`; empty in version 2. */
  date: string
  /** Empty in version 2, which names none. */
  region: string
  service: string
}

export interface Authorization {
  version: 2 | 4
  kind: 'header' | 'presigned'
  scope: CredentialScope
  /** As given; undefined where the request leaves them out. */
  signedHeaders: string | undefined
  signature: string | undefined
  /** `YYYYMMDDThhmmssZ`; in version 2 an HTTP date. */
  timestamp: string | undefined
  /** How long a presigned URL is good; in version 2 until when, in seconds since the epoch. */
  expiresSeconds: string | undefined
}

/**
 * Undefined when the request names no signer at all. Throws `IncompleteSignature` when it does and the credential
 * cannot be read.
 */
export function readAuthorization(request: SignedRequest): Authorization | undefined {
  const header = headerValue(request, 'authorization')
  if (header === undefined) return readPresigned(request) ?? readVersion2(request)
  return header.startsWith(version2Scheme) ? readVersion2(request) : readHeader(request, header)
}

/** The first value of a header. */
export function headerValue(request: Pick<SignedRequest, 'headers'>, name: string): string | undefined {
  return request.headers.find(([given]) => given.toLowerCase() === name)?.[1]
}

/** What came with a key that ends; undefined where nothing did. */
export function sessionTokenOf(request: Pick<SignedRequest, 'headers' | 'target'>): string | undefined {
  const header = headerValue(request, 'x-amz-security-token')
  if (header !== undefined) return header
  const parameters = new URLSearchParams(splitTarget(request.target).query)
  return parameters.get('X-Amz-Security-Token') ?? parameters.get('x-amz-security-token') ?? undefined
}

/** The parts of a request target: the path, and the query without its question mark. */
export function splitTarget(target: string): { path: string; query: string } {
  const mark = target.indexOf('?')
  return mark < 0 ? { path: target, query: '' } : { path: target.slice(0, mark), query: target.slice(mark + 1) }
}

function readHeader(request: SignedRequest, header: string): Authorization {
  const [scheme = '', ...rest] = header.trim().split(' ')
  if (scheme !== algorithm) throw incomplete(`Authorization header must begin with ${algorithm}.`)
  const parts = new Map<string, string>()
  for (const part of rest.join(' ').split(',')) {
    const equals = part.indexOf('=')
    if (equals > 0) parts.set(part.slice(0, equals).trim(), part.slice(equals + 1).trim())
  }
  const credential = parts.get('Credential')
  if (credential === undefined) throw incomplete("Authorization header requires 'Credential' parameter.")
  return {
    version: 4,
    kind: 'header',
    scope: readScope(credential),
    signedHeaders: parts.get('SignedHeaders'),
    signature: parts.get('Signature'),
    timestamp: headerValue(request, 'x-amz-date') ?? basicTime(headerValue(request, 'date')),
    expiresSeconds: undefined,
  }
}

function readPresigned(request: SignedRequest): Authorization | undefined {
  const { query } = splitTarget(request.target)
  const parameters = new URLSearchParams(query)
  const credential = parameters.get('X-Amz-Credential')
  if (credential === null) return undefined
  if (parameters.get('X-Amz-Algorithm') !== algorithm) throw incomplete(`X-Amz-Algorithm must be ${algorithm}.`)
  return {
    version: 4,
    kind: 'presigned',
    scope: readScope(credential),
    signedHeaders: parameters.get('X-Amz-SignedHeaders') ?? undefined,
    signature: parameters.get('X-Amz-Signature') ?? undefined,
    timestamp: parameters.get('X-Amz-Date') ?? undefined,
    expiresSeconds: parameters.get('X-Amz-Expires') ?? undefined,
  }
}

function readScope(credential: string): CredentialScope {
  const parts = credential.split('/')
  const [accessKeyId, date, region, service, terminator] = parts
  const complete = accessKeyId && date && region && service && terminator === 'aws4_request' && parts.length === 5
  if (!complete || !/^[\w.-]{1,128}$/.test(accessKeyId) || !/^\d{8}$/.test(date)) {
    throw incomplete('Credential must have the form ACCESS-KEY-ID/YYYYMMDD/REGION/SERVICE/aws4_request.')
  }
  return { accessKeyId, date, region, service }
}

/** An HTTP date in the basic form that signatures use. */
function basicTime(httpDate: string | undefined): string | undefined {
  const time = httpDate === undefined ? Number.NaN : Date.parse(httpDate)
  return Number.isNaN(time) ? undefined : new Date(time).toISOString().replace(/[-:]|\.\d{3}/g, '')
}

function incomplete(message: string): KilnError {
  return new KilnError('IncompleteSignature', message)
}
