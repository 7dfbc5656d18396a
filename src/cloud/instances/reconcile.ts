/**
 * Brings instances and machines together again: after a restart of the daemon, when a guest switches itself off, when a
 * machine dies, when a network was lost. It only looks and asks for operations; those do the work.
 */
import type { Instance } from '../../state/instances.ts'
import type { InstanceState } from '../../state/schema.ts'
import type { CloudDeps } from '../deps.ts'
import type { Metering } from '../metering/metering.ts'
import { applyVpc } from '../network/plan.ts'
import { passesCheck } from './status-check.ts'
import { enqueueStop } from './stop-operation.ts'
import { enqueueTermination } from './terminate-operation.ts'

const mayHaveMachine: ReadonlySet<InstanceState> = new Set(['pending', 'running', 'stopping', 'shutting-down'])
const recheckMs = 60_000

/** One pass over the machines of this host. */
export async function reconcileMachines(deps: CloudDeps, metering: Metering): Promise<void> {
  const { state, machines, locks } = deps
  // Work on a machine is done under its instance's lock: whoever looks at both must not do so in the middle of it.
  for (const instance of await state.instances.inStates(['running'])) {
    if (instance.heldBy !== null || locks.isHeld(instance.id)) continue
    await locks.hold(instance.id, () => followMachine(deps, metering, instance))
  }
  const ids = await machines.list()
  const rows = new Map((await state.instances.many(ids)).map((row) => [row.id, row]))
  for (const id of ids) {
    if (isExpected(rows.get(id)) || locks.isHeld(id)) continue
    await locks.hold(id, () => endStray(deps, id))
  }
}

const isExpected = (row: Instance | undefined) => row !== undefined && mayHaveMachine.has(row.state)

/** Switches a machine off that nobody asked for, unless its instance was started since that was seen. */
async function endStray({ state, machines, log }: CloudDeps, id: string): Promise<void> {
  const row = await state.instances.get(id)
  if (isExpected(row)) return
  log.warn({ instance: id, state: row?.state ?? 'unknown' }, 'a machine runs that should not: it is switched off')
  await machines.destroy(id)
}

/** A running instance follows its machine: a guest that switched itself off, or a machine that is gone. */
async function followMachine(deps: CloudDeps, metering: Metering, instance: Instance): Promise<void> {
  const status = await deps.machines.inspect(instance.id)
  if (status.state === 'running' || status.state === 'paused') return metering.sawRunning(instance.id)
  const end = metering.endOf(instance.id, status.state === 'shutdown' ? status.sinceMs : null)
  const isGuests = status.state === 'shutdown'
  const isBundled = instance.rootDeviceType === 'instance-store'
  const reason: Partial<Instance> = isGuests
    ? {
        stateReasonCode: 'Client.InstanceInitiatedShutdown',
        stateReasonMessage: 'Client.InstanceInitiatedShutdown: Instance initiated shutdown',
        stateTransitionReason: '',
      }
    : {
        stateReasonCode: 'Server.InternalError',
        stateReasonMessage: `Server.InternalError: the virtual machine ended unexpectedly${isBundled ? '' : '; start the instance again'}`,
        stateTransitionReason: 'Server.InternalError',
      }
  const endsWithGuest = instance.shutdownBehavior === 'terminate' || (await isOneTimeSpot(deps, instance))
  const terminates = isBundled || (isGuests && endsWithGuest)
  const moved = await deps.state.transaction(async (tx) => {
    const now = await tx.instances.get(instance.id)
    if (now?.heldBy !== null || now.state !== 'running') return false
    const next = terminates ? 'shutting-down' : 'stopping'
    if (end) await tx.usage.endAt(instance.id, end)
    await tx.instances.move(instance.id, ['running'], { ...reason, state: next })
    if (terminates) await enqueueTermination(deps, tx, instance)
    else await enqueueStop(deps, tx, instance, { force: true })
    return true
  })
  if (moved) deps.operations.wake()
}

/** One that nobody can start again once it is off. */
async function isOneTimeSpot({ state }: CloudDeps, { spotRequestId }: Instance): Promise<boolean> {
  const request = spotRequestId === null ? undefined : await state.spotRequests.get(spotRequestId)
  return request?.type === 'one-time'
}

/** Every VPC with live instances is as planned, and nothing is left of the others. For the start of the daemon. */
export async function reconcileNetworks(deps: CloudDeps): Promise<void> {
  const live = await deps.state.instances.inStates([...mayHaveMachine])
  const vpcs = new Set([...live.map((instance) => instance.vpcId), ...(await deps.network.list())])
  for (const vpcId of vpcs) {
    await applyVpc(deps, vpcId).catch((error) =>
      deps.log.error({ err: error, vpc: vpcId }, 'the VPC is not as planned'),
    )
  }
}

/** One pass of status checks: guests that have not answered yet, and now and then those that have. */
export async function reconcileReachability(deps: CloudDeps): Promise<void> {
  const { state, clock, timing } = deps
  const now = clock.now()
  const due = await state.instances.dueForCheck(now - recheckMs)
  const interfaces = await state.networks.interfacesOf(due.map((row) => row.id))
  await Promise.all(
    due.map(async (row) => {
      const nic = interfaces.find((candidate) => candidate.instanceId === row.id)
      if (!nic) return
      const passes = await passesCheck(deps, row, nic.privateIp)
      const isLate = row.reachability !== 'initializing' || now - row.reachabilityAt >= timing.reachableWithinMs
      if (!passes && !isLate) return
      const reachability = passes ? 'passed' : 'failed'
      await state.instances.move(row.id, ['running'], { reachability, reachabilityAt: clock.now() })
    }),
  )
}
