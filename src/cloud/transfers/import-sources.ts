/** Where an import takes its file from. Source: ImportSnapshot and ImportImage in the EC2 API reference. */
import { KilnError } from '../../lib/errors.ts'
import { isBucketName } from '../buckets/names.ts'
import type { ObjectPlace } from '../buckets/object-facts.ts'

/** Names of S3 as its own URLs have them: a bucket before the host, or first in the path. */
const s3Host = /^(?:(.+)\.)?s3(?:[.-][a-z0-9-]+)?\.amazonaws\.com$/
const urlMax = 2048

/**
 * The object that a URL names: `s3://BUCKET/KEY`, or S3's own https forms of it, which mean this cloud's buckets. Nothing
 * is ever fetched from elsewhere. Throws `InvalidParameter`.
 */
export function objectOfUrl(url: string): ObjectPlace {
  const place = url.length <= urlMax ? placeIn(url) : undefined
  if (place) return place
  throw new KilnError(
    'InvalidParameter',
    `The URL '${url.slice(0, 200)}' names no object of a bucket in this cloud: take s3://BUCKET/KEY`,
  )
}

function placeIn(text: string): ObjectPlace | undefined {
  const plain = /^s3:\/\/([^/?#]+)\/(.+)$/s.exec(text)
  if (plain) return checked(plain[1]!, plain[2]!)
  const url = URL.parse(text)
  // A signed URL lets in whoever holds it; here the account's own rights decide.
  if (url?.protocol !== 'https:' || url.username || url.search || url.hash || url.port) return undefined
  const host = s3Host.exec(url.hostname)
  if (!host) return undefined
  const path = decoded(url.pathname.slice(1))
  if (path === undefined) return undefined
  if (host[1]) return checked(host[1], path)
  const slash = path.indexOf('/')
  return slash < 0 ? undefined : checked(path.slice(0, slash), path.slice(slash + 1))
}

function checked(bucket: string, key: string): ObjectPlace | undefined {
  return isBucketName(bucket) && key !== '' ? { bucket, key } : undefined
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}
