/** Which operation a method, a path and its parameters mean. Source: the syntax of each operation in the S3 API reference. */
import { KilnError } from '../../lib/errors.ts'
import { notImplemented } from './errors.ts'
import type { S3Request } from './request.ts'

export type S3Operation =
  | 'ListBuckets'
  | 'CreateBucket'
  | 'HeadBucket'
  | 'DeleteBucket'
  | 'GetBucketLocation'
  | 'GetBucketAcl'
  | 'PutBucketAcl'
  | 'GetBucketProperty'
  | 'DeleteBucketProperty'
  | 'ListObjects'
  | 'ListObjectsV2'
  | 'ListObjectVersions'
  | 'ListMultipartUploads'
  | 'DeleteObjects'
  | 'PostObject'
  | 'PutObject'
  | 'CopyObject'
  | 'GetObject'
  | 'HeadObject'
  | 'DeleteObject'
  | 'GetObjectAcl'
  | 'PutObjectAcl'
  | 'GetObjectAttributes'
  | 'GetObjectTagging'
  | 'DeleteObjectTagging'
  | 'CreateMultipartUpload'
  | 'UploadPart'
  | 'UploadPartCopy'
  | 'CompleteMultipartUpload'
  | 'AbortMultipartUpload'
  | 'ListParts'

/** Parts of a bucket that Kiln's buckets have not; asking for one is answered as S3 answers for a bucket without. */
export const bucketProperties = [
  ...['accelerate', 'cors', 'encryption', 'lifecycle', 'logging', 'notification', 'object-lock', 'ownershipControls'],
  ...[
    'policy',
    'policyStatus',
    'publicAccessBlock',
    'replication',
    'requestPayment',
    'tagging',
    'versioning',
    'website',
  ],
] as const
export type BucketProperty = (typeof bucketProperties)[number]

/** Parameters that mean an operation of their own which Kiln has not. */
const foreign: readonly string[] = [
  ...['analytics', 'intelligent-tiering', 'inventory', 'metrics', 'metadataTable', 'metadataConfiguration', 'session'],
  ...['legal-hold', 'retention', 'restore', 'select', 'torrent', 'renameObject', 'encryption', 'annotation', 'abac'],
]

type Chooser = (request: S3Request) => S3Operation | undefined
const has = ({ query }: S3Request, name: string) => query.has(name)

const service: Record<string, Chooser> = { GET: () => 'ListBuckets' }

const bucket: Record<string, Chooser> = {
  HEAD: () => 'HeadBucket',
  GET(request) {
    if (has(request, 'location')) return 'GetBucketLocation'
    if (has(request, 'acl')) return 'GetBucketAcl'
    if (has(request, 'uploads')) return 'ListMultipartUploads'
    if (has(request, 'versions')) return 'ListObjectVersions'
    if (bucketPropertyOf(request)) return 'GetBucketProperty'
    return request.query.get('list-type') === '2' ? 'ListObjectsV2' : 'ListObjects'
  },
  PUT(request) {
    if (has(request, 'acl')) return 'PutBucketAcl'
    return bucketPropertyOf(request) ? undefined : 'CreateBucket'
  },
  DELETE: (request) => (bucketPropertyOf(request) ? 'DeleteBucketProperty' : 'DeleteBucket'),
  POST(request) {
    if (has(request, 'delete')) return 'DeleteObjects'
    return isForm(request.headers) ? 'PostObject' : undefined
  },
}

const object: Record<string, Chooser> = {
  HEAD: () => 'HeadObject',
  GET(request) {
    if (has(request, 'acl')) return 'GetObjectAcl'
    if (has(request, 'attributes')) return 'GetObjectAttributes'
    if (has(request, 'tagging')) return 'GetObjectTagging'
    return has(request, 'uploadId') ? 'ListParts' : 'GetObject'
  },
  PUT(request) {
    const isCopy = request.headers.has('x-amz-copy-source')
    if (has(request, 'acl')) return 'PutObjectAcl'
    if (has(request, 'tagging')) return undefined
    if (has(request, 'uploadId')) return isCopy ? 'UploadPartCopy' : 'UploadPart'
    return isCopy ? 'CopyObject' : 'PutObject'
  },
  DELETE(request) {
    if (has(request, 'tagging')) return 'DeleteObjectTagging'
    return has(request, 'uploadId') ? 'AbortMultipartUpload' : 'DeleteObject'
  },
  POST(request) {
    if (has(request, 'uploads')) return 'CreateMultipartUpload'
    return has(request, 'uploadId') ? 'CompleteMultipartUpload' : undefined
  },
}

/** Throws `MethodNotAllowed`, or `NotImplemented` for what S3 has and Kiln has not. */
export function operationOf(request: S3Request): S3Operation {
  const level = request.bucket === '' ? service : request.key === '' ? bucket : object
  const choose = level[request.method]
  if (!choose) {
    throw new KilnError('MethodNotAllowed', 'The specified method is not allowed against this resource.')
  }
  const unknown = foreign.find((name) => has(request, name) && !(level === bucket && name === 'encryption'))
  const operation = unknown === undefined ? choose(request) : undefined
  if (operation) return operation
  throw notImplemented(`The operation ${request.method} ${unknown ?? [...request.query.keys()][0] ?? ''}`.trim())
}

export function bucketPropertyOf({ query }: S3Request): BucketProperty | undefined {
  return bucketProperties.find((name) => query.has(name))
}

export function isForm(headers: ReadonlyMap<string, string>): boolean {
  return headers.get('content-type')?.toLowerCase().startsWith('multipart/form-data') ?? false
}
