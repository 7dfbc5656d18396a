/**
 * What a request signed with Signature Version 2 says of its signer, as the classic AMI tools and old S3 clients sign:
 * `Authorization: AWS KEY:SIGNATURE`, or KEY, time and signature in the query.
 */
import { KilnError } from '../../lib/errors.ts'
import { type Authorization, headerValue, type SignedRequest, splitTarget } from './authorization.ts'

export const version2Scheme = 'AWS '

/** Undefined when the request is not signed so. Throws `IncompleteSignature` when the key cannot be read. */
export function readVersion2(request: SignedRequest): Authorization | undefined {
  const header = headerValue(request, 'authorization')
  if (header === undefined) return readQuery(request)
  const colon = header.lastIndexOf(':')
  return {
    version: 2,
    kind: 'header',
    scope: scopeOf(header.slice(version2Scheme.length, colon < 0 ? undefined : colon).trim()),
    signedHeaders: undefined,
    signature: colon < 0 ? undefined : header.slice(colon + 1).trim(),
    timestamp: headerValue(request, 'x-amz-date') ?? headerValue(request, 'date'),
    expiresSeconds: undefined,
  }
}

function readQuery(request: SignedRequest): Authorization | undefined {
  const parameters = new URLSearchParams(splitTarget(request.target).query)
  const accessKeyId = parameters.get('AWSAccessKeyId')
  // EC2's query protocol knew that parameter too, with a version beside it.
  if (accessKeyId === null || parameters.has('SignatureVersion')) return undefined
  return {
    version: 2,
    kind: 'presigned',
    scope: scopeOf(accessKeyId),
    signedHeaders: undefined,
    // A plus that was not escaped has become a space.
    signature: parameters.get('Signature')?.replaceAll(' ', '+'),
    timestamp: undefined,
    expiresSeconds: parameters.get('Expires') ?? undefined,
  }
}

function scopeOf(accessKeyId: string) {
  if (!/^[\w.-]{1,128}$/.test(accessKeyId)) {
    throw new KilnError('IncompleteSignature', 'The access key id of the signature cannot be read.')
  }
  return { accessKeyId, date: '', region: '', service: 's3' }
}
