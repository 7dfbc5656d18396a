/** The object that a copy is made of: `x-amz-copy-source: /BUCKET/KEY`, percent-encoded. */
import type { StoredObject } from '../../cloud/buckets/object-facts.ts'
import { preconditionFailed } from '../../cloud/buckets/objects.ts'
import { invalidArgument } from './errors.ts'
import type { S3Cloud } from './handler.ts'
import { readCondition } from './object-headers.ts'
import type { S3Request } from './request.ts'

/** Throws `InvalidArgument`, `PreconditionFailed`, and what a reader of the source would get. */
export async function copySourceOf(
  { headers, requester }: S3Request,
  cloud: S3Cloud,
): Promise<StoredObject & { bucket: string }> {
  const place = placeOf(headers.get('x-amz-copy-source') ?? '')
  const object = await cloud.objects.head(requester, place)
  if (readCondition(headers, object, 'x-amz-copy-source-') !== 'whole') {
    throw preconditionFailed('x-amz-copy-source-if-')
  }
  return { ...object, bucket: place.bucket }
}

function placeOf(header: string): { bucket: string; key: string } {
  const [path = '', version] = header.split('?versionId=')
  let decoded: string
  try {
    decoded = decodeURIComponent(path).replace(/^\//, '')
  } catch {
    throw invalidArgument('Copy Source must be percent-encoded.')
  }
  if (version !== undefined && version !== 'null') throw invalidArgument('Invalid version id specified.')
  const slash = decoded.indexOf('/')
  if (slash > 0 && slash < decoded.length - 1) return { bucket: decoded.slice(0, slash), key: decoded.slice(slash + 1) }
  throw invalidArgument('Copy Source must mention the source bucket and key: sourcebucket/sourcekey.')
}
