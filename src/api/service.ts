/** What an AWS service is to the HTTP edge. */
import type { KilnError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import type { SignaturePolicy } from './signature/verification.ts'

/** A request whose signer is known and whose body was read. */
export interface ServiceRequest {
  requestId: string
  method: string
  /** Still percent-encoded. */
  path: string
  /** Without its question mark, still percent-encoded. */
  query: string
  headers: ReadonlyMap<string, string>
  body: Buffer
  accountId: string
  region: string
  log: Log
  /** What the audit event shall say of the request. A service sets the action as soon as it knows it. */
  audit: { action: string | null }
}

export interface HttpAnswer {
  status: number
  contentType: string
  /** Besides those that every answer has; names in lower case. */
  headers?: Readonly<Record<string, string>>
  body: string | Buffer
}

export interface ApiService {
  /** The name in the credential scope of its requests: `ec2`. */
  readonly name: string
  readonly signature: SignaturePolicy
  readonly bodyLimitBytes: number
  /** Throws `KilnError` to refuse; anything else that it throws is our fault. */
  handle(request: ServiceRequest): Promise<HttpAnswer>
  /** An error in the form that the service's clients read. */
  errorAnswer(error: KilnError, requestId: string): HttpAnswer
}

export const xmlContentType = 'text/xml;charset=UTF-8'
