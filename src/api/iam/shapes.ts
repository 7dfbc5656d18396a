/** Users, groups, roles, profiles and policies, as IAM tells them. */
import type {
  AttachedPermissionsBoundary,
  Group,
  InstanceProfile,
  Policy,
  PolicyVersion,
  Role,
  User,
} from '@aws-sdk/client-iam'
import type { Identity } from '../../cloud/identity/identities.ts'
import type { PolicyView } from '../../cloud/identity/managed-policies.ts'
import { arnOf } from '../../cloud/identity/names.ts'
import { encodedPolicy, iamTime } from './inputs.ts'

type Tags = readonly { key: string; value: string }[] | undefined

export const iamTags = (tags: Tags) => (tags ?? []).map(({ key, value }) => ({ Key: key, Value: value }))

const boundaryOf = ({ permissionsBoundary }: Identity): AttachedPermissionsBoundary | undefined =>
  permissionsBoundary === null
    ? undefined
    : { PermissionsBoundaryType: 'PermissionsBoundaryPolicy', PermissionsBoundaryArn: permissionsBoundary }

/** Lists tell no tags. */
export function iamUser(row: Identity, tags?: Tags): User {
  return {
    ...{ Path: row.path, UserName: row.name, UserId: row.id, Arn: arnOf(row), CreateDate: iamTime(row.createdAt) },
    PermissionsBoundary: boundaryOf(row),
    Tags: tags?.length ? iamTags(tags) : undefined,
  }
}

export function iamGroup(row: Identity): Group {
  return { Path: row.path, GroupName: row.name, GroupId: row.id, Arn: arnOf(row), CreateDate: iamTime(row.createdAt) }
}

/** Lists, and profiles, tell neither boundary, last use nor tags. */
export function iamRole(row: Identity): Role {
  return {
    ...{ Path: row.path, RoleName: row.name, RoleId: row.id, Arn: arnOf(row), CreateDate: iamTime(row.createdAt) },
    AssumeRolePolicyDocument: encodedPolicy(row.trustPolicy!),
    Description: row.description ?? undefined,
    MaxSessionDuration: row.maxSessionSeconds!,
  }
}

export function iamWholeRole(row: Identity, tags: Tags): Role {
  return {
    ...iamRole(row),
    PermissionsBoundary: boundaryOf(row),
    RoleLastUsed:
      row.lastUsedAt === null ? {} : { LastUsedDate: iamTime(row.lastUsedAt), Region: row.lastUsedRegion ?? undefined },
    Tags: tags?.length ? iamTags(tags) : undefined,
  }
}

export function iamProfile(row: Identity, role: Identity | undefined, tags?: Tags): InstanceProfile {
  return {
    ...{ Path: row.path, InstanceProfileName: row.name, InstanceProfileId: row.id, Arn: arnOf(row) },
    CreateDate: iamTime(row.createdAt),
    Roles: role ? [iamRole(role)] : [],
    Tags: tags?.length ? iamTags(tags) : undefined,
  }
}

export function iamPolicy(view: PolicyView, about: { description?: boolean; tags?: Tags } = {}): Policy {
  const { tags } = about
  return {
    ...{ PolicyName: view.name, PolicyId: view.id, Arn: view.arn, Path: view.path, IsAttachable: true },
    DefaultVersionId: `v${view.defaultVersion}`,
    AttachmentCount: view.attachmentCount,
    PermissionsBoundaryUsageCount: view.boundaryCount,
    Description: about.description ? (view.description ?? undefined) : undefined,
    CreateDate: iamTime(view.createdAt),
    UpdateDate: iamTime(view.updatedAt),
    Tags: tags?.length ? iamTags(tags) : undefined,
  }
}

/** Lists of versions tell no documents. */
export function iamPolicyVersion(
  version: { version: number; document: string; createdAt: number },
  defaultVersion: number,
  withDocument: boolean,
): PolicyVersion {
  return {
    VersionId: `v${version.version}`,
    IsDefaultVersion: version.version === defaultVersion,
    CreateDate: iamTime(version.createdAt),
    Document: withDocument ? encodedPolicy(version.document) : undefined,
  }
}
