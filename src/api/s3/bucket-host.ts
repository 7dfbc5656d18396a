/**
 * The bucket that a Host header names, in S3's virtual-host style: `BUCKET.s3.localhost`, `BUCKET.s3.REGION.localhost` and
 * `BUCKET.localhost`, with any port.
 */
import { isBucketName } from '../../cloud/buckets/names.ts'

export function bucketOfHost(host: string | undefined): string | undefined {
  const name = (host ?? '').replace(/:\d{1,5}$/, '').toLowerCase()
  if (!name.endsWith('.localhost')) return undefined
  const bucket = name.replace(/(?:^|\.)(?:s3(?:[.-][a-z0-9-]+)?\.)?localhost$/, '')
  return isBucketName(bucket) ? bucket : undefined
}
