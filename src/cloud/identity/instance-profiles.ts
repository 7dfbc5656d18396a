/** Instance profiles: what brings a role to an instance. Source: CreateInstanceProfile and its siblings, IAM API reference. */
import { KilnError } from '../../lib/errors.ts'
import type { Repositories } from '../../state/state.ts'
import type { Tag } from '../../state/tags.ts'
import { deleteConflict, type Identities, type Identity, type IdentityDeps, overQuota } from './identities.ts'
import { arnOf } from './names.ts'

/** As an instance has it. */
export interface ProfileRef {
  id: string
  arn: string
}

/** As a request names it. */
export interface ProfileWish {
  arn?: string
  name?: string
}

export class InstanceProfiles {
  readonly #deps: IdentityDeps
  readonly #identities: Identities

  constructor(deps: IdentityDeps, identities: Identities) {
    this.#deps = deps
    this.#identities = identities
  }

  async create(
    accountId: string,
    profile: { name: string; path: string | undefined; tags: readonly Tag[] },
  ): Promise<Identity> {
    return await this.#deps.state.transaction((tx) =>
      this.#identities.insert(tx, { accountId, kind: 'instance-profile' }, profile),
    )
  }

  /** Throws DeleteConflict while it has a role. Instances that have it keep it by name, without credentials. */
  async remove(accountId: string, name: string): Promise<void> {
    await this.#deps.state.transaction(async (tx) => {
      const profile = await this.#identities.named(tx, accountId, 'instance-profile', name)
      if (profile.roleId !== null) throw deleteConflict('remove roles from instance profile')
      await this.#identities.remove(tx, profile)
    })
  }

  /** Throws LimitExceeded where it has a role. */
  async addRole(accountId: string, name: string, roleName: string): Promise<void> {
    await this.#deps.state.transaction(async (tx) => {
      const profile = await this.#identities.named(tx, accountId, 'instance-profile', name)
      const role = await this.#identities.named(tx, accountId, 'role', roleName)
      if (profile.roleId !== null) throw overQuota('InstanceSessionsPerInstanceProfile', 1)
      await tx.identities.update(profile.id, { roleId: role.id })
    })
  }

  async removeRole(accountId: string, name: string, roleName: string): Promise<void> {
    await this.#deps.state.transaction(async (tx) => {
      const profile = await this.#identities.named(tx, accountId, 'instance-profile', name)
      const role = await this.#identities.named(tx, accountId, 'role', roleName)
      if (profile.roleId !== role.id) {
        throw new KilnError(
          'NoSuchEntity',
          `The role with name ${role.name} is not in Instance Profile ${profile.name}.`,
        )
      }
      await tx.identities.update(profile.id, { roleId: null })
    })
  }

  /** The roles of profiles, by id. */
  async rolesOf(profiles: readonly Identity[]): Promise<Map<string, Identity>> {
    const ids = [...new Set(profiles.flatMap(({ roleId }) => roleId ?? []))]
    return new Map((await this.#deps.state.identities.many(ids)).map((role) => [role.id, role]))
  }

  /** The profile that a launch or an association names. Throws InvalidParameterValue, InvalidParameterCombination. */
  async forInstance(state: Repositories, accountId: string, wish: ProfileWish): Promise<ProfileRef> {
    const { arn, name } = wish
    if (arn !== undefined && name !== undefined) {
      throw new KilnError(
        'InvalidParameterCombination',
        "The parameter 'iamInstanceProfile.name' may not be used in combination with 'iamInstanceProfile.arn'",
      )
    }
    const wanted = name ?? arn!.slice(arn!.lastIndexOf('/') + 1)
    const profile = await state.identities.named(accountId, 'instance-profile', wanted)
    if (!profile || (arn !== undefined && arnOf(profile) !== arn)) throw invalidProfile(wish)
    const ref = { id: profile.id, arn: arnOf(profile) }
    if (profile.roleId !== null) return ref
    throw new KilnError('InvalidParameterValue', `IAM Instance Profile "${ref.arn}" has no associated IAM Roles`)
  }
}

function invalidProfile({ arn, name }: ProfileWish): KilnError {
  const [value, member, what] = arn === undefined ? [name!, 'name', 'name'] : [arn, 'arn', 'ARN']
  return new KilnError(
    'InvalidParameterValue',
    `Value (${value.slice(0, 256)}) for parameter iamInstanceProfile.${member} is invalid. Invalid IAM Instance Profile ${what}`,
  )
}
