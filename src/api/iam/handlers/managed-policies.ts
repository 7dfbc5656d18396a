import type { PolicyScopeType } from '@aws-sdk/client-iam'
import type { Identity } from '../../../cloud/identity/identities.ts'
import { KilnError } from '../../../lib/errors.ts'
import { clipped } from '../../ec2/codec/form.ts'
import type { IamContext, IamHandlers } from '../handler.ts'
import { invalid, pageAnswer, readPage, readPathPrefix, readTagKeys, readTags, shortPage } from '../inputs.ts'
import { iamPolicy, iamPolicyVersion, iamTags } from '../shapes.ts'

export const managedPolicyHandlers = {
  async CreatePolicy(input, { accountId, cloud }) {
    const tags = readTags(input.Tags)
    const view = await cloud.identity.managedPolicies.create(accountId, {
      name: input.PolicyName!,
      path: input.Path,
      description: input.Description,
      document: input.PolicyDocument!,
      tags,
    })
    return { Policy: iamPolicy(view, { tags }) }
  },

  async GetPolicy(input, context) {
    const { accountId, cloud } = context
    const view = await cloud.identity.managedPolicies.get(accountId, readArn(input.PolicyArn))
    return { Policy: iamPolicy(view, { description: true, tags: view.own ? await tagsOf(view.own, context) : [] }) }
  },

  async ListPolicies(input, context) {
    const { accountId, cloud } = context
    const { PolicyUsageFilter: usage, OnlyAttached: onlyAttached } = input
    const choice = {
      scope: (input.Scope ?? 'All') satisfies PolicyScopeType,
      pathPrefix: readPathPrefix(input.PathPrefix),
      isAttached: onlyAttached === true || usage === 'PermissionsPolicy',
      isBoundary: usage === 'PermissionsBoundary',
    }
    const { items, next } = await cloud.identity.managedPolicies.list(accountId, choice, readPage(input, context))
    return { Policies: items.map((view) => iamPolicy(view)), ...pageAnswer(next, context) }
  },

  async DeletePolicy(input, { accountId, cloud }) {
    await cloud.identity.managedPolicies.remove(accountId, readArn(input.PolicyArn))
    return {}
  },

  async CreatePolicyVersion(input, { accountId, cloud }) {
    const isDefault = input.SetAsDefault ?? false
    const arn = readArn(input.PolicyArn)
    const made = await cloud.identity.managedPolicies.createVersion(accountId, arn, input.PolicyDocument!, isDefault)
    return { PolicyVersion: iamPolicyVersion(made, isDefault ? made.version : 0, false) }
  },

  async GetPolicyVersion(input, { accountId, cloud }) {
    const arn = readArn(input.PolicyArn)
    const version = await cloud.identity.managedPolicies.version(accountId, arn, readVersion(input.VersionId))
    const { defaultVersion } = await cloud.identity.managedPolicies.get(accountId, arn)
    return { PolicyVersion: iamPolicyVersion(version, defaultVersion, true) }
  },

  async ListPolicyVersions(input, context) {
    const { accountId, cloud } = context
    const arn = readArn(input.PolicyArn)
    const { defaultVersion } = await cloud.identity.managedPolicies.get(accountId, arn)
    const versions = await cloud.identity.managedPolicies.versions(accountId, arn)
    const { items, answer } = shortPage(versions, input, context)
    return { Versions: items.map((version) => iamPolicyVersion(version, defaultVersion, false)), ...answer }
  },

  async DeletePolicyVersion(input, { accountId, cloud }) {
    const version = readVersion(input.VersionId)
    await cloud.identity.managedPolicies.removeVersion(accountId, readArn(input.PolicyArn), version)
    return {}
  },

  async SetDefaultPolicyVersion(input, { accountId, cloud }) {
    const version = readVersion(input.VersionId)
    await cloud.identity.managedPolicies.setDefaultVersion(accountId, readArn(input.PolicyArn), version)
    return {}
  },

  /** One kind after the other, so that a page may hold of all three. */
  async ListEntitiesForPolicy(input, context) {
    const { accountId, cloud } = context
    const { arn } = await cloud.identity.managedPolicies.get(accountId, readArn(input.PolicyArn))
    const pathPrefix = readPathPrefix(input.PathPrefix)
    const { limit, after } = readPage(input, context)
    const kinds = kindsOf(input.EntityFilter)
    const found: Identity[] = []
    let [kind, cursor] = startOf(after, kinds)
    let next: string | null = null
    for (; kind < kinds.length; kind++) {
      const bound = input.PolicyUsageFilter === 'PermissionsBoundary' ? { boundedBy: arn } : { withPolicy: arn }
      const page = { limit: limit - found.length, ...(cursor !== undefined && { after: cursor }) }
      const { items, next: rest } = await cloud.identity.all.list(
        accountId,
        { kind: kinds[kind]!, pathPrefix, ...bound },
        page,
      )
      found.push(...items)
      cursor = undefined
      if (rest !== null) next = `${kind}/${rest}`
      else if (found.length >= limit && kind + 1 < kinds.length) next = `${kind + 1}/`
      if (next !== null) break
    }
    const of = (wanted: Identity['kind']) => found.filter((row) => row.kind === wanted)
    return {
      PolicyGroups: of('group').map(({ name, id }) => ({ GroupName: name, GroupId: id })),
      PolicyUsers: of('user').map(({ name, id }) => ({ UserName: name, UserId: id })),
      PolicyRoles: of('role').map(({ name, id }) => ({ RoleName: name, RoleId: id })),
      ...pageAnswer(next, context),
    }
  },

  async TagPolicy(input, context) {
    const tags = readTags(input.Tags)
    await context.cloud.identity.all.tag(await ownOf(input.PolicyArn, context), tags)
    return {}
  },

  async UntagPolicy(input, context) {
    const keys = readTagKeys(input.TagKeys)
    await context.cloud.identity.all.untag(await ownOf(input.PolicyArn, context), keys)
    return {}
  },

  async ListPolicyTags(input, context) {
    const { accountId, cloud } = context
    const { own } = await cloud.identity.managedPolicies.get(accountId, readArn(input.PolicyArn))
    const { items, answer } = shortPage(iamTags(own ? await tagsOf(own, context) : []), input, context)
    return { Tags: items, ...answer }
  },
} satisfies IamHandlers

const allKinds = ['group', 'user', 'role'] as const

function kindsOf(filter: string | undefined): readonly ('group' | 'user' | 'role')[] {
  const wanted = { Group: 'group', User: 'user', Role: 'role' }[filter ?? '']
  if (wanted === undefined && filter !== undefined) return []
  return allKinds.filter((kind) => wanted === undefined || kind === wanted)
}

/** A cursor is the kind's place and its own cursor. */
function startOf(after: string | undefined, kinds: readonly unknown[]): [kind: number, cursor: string | undefined] {
  const found = /^(\d)\/(.*)$/.exec(after ?? '')
  if (!found || Number(found[1]) >= kinds.length) return [0, undefined]
  return [Number(found[1]), found[2] || undefined]
}

const ownOf = (arn: string | undefined, { accountId, cloud }: IamContext) =>
  cloud.identity.managedPolicies.own(accountId, readArn(arn))

const tagsOf = async (row: Identity, { cloud }: IamContext) => (await cloud.identity.all.tagsOf([row])).get(row.id)

/** Throws ValidationError. */
export function readArn(arn: string | undefined): string {
  if (/^arn:[^:]{1,20}:iam::(?:\d{12}|aws):policy\/[\u0021-\u007e]{1,1900}$/.test(arn ?? '')) return arn!
  throw new KilnError('ValidationError', `ARN ${clipped(arn ?? '')} is not valid.`)
}

function readVersion(id: string | undefined): number {
  const number = /^v([1-9]\d{0,8})$/.exec(id ?? '')?.[1]
  if (number !== undefined) return Number(number)
  throw invalid('versionId', id ?? '', 'of the form v[1-9][0-9]*')
}
