/** Roles: who may take them, and for how long. Source: CreateRole and its siblings in the IAM API reference. */
import { KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import type { Repositories } from '../../state/state.ts'
import type { Tag } from '../../state/tags.ts'
import { deleteConflict, type Identities, type Identity, type IdentityDeps } from './identities.ts'
import type { ManagedPolicies } from './managed-policies.ts'
import { checkPolicy } from './policy-documents.ts'

export interface NewRole {
  name: string
  path: string | undefined
  description: string | undefined
  trustPolicy: string
  maxSessionSeconds: number | undefined
  permissionsBoundary: string | undefined
  tags: readonly Tag[]
}

const defaultSessionSeconds = 3600
// Printable characters of Latin-1, and white space.
const descriptionShape = /^[\t\n\r\x20-\x7e\xa1-\xff]*$/

export class Roles {
  readonly #deps: IdentityDeps
  readonly #identities: Identities
  readonly #policies: ManagedPolicies

  constructor(deps: IdentityDeps, identities: Identities, policies: ManagedPolicies) {
    this.#deps = deps
    this.#identities = identities
    this.#policies = policies
  }

  async create(accountId: string, role: NewRole): Promise<Identity> {
    checkTrustPolicy(role.trustPolicy)
    const columns = {
      description: checkDescription(role.description) || null,
      trustPolicy: role.trustPolicy,
      maxSessionSeconds: checkSession(role.maxSessionSeconds) ?? defaultSessionSeconds,
      permissionsBoundary: role.permissionsBoundary ?? null,
    }
    if (role.permissionsBoundary !== undefined) await this.#policies.get(accountId, role.permissionsBoundary)
    return await this.#deps.state.transaction((tx) =>
      this.#identities.insert(tx, { accountId, kind: 'role' }, role, columns),
    )
  }

  /** What is not said stays as it is. */
  async update(
    accountId: string,
    name: string,
    change: { description?: string | undefined; maxSessionSeconds?: number | undefined },
  ): Promise<Identity> {
    const description = checkDescription(change.description)
    const maxSessionSeconds = checkSession(change.maxSessionSeconds)
    const patch = {
      ...(description !== undefined && { description: description || null }),
      ...(maxSessionSeconds !== undefined && { maxSessionSeconds }),
    }
    return await this.#change(accountId, name, async (tx, role) => {
      if (Object.keys(patch).length > 0) await tx.identities.update(role.id, patch)
    })
  }

  async setTrustPolicy(accountId: string, name: string, trustPolicy: string): Promise<void> {
    checkTrustPolicy(trustPolicy)
    await this.#change(accountId, name, (tx, role) => tx.identities.update(role.id, { trustPolicy }))
  }

  /** Throws DeleteConflict while it has policies or stands in an instance profile. */
  async remove(accountId: string, name: string): Promise<void> {
    await this.#deps.state.transaction(async (tx) => {
      const role = await this.#identities.named(tx, accountId, 'role', name)
      if ((await tx.identities.count(accountId, { kind: 'instance-profile', roleId: role.id })) > 0) {
        throw deleteConflict('remove roles from instance profile')
      }
      await refusePolicies(tx, role)
      await this.#identities.remove(tx, role)
    })
  }

  async #change(
    accountId: string,
    name: string,
    change: (tx: Repositories, role: Identity) => Promise<void>,
  ): Promise<Identity> {
    return await this.#deps.state.transaction(async (tx) => {
      const role = await this.#identities.named(tx, accountId, 'role', name)
      await change(tx, role)
      return (await tx.identities.get(role.id))!
    })
  }
}

/** Throws DeleteConflict for a user, group or role that has policies. */
export async function refusePolicies(tx: Repositories, { id }: Identity): Promise<void> {
  if ((await tx.identityPolicies.attached(id)).length > 0) throw deleteConflict('detach all policies')
  if ((await tx.identityPolicies.inline(id)).length > 0) throw deleteConflict('delete policies')
}

function checkTrustPolicy(text: string): void {
  checkPolicy(text, { kind: 'trust', maxLength: limits.trustPolicyLength, quotaName: 'ACLSizePerRole' })
}

export function checkDescription(text: string | undefined): string | undefined {
  if (text === undefined || (descriptionShape.test(text) && text.length <= 1000)) return text
  throw new KilnError(
    'ValidationError',
    'The value of description is invalid: it may have 1000 characters, all of them printable.',
  )
}

function checkSession(seconds: number | undefined): number | undefined {
  if (seconds === undefined || (seconds >= 3600 && seconds <= 43_200)) return seconds
  throw new KilnError(
    'ValidationError',
    `Value '${seconds}' at 'maxSessionDuration' failed to satisfy constraint: Member must have value between 3600 and 43200`,
  )
}
