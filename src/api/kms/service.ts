/**
 * KMS, as far as whoever encrypts volumes asks for it: keys are made, named, listed, switched off and on, and rotated.
 * Nothing is encrypted for callers. Its protocol is JSON 1.1, the operation stands in the header `X-Amz-Target`.
 */
import type { Cloud } from '../../cloud/cloud.ts'
import { KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import { clipped } from '../ec2/codec/form.ts'
import type { ApiService, HttpAnswer, ServiceRequest } from '../service.ts'
import { kmsHandlers } from './handlers.ts'

export type KmsCloud = Pick<Cloud, 'enter' | 'encryptionKeys'>

const contentType = 'application/x-amz-json-1.1'
const target = /^TrentService\.([A-Za-z]{1,64})$/

export function createKmsService({ cloud }: { cloud: KmsCloud }): ApiService {
  async function handle(request: ServiceRequest): Promise<HttpAnswer> {
    const { headers, body, accountId, region } = request
    const operation = target.exec(headers.get('x-amz-target') ?? '')?.[1]
    if (operation === undefined)
      throw new KilnError('UnknownOperationException', 'The request names no operation of KMS.')
    request.audit.action = operation
    const handler = Object.hasOwn(kmsHandlers, operation) ? kmsHandlers[operation] : undefined
    if (!handler) {
      throw new KilnError('UnsupportedOperationException', `The operation ${operation} is not supported by Kiln.`)
    }
    const input = readInput(body)
    const scope = { accountId, region }
    await cloud.enter(scope)
    const answer = await handler(input, { scope, keys: cloud.encryptionKeys })
    return { status: 200, contentType, body: JSON.stringify(answer) }
  }

  return {
    name: 'kms',
    signature: { unknownKeyCode: 'InvalidClientTokenId', objectStorage: false },
    bodyLimitBytes: limits.requestBodyBytes,
    handle,
    errorAnswer,
  }
}

/** What the cloud and the edge share with EC2, by KMS's names. */
const exceptions: Partial<Record<KilnError['code'], string>> = {
  CustomerKeyHasBeenRevoked: 'DisabledException',
  InternalError: 'KMSInternalException',
  InvalidClientTokenId: 'UnrecognizedClientException',
  InvalidParameterValue: 'ValidationException',
  ResourceLimitExceeded: 'LimitExceededException',
}

function errorAnswer({ code, status, message }: KilnError): HttpAnswer {
  const body = JSON.stringify({ __type: exceptions[code] ?? code, message })
  return { status, contentType, body }
}

function readInput(body: Buffer): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  } catch {
    // Told below: it is no object either.
  }
  throw new KilnError(
    'InvalidParameterValue',
    `The request body is not a JSON object: ${clipped(body.toString('latin1'))}`,
  )
}
