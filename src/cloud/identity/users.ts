/** Users and groups. Source: CreateUser, CreateGroup and their siblings in the IAM API reference. */
import { KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import type { Tag } from '../../state/tags.ts'
import { deleteConflict, type Identities, type Identity, type IdentityDeps, overQuota } from './identities.ts'
import type { ManagedPolicies } from './managed-policies.ts'
import { refusePolicies } from './roles.ts'

export class Users {
  readonly #deps: IdentityDeps
  readonly #identities: Identities
  readonly #policies: ManagedPolicies

  constructor(deps: IdentityDeps, identities: Identities, policies: ManagedPolicies) {
    this.#deps = deps
    this.#identities = identities
    this.#policies = policies
  }

  async create(
    accountId: string,
    user: { name: string; path: string | undefined; tags: readonly Tag[]; permissionsBoundary: string | undefined },
  ): Promise<Identity> {
    const { permissionsBoundary: boundary } = user
    if (boundary !== undefined) await this.#policies.get(accountId, boundary)
    const columns = { permissionsBoundary: boundary ?? null }
    return await this.#deps.state.transaction((tx) =>
      this.#identities.insert(tx, { accountId, kind: 'user' }, user, columns),
    )
  }

  /** Throws DeleteConflict while it has anything of its own, or is in a group. */
  async remove(accountId: string, name: string): Promise<void> {
    await this.#deps.state.transaction(async (tx) => {
      const user = await this.#identities.named(tx, accountId, 'user', name)
      if ((await tx.userAccessKeys.of(user.id)).length > 0) throw deleteConflict('delete access keys')
      if ((await tx.signingCertificates.of(accountId, user.id)).length > 0) {
        throw deleteConflict('delete signing certificates')
      }
      if ((await tx.identities.count(accountId, { kind: 'group', withMember: user.id })) > 0) {
        throw deleteConflict('remove users from group')
      }
      await refusePolicies(tx, user)
      await this.#identities.remove(tx, user)
    })
  }

  async createGroup(accountId: string, group: { name: string; path: string | undefined }): Promise<Identity> {
    return await this.#deps.state.transaction((tx) =>
      this.#identities.insert(tx, { accountId, kind: 'group' }, { ...group, tags: [] }),
    )
  }

  async removeGroup(accountId: string, name: string): Promise<void> {
    await this.#deps.state.transaction(async (tx) => {
      const group = await this.#identities.named(tx, accountId, 'group', name)
      if ((await tx.identities.count(accountId, { kind: 'user', memberOf: group.id })) > 0) {
        throw deleteConflict('remove users from group')
      }
      await refusePolicies(tx, group)
      await this.#identities.remove(tx, group)
    })
  }

  /** Whether it was one before does not matter. Throws LimitExceeded. */
  async addToGroup(accountId: string, groupName: string, userName: string): Promise<void> {
    await this.#deps.state.transaction(async (tx) => {
      const group = await this.#identities.named(tx, accountId, 'group', groupName)
      const user = await this.#identities.named(tx, accountId, 'user', userName)
      const { items } = await tx.identities.list(accountId, { kind: 'group', withMember: user.id })
      const isMember = items.some(({ id }) => id === group.id)
      if (!isMember && items.length >= limits.groupsPerUser) throw overQuota('GroupsPerUser', limits.groupsPerUser)
      await tx.identities.addMember(group.id, user.id)
    })
  }

  async removeFromGroup(accountId: string, groupName: string, userName: string): Promise<void> {
    await this.#deps.state.transaction(async (tx) => {
      const group = await this.#identities.named(tx, accountId, 'group', groupName)
      const user = await this.#identities.named(tx, accountId, 'user', userName)
      await tx.identities.removeMember(group.id, user.id)
    })
  }

  /** The policy that bounds a user or role; null takes it away, and throws NoSuchEntity where there is none. */
  async setBoundary(accountId: string, kind: 'user' | 'role', name: string, policyArn: string | null): Promise<void> {
    if (policyArn !== null) await this.#policies.get(accountId, policyArn)
    await this.#deps.state.transaction(async (tx) => {
      const row = await this.#identities.named(tx, accountId, kind, name)
      if (policyArn === null && row.permissionsBoundary === null) {
        throw new KilnError('NoSuchEntity', `The ${kind} with name ${name} has no permissions boundary.`)
      }
      await tx.identities.update(row.id, { permissionsBoundary: policyArn })
    })
  }
}
