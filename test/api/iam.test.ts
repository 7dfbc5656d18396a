/** IAM through its official client: users, roles, instance profiles, policies, and what refuses to go. */
import * as sdk from '@aws-sdk/client-iam'
import { beforeAll, describe, expect, test } from 'vitest'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'

const served = useServedCloud()
const account = '100000000001'
let iam: sdk.IAMClient
beforeAll(() => {
  iam = served().iam(account)
})

const trust = (principal: object | string, more: object = {}) =>
  JSON.stringify({
    Version: '2012-10-17',
    Statement: [{ Effect: 'Allow', Principal: principal, Action: 'sts:AssumeRole', ...more }],
  })
const forInstances = trust({ Service: 'ec2.amazonaws.com' })
const permission = (action: string) =>
  JSON.stringify({ Version: '2012-10-17', Statement: { Effect: 'Allow', Action: action, Resource: '*' } })
const arn = (rest: string) => `arn:aws:iam::${account}:${rest}`

test('a user has a path, tags, keys and an end', async () => {
  const made = await iam.send(
    new sdk.CreateUserCommand({ UserName: 'Ann', Path: '/dev/', Tags: [{ Key: 'team', Value: 'a b' }] }),
  )
  expect(made.User).toMatchObject({ Path: '/dev/', Arn: arn('user/dev/Ann'), Tags: [{ Key: 'team', Value: 'a b' }] })
  expect(made.User!.UserId).toMatch(/^AIDA[A-Z2-7]{17}$/)
  expect((await iam.send(new sdk.GetUserCommand({ UserName: 'ann' }))).User).toEqual(made.User)
  await expectRefusal(iam.send(new sdk.CreateUserCommand({ UserName: 'ANN' })), 'EntityAlreadyExistsException', 'ANN')

  const { AccessKey: key } = await iam.send(new sdk.CreateAccessKeyCommand({ UserName: 'Ann' }))
  expect(key).toMatchObject({ UserName: 'Ann', Status: 'Active' })
  await iam.send(new sdk.CreateAccessKeyCommand({ UserName: 'Ann' }))
  await expectRefusal(
    iam.send(new sdk.CreateAccessKeyCommand({ UserName: 'Ann' })),
    'LimitExceededException',
    'AccessKeysPerUser: 2',
  )
  await iam.send(new sdk.UpdateAccessKeyCommand({ AccessKeyId: key!.AccessKeyId, Status: 'Inactive' }))
  const { AccessKeyMetadata: keys } = await iam.send(new sdk.ListAccessKeysCommand({ UserName: 'Ann' }))
  expect(keys!.map(({ Status: status }) => status).sort()).toEqual(['Active', 'Inactive'])
  await expectRefusal(
    iam.send(new sdk.DeleteUserCommand({ UserName: 'Ann' })),
    'DeleteConflictException',
    'access keys',
  )
  for (const { AccessKeyId } of keys!) {
    await iam.send(new sdk.DeleteAccessKeyCommand({ UserName: 'Ann', AccessKeyId }))
  }

  // What `force_destroy` of Terraform looks for.
  const password = iam.send(new sdk.DeleteLoginProfileCommand({ UserName: 'Ann' }))
  await expectRefusal(password, 'NoSuchEntityException', 'Login Profile for User Ann')
  expect((await iam.send(new sdk.ListVirtualMFADevicesCommand({}))).VirtualMFADevices).toEqual([])

  await iam.send(new sdk.UpdateUserCommand({ UserName: 'Ann', NewUserName: 'Anna', NewPath: '/' }))
  await iam.send(new sdk.UntagUserCommand({ UserName: 'Anna', TagKeys: ['team'] }))
  expect((await iam.send(new sdk.ListUserTagsCommand({ UserName: 'Anna' }))).Tags).toEqual([])
  await iam.send(new sdk.DeleteUserCommand({ UserName: 'Anna' }))
  await expectRefusal(iam.send(new sdk.GetUserCommand({ UserName: 'Anna' })), 'NoSuchEntityException', 'Anna')
})

test('the account itself is a user without a name', async () => {
  const { User: root } = await iam.send(new sdk.GetUserCommand({}))
  expect(root).toMatchObject({ UserId: account, Arn: arn('root') })
})

test('lists come in pages, below a path, and are each account’s own', async () => {
  for (const name of ['a', 'b', 'c']) await iam.send(new sdk.CreateUserCommand({ UserName: name, Path: '/paged/' }))
  const pages: string[][] = []
  for await (const page of sdk.paginateListUsers({ client: iam, pageSize: 2 }, { PathPrefix: '/paged/' })) {
    pages.push(page.Users!.map((user) => user.UserName!))
  }
  expect(pages.map((page) => page.length)).toEqual([2, 1])
  expect(pages.flat().sort()).toEqual(['a', 'b', 'c'])
  const other = served().iam('100000000002')
  expect((await other.send(new sdk.ListUsersCommand({}))).Users).toEqual([])
  await expectRefusal(other.send(new sdk.GetUserCommand({ UserName: 'a' })), 'NoSuchEntityException', 'name a')
  const { Marker: marker } = await iam.send(new sdk.ListUsersCommand({ MaxItems: 1 }))
  await expectRefusal(other.send(new sdk.ListUsersCommand({ Marker: marker })), 'ValidationError', 'Marker')
  await expectRefusal(iam.send(new sdk.ListUsersCommand({ MaxItems: 1001 })), 'ValidationError', 'maxItems')
})

describe('roles and instance profiles', () => {
  test('a role is trusted, described, put into a profile, and goes when nothing holds it', async () => {
    const made = await iam.send(
      new sdk.CreateRoleCommand({
        RoleName: 'web',
        Path: '/svc/',
        Description: 'serves',
        MaxSessionDuration: 7200,
        AssumeRolePolicyDocument: forInstances,
        Tags: [{ Key: 'k', Value: '' }],
      }),
    )
    expect(made.Role).toMatchObject({ Arn: arn('role/svc/web'), MaxSessionDuration: 7200, Description: 'serves' })
    const { Role: role } = await iam.send(new sdk.GetRoleCommand({ RoleName: 'web' }))
    expect(decodeURIComponent(role!.AssumeRolePolicyDocument!)).toBe(forInstances)
    expect(role).toMatchObject({ Tags: [{ Key: 'k', Value: '' }] })

    const { InstanceProfile: profile } = await iam.send(
      new sdk.CreateInstanceProfileCommand({ InstanceProfileName: 'web', Tags: [{ Key: 'p', Value: '1' }] }),
    )
    expect(profile).toMatchObject({ Arn: arn('instance-profile/web'), Roles: [] })
    await iam.send(new sdk.AddRoleToInstanceProfileCommand({ InstanceProfileName: 'web', RoleName: 'web' }))
    await expectRefusal(
      iam.send(new sdk.AddRoleToInstanceProfileCommand({ InstanceProfileName: 'web', RoleName: 'web' })),
      'LimitExceededException',
      'InstanceSessionsPerInstanceProfile: 1',
    )
    const { InstanceProfiles: listed } = await iam.send(new sdk.ListInstanceProfilesForRoleCommand({ RoleName: 'web' }))
    expect(listed).toMatchObject([{ InstanceProfileName: 'web', Roles: [{ RoleName: 'web' }] }])

    await iam.send(
      new sdk.PutRolePolicyCommand({ RoleName: 'web', PolicyName: 'read', PolicyDocument: permission('s3:Get*') }),
    )
    await iam.send(
      new sdk.AttachRolePolicyCommand({ RoleName: 'web', PolicyArn: 'arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess' }),
    )
    const remove = () => iam.send(new sdk.DeleteRoleCommand({ RoleName: 'web' }))
    await expectRefusal(remove(), 'DeleteConflictException', 'remove roles from instance profile')
    await expectRefusal(
      iam.send(new sdk.DeleteInstanceProfileCommand({ InstanceProfileName: 'web' })),
      'DeleteConflictException',
      'remove roles from instance profile',
    )
    await iam.send(new sdk.RemoveRoleFromInstanceProfileCommand({ InstanceProfileName: 'web', RoleName: 'web' }))
    await expectRefusal(remove(), 'DeleteConflictException', 'detach all policies')
    const { AttachedPolicies: attached } = await iam.send(new sdk.ListAttachedRolePoliciesCommand({ RoleName: 'web' }))
    await iam.send(new sdk.DetachRolePolicyCommand({ RoleName: 'web', PolicyArn: attached![0]!.PolicyArn }))
    await expectRefusal(remove(), 'DeleteConflictException', 'delete policies')
    const policy = await iam.send(new sdk.GetRolePolicyCommand({ RoleName: 'web', PolicyName: 'read' }))
    expect(decodeURIComponent(policy.PolicyDocument!)).toBe(permission('s3:Get*'))
    expect((await iam.send(new sdk.ListRolePoliciesCommand({ RoleName: 'web' }))).PolicyNames).toEqual(['read'])
    await iam.send(new sdk.DeleteRolePolicyCommand({ RoleName: 'web', PolicyName: 'read' }))
    await remove()
    await iam.send(new sdk.DeleteInstanceProfileCommand({ InstanceProfileName: 'web' }))
    const { InstanceProfiles: left } = await iam.send(new sdk.ListInstanceProfilesCommand({}))
    expect(left).toEqual([])
  })

  test('a role can be changed', async () => {
    await iam.send(new sdk.CreateRoleCommand({ RoleName: 'changing', AssumeRolePolicyDocument: forInstances }))
    await iam.send(new sdk.UpdateRoleCommand({ RoleName: 'changing', Description: 'new', MaxSessionDuration: 43_200 }))
    const everybody = trust('*')
    await iam.send(new sdk.UpdateAssumeRolePolicyCommand({ RoleName: 'changing', PolicyDocument: everybody }))
    const { Role: role } = await iam.send(new sdk.GetRoleCommand({ RoleName: 'changing' }))
    expect(role).toMatchObject({ Description: 'new', MaxSessionDuration: 43_200 })
    expect(decodeURIComponent(role!.AssumeRolePolicyDocument!)).toBe(everybody)
    await expectRefusal(
      iam.send(new sdk.UpdateRoleCommand({ RoleName: 'changing', MaxSessionDuration: 60 })),
      'ValidationError',
      'maxSessionDuration',
    )
  })

  test.each<[document: string, named: string]>([
    ['', 'AssumeRolePolicyDocument'],
    ['{', 'invalid Json'],
    ['[]', 'Syntax'],
    ['{"Version":"2012-10-17"}', 'Syntax'],
    ['{"Version":"2020-01-01","Statement":[]}', 'version'],
    [trust({ AWS: 'nobody' }), 'Invalid principal in policy: "AWS":"nobody"'],
    [trust({ Service: 'ec2' }), '"SERVICE":"ec2"'],
    [trust('*', { Resource: '*' }), 'Has prohibited field Resource'],
    [trust('*', { Action: 's3:GetObject' }), 'AssumeRole policy may only specify STS'],
    [trust('*', { Effect: 'Perhaps' }), 'Syntax'],
    [trust('*', { Conditions: {} }), 'Syntax'],
    [trust('*', { Condition: { StringMatches: { a: 'b' } } }), 'Invalid Condition type'],
    [trust('*').replace('"Principal":"*",', ''), 'Missing required field Principal'],
  ])('a trust policy is read: %s', async (document, named) => {
    const request = iam.send(new sdk.CreateRoleCommand({ RoleName: 'bad', AssumeRolePolicyDocument: document }))
    await expectRefusal(request, 'MalformedPolicyDocumentException', named === 'AssumeRolePolicyDocument' ? '' : named)
  })
})

describe('managed policies', () => {
  test('have up to five versions, one of which counts', async () => {
    const { Policy: policy } = await iam.send(
      new sdk.CreatePolicyCommand({
        PolicyName: 'own',
        PolicyDocument: permission('ec2:Describe*'),
        Description: 'reads',
        Tags: [{ Key: 'x', Value: 'y' }],
      }),
    )
    const PolicyArn = policy!.Arn!
    expect(policy).toMatchObject({ Arn: arn('policy/own'), DefaultVersionId: 'v1', AttachmentCount: 0 })
    const version = (SetAsDefault: boolean) =>
      iam.send(new sdk.CreatePolicyVersionCommand({ PolicyArn, PolicyDocument: permission('ec2:*'), SetAsDefault }))
    expect((await version(true)).PolicyVersion).toMatchObject({ VersionId: 'v2', IsDefaultVersion: true })
    for (let count = 3; count <= 5; count++) await version(false)
    await expectRefusal(version(false), 'LimitExceededException', 'up to 5 versions')
    await expectRefusal(
      iam.send(new sdk.DeletePolicyVersionCommand({ PolicyArn, VersionId: 'v2' })),
      'DeleteConflictException',
      'default version',
    )
    await iam.send(new sdk.DeletePolicyVersionCommand({ PolicyArn, VersionId: 'v5' }))
    expect((await version(false)).PolicyVersion!.VersionId).toBe('v6')
    await iam.send(new sdk.SetDefaultPolicyVersionCommand({ PolicyArn, VersionId: 'v1' }))
    const { PolicyVersion: first } = await iam.send(new sdk.GetPolicyVersionCommand({ PolicyArn, VersionId: 'v1' }))
    expect(first).toMatchObject({
      IsDefaultVersion: true,
      Document: encodeURIComponent(permission('ec2:Describe*')).replaceAll('*', '%2A'),
    })
    await expectRefusal(
      iam.send(new sdk.DeletePolicyCommand({ PolicyArn })),
      'DeleteConflictException',
      'more than one version',
    )
    const { Versions: versions } = await iam.send(new sdk.ListPolicyVersionsCommand({ PolicyArn }))
    for (const { VersionId, IsDefaultVersion: isDefault } of versions!) {
      if (!isDefault) await iam.send(new sdk.DeletePolicyVersionCommand({ PolicyArn, VersionId }))
    }
    const { Policy: whole } = await iam.send(new sdk.GetPolicyCommand({ PolicyArn }))
    expect(whole).toMatchObject({ Description: 'reads', Tags: [{ Key: 'x', Value: 'y' }] })
    await iam.send(new sdk.DeletePolicyCommand({ PolicyArn }))
    await expectRefusal(iam.send(new sdk.GetPolicyCommand({ PolicyArn })), 'NoSuchEntityException', PolicyArn)
  })

  test('are attached to users, groups and roles, and stay as long as they are', async () => {
    const { Policy: policy } = await iam.send(
      new sdk.CreatePolicyCommand({ PolicyName: 'shared', PolicyDocument: permission('s3:*') }),
    )
    const PolicyArn = policy!.Arn!
    await iam.send(new sdk.CreateUserCommand({ UserName: 'holder', PermissionsBoundary: PolicyArn }))
    await iam.send(new sdk.CreateGroupCommand({ GroupName: 'holders' }))
    await iam.send(new sdk.AttachUserPolicyCommand({ UserName: 'holder', PolicyArn }))
    await iam.send(new sdk.AttachGroupPolicyCommand({ GroupName: 'holders', PolicyArn }))
    const entities: string[] = []
    for await (const page of sdk.paginateListEntitiesForPolicy({ client: iam, pageSize: 1 }, { PolicyArn })) {
      entities.push(
        ...page.PolicyUsers!.map((each) => each.UserName!),
        ...page.PolicyGroups!.map((each) => each.GroupName!),
      )
    }
    expect(entities).toEqual(['holders', 'holder'])
    const listed = async (more: Partial<sdk.ListPoliciesCommandInput>) =>
      (await iam.send(new sdk.ListPoliciesCommand(more))).Policies!.map((each) => each.PolicyName)
    expect(await listed({ Scope: 'Local', OnlyAttached: true })).toEqual(['shared'])
    expect(await listed({ PolicyUsageFilter: 'PermissionsBoundary' })).toEqual(['shared'])
    await expectRefusal(iam.send(new sdk.DeletePolicyCommand({ PolicyArn })), 'DeleteConflictException', 'attached')
    await iam.send(new sdk.DetachUserPolicyCommand({ UserName: 'holder', PolicyArn }))
    await expectRefusal(
      iam.send(new sdk.DetachUserPolicyCommand({ UserName: 'holder', PolicyArn })),
      'NoSuchEntityException',
      PolicyArn,
    )
    await iam.send(new sdk.DetachGroupPolicyCommand({ GroupName: 'holders', PolicyArn }))
    await iam.send(new sdk.DeleteUserPermissionsBoundaryCommand({ UserName: 'holder' }))
    await iam.send(new sdk.DeletePolicyCommand({ PolicyArn }))
  })

  test('some are AWS’s, and nobody’s to change', async () => {
    const names: string[] = []
    for await (const page of sdk.paginateListPolicies({ client: iam, pageSize: 2 }, { Scope: 'AWS' })) {
      names.push(...page.Policies!.map((policy) => policy.PolicyName!))
    }
    expect(names).toContain('AmazonSSMManagedInstanceCore')
    expect(new Set(names).size).toBe(names.length)
    for (const name of names) {
      const PolicyArn = `arn:aws:iam::aws:policy/${name}`
      const { Policy: policy } = await iam.send(new sdk.GetPolicyCommand({ PolicyArn }))
      const { PolicyVersion: version } = await iam.send(
        new sdk.GetPolicyVersionCommand({ PolicyArn, VersionId: policy!.DefaultVersionId }),
      )
      expect(JSON.parse(decodeURIComponent(version!.Document!))).toMatchObject({ Version: '2012-10-17' })
    }
    const nothing = { PolicyArn: 'arn:aws:iam::aws:policy/AmazonNothing' }
    await expectRefusal(iam.send(new sdk.GetPolicyCommand(nothing)), 'NoSuchEntityException', 'AmazonNothing')
  })

  test.each<[document: string, named: string]>([
    ['nonsense', 'invalid Json'],
    [JSON.stringify({ Statement: { Effect: 'Allow', Action: 's3:*' } }), 'must contain resources'],
    [JSON.stringify({ Statement: { Effect: 'Allow', Resource: '*' } }), 'must contain actions'],
    [permission('everything'), 'prefaced by a vendor'],
    [JSON.stringify({ Statement: { Effect: 'Allow', Action: 's3:*', Resource: 'bucket' } }), 'ARN format'],
    [JSON.stringify({ Statement: { Effect: 'Allow', Action: '*', Resource: '*', Principal: '*' } }), 'principal'],
  ])('are read: %s', async (document, named) => {
    const request = iam.send(new sdk.CreatePolicyCommand({ PolicyName: 'bad', PolicyDocument: document }))
    await expectRefusal(request, 'MalformedPolicyDocumentException', named)
  })
})

test('groups have users, and go when they have none', async () => {
  await iam.send(new sdk.CreateGroupCommand({ GroupName: 'crew', Path: '/c/' }))
  await iam.send(new sdk.CreateUserCommand({ UserName: 'bob' }))
  await iam.send(new sdk.AddUserToGroupCommand({ GroupName: 'crew', UserName: 'bob' }))
  await iam.send(new sdk.AddUserToGroupCommand({ GroupName: 'crew', UserName: 'bob' }))
  const group = await iam.send(new sdk.GetGroupCommand({ GroupName: 'crew' }))
  expect([group.Group!.Arn, group.Users!.map((user) => user.UserName)]).toEqual([arn('group/c/crew'), ['bob']])
  const { Groups: groups } = await iam.send(new sdk.ListGroupsForUserCommand({ UserName: 'bob' }))
  expect(groups!.map((each) => each.GroupName)).toEqual(['crew'])
  const remove = iam.send(new sdk.DeleteGroupCommand({ GroupName: 'crew' }))
  await expectRefusal(remove, 'DeleteConflictException', 'remove users from group')
  await expectRefusal(iam.send(new sdk.DeleteUserCommand({ UserName: 'bob' })), 'DeleteConflictException', 'group')
  await iam.send(new sdk.RemoveUserFromGroupCommand({ GroupName: 'crew', UserName: 'bob' }))
  await iam.send(new sdk.DeleteGroupCommand({ GroupName: 'crew' }))
  await iam.send(new sdk.DeleteUserCommand({ UserName: 'bob' }))
})

test('an account has one alias, which no other has, and a summary', async () => {
  const first = served().iam('100000000003')
  const second = served().iam('100000000004')
  await first.send(new sdk.CreateAccountAliasCommand({ AccountAlias: 'first-one' }))
  await first.send(new sdk.CreateAccountAliasCommand({ AccountAlias: 'the-one' }))
  expect((await first.send(new sdk.ListAccountAliasesCommand({}))).AccountAliases).toEqual(['the-one'])
  const taken = second.send(new sdk.CreateAccountAliasCommand({ AccountAlias: 'the-one' }))
  await expectRefusal(taken, 'EntityAlreadyExistsException', 'the-one')
  await second.send(new sdk.CreateAccountAliasCommand({ AccountAlias: 'first-one' }))
  const gone = second.send(new sdk.DeleteAccountAliasCommand({ AccountAlias: 'the-one' }))
  await expectRefusal(gone, 'NoSuchEntityException', 'the-one')
  await first.send(new sdk.CreateUserCommand({ UserName: 'u' }))
  const { SummaryMap: summary } = await first.send(new sdk.GetAccountSummaryCommand({}))
  expect(summary).toMatchObject({ Users: 1, Roles: 0, UsersQuota: 5000 })
})

test('a bad parameter is named, and an operation that is not served says so', async () => {
  await expectRefusal(iam.send(new sdk.CreateUserCommand({ UserName: 'a b' })), 'ValidationError', 'name')
  await expectRefusal(iam.send(new sdk.CreateUserCommand({ UserName: 'x', Path: 'y' })), 'ValidationError', 'path')
  await expectRefusal(iam.send(new sdk.CreateUserCommand({} as never)), 'ValidationError', 'UserName')
  const reserved = { UserName: 'x', Tags: [{ Key: 'aws:x', Value: '' }] }
  await expectRefusal(iam.send(new sdk.CreateUserCommand(reserved)), 'InvalidInputException', 'aws:x')
  await expectRefusal(iam.send(new sdk.ListServerCertificatesCommand({})), 'UnsupportedOperation', 'ListServerCert')
})
