/**
 * Errors as the clients of the EBS direct APIs read them: an exception's name in a header, its reason and message in
 * JSON. Source: the errors of each operation in the EBS direct APIs reference, and "Common Errors" there.
 */
import type { ErrorCode, KilnError } from '../../lib/errors.ts'
import { clipped } from '../ec2/codec/form.ts'
import type { HttpAnswer } from '../service.ts'

interface EbsException {
  name: string
  status: number
  reason?: string
}

/** Codes that the cloud and the edge share with EC2. All others are an exception's name already, some with a reason. */
const exceptions: Partial<Record<ErrorCode, EbsException>> = {
  IdempotentParameterMismatch: { name: 'ConflictException', status: 409 },
  'InvalidSnapshot.NotFound': { name: 'ResourceNotFoundException', status: 404, reason: 'SNAPSHOT_NOT_FOUND' },
  InternalError: { name: 'InternalServerException', status: 500 },
  ExpiredToken: { name: 'ExpiredTokenException', status: 403 },
  InvalidClientTokenId: { name: 'UnrecognizedClientException', status: 403 },
  SignatureDoesNotMatch: { name: 'InvalidSignatureException', status: 403 },
  ...Object.fromEntries(
    ['IncompleteBody', 'InvalidParameterValue', 'MalformedQueryString', 'RequestEntityTooLarge'].map((code) => [
      code,
      { name: 'ValidationException', status: 400, reason: 'INVALID_PARAMETER_VALUE' },
    ]),
  ),
}

const messageMax = 256

export function ebsErrorAnswer(error: KilnError): HttpAnswer {
  const { name, status, reason } = exceptions[error.code] ?? namedException(error)
  return {
    status,
    contentType: 'application/json',
    headers: { 'x-amzn-errortype': name },
    // What has no reason has no such member.
    body: JSON.stringify({ Message: clipped(error.message, messageMax - 1), Reason: reason }),
  }
}

/** `ValidationException.InvalidBlock` is a ValidationException with the reason INVALID_BLOCK. */
function namedException({ code, status }: KilnError): EbsException {
  const [name, reason] = code.split('.') as [string, string | undefined]
  return { name, status, reason: reason?.replace(/(?<=[a-z])(?=[A-Z])/g, '_').toUpperCase() }
}
