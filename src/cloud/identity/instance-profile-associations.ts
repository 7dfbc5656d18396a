/** Instance profiles of instances. Source: AssociateIamInstanceProfile and its siblings in the EC2 API reference. */
import { KilnError } from '../../lib/errors.ts'
import { newId } from '../../lib/ids.ts'
import type { InstanceProfileAssociation } from '../../state/instance-profile-associations.ts'
import type { ListRequest, Page } from '../../state/listing.ts'
import type { Repositories } from '../../state/state.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import { owned } from '../existing.ts'
import { ownedInstance } from '../instances/owned-instance.ts'
import type { InstanceProfiles, ProfileRef, ProfileWish } from './instance-profiles.ts'

export type { InstanceProfileAssociation }

export class InstanceProfileAssociations {
  readonly #deps: Pick<CloudDeps, 'state' | 'clock' | 'random'>
  readonly #profiles: InstanceProfiles

  constructor(deps: Pick<CloudDeps, 'state' | 'clock' | 'random'>, profiles: InstanceProfiles) {
    this.#deps = deps
    this.#profiles = profiles
  }

  /** Throws IncorrectState where the instance has one, or is on its way out. */
  async associate(scope: Scope, instanceId: string, wish: ProfileWish): Promise<InstanceProfileAssociation> {
    return await this.#deps.state.transaction(async (tx) => {
      const instance = await ownedInstance(tx, scope, instanceId)
      if (instance.state === 'terminated' || instance.state === 'shutting-down') {
        throw new KilnError('IncorrectState', `The instance '${instanceId}' is ${instance.state}`)
      }
      const profile = await this.#profiles.forInstance(tx, scope.accountId, wish)
      if ((await tx.instanceProfileAssociations.of([instanceId])).length > 0) {
        throw new KilnError('IncorrectState', `There is an existing association for instance ${instanceId}`)
      }
      return await this.#insert(tx, scope, instanceId, profile)
    })
  }

  /** What was. */
  async disassociate(scope: Scope, id: string): Promise<InstanceProfileAssociation> {
    return await this.#deps.state.transaction(async (tx) => {
      const row = await ownedAssociation(tx, scope, id)
      await tx.instanceProfileAssociations.remove(id)
      return row
    })
  }

  /** A new association in place of the old one. */
  async replace(scope: Scope, id: string, wish: ProfileWish): Promise<InstanceProfileAssociation> {
    return await this.#deps.state.transaction(async (tx) => {
      const row = await ownedAssociation(tx, scope, id)
      const profile = await this.#profiles.forInstance(tx, scope.accountId, wish)
      await tx.instanceProfileAssociations.remove(id)
      return await this.#insert(tx, scope, row.instanceId, profile)
    })
  }

  /** Throws InvalidAssociationID.NotFound for any id that the account has not in this region. */
  async list(scope: Scope, request: Omit<ListRequest, 'accountId'>): Promise<Page<InstanceProfileAssociation>> {
    for (const id of request.ids ?? []) await ownedAssociation(this.#deps.state, scope, id)
    return await this.#deps.state.instanceProfileAssociations.list(scope.region, { ...request, ...scope })
  }

  async #insert(
    tx: Repositories,
    scope: Scope,
    instanceId: string,
    profile: ProfileRef,
  ): Promise<InstanceProfileAssociation> {
    const row = associationRow(this.#deps, scope, instanceId, profile)
    await tx.instanceProfileAssociations.insert([row])
    return row
  }
}

export function associationRow(
  { random, clock }: Pick<CloudDeps, 'random' | 'clock'>,
  { accountId, region }: Scope,
  instanceId: string,
  { id, arn }: ProfileRef,
): InstanceProfileAssociation {
  return {
    ...{ id: newId('instanceProfileAssociation', random), accountId, region, instanceId },
    ...{ profileId: id, profileArn: arn, profileName: arn.slice(arn.lastIndexOf('/') + 1), createdAt: clock.now() },
  }
}

async function ownedAssociation(state: Repositories, scope: Scope, id: string): Promise<InstanceProfileAssociation> {
  return owned(
    await state.instanceProfileAssociations.get(id),
    scope,
    () => new KilnError('InvalidAssociationID.NotFound', `An invalid association-id of '${id}' was given`),
  )
}
