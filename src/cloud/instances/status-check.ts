/** What stands behind a status check: whether the guest can be reached. */
import type { Instance } from '../../state/instances.ts'
import type { CloudDeps } from '../deps.ts'

/**
 * Whether the guest passes its check now. A guest that refuses logins may just not have started its SSH server yet: that
 * counts once it had the time to, because some guests have none.
 */
export async function passesCheck(deps: CloudDeps, instance: Instance, privateIp: string): Promise<boolean> {
  const answer = await deps.network.answer(instance.vpcId, privateIp)
  if (answer !== 'refuses') return answer === 'accepts'
  const isStarting = instance.reachability === 'initializing'
  return !isStarting || deps.clock.now() - instance.reachabilityAt >= deps.timing.refusalCountsAfterMs
}
