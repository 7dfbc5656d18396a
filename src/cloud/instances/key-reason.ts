/** Why an instance does not start whose volumes' key cannot be used. Source: "Instance terminates immediately". */
import { isKilnError } from '../../lib/errors.ts'
import type { CloudDeps } from '../deps.ts'
import { blockKeyOf, diskKeyOf } from '../encryption/data-keys.ts'

/** EC2's state reason, with what is wrong as the transition's; undefined when all keys can be used. */
export async function keyReason(deps: CloudDeps, instanceId: string) {
  const attachments = await deps.state.volumes.attachmentsOfInstances([instanceId])
  for (const volume of await deps.state.volumes.many(attachments.map((attachment) => attachment.volumeId))) {
    try {
      await diskKeyOf(deps, volume)
      if (volume.hydratedAt === null) await blockKeyOf(deps, volume.accountId, volume.baseDataKeyId)
    } catch (error) {
      if (!isKilnError(error, 'CustomerKeyHasBeenRevoked')) throw error
      return {
        stateReasonCode: 'Client.InternalError',
        stateReasonMessage: 'Client.InternalError: Client error on launch',
        stateTransitionReason: `Client.InternalError: volume ${volume.id}: ${error.message}`,
      }
    }
  }
  return undefined
}
