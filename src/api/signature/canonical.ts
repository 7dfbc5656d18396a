/** The canonical request and the string to sign of AWS Signature Version 4 ("Create a signed AWS API request"). */
import { createHash, createHmac } from 'node:crypto'
import type { CredentialScope, SignedRequest } from './authorization.ts'
import { algorithm, splitTarget } from './authorization.ts'

export const sha256Hex = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('hex')
export const hmac = (key: string | Uint8Array, data: string): Buffer => createHmac('sha256', key).update(data).digest()

export function signingKey(secret: string, scope: CredentialScope): Buffer {
  const day = hmac(`AWS4${secret}`, scope.date)
  return hmac(hmac(hmac(day, scope.region), scope.service), 'aws4_request')
}

export const scopeText = (scope: CredentialScope): string =>
  `${scope.date}/${scope.region}/${scope.service}/aws4_request`

export function stringToSign(timestamp: string, scope: CredentialScope, canonicalRequest: string): string {
  return [algorithm, timestamp, scopeText(scope), sha256Hex(canonicalRequest)].join('\n')
}

export interface CanonicalParts {
  /** Lower-case names, sorted. */
  signedHeaders: readonly string[]
  payloadHash: string
  /** S3 signs the path as sent; every other service encodes it once more and removes dot segments first. */
  pathAsSent: boolean
}

export function canonicalRequest(request: SignedRequest, parts: CanonicalParts): string {
  const { path, query } = splitTarget(request.target)
  return [
    request.method,
    parts.pathAsSent ? reencoded(path) : normalised(path).split('/').map(encode).join('/'),
    canonicalQuery(query),
    ...parts.signedHeaders.map((name) => `${name}:${canonicalHeader(request, name)}`),
    '',
    parts.signedHeaders.join(';'),
    parts.payloadHash,
  ].join('\n')
}

/** Sorted by name, then value, in the encoded form; the signature itself is not part of what it signs. */
function canonicalQuery(query: string): string {
  const pairs = query
    .split('&')
    .filter((pair) => pair !== '')
    .map((pair) => {
      const equals = pair.indexOf('=')
      const name = equals < 0 ? pair : pair.slice(0, equals)
      return [encode(decode(name)), encode(equals < 0 ? '' : decode(pair.slice(equals + 1)))] as const
    })
    .filter(([name]) => name !== 'X-Amz-Signature')
  return pairs
    .sort(([a, x], [b, y]) => order(a, b) || order(x, y))
    .map(([name, value]) => `${name}=${value}`)
    .join('&')
}

/** All values of a header with outer white space cut and inner runs of blanks made one. */
function canonicalHeader(request: SignedRequest, name: string): string {
  return request.headers
    .filter(([given]) => given.toLowerCase() === name)
    .map(([, value]) => value.trim().replace(/ +/g, ' '))
    .join(',')
}

function normalised(path: string): string {
  const kept: string[] = []
  for (const segment of path.split('/')) {
    if (segment === '..') kept.pop()
    else if (segment !== '' && segment !== '.') kept.push(segment)
  }
  const trailing = kept.length > 0 && path.endsWith('/') ? '/' : ''
  return `/${kept.join('/')}${trailing}`
}

const reencoded = (path: string): string =>
  path
    .split('/')
    .map((segment) => encode(decode(segment)))
    .join('/')

/** RFC 3986: everything but letters, digits and `-._~`. */
function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
}

/** Reads a plus as a space, as the services do, so that what is verified is what is served. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return text
  }
}

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
