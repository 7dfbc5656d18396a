/** Accounts and groups as requests name them: owners, and whom something is shared with. */
import { KilnError } from '../../../lib/errors.ts'
import { clipped } from '../codec/form.ts'
import { notTogether } from './permissions.ts'

/** Owners that have a name of their own on EC2. */
export const ownerAliases = ['amazon', 'aws-marketplace', 'aws-backup-vault'] as const

const isAccountId = (text: string) => /^\d{12}$/.test(text)

/**
 * Owners or users by which a list is narrowed; `self` is the caller. Undefined when none are given.
 * Throws InvalidUserID.Malformed for what is neither an account id nor one of `names`.
 */
export function readUsers(
  users: readonly string[] | undefined,
  { accountId }: { accountId: string },
  names: readonly string[],
): string[] | undefined {
  if (!users?.length) return undefined
  return users.map((user) => {
    if (user === 'self') return accountId
    if (isAccountId(user) || names.includes(user)) return user
    throw new KilnError('InvalidUserID.Malformed', `Invalid user id: "${clipped(user)}"`)
  })
}

export interface Permission {
  UserId?: string | undefined
  Group?: string | undefined
}

/** How an operation refuses an account id and a group that are none. */
export interface GranteeErrors {
  user(value: string): KilnError
  group(value: string): KilnError
}

/** Grantees in the domain's words: account ids, and `all`; each once. */
export function readGrantees(
  permissions: readonly Permission[] | undefined,
  errors: GranteeErrors,
  parameter: string,
): string[] {
  const grantees = (permissions ?? []).map(({ UserId: user, Group: group }, index) => {
    if (user !== undefined && group !== undefined) throw notTogether(`${parameter}.${index + 1}.UserId`, 'Group')
    if (group !== undefined) {
      if (group === 'all') return group
      throw errors.group(clipped(group))
    }
    if (user !== undefined && isAccountId(user)) return user
    throw errors.user(clipped(user ?? ''))
  })
  return [...new Set(grantees)]
}

/** The older way, in two lists, as the newer one. */
export function flatPermissions(
  userIds: readonly string[] | undefined,
  groups: readonly string[] | undefined,
): Permission[] {
  return [...(userIds ?? []).map((UserId) => ({ UserId })), ...(groups ?? []).map((Group) => ({ Group }))]
}

/**
 * Packer names whom it adds in both forms: in the newer one, and again in the older lists without an OperationType, which
 * alone would mean nothing. EC2 takes that. Throws InvalidParameterCombination when the lists say something of their own.
 */
export function checkRepetition(
  { operation, flat }: { operation: string | undefined; flat: readonly Permission[] },
  newer: readonly Permission[],
  parameter: string,
): void {
  const isNamed = ({ UserId, Group }: Permission) => newer.some((one) => one.UserId === UserId && one.Group === Group)
  if (operation !== undefined || !flat.every(isNamed))
    throw notTogether(parameter, 'OperationType, UserId and UserGroup')
}

export function ec2Permissions(grantees: readonly string[]): { UserId?: string; Group?: 'all' }[] {
  return grantees.map((grantee) => (grantee === 'all' ? { Group: 'all' } : { UserId: grantee }))
}

export function tooManyGrantees(max: number): KilnError {
  return new KilnError('InvalidParameterValue', `At most ${max} accounts and groups can be changed in one request`)
}
