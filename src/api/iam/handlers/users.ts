import type { User } from '@aws-sdk/client-iam'
import type { IamHandlers } from '../handler.ts'
import {
  iamTime,
  pageAnswer,
  readPage,
  readPathPrefix,
  readTagKeys,
  readTags,
  shortPage,
  userNameOf,
} from '../inputs.ts'
import { iamTags, iamUser } from '../shapes.ts'

export const userHandlers = {
  async CreateUser(input, { accountId, cloud }) {
    const tags = readTags(input.Tags)
    const user = { name: input.UserName!, path: input.Path, permissionsBoundary: input.PermissionsBoundary, tags }
    return { User: iamUser(await cloud.identity.users.create(accountId, user), tags) }
  },

  /** Without a name, of whoever asks: also of the account itself. */
  async GetUser(input, context) {
    const { accountId, cloud, caller } = context
    if (input.UserName === undefined && caller.kind === 'account') {
      // It has no name and no path, and is as old as anything can be: nobody made it.
      return { User: { UserId: accountId, Arn: caller.arn, CreateDate: iamTime(0) } as User }
    }
    const row = await cloud.identity.all.get(accountId, 'user', userNameOf(input.UserName, context))
    return { User: iamUser(row, (await cloud.identity.all.tagsOf([row])).get(row.id)) }
  },

  async ListUsers(input, context) {
    const { accountId, cloud } = context
    const choice = { kind: 'user', pathPrefix: readPathPrefix(input.PathPrefix) } as const
    const { items, next } = await cloud.identity.all.list(accountId, choice, readPage(input, context))
    return { Users: items.map((row) => iamUser(row)), ...pageAnswer(next, context) }
  },

  async UpdateUser(input, { accountId, cloud }) {
    const to = { name: input.NewUserName, path: input.NewPath }
    await cloud.identity.all.rename({ accountId, kind: 'user' }, input.UserName!, to)
    return {}
  },

  async DeleteUser(input, { accountId, cloud }) {
    await cloud.identity.users.remove(accountId, input.UserName!)
    return {}
  },

  async PutUserPermissionsBoundary(input, { accountId, cloud }) {
    await cloud.identity.users.setBoundary(accountId, 'user', input.UserName!, input.PermissionsBoundary!)
    return {}
  },

  async DeleteUserPermissionsBoundary(input, { accountId, cloud }) {
    await cloud.identity.users.setBoundary(accountId, 'user', input.UserName!, null)
    return {}
  },

  async TagUser(input, { accountId, cloud }) {
    const tags = readTags(input.Tags)
    await cloud.identity.all.tag(await cloud.identity.all.get(accountId, 'user', input.UserName!), tags)
    return {}
  },

  async UntagUser(input, { accountId, cloud }) {
    const keys = readTagKeys(input.TagKeys)
    await cloud.identity.all.untag(await cloud.identity.all.get(accountId, 'user', input.UserName!), keys)
    return {}
  },

  async ListUserTags(input, context) {
    const { accountId, cloud } = context
    const row = await cloud.identity.all.get(accountId, 'user', input.UserName!)
    const tags = iamTags((await cloud.identity.all.tagsOf([row])).get(row.id))
    const { items, answer } = shortPage(tags, input, context)
    return { Tags: items, ...answer }
  },
} satisfies IamHandlers
