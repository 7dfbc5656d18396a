import type { InstanceProfile } from '@aws-sdk/client-iam'
import type { Identity, IdentityChoice } from '../../../cloud/identity/identities.ts'
import type { IamContext, IamHandlers } from '../handler.ts'
import { type PagedInput, pageAnswer, readPage, readPathPrefix, readTagKeys, readTags, shortPage } from '../inputs.ts'
import { iamProfile, iamTags } from '../shapes.ts'

export const instanceProfileHandlers = {
  async CreateInstanceProfile(input, { accountId, cloud }) {
    const tags = readTags(input.Tags)
    const profile = { name: input.InstanceProfileName!, path: input.Path, tags }
    const row = await cloud.identity.instanceProfiles.create(accountId, profile)
    return { InstanceProfile: iamProfile(row, undefined, tags) }
  },

  async GetInstanceProfile(input, context) {
    const row = await profileOf(input.InstanceProfileName, context)
    const roles = await context.cloud.identity.instanceProfiles.rolesOf([row])
    return { InstanceProfile: iamProfile(row, roles.get(row.roleId ?? ''), await tagsOf(row, context)) }
  },

  async ListInstanceProfiles(input, context) {
    return await listed({ kind: 'instance-profile', pathPrefix: readPathPrefix(input.PathPrefix) }, input, context)
  },

  async ListInstanceProfilesForRole(input, context) {
    const { accountId, cloud } = context
    const role = await cloud.identity.all.get(accountId, 'role', input.RoleName!)
    return await listed({ kind: 'instance-profile', roleId: role.id }, input, context)
  },

  async DeleteInstanceProfile(input, { accountId, cloud }) {
    await cloud.identity.instanceProfiles.remove(accountId, input.InstanceProfileName!)
    return {}
  },

  async AddRoleToInstanceProfile(input, { accountId, cloud }) {
    await cloud.identity.instanceProfiles.addRole(accountId, input.InstanceProfileName!, input.RoleName!)
    return {}
  },

  async RemoveRoleFromInstanceProfile(input, { accountId, cloud }) {
    await cloud.identity.instanceProfiles.removeRole(accountId, input.InstanceProfileName!, input.RoleName!)
    return {}
  },

  async TagInstanceProfile(input, context) {
    const tags = readTags(input.Tags)
    await context.cloud.identity.all.tag(await profileOf(input.InstanceProfileName, context), tags)
    return {}
  },

  async UntagInstanceProfile(input, context) {
    const keys = readTagKeys(input.TagKeys)
    await context.cloud.identity.all.untag(await profileOf(input.InstanceProfileName, context), keys)
    return {}
  },

  async ListInstanceProfileTags(input, context) {
    const tags = iamTags(await tagsOf(await profileOf(input.InstanceProfileName, context), context))
    const { items, answer } = shortPage(tags, input, context)
    return { Tags: items, ...answer }
  },
} satisfies IamHandlers

const profileOf = (name: string | undefined, { accountId, cloud }: IamContext) =>
  cloud.identity.all.get(accountId, 'instance-profile', name!)

const tagsOf = async (row: Identity, { cloud }: IamContext) => (await cloud.identity.all.tagsOf([row])).get(row.id)

async function listed(choice: IdentityChoice, input: PagedInput, context: IamContext) {
  const { accountId, cloud } = context
  const { items, next } = await cloud.identity.all.list(accountId, choice, readPage(input, context))
  const roles = await cloud.identity.instanceProfiles.rolesOf(items)
  const profiles: InstanceProfile[] = items.map((row) => iamProfile(row, roles.get(row.roleId ?? '')))
  return { InstanceProfiles: profiles, ...pageAnswer(next, context) }
}
