/** What an AWS service is to the HTTP edge. */

import type { Caller } from '../cloud/identity/callers.ts'
import type { KilnError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import type { Guest } from './http/guests.ts'
import type { ChunkSeed, SignaturePolicy } from './signature/verification.ts'

/** A request whose signer is known, and whose body was read unless the service reads it itself. */
export interface ServiceRequest {
  requestId: string
  method: string
  /** Still percent-encoded. */
  path: string
  /** Without its question mark, still percent-encoded. */
  query: string
  headers: ReadonlyMap<string, string>
  /** Empty for a service that streams. */
  body: Buffer
  /** For a service that streams. */
  stream?: BodyStream
  /** Of a request without a signature, `anonymous`. */
  accountId: string
  /** Of a request without a signature, the anonymous account. */
  caller: Caller
  region: string
  /** False when the signature names no region: then `region` is the service's own choice. */
  isRegionSigned: boolean
  /** The instance that the request comes from, if it comes from one. */
  guest?: Guest | undefined
  log: Log
  /** What the audit event shall say of the request. A service sets the action as soon as it knows it. */
  audit: { action: string | null }
}

/** A body that is still to be read, once, and what its signature says of it. */
export interface BodyStream {
  source: AsyncIterable<Uint8Array>
  /** A SHA-256 in hexadecimal or one of S3's markers; undefined where nothing is said. */
  payloadHash: string | undefined
  /** What the signatures of chunks start from; undefined where signatures are not verified. */
  seed: ChunkSeed | undefined
}

export interface HttpAnswer {
  status: number
  /** An answer without a body needs none. */
  contentType?: string
  /** Besides those that every answer has, and in place of them; names in lower case. */
  headers?: Readonly<Record<string, string>>
  /** Its own headers say whether and how long it may be kept. No other answer may be. */
  isCacheable?: boolean
  body: string | Buffer | StreamedBody
}

/** Sent as fast as the receiver reads. What fails on the way cuts the connection: the head was sent by then. */
export interface StreamedBody {
  lengthBytes: number
  /** Its iterator is told (`return`) when the receiver goes away. */
  content: AsyncIterable<Buffer>
}

export function isStreamed(body: HttpAnswer['body']): body is StreamedBody {
  return typeof body !== 'string' && !Buffer.isBuffer(body)
}

export interface ApiService {
  /** The name in the credential scope of its requests: `ec2`. */
  readonly name: string
  readonly signature: SignaturePolicy
  readonly bodyLimitBytes: number
  /** The service reads bodies itself, as they come. */
  readonly isStreaming?: boolean
  /** Whether the service takes that request although it names no signer. */
  takesUnsigned?(request: Pick<ServiceRequest, 'method' | 'path' | 'query' | 'headers'>): boolean
  /** Throws `KilnError` to refuse; anything else that it throws is our fault. */
  handle(request: ServiceRequest): Promise<HttpAnswer>
  /** An error in the form that the service's clients read. */
  errorAnswer(error: KilnError, requestId: string): HttpAnswer
}

export const xmlContentType = 'text/xml;charset=UTF-8'
