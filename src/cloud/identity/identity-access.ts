/** IAM and STS, put together. Policies of identities are kept and told, and not enforced: see docs/identities.md. */
import { KilnError } from '../../lib/errors.ts'
import { Credentials } from './credentials.ts'
import { Identities, type IdentityDeps } from './identities.ts'
import { IdentityPolicies } from './identity-policies.ts'
import { InstanceCredentials } from './instance-credentials.ts'
import { InstanceProfiles } from './instance-profiles.ts'
import { ManagedPolicies } from './managed-policies.ts'
import { RoleSessions } from './role-sessions.ts'
import { Roles } from './roles.ts'
import { Sessions } from './sessions.ts'
import { UserAccessKeys } from './user-access-keys.ts'
import { Users } from './users.ts'

const aliasShape = /^[a-z0-9](?:[a-z0-9]|-(?!-)){1,61}[a-z0-9]$/

export class IdentityAccess {
  readonly all: Identities
  readonly users: Users
  readonly roles: Roles
  readonly instanceProfiles: InstanceProfiles
  readonly managedPolicies: ManagedPolicies
  readonly policies: IdentityPolicies
  readonly accessKeys: UserAccessKeys
  readonly credentials: Credentials
  readonly roleSessions: RoleSessions
  readonly instanceCredentials: InstanceCredentials
  readonly #deps: IdentityDeps

  constructor(deps: IdentityDeps) {
    this.#deps = deps
    this.all = new Identities(deps)
    this.managedPolicies = new ManagedPolicies(deps, this.all)
    this.users = new Users(deps, this.all, this.managedPolicies)
    this.roles = new Roles(deps, this.all, this.managedPolicies)
    this.instanceProfiles = new InstanceProfiles(deps, this.all)
    this.policies = new IdentityPolicies(deps, this.all, this.managedPolicies)
    this.accessKeys = new UserAccessKeys(deps, this.all)
    const sessions = new Sessions(deps)
    this.credentials = new Credentials(deps, sessions)
    this.roleSessions = new RoleSessions(deps, sessions)
    this.instanceCredentials = new InstanceCredentials(deps, sessions)
  }

  alias(accountId: string): Promise<string | undefined> {
    return this.#deps.state.identities.alias(accountId)
  }

  /** Takes the place of the account's former one. Throws EntityAlreadyExists where another account has it. */
  async setAlias(accountId: string, alias: string): Promise<void> {
    if (!aliasShape.test(alias)) {
      throw new KilnError(
        'ValidationError',
        'The account alias must have 3 to 63 lowercase letters, digits and single dashes, and begin and end with a letter or digit.',
      )
    }
    await this.#deps.state.transaction(async (tx) => {
      const owner = await tx.identities.accountOfAlias(alias)
      if (owner !== undefined && owner !== accountId) {
        throw new KilnError('EntityAlreadyExists', `The account alias ${alias} already exists.`)
      }
      await tx.identities.setAlias(accountId, alias)
    })
  }

  /** Throws NoSuchEntity when the account has another one, or none. */
  async removeAlias(accountId: string, alias: string): Promise<void> {
    await this.#deps.state.transaction(async (tx) => {
      if ((await tx.identities.alias(accountId)) !== alias) {
        throw new KilnError('NoSuchEntity', `The account alias ${alias.slice(0, 63)} cannot be found.`)
      }
      await tx.identities.setAlias(accountId, null)
    })
  }
}
