/** Who asks: an account itself, one of its users, or somebody with credentials for a while. */
import type { Identity } from '../../state/identities.ts'
import { arnOf } from './names.ts'

export interface Caller {
  /** 12 digits. */
  accountId: string
  kind: 'account' | 'user' | 'role' | 'federated'
  /** As STS tells it: a session's own, for a role. */
  arn: string
  /** `AIDA…`, `AROA…:session`, or the account's number. */
  userId: string
  /** The user or role behind it; null for the account itself. */
  identity: Identity | null
  isTemporary: boolean
}

/** Whoever has a key of the whole account. */
export function accountCaller(accountId: string, isTemporary = false): Caller {
  const arn = `arn:aws:iam::${accountId}:root`
  return { accountId, kind: 'account', arn, userId: accountId, identity: null, isTemporary }
}

export function userCaller(user: Identity, isTemporary: boolean): Caller {
  return { accountId: user.accountId, kind: 'user', arn: arnOf(user), userId: user.id, identity: user, isTemporary }
}

/** The path of a role is not in the ARN of its sessions. */
export function roleCaller(role: Identity, sessionName: string): Caller {
  const { accountId, name, id } = role
  const arn = `arn:aws:sts::${accountId}:assumed-role/${name}/${sessionName}`
  return { accountId, kind: 'role', arn, userId: `${id}:${sessionName}`, identity: role, isTemporary: true }
}

export function federatedCaller(accountId: string, name: string, user: Identity | null): Caller {
  const arn = `arn:aws:sts::${accountId}:federated-user/${name}`
  return { accountId, kind: 'federated', arn, userId: `${accountId}:${name}`, identity: user, isTemporary: true }
}
