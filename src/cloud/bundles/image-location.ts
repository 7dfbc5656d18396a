/** Where a manifest lies. Source: the ImageLocation parameter of RegisterImage. */
import { KilnError } from '../../lib/errors.ts'
import { isBucketName } from '../buckets/names.ts'
import type { ObjectPlace } from '../buckets/object-facts.ts'

/** `BUCKET/PATH/NAME.manifest.xml`; a slash or `s3://` may stand before it. Throws `InvalidManifest`. */
export function placeOfManifest(location: string): ObjectPlace {
  const path = location.replace(/^(s3:\/\/|\/)/, '')
  const slash = path.indexOf('/')
  const [bucket, key] = [path.slice(0, Math.max(slash, 0)), path.slice(slash + 1)]
  if (slash > 0 && key !== '' && location.length <= 2048 && isBucketName(bucket)) return { bucket, key }
  throw new KilnError(
    'InvalidManifest',
    `'${location.slice(0, 200)}' (ImageLocation) names no manifest: it is BUCKET/PATH/NAME.manifest.xml`,
  )
}
