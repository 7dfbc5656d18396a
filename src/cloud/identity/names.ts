/** Names, paths, ids and ARNs of what IAM knows. Source: "IAM identifiers" in the IAM user guide. */
import { KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import type { Random } from '../../lib/random.ts'
import type { Identity, IdentityKind } from '../../state/identities.ts'

const base32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'

interface KindFacts {
  idPrefix: string
  /** In ARNs. */
  arnType: string
  nameLength: number
  /** How many an account may have. */
  quota: number
  /** In the message about the quota. */
  quotaName: string
  /** What is said when there is none of that name, and when there is one already. */
  missing(name: string): string
  present(name: string): string
}

export const identityKinds: Readonly<Record<IdentityKind, KindFacts>> = {
  user: {
    ...{ idPrefix: 'AIDA', arnType: 'user', nameLength: 64, quota: limits.users, quotaName: 'UsersPerAccount' },
    missing: (name) => `The user with name ${name} cannot be found.`,
    present: (name) => `User with name ${name} already exists.`,
  },
  group: {
    ...{ idPrefix: 'AGPA', arnType: 'group', nameLength: 128, quota: limits.groups, quotaName: 'GroupsPerAccount' },
    missing: (name) => `The group with name ${name} cannot be found.`,
    present: (name) => `Group with name ${name} already exists.`,
  },
  role: {
    ...{ idPrefix: 'AROA', arnType: 'role', nameLength: 64, quota: limits.roles, quotaName: 'RolesPerAccount' },
    missing: (name) => `The role with name ${name} cannot be found.`,
    present: (name) => `Role with name ${name} already exists.`,
  },
  'instance-profile': {
    ...{ idPrefix: 'AIPA', arnType: 'instance-profile', nameLength: 128 },
    ...{ quota: limits.instanceProfiles, quotaName: 'InstanceProfilesPerAccount' },
    missing: (name) => `Instance Profile ${name} cannot be found.`,
    present: (name) => `Instance Profile ${name} already exists.`,
  },
  policy: {
    ...{
      idPrefix: 'ANPA',
      arnType: 'policy',
      nameLength: 128,
      quota: limits.policies,
      quotaName: 'PoliciesPerAccount',
    },
    missing: (name) => `Policy ${name} was not found.`,
    present: (name) => `A policy called ${name} already exists. Duplicate names are not allowed.`,
  },
}

const nameShape = /^[\w+=,.@-]+$/
const pathShape = /^\/(?:[\u0021-\u007e]+\/)?$/

export function newIdentityId(kind: IdentityKind, random: Random): string {
  return identityKinds[kind].idPrefix + letters(random, 17)
}

/** Capitals and digits, as they stand in IAM's ids. */
export function letters(random: Random, count: number): string {
  return [...random.bytes(count)].map((byte) => base32[byte % base32.length]).join('')
}

/** `arn:aws:iam::123456789012:role/path/name` */
export function arnOf({ accountId, kind, path, name }: Pick<Identity, 'accountId' | 'kind' | 'path' | 'name'>): string {
  return `arn:aws:iam::${accountId}:${identityKinds[kind].arnType}${path}${name}`
}

/** Throws ValidationError, which names the parameter. */
export function checkName(name: string, maxLength: number, parameter: string): string {
  if (nameShape.test(name) && name.length <= maxLength) return name
  throw new KilnError(
    'ValidationError',
    `The specified value for ${parameter} is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_- and have 1 to ${maxLength} of them.`,
  )
}

/** Throws ValidationError. */
export function checkPath(path: string | undefined, parameter = 'path'): string {
  if (path === undefined) return '/'
  if (pathShape.test(path) && path.length <= limits.identityPathLength) return path
  throw new KilnError(
    'ValidationError',
    `The specified value for ${parameter} is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.`,
  )
}
