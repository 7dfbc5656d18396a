/**
 * ACLs as S3 writes them. Every account has a canonical user id of 64 hexadecimal digits, from which its number can be
 * read again. Source: "Access control list (ACL) overview" in the S3 user guide.
 */
import { createHash } from 'node:crypto'
import {
  type Acl,
  type AclRequest,
  allUsers,
  authenticatedUsers,
  type Grant,
  type Grantee,
  imageService,
  isCannedAcl,
  logDelivery,
  type Permission,
} from '../../cloud/buckets/acl.ts'
import { KilnError } from '../../lib/errors.ts'
import { element, escapeXml, textElement } from '../xml-writer.ts'
import { invalidArgument } from './errors.ts'
import { childrenOf, parseXml, textOf, type XmlTree } from './xml.ts'

const groups: Readonly<Record<Grantee, string>> = {
  [allUsers]: 'http://acs.amazonaws.com/groups/global/AllUsers',
  [authenticatedUsers]: 'http://acs.amazonaws.com/groups/global/AuthenticatedUsers',
  [logDelivery]: 'http://acs.amazonaws.com/groups/s3/LogDelivery',
}
/** S3's own name for EC2's image service, which the canned ACL `aws-exec-read` grants to. */
const imageServiceId = '6aa5a366c34c1cbe25dc49211496e913e0351eb0e8c37aa3477e40942ec6b97c'

const permissions: readonly string[] = ['READ', 'WRITE', 'READ_ACP', 'WRITE_ACP', 'FULL_CONTROL'] satisfies Permission[]
const grantHeaders: Readonly<Record<string, Permission>> = {
  'x-amz-grant-read': 'READ',
  'x-amz-grant-write': 'WRITE',
  'x-amz-grant-read-acp': 'READ_ACP',
  'x-amz-grant-write-acp': 'WRITE_ACP',
  'x-amz-grant-full-control': 'FULL_CONTROL',
}

export function canonicalId(accountId: string): string {
  const digest = createHash('sha256').update(`kiln account ${accountId}`).digest('hex')
  return digest.slice(0, 40) + Buffer.from(accountId, 'latin1').toString('hex')
}

/** Undefined when the id is no account's. */
function accountOf(id: string): string | undefined {
  const accountId = Buffer.from(id.slice(40), 'hex').toString('latin1')
  return /^\d{12}$/.test(accountId) && canonicalId(accountId) === id.toLowerCase() ? accountId : undefined
}

/** What headers say of an ACL; undefined when they say nothing. Throws `InvalidArgument`, `InvalidRequest`. */
export function requestedAcl(headers: ReadonlyMap<string, string>): AclRequest | undefined {
  const canned = headers.get('x-amz-acl')
  const grants = Object.entries(grantHeaders).flatMap(([name, permission]) =>
    granteesOf(headers.get(name) ?? '').map((grantee): Grant => ({ grantee, permission })),
  )
  if (canned !== undefined && grants.length > 0) {
    throw new KilnError('InvalidRequest', 'Specifying both Canned ACLs and Header Grants is not allowed')
  }
  if (grants.length > 0) return { grants }
  if (canned === undefined) return undefined
  if (isCannedAcl(canned)) return { canned }
  throw invalidArgument(`x-amz-acl '${canned.slice(0, 64)}' is no canned ACL.`)
}

/** `id="…", uri="…"` */
function granteesOf(text: string): Grantee[] {
  return text
    .split(',')
    .filter((part) => part.trim() !== '')
    .map((part) => {
      const form = /^\s*(id|uri|emailAddress)\s*=\s*"?([^"]*)"?\s*$/i.exec(part)
      if (!form) throw invalidArgument(`A grant must have the form id="…" or uri="…", and is '${part.slice(0, 64)}'.`)
      return granteeOf(form[1]!.toLowerCase(), form[2]!)
    })
}

function granteeOf(kind: string, value: string): Grantee {
  if (kind === 'uri') {
    const group = Object.entries(groups).find(([, uri]) => uri === value)?.[0]
    if (group !== undefined) return group
    throw invalidArgument(`Invalid group uri: '${value.slice(0, 128)}'.`)
  }
  if (kind === 'id') {
    // The number of an account names it as well as its canonical id.
    const account = /^\d{12}$/.test(value) ? value : value === imageServiceId ? imageService : accountOf(value)
    if (account !== undefined) return account
    throw invalidArgument(`Invalid id: '${value.slice(0, 128)}' is no canonical user id of an account.`)
  }
  throw new KilnError('UnresolvableGrantByEmailAddress', 'The email address you provided does not match any account.')
}

/** Throws `MalformedXML`, `MalformedACLError`, `InvalidArgument`. */
export function aclOfXml(body: Buffer): AclRequest {
  const [list] = childrenOf(parseXml(body, 'AccessControlPolicy'), 'AccessControlList')
  const grants = (list ? childrenOf(list, 'Grant') : []).map((grant): Grant => {
    const permission = textOf(grant, 'Permission') ?? ''
    const [grantee] = childrenOf(grant, 'Grantee')
    if (!grantee || !permissions.includes(permission)) {
      throw new KilnError('MalformedACLError', 'A grant needs a Grantee, and a Permission that S3 knows.')
    }
    return { grantee: granteeOfXml(grantee), permission: permission as Permission }
  })
  return { grants }
}

function granteeOfXml(grantee: XmlTree): Grantee {
  const [id, uri] = [textOf(grantee, 'ID'), textOf(grantee, 'URI')]
  if (id !== undefined) return granteeOf('id', id)
  return uri === undefined ? granteeOf('email', '') : granteeOf('uri', uri)
}

export function aclXml({ ownerId, grants }: Acl): string[] {
  return [ownerXml(ownerId), element('AccessControlList', ...grants.map(grantXml))]
}

export function ownerXml(accountId: string, name = 'Owner'): string {
  return element(name, ...userXml(accountId))
}

function userXml(grantee: Grantee): string[] {
  const id = grantee === imageService ? imageServiceId : canonicalId(grantee)
  return [textElement('ID', id), textElement('DisplayName', grantee === imageService ? 'za-team' : grantee)]
}

function grantXml({ grantee, permission }: Grant): string {
  const uri = groups[grantee]
  const type = uri === undefined ? 'CanonicalUser' : 'Group'
  const inner = uri === undefined ? userXml(grantee).join('') : textElement('URI', uri)
  const schema = escapeXml('http://www.w3.org/2001/XMLSchema-instance')
  const granteeXml = `<Grantee xmlns:xsi="${schema}" xsi:type="${type}">${inner}</Grantee>`
  return element('Grant', granteeXml, textElement('Permission', permission))
}
