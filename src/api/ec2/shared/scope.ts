import type { Scope } from '../../../cloud/deps.ts'

/** Who asks and where, and nothing else of the request: the cloud writes all of a scope into its rows. */
export function scopeOf({ accountId, region }: Scope): Scope {
  return { accountId, region }
}
