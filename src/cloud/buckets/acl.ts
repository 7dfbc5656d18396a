/**
 * Who may do what with a bucket or an object. Source: "Access control list (ACL) overview" in the S3 user guide, and its
 * table of canned ACLs.
 */
import { KilnError } from '../../lib/errors.ts'

export type Permission = 'READ' | 'WRITE' | 'READ_ACP' | 'WRITE_ACP' | 'FULL_CONTROL'

/** An account id, or one of the groups below. */
export type Grantee = string

/** Anybody, with or without a signature. */
export const allUsers = 'all-users'
/** Every account. */
export const authenticatedUsers = 'authenticated-users'
/** The cloud's own image service, which fetches bundles and imports. */
export const imageService = 'image-service'
export const logDelivery = 'log-delivery'

export interface Grant {
  grantee: Grantee
  permission: Permission
}

export interface Acl {
  ownerId: string
  grants: readonly Grant[]
}

/** Who asks: an account's id; {@link imageService}; or {@link anonymous}, who gave no signature. */
export type Requester = string
export const anonymous = 'anonymous'

export const cannedAcls = [
  'private',
  'public-read',
  'public-read-write',
  'aws-exec-read',
  'authenticated-read',
  'bucket-owner-read',
  'bucket-owner-full-control',
  'log-delivery-write',
] as const
export type CannedAcl = (typeof cannedAcls)[number]

const grantsMax = 100

export function isCannedAcl(text: string): text is CannedAcl {
  return (cannedAcls as readonly string[]).includes(text)
}

/** `bucketOwnerId` is that of an object's bucket; for a bucket itself the two canned ACLs for its owner mean nothing more. */
function aclOf(canned: CannedAcl, ownerId: string, bucketOwnerId: string = ownerId): Acl {
  const more: Record<CannedAcl, Grant[]> = {
    private: [],
    'public-read': [{ grantee: allUsers, permission: 'READ' }],
    'public-read-write': [
      { grantee: allUsers, permission: 'READ' },
      { grantee: allUsers, permission: 'WRITE' },
    ],
    'aws-exec-read': [{ grantee: imageService, permission: 'READ' }],
    'authenticated-read': [{ grantee: authenticatedUsers, permission: 'READ' }],
    'bucket-owner-read': bucketOwnerId === ownerId ? [] : [{ grantee: bucketOwnerId, permission: 'READ' }],
    'bucket-owner-full-control':
      bucketOwnerId === ownerId ? [] : [{ grantee: bucketOwnerId, permission: 'FULL_CONTROL' }],
    'log-delivery-write': [
      { grantee: logDelivery, permission: 'WRITE' },
      { grantee: logDelivery, permission: 'READ_ACP' },
    ],
  }
  return { ownerId, grants: [{ grantee: ownerId, permission: 'FULL_CONTROL' }, ...more[canned]] }
}

/** What a request says of the ACL that it wants. */
export type AclRequest = { canned: CannedAcl } | { grants: readonly Grant[] }

/** Throws `MalformedACLError`. */
export function aclFor(request: AclRequest, ownerId: string, bucketOwnerId: string): Acl {
  if ('canned' in request) return aclOf(request.canned, ownerId, bucketOwnerId)
  checkGrants(request.grants)
  return { ownerId, grants: request.grants }
}

/** Throws `MalformedACLError` when there are more grants than an ACL can have. */
function checkGrants(grants: readonly Grant[]): void {
  if (grants.length > grantsMax) {
    throw new KilnError('MalformedACLError', `An access control list can have at most ${grantsMax} grants.`)
  }
}

/** Whether the ACL lets the requester do that. Its owner may do everything. */
export function allows({ ownerId, grants }: Acl, requester: Requester, permission: Permission): boolean {
  if (requester === ownerId) return true
  const isAccount = requester !== anonymous
  return grants.some(
    (grant) =>
      (grant.permission === permission || grant.permission === 'FULL_CONTROL') &&
      (grant.grantee === requester ||
        grant.grantee === allUsers ||
        (isAccount && grant.grantee === authenticatedUsers)),
  )
}

export const writeAcl = ({ grants }: Acl): string => JSON.stringify(grants)

export const readAcl = (ownerId: string, text: string): Acl => ({ ownerId, grants: JSON.parse(text) as Grant[] })
