/**
 * AWS's JSON 1.1 protocol, which KMS, Cost Explorer and the price list speak: the operation stands in the header
 * `X-Amz-Target`, input and output are objects, an error is an object with its type.
 */
import type { Scope } from '../cloud/deps.ts'
import { type ErrorCode, KilnError } from '../lib/errors.ts'
import { limits } from '../lib/limits.ts'
import { clipped } from './ec2/codec/form.ts'
import type { ApiService, HttpAnswer, ServiceRequest } from './service.ts'

const contentType = 'application/x-amz-json-1.1'

/** What all of these services call errors of the edge. */
const edgeExceptions: Partial<Record<ErrorCode, string>> = {
  ExpiredToken: 'ExpiredTokenException',
  InvalidClientTokenId: 'UnrecognizedClientException',
}

export interface JsonServiceSettings<Handler> {
  /** As its requests are signed: `kms`. */
  name: string
  /** For people: `KMS`. */
  title: string
  /** Before the dot of the target: `TrentService`. */
  targetPrefix: string
  handlers: Readonly<Record<string, Handler>>
  call(handler: Handler, input: Record<string, unknown>, scope: Scope): Promise<object>
  /** The service's own names of errors that it shares with EC2 and the edge. */
  exceptions: Partial<Record<ErrorCode, string>>
  /** What its errors have their text in. */
  messageMember: 'message' | 'Message'
}

export function createJsonService<Handler>(settings: JsonServiceSettings<Handler>): ApiService {
  const { name, title, targetPrefix, handlers, exceptions, messageMember } = settings
  const target = new RegExp(`^${targetPrefix}\\.([A-Za-z]{1,64})$`)

  async function handle({ headers, body, accountId, region, audit }: ServiceRequest): Promise<HttpAnswer> {
    const operation = target.exec(headers.get('x-amz-target') ?? '')?.[1]
    if (operation === undefined) {
      throw new KilnError('UnknownOperationException', `The request names no operation of ${title}.`)
    }
    audit.action = operation
    const handler = Object.hasOwn(handlers, operation) ? handlers[operation] : undefined
    if (!handler) {
      throw new KilnError('UnsupportedOperationException', `The operation ${operation} is not supported by Kiln.`)
    }
    const answer = await settings.call(handler, readInput(body), { accountId, region })
    return { status: 200, contentType, body: JSON.stringify(answer) }
  }

  function errorAnswer({ code, status, message }: KilnError): HttpAnswer {
    return {
      ...{ status, contentType },
      body: JSON.stringify({ __type: exceptions[code] ?? edgeExceptions[code] ?? code, [messageMember]: message }),
    }
  }

  return {
    name,
    signature: { unknownKeyCode: 'InvalidClientTokenId', objectStorage: false },
    bodyLimitBytes: limits.requestBodyBytes,
    handle,
    errorAnswer,
  }
}

function readInput(body: Buffer): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  } catch {
    // Told below: it is no object either.
  }
  throw new KilnError(
    'SerializationException',
    `The request body is not a JSON object: ${clipped(body.toString('latin1'))}`,
  )
}
