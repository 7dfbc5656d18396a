import { KilnError } from '../../lib/errors.ts'
import type { Instance } from '../../state/instances.ts'
import type { Repositories } from '../../state/state.ts'
import type { Scope } from '../deps.ts'
import { owned } from '../existing.ts'

/** The instance, if the account has it in this region. Throws InvalidInstanceID.NotFound. */
export async function ownedInstance(repositories: Repositories, scope: Scope, id: string): Promise<Instance> {
  return owned(
    await repositories.instances.get(id),
    scope,
    () => new KilnError('InvalidInstanceID.NotFound', `The instance ID '${id}' does not exist`),
  )
}
