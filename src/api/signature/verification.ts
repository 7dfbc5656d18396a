/** Checks a request's signature against the secret of its access key: `--auth verify`. */
import { timingSafeEqual } from 'node:crypto'
import type { Caller } from '../../cloud/identity/callers.ts'
import { type ErrorCode, KilnError } from '../../lib/errors.ts'
import {
  type Authorization,
  type CredentialScope,
  headerValue,
  type SignedRequest,
  sessionTokenOf,
  splitTarget,
} from './authorization.ts'
import { canonicalRequest, hmac, sha256Hex, signingKey, stringToSign } from './canonical.ts'

export interface AccessKey {
  secret: string
  /** 12 digits. */
  accountId: string
  /** Who has it; the account itself where nothing is said. */
  caller?: Caller
}

/** What a key is used with, and for. */
export interface KeyUse {
  sessionToken: string | undefined
  service: string
  region: string
}

/** Undefined for a key that nobody has. Throws `ExpiredToken`. */
export type KeyLookup = (accessKeyId: string, use: KeyUse) => Promise<AccessKey | undefined>

/** In what the services differ. */
export interface SignaturePolicy {
  /** What an access key that does not exist answers. */
  unknownKeyCode: ErrorCode
  /** What a session token that is past its time answers; `ExpiredToken` unless given. */
  expiredTokenCode?: ErrorCode
  /** S3: the path is signed as it was sent, and the payload may be unsigned or signed chunk by chunk. */
  objectStorage: boolean
  /** Methods whose bodies may be unsigned, because the service compares them with a checksum in a signed header. */
  unsignedBodies?: readonly string[]
}

export interface VerifiedSignature extends Pick<AccessKey, 'accountId' | 'caller'> {
  /** What the signature says of the body: a SHA-256, or one of S3's markers. */
  payloadHash: string
  /** What the signatures of the body's chunks start from; see `readChunks`. */
  seed: ChunkSeed
}

export interface ChunkSeed {
  signature: string
  signingKey: Uint8Array
  timestamp: string
  scope: CredentialScope
}

export const unsignedPayload = 'UNSIGNED-PAYLOAD'
export const chunkedPayload = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'
/** The same with headers after the last chunk. */
export const chunkedPayloadWithTrailer = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER'
/** Chunks that are not signed, with headers after the last. */
export const unsignedChunksWithTrailer = 'STREAMING-UNSIGNED-PAYLOAD-TRAILER'
const objectMarkers = [unsignedPayload, chunkedPayload, chunkedPayloadWithTrailer, unsignedChunksWithTrailer]

const clockSkewMs = 15 * 60_000
const presignedMaxSeconds = 7 * 24 * 3600

/** What is to be told the lookup of a key. */
export function keyUseOf(request: Pick<SignedRequest, 'headers' | 'target'>, { scope }: Authorization): KeyUse {
  return { sessionToken: sessionTokenOf(request), service: scope.service, region: scope.region }
}

/**
 * Throws `IncompleteSignature`, `RequestExpired`, `SignatureDoesNotMatch`, or the policy's code for an unknown key.
 */
export async function verifySignature(
  request: SignedRequest,
  authorization: Authorization,
  policy: SignaturePolicy,
  lookupKey: KeyLookup,
  nowMs: number,
): Promise<VerifiedSignature> {
  if (authorization.version === 2) throw incomplete('Only S3 takes requests that are signed with version 2.')
  const { scope } = authorization
  const signature = required(authorization.signature, 'Signature')
  const timestamp = required(authorization.timestamp, 'X-Amz-Date')
  const signedHeaders = required(authorization.signedHeaders, 'SignedHeaders').split(';')
  checkSignedHeaders(request, signedHeaders)
  checkTime(authorization, timestamp, nowMs)
  if (!timestamp.startsWith(scope.date)) {
    throw mismatch(`Date in Credential scope does not match YYYYMMDD from the request's time: ${scope.date}.`)
  }

  const key = await lookupKey(scope.accessKeyId, keyUseOf(request, authorization))
  if (!key) throw unknownKey(policy)
  const derivedKey = signingKey(key.secret, scope)
  const payloadHash = declaredPayload(request, authorization, policy)
  const canonical = canonicalRequest(request, { signedHeaders, payloadHash, pathAsSent: policy.objectStorage })
  if (!sameSignature(signature, hmac(derivedKey, stringToSign(timestamp, scope, canonical)))) throw mismatch()
  // The hash was signed; now the body must be what was hashed.
  if (request.body && /^[0-9a-f]{64}$/.test(payloadHash) && sha256Hex(request.body) !== payloadHash) {
    throw mismatch('The body does not match the SHA-256 that the request was signed with.')
  }
  const { accountId, caller } = key
  return {
    accountId,
    ...(caller && { caller }),
    payloadHash,
    seed: { signature, signingKey: derivedKey, timestamp, scope },
  }
}

/** Compares in constant time a signature in hexadecimal with the one that it should be. */
export function sameSignature(given: string, expected: Uint8Array): boolean {
  return /^[0-9a-f]{64}$/.test(given) && timingSafeEqual(Buffer.from(given, 'hex'), expected)
}

/** Host and every `x-amz-` header must be covered: what is not signed could have been put there by anybody. */
function checkSignedHeaders(request: SignedRequest, signedHeaders: readonly string[]): void {
  const sorted = signedHeaders.every((name, i) => name !== '' && (i === 0 || signedHeaders[i - 1]! < name))
  if (!sorted || signedHeaders.some((name) => name !== name.toLowerCase())) {
    throw incomplete('SignedHeaders must be lower-case names in order, separated by semicolons.')
  }
  const mustBeSigned = request.headers
    .map(([name]) => name.toLowerCase())
    .filter((name) => name === 'host' || name.startsWith('x-amz-'))
  const uncovered = ['host', ...mustBeSigned].find((name) => !signedHeaders.includes(name))
  if (uncovered) throw mismatch(`The header '${uncovered}' must be among the signed headers.`)
}

function checkTime(authorization: Authorization, timestamp: string, nowMs: number): void {
  const form = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(timestamp)
  const signedAtMs = form
    ? Date.parse(timestamp.replace(/^(....)(..)(..)T(..)(..)(..)Z$/, '$1-$2-$3T$4:$5:$6Z'))
    : Number.NaN
  if (Number.isNaN(signedAtMs)) throw incomplete("Date must be in ISO-8601 'basic format': YYYYMMDDThhmmssZ.")
  if (authorization.kind === 'presigned') {
    const seconds = Number(required(authorization.expiresSeconds, 'X-Amz-Expires'))
    if (!Number.isInteger(seconds) || seconds < 1 || seconds > presignedMaxSeconds) {
      throw incomplete(`X-Amz-Expires must be a number of seconds from 1 to ${presignedMaxSeconds}.`)
    }
    if (nowMs > signedAtMs + seconds * 1000) throw new KilnError('RequestExpired', 'Request has expired.')
  } else if (nowMs > signedAtMs + clockSkewMs) {
    throw new KilnError('RequestExpired', `Request has expired. It was signed at ${timestamp}.`)
  }
  if (signedAtMs > nowMs + clockSkewMs) {
    throw new KilnError('RequestExpired', `Request is not valid yet. It was signed at ${timestamp}.`)
  }
}

function declaredPayload(request: SignedRequest, authorization: Authorization, policy: SignaturePolicy): string {
  const declared = declaredHash(request, authorization)
  const markers = policy.objectStorage ? [...objectMarkers] : []
  if (policy.unsignedBodies?.includes(request.method)) markers.push(unsignedPayload)
  if (declared !== undefined) {
    if (/^[0-9a-f]{64}$/.test(declared) || markers.includes(declared)) return declared
    throw mismatch('x-amz-content-sha256 must be the SHA-256 of the body, in hexadecimal.')
  }
  if (policy.objectStorage && authorization.kind === 'presigned') return unsignedPayload
  if (!request.body) throw incomplete("The header 'x-amz-content-sha256' is required.")
  return sha256Hex(request.body)
}

/** What the request says that its body hashes to, before anything was verified. */
export function declaredHash(
  request: Pick<SignedRequest, 'headers' | 'target'>,
  authorization: Authorization | undefined,
): string | undefined {
  const header = headerValue(request, 'x-amz-content-sha256')
  if (header !== undefined || authorization?.kind !== 'presigned') return header
  return new URLSearchParams(splitTarget(request.target).query).get('X-Amz-Content-Sha256') ?? undefined
}

function required(value: string | undefined, name: string): string {
  if (!value) throw incomplete(`The signature requires '${name}'.`)
  return value
}

export function unknownKey(policy: SignaturePolicy): KilnError {
  const message =
    policy.unknownKeyCode === 'AuthFailure'
      ? 'AWS was not able to validate the provided access credentials'
      : 'The security token included in the request is invalid.'
  return new KilnError(policy.unknownKeyCode, message)
}

function incomplete(message: string): KilnError {
  return new KilnError('IncompleteSignature', message)
}

function mismatch(
  message = 'The request signature we calculated does not match the signature you provided. Check your secret access key and signing method.',
): KilnError {
  return new KilnError('SignatureDoesNotMatch', message)
}
