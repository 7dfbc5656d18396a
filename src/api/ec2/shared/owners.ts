/** Accounts as Describe operations name them. Source: InvalidUserID.Malformed in the EC2 API reference. */
import { KilnError } from '../../../lib/errors.ts'
import { clipped } from '../codec/form.ts'

/** What stands for accounts that Amazon keeps. */
const ownerAliases: ReadonlySet<string> = new Set(['amazon', 'aws-marketplace', 'aws-backup-vault'])

/** Account ids and aliases; `self` becomes the caller. Undefined when none was given. */
export function readOwners(owners: readonly string[] | undefined, callerId: string): string[] | undefined {
  return readAccounts(owners, callerId, (owner) => ownerAliases.has(owner))
}

/** Account ids and `all`; `self` becomes the caller. Undefined when none was given. */
export function readGrantees(users: readonly string[] | undefined, callerId: string): string[] | undefined {
  return readAccounts(users, callerId, (user) => user === 'all')
}

function readAccounts(
  given: readonly string[] | undefined,
  callerId: string,
  isAlias: (name: string) => boolean,
): string[] | undefined {
  if (!given?.length) return undefined
  return given.map((name) => {
    if (name === 'self') return callerId
    if (/^\d{12}$/.test(name) || isAlias(name)) return name
    throw new KilnError('InvalidUserID.Malformed', `Invalid user id: "${clipped(name)}"`)
  })
}
