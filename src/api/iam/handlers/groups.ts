import type { IamHandlers } from '../handler.ts'
import { pageAnswer, readPage, readPathPrefix } from '../inputs.ts'
import { iamGroup, iamUser } from '../shapes.ts'

export const groupHandlers = {
  async CreateGroup(input, { accountId, cloud }) {
    const row = await cloud.identity.users.createGroup(accountId, { name: input.GroupName!, path: input.Path })
    return { Group: iamGroup(row) }
  },

  /** With its users, page by page. */
  async GetGroup(input, context) {
    const { accountId, cloud } = context
    const row = await cloud.identity.all.get(accountId, 'group', input.GroupName!)
    const choice = { kind: 'user', memberOf: row.id } as const
    const { items, next } = await cloud.identity.all.list(accountId, choice, readPage(input, context))
    return { Group: iamGroup(row), Users: items.map((user) => iamUser(user)), ...pageAnswer(next, context) }
  },

  async ListGroups(input, context) {
    const { accountId, cloud } = context
    const choice = { kind: 'group', pathPrefix: readPathPrefix(input.PathPrefix) } as const
    const { items, next } = await cloud.identity.all.list(accountId, choice, readPage(input, context))
    return { Groups: items.map(iamGroup), ...pageAnswer(next, context) }
  },

  async ListGroupsForUser(input, context) {
    const { accountId, cloud } = context
    const user = await cloud.identity.all.get(accountId, 'user', input.UserName!)
    const choice = { kind: 'group', withMember: user.id } as const
    const { items, next } = await cloud.identity.all.list(accountId, choice, readPage(input, context))
    return { Groups: items.map(iamGroup), ...pageAnswer(next, context) }
  },

  async UpdateGroup(input, { accountId, cloud }) {
    const to = { name: input.NewGroupName, path: input.NewPath }
    await cloud.identity.all.rename({ accountId, kind: 'group' }, input.GroupName!, to)
    return {}
  },

  async DeleteGroup(input, { accountId, cloud }) {
    await cloud.identity.users.removeGroup(accountId, input.GroupName!)
    return {}
  },

  async AddUserToGroup(input, { accountId, cloud }) {
    await cloud.identity.users.addToGroup(accountId, input.GroupName!, input.UserName!)
    return {}
  },

  async RemoveUserFromGroup(input, { accountId, cloud }) {
    await cloud.identity.users.removeFromGroup(accountId, input.GroupName!, input.UserName!)
    return {}
  },
} satisfies IamHandlers
