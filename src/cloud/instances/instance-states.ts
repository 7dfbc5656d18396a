/**
 * EC2's states and the moves that a request may ask for, as one table. Source: "Amazon EC2 instance state changes".
 * A request in a state that is not listed is refused with IncorrectInstanceState.
 */
import { KilnError } from '../../lib/errors.ts'
import type { Instance } from '../../state/instances.ts'
import type { InstanceState } from '../../state/schema.ts'

export { stateCodes } from '../../state/instances.ts'

export type InstanceAction = 'start' | 'stop' | 'reboot' | 'terminate'

interface Move {
  /** Where the action leads from there; the same state means that nothing is left to do. */
  to: Partial<Record<InstanceState, InstanceState>>
  refusal: (id: string, state: InstanceState) => string
}

export const moves: Readonly<Record<InstanceAction, Move>> = {
  start: {
    to: { stopped: 'pending', pending: 'pending', running: 'running' },
    refusal: (id) => `The instance '${id}' is not in a state from which it can be started.`,
  },
  stop: {
    to: { running: 'stopping', stopping: 'stopping' },
    refusal: (id, state) =>
      state === 'pending'
        ? `Instance '${id}' cannot be stopped as it has never reached the 'running' state.`
        : `This instance '${id}' is not in a state from which it can be stopped: it is ${state}.`,
  },
  reboot: {
    to: { running: 'running' },
    refusal: (id, state) => `Instance '${id}' cannot be rebooted: it is ${state}.`,
  },
  terminate: {
    to: {
      pending: 'shutting-down',
      running: 'shutting-down',
      stopping: 'shutting-down',
      stopped: 'shutting-down',
      'shutting-down': 'shutting-down',
      terminated: 'terminated',
    },
    refusal: (id) => `Instance '${id}' cannot be terminated.`,
  },
}

/** Where the action leads. Throws IncorrectInstanceState when it is not possible in the instance's state. */
export function nextState(action: InstanceAction, instance: Pick<Instance, 'id' | 'state'>): InstanceState {
  const next = moves[action].to[instance.state]
  if (!next) throw new KilnError('IncorrectInstanceState', moves[action].refusal(instance.id, instance.state))
  return next
}
