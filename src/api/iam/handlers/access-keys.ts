import type { StatusType } from '@aws-sdk/client-iam'
import { KilnError } from '../../../lib/errors.ts'
import type { IamHandlers } from '../handler.ts'
import { iamTime, invalid, shortPage, userNameOf } from '../inputs.ts'

export const accessKeyHandlers = {
  async CreateAccessKey(input, context) {
    const { accountId, cloud } = context
    const userName = userNameOf(input.UserName, context)
    const { id, secret, createdAt } = await cloud.identity.accessKeys.create(accountId, userName)
    const about = { UserName: userName, AccessKeyId: id, Status: 'Active' as const, SecretAccessKey: secret }
    return { AccessKey: { ...about, CreateDate: iamTime(createdAt) } }
  },

  async ListAccessKeys(input, context) {
    const { accountId, cloud } = context
    const userName = userNameOf(input.UserName, context)
    const keys = await cloud.identity.accessKeys.list(accountId, userName)
    const { items, answer } = shortPage(keys, input, context)
    const told = items.map(({ id, status, createdAt }) => ({
      ...{ UserName: userName, AccessKeyId: id, Status: iamStatus(status), CreateDate: iamTime(createdAt) },
    }))
    return { AccessKeyMetadata: told, ...answer }
  },

  async UpdateAccessKey(input, context) {
    const { accountId, cloud } = context
    const userName = input.UserName ?? (await ownerOf(input.AccessKeyId, context))
    await cloud.identity.accessKeys.setStatus(accountId, userName, input.AccessKeyId!, readStatus(input.Status))
    return {}
  },

  async DeleteAccessKey(input, context) {
    const { accountId, cloud } = context
    const userName = input.UserName ?? (await ownerOf(input.AccessKeyId, context))
    await cloud.identity.accessKeys.remove(accountId, userName, input.AccessKeyId!)
    return {}
  },

  async GetAccessKeyLastUsed(input, { accountId, cloud }) {
    const { key, user } = await cloud.identity.accessKeys.lastUse(accountId, input.AccessKeyId!)
    return {
      UserName: user.name,
      AccessKeyLastUsed: {
        LastUsedDate: key.lastUsedAt === null ? undefined : iamTime(key.lastUsedAt),
        ServiceName: key.lastUsedService ?? 'N/A',
        Region: key.lastUsedRegion ?? 'N/A',
      },
    }
  },
} satisfies IamHandlers

/** Without a name, the key itself tells whose it is. */
async function ownerOf(
  keyId: string | undefined,
  context: Parameters<NonNullable<IamHandlers['UpdateAccessKey']>>[1],
): Promise<string> {
  const user = await context.cloud.identity.accessKeys.userOf(context.accountId, keyId!)
  if (user) return user.name
  throw new KilnError('NoSuchEntity', `The Access Key with id ${keyId!.slice(0, 128)} cannot be found`)
}

export const iamStatus = (status: 'active' | 'inactive'): StatusType => (status === 'active' ? 'Active' : 'Inactive')

/** Keys and certificates can be switched off; what is expired was not switched. Throws ValidationError. */
export function readStatus(status: StatusType | undefined): 'active' | 'inactive' {
  if (status === 'Active') return 'active'
  if (status === 'Inactive') return 'inactive'
  throw invalid('status', status ?? '', 'Active or Inactive')
}
