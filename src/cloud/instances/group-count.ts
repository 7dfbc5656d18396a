import { KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'

/** Throws SecurityGroupsPerInterfaceLimitExceeded for more security groups than an instance can have. */
export function checkGroupCount(groups: readonly string[]): void {
  if (groups.length <= limits.securityGroupsPerInstance) return
  throw new KilnError(
    'SecurityGroupsPerInterfaceLimitExceeded',
    `At most ${limits.securityGroupsPerInstance} security groups can be given to an instance (SecurityGroupId)`,
  )
}
