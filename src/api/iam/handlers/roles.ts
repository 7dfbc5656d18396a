import type { Role } from '@aws-sdk/client-iam'
import type { Identity } from '../../../cloud/identity/identities.ts'
import type { IamContext, IamHandlers } from '../handler.ts'
import { pageAnswer, readPage, readPathPrefix, readTagKeys, readTags, shortPage } from '../inputs.ts'
import { iamRole, iamTags, iamWholeRole } from '../shapes.ts'

export const roleHandlers = {
  async CreateRole(input, context) {
    const { accountId, cloud } = context
    const row = await cloud.identity.roles.create(accountId, {
      name: input.RoleName!,
      path: input.Path,
      description: input.Description,
      trustPolicy: input.AssumeRolePolicyDocument!,
      maxSessionSeconds: input.MaxSessionDuration,
      permissionsBoundary: input.PermissionsBoundary,
      tags: readTags(input.Tags),
    })
    return { Role: await whole(row, context) }
  },

  async GetRole(input, context) {
    return { Role: await whole(await roleOf(input.RoleName, context), context) }
  },

  async ListRoles(input, context) {
    const { accountId, cloud } = context
    const choice = { kind: 'role', pathPrefix: readPathPrefix(input.PathPrefix) } as const
    const { items, next } = await cloud.identity.all.list(accountId, choice, readPage(input, context))
    return { Roles: items.map(iamRole), ...pageAnswer(next, context) }
  },

  async UpdateRole(input, { accountId, cloud }) {
    const change = { description: input.Description, maxSessionSeconds: input.MaxSessionDuration }
    await cloud.identity.roles.update(accountId, input.RoleName!, change)
    return {}
  },

  async UpdateRoleDescription(input, context) {
    const { accountId, cloud } = context
    const row = await cloud.identity.roles.update(accountId, input.RoleName!, { description: input.Description })
    return { Role: await whole(row, context) }
  },

  async UpdateAssumeRolePolicy(input, { accountId, cloud }) {
    await cloud.identity.roles.setTrustPolicy(accountId, input.RoleName!, input.PolicyDocument!)
    return {}
  },

  async DeleteRole(input, { accountId, cloud }) {
    await cloud.identity.roles.remove(accountId, input.RoleName!)
    return {}
  },

  async PutRolePermissionsBoundary(input, { accountId, cloud }) {
    await cloud.identity.users.setBoundary(accountId, 'role', input.RoleName!, input.PermissionsBoundary!)
    return {}
  },

  async DeleteRolePermissionsBoundary(input, { accountId, cloud }) {
    await cloud.identity.users.setBoundary(accountId, 'role', input.RoleName!, null)
    return {}
  },

  async TagRole(input, context) {
    const tags = readTags(input.Tags)
    await context.cloud.identity.all.tag(await roleOf(input.RoleName, context), tags)
    return {}
  },

  async UntagRole(input, context) {
    const keys = readTagKeys(input.TagKeys)
    await context.cloud.identity.all.untag(await roleOf(input.RoleName, context), keys)
    return {}
  },

  async ListRoleTags(input, context) {
    const { items, answer } = shortPage(
      iamTags(await tagsOf(await roleOf(input.RoleName, context), context)),
      input,
      context,
    )
    return { Tags: items, ...answer }
  },
} satisfies IamHandlers

const roleOf = (name: string | undefined, { accountId, cloud }: IamContext) =>
  cloud.identity.all.get(accountId, 'role', name!)

const tagsOf = async (row: Identity, { cloud }: IamContext) => (await cloud.identity.all.tagsOf([row])).get(row.id)

async function whole(row: Identity, context: IamContext): Promise<Role> {
  return iamWholeRole(row, await tagsOf(row, context))
}
