/** Who an account knows: IAM's users, groups, roles, instance profiles and policies, and what lets them in. */
import type { TimeMs } from '../schema.ts'

export type IdentityKind = 'user' | 'group' | 'role' | 'instance-profile' | 'policy'

/** All that has a name, a path and an ARN in an account. Columns that one kind alone has are null on all others. */
export interface IdentitiesTable {
  /** As IAM names them: `AIDA…`, `AGPA…`, `AROA…`, `AIPA…`, `ANPA…`. */
  id: string
  accountId: string
  kind: IdentityKind
  name: string
  /** The name in lower case: no two differ in case alone. */
  nameKey: string
  /** Begins and ends with a slash. */
  path: string
  /** Of roles and policies. */
  description: string | null
  /** JSON, as it was sent: who may assume the role. */
  trustPolicy: string | null
  /** Longest session of the role. */
  maxSessionSeconds: number | null
  /** ARN of the policy that bounds a user or role. */
  permissionsBoundary: string | null
  /** When and where a role's credentials were last used. */
  lastUsedAt: TimeMs | null
  lastUsedRegion: string | null
  /** The role of an instance profile, if it has one. */
  roleId: string | null
  /** Of policies. Numbers of versions are never used again. */
  defaultVersion: number | null
  versionsMade: number | null
  createdAt: TimeMs
  updatedAt: TimeMs
}

export interface PolicyVersionsTable {
  policyId: string
  version: number
  /** JSON, as it was sent. */
  document: string
  createdAt: TimeMs
}

/** Policies within a user, group or role. */
export interface InlinePoliciesTable {
  identityId: string
  name: string
  document: string
}

/** Managed policies of users, groups and roles: accounts' own, and AWS's, which are no rows. */
export interface PolicyAttachmentsTable {
  identityId: string
  policyArn: string
  attachedAt: TimeMs
}

export interface GroupMembersTable {
  groupId: string
  userId: string
}

export interface UserAccessKeysTable {
  /** `AKIA…` */
  id: string
  accountId: string
  userId: string
  /** Sealed under the master key; hexadecimal. */
  sealedSecret: string
  status: 'active' | 'inactive'
  createdAt: TimeMs
  lastUsedAt: TimeMs | null
  lastUsedService: string | null
  lastUsedRegion: string | null
}

export interface AccountAliasesTable {
  accountId: string
  alias: string
}

/** Which instance has which profile: at most one. */
export interface InstanceProfileAssociationsTable {
  /** `iip-assoc-…` */
  id: string
  accountId: string
  region: string
  instanceId: string
  profileId: string
  /** As it was then: a profile may go while an instance has it. */
  profileArn: string
  profileName: string
  createdAt: TimeMs
}

export interface IdentityTables {
  identities: IdentitiesTable
  policyVersions: PolicyVersionsTable
  inlinePolicies: InlinePoliciesTable
  policyAttachments: PolicyAttachmentsTable
  groupMembers: GroupMembersTable
  userAccessKeys: UserAccessKeysTable
  accountAliases: AccountAliasesTable
  instanceProfileAssociations: InstanceProfileAssociationsTable
}
