/** Checks Signature Version 2. Source: "Signing and authenticating REST requests (AWS signature version 2)" in the S3 user guide. */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { KilnError } from '../../lib/errors.ts'
import { type Authorization, headerValue, type SignedRequest, splitTarget } from './authorization.ts'
import { type AccessKey, type KeyLookup, keyUseOf, type SignaturePolicy, unknownKey } from './verification.ts'

const clockSkewMs = 15 * 60_000

/** Parameters that belong to what is signed. */
const signedParameters: ReadonlySet<string> = new Set([
  ...['acl', 'cors', 'delete', 'lifecycle', 'location', 'logging', 'notification', 'partNumber', 'policy'],
  ...['requestPayment', 'restore', 'tagging', 'torrent', 'uploadId', 'uploads', 'versionId', 'versioning', 'versions'],
  ...['website', 'response-cache-control', 'response-content-disposition', 'response-content-encoding'],
  ...['response-content-language', 'response-content-type', 'response-expires'],
])

/**
 * The key that signed. `hostBucket` is the bucket that the Host header names, if it names one. Throws
 * `IncompleteSignature`, `RequestExpired`, `SignatureDoesNotMatch`, or the policy's code for an unknown key.
 */
export async function verifyVersion2(
  request: SignedRequest,
  authorization: Authorization,
  hostBucket: string | undefined,
  policy: SignaturePolicy,
  lookupKey: KeyLookup,
  nowMs: number,
): Promise<AccessKey> {
  const { signature } = authorization
  if (!signature) throw new KilnError('IncompleteSignature', "The signature requires 'Signature'.")
  const date = checkTime(authorization, nowMs)
  const key = await lookupKey(authorization.scope.accessKeyId, keyUseOf(request, authorization))
  if (!key) throw unknownKey(policy)
  const text = stringToSign(request, headerValue(request, 'x-amz-date') === undefined ? date : '', hostBucket)
  if (isSignatureOf(text, signature, key.secret)) return key
  throw new KilnError(
    'SignatureDoesNotMatch',
    'The request signature we calculated does not match the signature you provided. Check your key and signing method.',
  )
}

/** Whether the signature (base64) is the text's under that secret; compared in constant time. */
export function isSignatureOf(text: string, signature: string, secret: string): boolean {
  const given = Buffer.from(signature, 'base64')
  const expected = createHmac('sha1', secret).update(text).digest()
  return given.length === expected.length && timingSafeEqual(given, expected)
}

/** What stands where the date does in what is signed. */
function checkTime({ kind, timestamp, expiresSeconds }: Authorization, nowMs: number): string {
  if (kind === 'presigned') {
    if (!/^\d{1,12}$/.test(expiresSeconds ?? '')) {
      throw new KilnError('IncompleteSignature', "The signature requires 'Expires', in seconds since 1970.")
    }
    if (nowMs > Number(expiresSeconds) * 1000) throw new KilnError('RequestExpired', 'Request has expired.')
    return expiresSeconds!
  }
  const signedAtMs = Date.parse(timestamp ?? '')
  if (Number.isNaN(signedAtMs)) {
    throw new KilnError('IncompleteSignature', "The signature requires a valid 'Date' or 'x-amz-date' header.")
  }
  if (Math.abs(nowMs - signedAtMs) > clockSkewMs) {
    throw new KilnError('RequestExpired', `The difference between the request time ${timestamp} and now is too large.`)
  }
  return timestamp!
}

export function stringToSign(request: SignedRequest, date: string, hostBucket: string | undefined): string {
  const { path, query } = splitTarget(request.target)
  return [
    request.method,
    headerValue(request, 'content-md5') ?? '',
    headerValue(request, 'content-type') ?? '',
    date,
    ...amazonHeaders(request),
    (hostBucket === undefined ? '' : `/${hostBucket}`) + path + signedQuery(query),
  ].join('\n')
}

function amazonHeaders({ headers }: SignedRequest): string[] {
  const values = new Map<string, string[]>()
  for (const [name, value] of headers) {
    const key = name.toLowerCase()
    if (!key.startsWith('x-amz-')) continue
    values.set(key, [...(values.get(key) ?? []), value.trim()])
  }
  return [...values].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, all]) => `${name}:${all.join(',')}`)
}

function signedQuery(query: string): string {
  const pairs = [...new URLSearchParams(query)]
    .filter(([name]) => signedParameters.has(name))
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([name, value]) => (value === '' ? name : `${name}=${value}`))
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`
}
