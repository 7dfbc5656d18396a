/**
 * Policies of users, groups and roles: those within them, and managed ones that are attached. Nothing that they say is
 * enforced. Source: PutRolePolicy, AttachRolePolicy and their siblings in the IAM API reference.
 */
import { KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import type { InlinePolicy } from '../../state/identity-policies.ts'
import { type Identities, type Identity, type IdentityDeps, overQuota } from './identities.ts'
import type { ManagedPolicies } from './managed-policies.ts'
import { checkName } from './names.ts'
import { checkPolicy } from './policy-documents.ts'

/** Whose policies: a user's, a group's or a role's. */
export interface PolicyHolder {
  accountId: string
  kind: 'user' | 'group' | 'role'
  name: string
}

const quotaNames = { user: 'PoliciesPerUser', group: 'PoliciesPerGroup', role: 'PoliciesPerRole' }

export class IdentityPolicies {
  readonly #deps: IdentityDeps
  readonly #identities: Identities
  readonly #policies: ManagedPolicies

  constructor(deps: IdentityDeps, identities: Identities, policies: ManagedPolicies) {
    this.#deps = deps
    this.#identities = identities
    this.#policies = policies
  }

  /** Replaces one of the same name. Throws LimitExceeded where all of them together are too long. */
  async put(holder: PolicyHolder, name: string, document: string): Promise<void> {
    checkName(name, 128, 'policyName')
    const { kind } = holder
    const maxLength = limits.inlinePolicyLength[kind]
    const quotaName = `InlinePolicySizePer${kind[0]!.toUpperCase()}${kind.slice(1)}`
    checkPolicy(document, { kind: 'identity', maxLength, quotaName })
    await this.#deps.state.transaction(async (tx) => {
      const { id } = await this.#identities.named(tx, holder.accountId, kind, holder.name)
      const others = (await tx.identityPolicies.inline(id)).filter((policy) => policy.name !== name)
      const lengths = [document, ...others.map((policy) => policy.document)].map(
        (text) => text.replace(/\s/g, '').length,
      )
      if (lengths.reduce((sum, length) => sum + length) > maxLength) throw overQuota(quotaName, maxLength)
      await tx.identityPolicies.putInline({ identityId: id, name, document })
    })
  }

  async list(holder: PolicyHolder): Promise<InlinePolicy[]> {
    const { id } = await this.#holder(holder)
    return await this.#deps.state.identityPolicies.inline(id)
  }

  /** Throws NoSuchEntity. */
  async get(holder: PolicyHolder, name: string): Promise<InlinePolicy> {
    const found = (await this.list(holder)).find((policy) => policy.name === name)
    if (found) return found
    throw noSuchPolicy(holder, name)
  }

  async remove(holder: PolicyHolder, name: string): Promise<void> {
    const { id } = await this.#holder(holder)
    if (await this.#deps.state.identityPolicies.removeInline(id, name)) return
    throw noSuchPolicy(holder, name)
  }

  /** Whether it was attached before does not matter. Throws NoSuchEntity, LimitExceeded. */
  async attach(holder: PolicyHolder, policyArn: string): Promise<void> {
    const { arn, own } = await this.#policies.get(holder.accountId, policyArn)
    await this.#deps.state.transaction(async (tx) => {
      const { id } = await this.#identities.named(tx, holder.accountId, holder.kind, holder.name)
      // It may have gone since.
      if (own) await this.#identities.named(tx, holder.accountId, 'policy', own.name)
      const attached = await tx.identityPolicies.attached(id)
      if (!attached.includes(arn) && attached.length >= limits.attachedPolicies) {
        throw overQuota(quotaNames[holder.kind], limits.attachedPolicies)
      }
      await tx.identityPolicies.attach(id, arn, this.#deps.clock.now())
    })
  }

  /** Throws NoSuchEntity when it is not attached. */
  async detach(holder: PolicyHolder, policyArn: string): Promise<void> {
    const { id } = await this.#holder(holder)
    if (await this.#deps.state.identityPolicies.detach(id, policyArn)) return
    throw new KilnError('NoSuchEntity', `Policy ${policyArn.slice(0, 256)} was not found.`)
  }

  /** ARNs. */
  async attached(holder: PolicyHolder): Promise<string[]> {
    const { id } = await this.#holder(holder)
    return await this.#deps.state.identityPolicies.attached(id)
  }

  #holder({ accountId, kind, name }: PolicyHolder): Promise<Identity> {
    return this.#identities.get(accountId, kind, name)
  }
}

const noSuchPolicy = ({ kind }: PolicyHolder, name: string) =>
  new KilnError('NoSuchEntity', `The ${kind} policy with name ${name.slice(0, 128)} cannot be found.`)
