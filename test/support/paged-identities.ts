/** How IAM's paginators are run, and an account with two of everything that they list. */
import {
  AddRoleToInstanceProfileCommand,
  AddUserToGroupCommand,
  AttachGroupPolicyCommand,
  AttachRolePolicyCommand,
  AttachUserPolicyCommand,
  CreateAccessKeyCommand,
  CreateGroupCommand,
  CreateInstanceProfileCommand,
  CreatePolicyCommand,
  CreatePolicyVersionCommand,
  CreateRoleCommand,
  CreateUserCommand,
  type IAMClient,
  PutGroupPolicyCommand,
  PutRolePolicyCommand,
  PutUserPolicyCommand,
  UploadSigningCertificateCommand,
} from '@aws-sdk/client-iam'
import { newIdentity } from './bundles.ts'
import type { PagedList } from './paged-lists.ts'

const statement = { Effect: 'Allow', Action: 'ec2:*', Resource: '*' }
export const PolicyDocument = JSON.stringify({ Version: '2012-10-17', Statement: [statement] })
const trust = { Effect: 'Allow', Action: 'sts:AssumeRole', Principal: { Service: 'ec2.amazonaws.com' } }
export const AssumeRolePolicyDocument = JSON.stringify({ Version: '2012-10-17', Statement: [trust] })
const [first, second] = ['first', 'second']
const both = [first, second]
const Tags = both.map((Key) => ({ Key, Value: 'listed' }))

const single = { pageSize: 1 }
const of = (input: object): PagedList => ({ input, ...single })
const arnOf = (accountId: string) => `arn:aws:iam::${accountId}:policy/${first}`

export function identityLists(accountId: string): Readonly<Record<string, PagedList>> {
  const [user, group, role] = [of({ UserName: first }), of({ GroupName: first }), of({ RoleName: first })]
  const [policy, profile] = [of({ PolicyArn: arnOf(accountId) }), of({ InstanceProfileName: first })]
  return {
    'iam.GetGroup': group,
    'iam.ListAccessKeys': user,
    'iam.ListAccountAliases': { onePage: 'an account has one at most' },
    'iam.ListAttachedGroupPolicies': group,
    'iam.ListAttachedRolePolicies': role,
    'iam.ListAttachedUserPolicies': user,
    'iam.ListEntitiesForPolicy': policy,
    'iam.ListGroupPolicies': group,
    'iam.ListGroups': single,
    'iam.ListGroupsForUser': user,
    'iam.ListInstanceProfiles': single,
    'iam.ListInstanceProfilesForRole': role,
    'iam.ListInstanceProfileTags': profile,
    'iam.ListMFADevices': { ...user, onePage: 'there are none' },
    'iam.ListPolicies': of({ Scope: 'Local' }),
    'iam.ListPolicyTags': policy,
    'iam.ListPolicyVersions': policy,
    'iam.ListRolePolicies': role,
    'iam.ListRoles': single,
    'iam.ListRoleTags': role,
    'iam.ListSigningCertificates': user,
    'iam.ListSSHPublicKeys': { ...user, onePage: 'there are none' },
    'iam.ListVirtualMFADevices': { onePage: 'there are none' },
    'iam.ListUserPolicies': user,
    'iam.ListUsers': single,
    'iam.ListUserTags': user,
  }
}

/** The name of an instance profile with a role. */
export async function fillIdentities(iam: IAMClient, accountId: string): Promise<string> {
  for (const name of both) {
    const [UserName, GroupName, RoleName, InstanceProfileName, PolicyName] = [name, name, name, name, name]
    await iam.send(new CreatePolicyCommand({ PolicyName, PolicyDocument, Tags }))
    await iam.send(new CreateUserCommand({ UserName, Tags }))
    await iam.send(new CreateGroupCommand({ GroupName }))
    await iam.send(new CreateRoleCommand({ RoleName, AssumeRolePolicyDocument, Tags }))
    await iam.send(new CreateInstanceProfileCommand({ InstanceProfileName, Tags }))
    await iam.send(new AddRoleToInstanceProfileCommand({ InstanceProfileName, RoleName: first }))
  }
  for (const name of both) {
    const [PolicyName, PolicyArn] = [name, arnOf(accountId).replace(first, name)]
    const inline = { PolicyName, PolicyDocument }
    await iam.send(new PutUserPolicyCommand({ UserName: first, ...inline }))
    await iam.send(new PutGroupPolicyCommand({ GroupName: first, ...inline }))
    await iam.send(new PutRolePolicyCommand({ RoleName: first, ...inline }))
    await iam.send(new AttachUserPolicyCommand({ UserName: first, PolicyArn }))
    await iam.send(new AttachGroupPolicyCommand({ GroupName: first, PolicyArn }))
    await iam.send(new AttachRolePolicyCommand({ RoleName: first, PolicyArn }))
    await iam.send(new CreateAccessKeyCommand({ UserName: first }))
    const { certificate } = await newIdentity(name === first ? '01' : '02')
    await iam.send(new UploadSigningCertificateCommand({ UserName: first, CertificateBody: certificate }))
    await iam.send(new AddUserToGroupCommand({ UserName: first, GroupName: name }))
  }
  await iam.send(new AddUserToGroupCommand({ UserName: second, GroupName: first }))
  await iam.send(new CreatePolicyVersionCommand({ PolicyArn: arnOf(accountId), PolicyDocument }))
  return first
}
