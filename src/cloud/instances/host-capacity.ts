/**
 * What this host still has for guests. Processors are shared, and guests of more than there are are only slow; memory is
 * not: what all guests may use together is never more than there is.
 */
import { KilnError } from '../../lib/errors.ts'
import type { InstanceState } from '../../state/schema.ts'
import type { Repositories } from '../../state/state.ts'
import type { CloudDeps } from '../deps.ts'
import { instanceTypes, machineSize } from './instance-types.ts'

/** Instances that have memory, or are about to. */
const states: readonly InstanceState[] = ['pending', 'running', 'stopping', 'shutting-down']

/** How many more instances of the type fit, `most` at most. Throws InsufficientInstanceCapacity for fewer than `least`. */
export async function countOnHost(
  { host, boundsMemory }: Pick<CloudDeps, 'host' | 'boundsMemory'>,
  tx: Pick<Repositories, 'instances'>,
  instanceType: string,
  { least, most }: { least: number; most: number },
): Promise<number> {
  if (!boundsMemory) return most
  const memoryOf = (name: string) => {
    const type = instanceTypes.get(name)
    return type ? machineSize(type, host).memoryMib : 0
  }
  const present = await tx.instances.countByType(states)
  const usedMib = present.reduce((sum, { instanceType: name, count }) => sum + count * memoryOf(name), 0)
  const room = Math.floor((host.memoryMib - usedMib) / memoryOf(instanceType))
  if (room >= least) return Math.min(room, most)
  throw new KilnError(
    'InsufficientInstanceCapacity',
    `This host does not have enough memory for ${least} more ${instanceType}: each takes ${memoryOf(instanceType)} MiB, and other instances have ${usedMib} of ${host.memoryMib} MiB. Stop or terminate some of them, or take a smaller type.`,
  )
}
