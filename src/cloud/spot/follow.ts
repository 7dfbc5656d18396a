/**
 * A spot request follows its instance: called in the transaction that moves the instance. A persistent one is opened
 * again when its instance is gone. Source: "State changes for a Spot request" in the EC2 user guide.
 */
import type { Instance } from '../../state/instances.ts'
import type { SpotRequest } from '../../state/spot-requests.ts'
import type { Repositories } from '../../state/state.ts'
import type { CloudDeps } from '../deps.ts'
import { enqueueFulfilment } from './fulfil-operation.ts'
import { statusOf } from './request-rows.ts'

export async function followSpotInstance(deps: CloudDeps, tx: Repositories, instanceId: string): Promise<void> {
  const instance = await tx.instances.get(instanceId)
  const request = instance?.spotRequestId ? await tx.spotRequests.get(instance.spotRequestId) : undefined
  // A persistent request may have another instance by now.
  if (!instance || request?.instanceId !== instanceId) return
  const patch = patchOf(request, instance, deps.clock.now())
  if (!patch || !(await tx.spotRequests.move(request.id, [request.state], patch))) return
  if (patch.state === 'open') await enqueueFulfilment(deps, tx, request)
}

function patchOf(request: SpotRequest, { state, stateReasonCode }: Instance, now: number): Partial<SpotRequest> | null {
  const isLive = request.state === 'active' || request.state === 'disabled'
  if (state === 'terminated') {
    const isUsers = stateReasonCode?.startsWith('Client.') ?? true
    const end = { ...statusOf(isUsers ? 'instance-terminated-by-user' : 'system-error', now), endedAt: now }
    if (request.state === 'cancelled') return end
    if (!isLive) return null
    if (request.type === 'one-time') return { ...end, state: 'closed' }
    return { ...statusOf('pending-evaluation', now), state: 'open', instanceId: null, launchedZone: null }
  }
  if (!isLive) return null
  if (state === 'stopped') return { ...statusOf('instance-stopped-by-user', now), state: 'disabled' }
  return state === 'running' ? { ...statusOf('fulfilled', now), state: 'active' } : null
}
