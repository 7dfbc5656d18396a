/**
 * Managed policies: an account's own, with versions, and a small set of AWS's. Nothing that they say is enforced.
 * Source: CreatePolicy and its siblings in the IAM API reference.
 */
import { KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import type { PolicyVersion } from '../../state/identity-policies.ts'
import type { Page, PageRequest } from '../../state/listing.ts'
import type { Repositories } from '../../state/state.ts'
import type { Tag } from '../../state/tags.ts'
import { type AwsPolicy, awsPolicies } from './aws-policies.ts'
import type { Identities, Identity, IdentityChoice, IdentityDeps } from './identities.ts'
import { arnOf } from './names.ts'
import { checkPolicy } from './policy-documents.ts'
import { checkDescription } from './roles.ts'

export interface PolicyView {
  arn: string
  id: string
  name: string
  path: string
  description: string | null
  defaultVersion: number
  createdAt: number
  updatedAt: number
  /** The row of an account's own. */
  own: Identity | null
  attachmentCount: number
  boundaryCount: number
}

export interface PolicyChoice {
  scope: 'All' | 'AWS' | 'Local'
  pathPrefix: string | undefined
  isAttached: boolean
  isBoundary: boolean
}

const awsCursor = /^aws(\d{1,4})$/

export class ManagedPolicies {
  readonly #deps: IdentityDeps
  readonly #identities: Identities

  constructor(deps: IdentityDeps, identities: Identities) {
    this.#deps = deps
    this.#identities = identities
  }

  async create(
    accountId: string,
    policy: {
      name: string
      path: string | undefined
      description: string | undefined
      document: string
      tags: readonly Tag[]
    },
  ): Promise<PolicyView> {
    checkManagedPolicy(policy.document)
    const description = checkDescription(policy.description) || null
    const row = await this.#deps.state.transaction(async (tx) => {
      const columns = { description, defaultVersion: 1, versionsMade: 1 }
      const made = await this.#identities.insert(tx, { accountId, kind: 'policy' }, policy, columns)
      const version = { policyId: made.id, version: 1, document: policy.document, createdAt: made.createdAt }
      await tx.identityPolicies.insertVersion(version)
      return made
    })
    return viewOf(row, 0, 0)
  }

  /** Throws NoSuchEntity. */
  async get(accountId: string, arn: string): Promise<PolicyView> {
    const [view] = await this.#counted(accountId, [await this.#find(this.#deps.state, accountId, arn)])
    return view!
  }

  /** AWS's own come first. */
  async list(accountId: string, choice: PolicyChoice, page: PageRequest): Promise<Page<PolicyView>> {
    const after = awsCursor.exec(page.after ?? '')
    const isInAws = choice.scope !== 'Local' && (page.after === undefined || after !== null)
    const from = after ? Number(after[1]) : 0
    const offered = isInAws ? (await this.#awsPolicies(accountId, choice)).slice(from) : []
    const items = offered.slice(0, page.limit)
    if (offered.length > items.length) return { items, next: `aws${from + items.length}` }
    if (choice.scope === 'AWS') return { items, next: null }
    const rest = {
      limit: page.limit - items.length,
      ...(!isInAws && page.after !== undefined && { after: page.after }),
    }
    // A page that AWS's fill ends with them; the next one begins at their end.
    if (rest.limit === 0) return { items, next: `aws${from + items.length}` }
    const { pathPrefix, isAttached, isBoundary } = choice
    const own: IdentityChoice = { kind: 'policy', pathPrefix, isAttached, isBoundary }
    const { items: rows, next } = await this.#deps.state.identities.list(accountId, own, rest)
    return { items: [...items, ...(await this.#counted(accountId, rows))], next }
  }

  /** Throws DeleteConflict while anybody has it, or while it has other versions. */
  async remove(accountId: string, arn: string): Promise<void> {
    await this.#deps.state.transaction(async (tx) => {
      const row = await this.#own(tx, accountId, arn)
      const { identityPolicies } = tx
      const attached = (await identityPolicies.attachmentCounts(accountId, [arn])).get(arn) ?? 0
      const bounding = (await identityPolicies.boundaryCounts(accountId, [arn])).get(arn) ?? 0
      if (attached + bounding > 0) throw new KilnError('DeleteConflict', 'Cannot delete a policy attached to entities.')
      if ((await identityPolicies.versions(row.id)).length > 1) {
        throw new KilnError(
          'DeleteConflict',
          "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.",
        )
      }
      await identityPolicies.removeVersions(row.id)
      await this.#identities.remove(tx, row)
    })
  }

  /** Throws LimitExceeded for a sixth. */
  async createVersion(accountId: string, arn: string, document: string, isDefault: boolean): Promise<PolicyVersion> {
    checkManagedPolicy(document)
    const createdAt = this.#deps.clock.now()
    return await this.#deps.state.transaction(async (tx) => {
      const row = await this.#own(tx, accountId, arn)
      if ((await tx.identityPolicies.versions(row.id)).length >= limits.versionsPerPolicy) {
        throw new KilnError(
          'LimitExceeded',
          `A managed policy can have up to ${limits.versionsPerPolicy} versions. Before you create a new version, you must delete an existing version.`,
        )
      }
      const version = { policyId: row.id, version: row.versionsMade! + 1, document, createdAt }
      await tx.identityPolicies.insertVersion(version)
      await tx.identities.update(row.id, {
        ...{ versionsMade: version.version, updatedAt: createdAt },
        ...(isDefault && { defaultVersion: version.version }),
      })
      return version
    })
  }

  /** Throws NoSuchEntity. */
  async version(accountId: string, arn: string, number: number): Promise<PolicyVersion> {
    const found = (await this.versions(accountId, arn)).find(({ version }) => version === number)
    if (found) return found
    throw noSuchVersion(arn, number)
  }

  /** The newest first. */
  async versions(accountId: string, arn: string): Promise<PolicyVersion[]> {
    const found = await this.#find(this.#deps.state, accountId, arn)
    if ('accountId' in found) return await this.#deps.state.identityPolicies.versions(found.id)
    const { id, version, document, updatedAt } = found
    return [{ policyId: id, version, document, createdAt: updatedAt }]
  }

  /** Throws DeleteConflict for the default version. */
  async removeVersion(accountId: string, arn: string, number: number): Promise<void> {
    await this.#deps.state.transaction(async (tx) => {
      const row = await this.#withVersion(tx, accountId, arn, number)
      if (row.defaultVersion === number) {
        throw new KilnError('DeleteConflict', 'Cannot delete the default version of a policy.')
      }
      await tx.identityPolicies.removeVersions(row.id, number)
    })
  }

  async setDefaultVersion(accountId: string, arn: string, number: number): Promise<void> {
    const updatedAt = this.#deps.clock.now()
    await this.#deps.state.transaction(async (tx) => {
      const row = await this.#withVersion(tx, accountId, arn, number)
      await tx.identities.update(row.id, { defaultVersion: number, updatedAt })
    })
  }

  /** The row of an account's own policy. Throws NoSuchEntity, and AccessDenied for one of AWS's. */
  own(accountId: string, arn: string): Promise<Identity> {
    return this.#own(this.#deps.state, accountId, arn)
  }

  async #own(state: Repositories, accountId: string, arn: string): Promise<Identity> {
    const found = await this.#find(state, accountId, arn)
    if ('accountId' in found) return found
    throw new KilnError('AccessDenied', `The policy ${arn} is AWS's: accounts cannot change it.`)
  }

  async #withVersion(tx: Repositories, accountId: string, arn: string, number: number): Promise<Identity> {
    const row = await this.#own(tx, accountId, arn)
    if (await tx.identityPolicies.version(row.id, number)) return row
    throw noSuchVersion(arn, number)
  }

  async #find(state: Repositories, accountId: string, arn: string): Promise<Identity | AwsPolicy> {
    const aws = awsPolicies().find((policy) => policy.arn === arn)
    if (aws) return aws
    const row = await state.identities.named(accountId, 'policy', arn.slice(arn.lastIndexOf('/') + 1))
    if (row && arnOf(row) === arn) return row
    throw new KilnError('NoSuchEntity', `Policy ${arn.slice(0, 256)} does not exist or is not attachable.`)
  }

  async #awsPolicies(accountId: string, choice: PolicyChoice): Promise<PolicyView[]> {
    const { pathPrefix = '/', isAttached, isBoundary } = choice
    const views = await this.#counted(accountId, awsPolicies())
    return views.filter(
      (view) =>
        view.path.startsWith(pathPrefix) &&
        (!isAttached || view.attachmentCount > 0) &&
        (!isBoundary || view.boundaryCount > 0),
    )
  }

  async #counted(accountId: string, policies: readonly (Identity | AwsPolicy)[]): Promise<PolicyView[]> {
    const { identityPolicies } = this.#deps.state
    const arns = policies.map((policy) => ('accountId' in policy ? arnOf(policy) : policy.arn))
    const attached = await identityPolicies.attachmentCounts(accountId, arns)
    const bounding = await identityPolicies.boundaryCounts(accountId, arns)
    return policies.map((policy, index) =>
      viewOf(policy, attached.get(arns[index]!) ?? 0, bounding.get(arns[index]!) ?? 0),
    )
  }
}

function viewOf(policy: Identity | AwsPolicy, attachmentCount: number, boundaryCount: number): PolicyView {
  const { id, name, path, description, createdAt, updatedAt } = policy
  const isOwn = 'accountId' in policy
  return {
    ...{ id, name, path, description, createdAt, updatedAt, attachmentCount, boundaryCount },
    arn: isOwn ? arnOf(policy) : policy.arn,
    defaultVersion: isOwn ? policy.defaultVersion! : policy.version,
    own: isOwn ? policy : null,
  }
}

function checkManagedPolicy(document: string): void {
  checkPolicy(document, { kind: 'identity', maxLength: limits.managedPolicyLength, quotaName: 'PolicySize' })
}

const noSuchVersion = (arn: string, number: number) =>
  new KilnError('NoSuchEntity', `Policy ${arn} version v${number} does not exist or is not attachable.`)
