/** S3 behind the HTTP edge: REST with XML, and bodies that are read and written as they come. */
import { limits } from '../../lib/limits.ts'
import { regionNames } from '../../lib/regions.ts'
import type { ApiService, HttpAnswer, ServiceRequest } from '../service.ts'
import { S3Error, s3ErrorAnswer } from './errors.ts'
import type { S3Cloud, S3Edge, S3Handlers } from './handler.ts'
import { accessHandlers } from './handlers/access.ts'
import { bucketHandlers, checkBucketOwner } from './handlers/buckets.ts'
import { listingHandlers } from './handlers/listings.ts'
import { multipartHandlers } from './handlers/multipart-uploads.ts'
import { objectHandlers } from './handlers/objects.ts'
import { postHandlers } from './handlers/post-object.ts'
import { propertyHandlers } from './handlers/properties.ts'
import { isForm, operationOf, type S3Operation } from './operations.ts'
import { placeOf, readRequest, type S3Request } from './request.ts'

export const s3Handlers: S3Handlers = {
  ...accessHandlers,
  ...bucketHandlers,
  ...listingHandlers,
  ...multipartHandlers,
  ...objectHandlers,
  ...postHandlers,
  ...propertyHandlers,
}

export function createS3Service({ cloud, ...edge }: { cloud: S3Cloud } & S3Edge): ApiService {
  async function handle(request: ServiceRequest): Promise<HttpAnswer> {
    const asked = readRequest(request)
    const operation = operationOf(asked)
    request.audit.action = operation
    await checkBucket(asked, operation, cloud)
    const answer = await s3Handlers[operation](asked, cloud, edge)
    return { ...answer, headers: { ...answer.headers, 'x-amz-request-id': request.requestId } }
  }

  return {
    name: 's3',
    signature: { unknownKeyCode: 'InvalidAccessKeyId', objectStorage: true },
    bodyLimitBytes: limits.s3DocumentBytes,
    isStreaming: true,
    takesUnsigned,
    handle,
    errorAnswer: (error, requestId) => s3ErrorAnswer(error, requestId),
  }
}

/** What a public ACL may allow: to read in a bucket. And forms, whose signature is one of their fields. */
function takesUnsigned({ method, path, headers }: Pick<ServiceRequest, 'method' | 'path' | 'headers'>): boolean {
  if (placeOfOrNone(path, headers.get('host')).bucket === '') return false
  return method === 'GET' || method === 'HEAD' || (method === 'POST' && isForm(headers))
}

function placeOfOrNone(path: string, host: string | undefined): { bucket: string } {
  try {
    return placeOf(path, host)
  } catch {
    return { bucket: '' }
  }
}

/**
 * Throws `NoSuchBucket`, `AccessDenied` when it is not whose the request says, `PermanentRedirect` when the request was
 * signed for another region than the bucket's, and `AuthorizationHeaderMalformed` for one that there is not: clients sign
 * again for the one that the answer names.
 */
async function checkBucket(request: S3Request, operation: S3Operation, cloud: S3Cloud): Promise<void> {
  const hasBucket = operation !== 'ListBuckets' && operation !== 'CreateBucket'
  const { accountId, region } = hasBucket ? await cloud.buckets.get(request.bucket) : noBucket
  if (accountId !== undefined) checkBucketOwner(request, accountId)
  if (!request.isRegionSigned || request.region === region) return
  const about = { headers: { 'x-amz-bucket-region': region } }
  if (!Object.hasOwn(regionNames, request.region)) {
    throw new S3Error(
      'AuthorizationHeaderMalformed',
      `The authorization header is malformed; the region '${request.region.slice(0, 64)}' is wrong; expecting '${region}'`,
      { ...about, elements: { Region: region } },
    )
  }
  if (!hasBucket || operation === 'GetBucketLocation') return
  const endpoint = request.headers.get('host') ?? 'localhost'
  throw new S3Error(
    'PermanentRedirect',
    `The bucket is in the region '${region}', and the request was signed for '${request.region}': sign for the bucket's.`,
    { ...about, elements: { Bucket: request.bucket, Region: region, Endpoint: endpoint } },
  )
}

/** What a request without a bucket may be signed for is any region; the first one is told to whoever names none. */
const noBucket = { accountId: undefined, region: 'us-east-1' }
