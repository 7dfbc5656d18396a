import { KilnError } from '../../lib/errors.ts'
import type { Tag } from '../../state/tags.ts'

const keyPattern = /^[0-9a-zA-Z\-_+=,.@:]{1,255}$/
const reserved: ReadonlySet<string> = new Set(['.', '..', '_index'])

/**
 * A tag that an instance may read of itself is a name in a path there. Throws InvalidParameterValue for a key that cannot
 * be one. Source: "View tags for your EC2 instances using instance metadata", and EC2's own message.
 */
export function checkMetadataTags(tags: readonly Tag[]): void {
  const bad = tags.find(({ key }) => !keyPattern.test(key) || reserved.has(key))
  if (!bad) return
  throw new KilnError(
    'InvalidParameterValue',
    `'${bad.key}' is not a valid tag key. Tag keys must match pattern ([0-9a-zA-Z\\-_+=,.@:]{1,255}), and must not be a reserved name ('.', '..', '_index')`,
  )
}
