/** STS through its official client, on a cloud that verifies signatures: whose the credentials are, and for how long. */
import { DescribeVpcsCommand } from '@aws-sdk/client-ec2'
import * as iam from '@aws-sdk/client-iam'
import { ListBucketsCommand } from '@aws-sdk/client-s3'
import * as sdk from '@aws-sdk/client-sts'
import { beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../src/lib/clock.ts'
import { type Credentials, expectRefusal, useServedCloud } from '../support/served-cloud.ts'

let aheadMs = 0
const clock = { ...systemClock, now: () => systemClock.now() + aheadMs }
const served = useServedCloud({ auth: 'verify', clock })
const account = '200000000001'
const other = '200000000002'
let root: Credentials
let stranger: Credentials
let ann: Credentials
let annArn: string

beforeAll(async () => {
  root = await served().accountKey(account)
  stranger = await served().accountKey(other)
  const client = served().iam(root)
  annArn = (await client.send(new iam.CreateUserCommand({ UserName: 'ann', Path: '/dev/' }))).User!.Arn!
  const { AccessKey: key } = await client.send(new iam.CreateAccessKeyCommand({ UserName: 'ann' }))
  ann = { accessKeyId: key!.AccessKeyId!, secretAccessKey: key!.SecretAccessKey! }
})

async function role(name: string, statement: object, more: Partial<iam.CreateRoleCommandInput> = {}): Promise<string> {
  const document = JSON.stringify({
    Version: '2012-10-17',
    Statement: { Effect: 'Allow', Action: 'sts:AssumeRole', ...statement },
  })
  const made = await served()
    .iam(root)
    .send(new iam.CreateRoleCommand({ RoleName: name, AssumeRolePolicyDocument: document, ...more }))
  return made.Role!.Arn!
}

async function assume(who: Credentials, RoleArn: string, more: Partial<sdk.AssumeRoleCommandInput> = {}) {
  return await served()
    .sts(who)
    .send(new sdk.AssumeRoleCommand({ RoleArn, RoleSessionName: 'test', ...more }))
}

const asClient = ({ AccessKeyId, SecretAccessKey, SessionToken }: sdk.Credentials): Credentials => ({
  ...{ accessKeyId: AccessKeyId!, secretAccessKey: SecretAccessKey!, sessionToken: SessionToken! },
})

const whoIs = async (who: Credentials) => {
  const { Arn, UserId, Account } = await served().sts(who).send(new sdk.GetCallerIdentityCommand({}))
  return { Arn, UserId, Account }
}

test('an account, a user, a role’s session and a federated user are told apart', async () => {
  expect(await whoIs(root)).toEqual({ Arn: `arn:aws:iam::${account}:root`, UserId: account, Account: account })
  const { User: user } = await served().iam(ann).send(new iam.GetUserCommand({}))
  expect(user!.UserName).toBe('ann')
  expect(await whoIs(ann)).toEqual({ Arn: annArn, UserId: user!.UserId, Account: account })

  const RoleArn = await role('deploy', { Principal: { AWS: account } }, { Path: '/ci/' })
  const assumed = await assume(ann, RoleArn, { SourceIdentity: undefined })
  const { RoleId: roleId } = (
    await served()
      .iam(root)
      .send(new iam.GetRoleCommand({ RoleName: 'deploy' }))
  ).Role!
  const session = { Arn: `arn:aws:sts::${account}:assumed-role/deploy/test`, UserId: `${roleId}:test` }
  expect(assumed.AssumedRoleUser).toEqual({ Arn: session.Arn, AssumedRoleId: session.UserId })
  expect(await whoIs(asClient(assumed.Credentials!))).toEqual({ ...session, Account: account })

  const token = await served().sts(ann).send(new sdk.GetSessionTokenCommand({}))
  expect((await whoIs(asClient(token.Credentials!))).Arn).toBe(annArn)
  const federated = await served()
    .sts(ann)
    .send(new sdk.GetFederationTokenCommand({ Name: 'guest' }))
  expect(await whoIs(asClient(federated.Credentials!))).toEqual({
    ...{ Arn: `arn:aws:sts::${account}:federated-user/guest`, UserId: `${account}:guest`, Account: account },
  })
})

test('the credentials are good for every service, in every region, and for their own account alone', async () => {
  const RoleArn = await role('worker', { Principal: { AWS: annArn } })
  const session = asClient((await assume(ann, RoleArn)).Credentials!)
  const { Vpcs: vpcs } = await served().client(session, 'eu-central-1').send(new DescribeVpcsCommand({}))
  expect(vpcs!.map((vpc) => vpc.OwnerId)).toEqual([account])
  expect((await served().s3(session).send(new ListBucketsCommand({}))).Buckets ?? []).toEqual([])
  expect((await served().iam(session).send(new iam.ListUsersCommand({}))).Users!.length).toBe(1)
  const { Role: used } = await served()
    .iam(root)
    .send(new iam.GetRoleCommand({ RoleName: 'worker' }))
  expect(used!.RoleLastUsed!.Region).toBe('eu-central-1')
  const last = await served()
    .iam(root)
    .send(new iam.GetAccessKeyLastUsedCommand({ AccessKeyId: ann.accessKeyId }))
  expect([last.UserName, last.AccessKeyLastUsed!.ServiceName]).toEqual(['ann', 'sts'])
})

describe('the signature is of the secret, and the token of the key', () => {
  test.each<[what: string, change: (session: Credentials) => Credentials, code: string]>([
    ['another secret', (session) => ({ ...session, secretAccessKey: 'x' }), 'SignatureDoesNotMatch'],
    ['no token', ({ accessKeyId, secretAccessKey }) => ({ accessKeyId, secretAccessKey }), 'InvalidClientTokenId'],
    [
      'a changed token',
      (session) => ({ ...session, sessionToken: session.sessionToken!.replace(/.{8}$/, 'AAAAAAAA') }),
      'InvalidClientTokenId',
    ],
    ['another key', (session) => ({ ...session, accessKeyId: `ASIA${'A'.repeat(16)}` }), 'InvalidClientTokenId'],
  ])('%s is refused', async (_, change, code) => {
    const { Credentials: given } = await served().sts(ann).send(new sdk.GetSessionTokenCommand({}))
    await expectRefusal(whoIs(change(asClient(given!))), code, '')
  })

  test('a key that is switched off, and one whose user is gone, are nobody’s', async () => {
    const client = served().iam(root)
    await client.send(new iam.CreateUserCommand({ UserName: 'gone' }))
    const { AccessKey: key } = await client.send(new iam.CreateAccessKeyCommand({ UserName: 'gone' }))
    const gone = { accessKeyId: key!.AccessKeyId!, secretAccessKey: key!.SecretAccessKey! }
    const session = asClient((await served().sts(gone).send(new sdk.GetSessionTokenCommand({}))).Credentials!)
    const change = { UserName: 'gone', AccessKeyId: gone.accessKeyId }
    await client.send(new iam.UpdateAccessKeyCommand({ ...change, Status: 'Inactive' }))
    await expectRefusal(whoIs(gone), 'InvalidClientTokenId', 'invalid')
    expect((await whoIs(session)).Account).toBe(account)
    await client.send(new iam.DeleteAccessKeyCommand(change))
    await client.send(new iam.DeleteUserCommand({ UserName: 'gone' }))
    await expectRefusal(whoIs(session), 'InvalidClientTokenId', 'invalid')
  })

  test('they end', async () => {
    const { Credentials: given } = await served()
      .sts(ann)
      .send(new sdk.GetSessionTokenCommand({ DurationSeconds: 900 }))
    const session = asClient(given!)
    expect((await whoIs(session)).Account).toBe(account)
    aheadMs = 901_000
    try {
      // Clients sign with their own clock, and are told the server's.
      const at = { systemClockOffset: aheadMs }
      const sts = served().sts(session)
      Object.assign(sts.config, at)
      await expectRefusal(sts.send(new sdk.GetCallerIdentityCommand({})), 'ExpiredToken', 'expired')
      const ec2 = served().client(session)
      Object.assign(ec2.config, at)
      await expectRefusal(ec2.send(new DescribeVpcsCommand({})), 'RequestExpired', 'expired')
    } finally {
      aheadMs = 0
    }
  })
})

describe('a role is taken by whom it trusts', () => {
  const denied = async (request: Promise<unknown>, arn: string) =>
    expectRefusal(request, 'AccessDenied', `is not authorized to perform: sts:AssumeRole on resource: ${arn}`)

  test('a user, and no other', async () => {
    const arn = await role('of-ann', { Principal: { AWS: annArn } })
    await assume(ann, arn)
    await denied(assume(root, arn), arn)
    await denied(assume(stranger, arn), arn)
  })

  test('another account, everybody, a role’s sessions', async () => {
    const ofOther = await role('of-other', { Principal: { AWS: `arn:aws:iam::${other}:root` } })
    const inside = asClient((await assume(stranger, ofOther)).Credentials!)
    expect((await whoIs(inside)).Account).toBe(account)
    await denied(assume(ann, ofOther), ofOther)
    await assume(stranger, await role('of-all', { Principal: '*' }))
    const chained = await role('chained', { Principal: { AWS: ofOther } })
    await assume(inside, chained)
    await denied(assume(ann, chained), chained)
    await expectRefusal(assume(inside, chained, { DurationSeconds: 3601 }), 'ValidationError', 'MaxSessionDuration')
  })

  test('a service, which nobody else is', async () => {
    const arn = await role('of-ec2', { Principal: { Service: 'ec2.amazonaws.com' } })
    await denied(assume(root, arn), arn)
    await denied(assume(ann, 'arn:aws:iam::200000000001:role/nothing'), 'arn:aws:iam::200000000001:role/nothing')
  })

  test('with the external id that it asks for', async () => {
    const Condition = { StringEquals: { 'sts:ExternalId': 'secret' } }
    const arn = await role('external', { Principal: { AWS: other }, Condition })
    await denied(assume(stranger, arn), arn)
    await denied(assume(stranger, arn, { ExternalId: 'guess' }), arn)
    await assume(stranger, arn, { ExternalId: 'secret' })
  })

  test('unless it is denied; and what cannot be judged opens nothing', async () => {
    const everybody = { Effect: 'Allow', Action: 'sts:*', Principal: '*' }
    const but = (statement: object) =>
      JSON.stringify({ Version: '2012-10-17', Statement: [everybody, { ...everybody, Effect: 'Deny', ...statement }] })
    const client = served().iam(root)
    const RoleName = 'denying'
    const arn = await role(RoleName, { Principal: '*' })
    const put = (PolicyDocument: string) =>
      client.send(new iam.UpdateAssumeRolePolicyCommand({ RoleName, PolicyDocument }))
    await put(but({ Condition: { StringLike: { 'aws:PrincipalArn': 'arn:aws:iam::*:user/dev/*' } } }))
    await denied(assume(ann, arn), arn)
    await assume(root, arn)
    await put(but({ Condition: { IpAddress: { 'aws:SourceIp': '10.0.0.0/8' } } }))
    await denied(assume(root, arn), arn)
    await put(but({ Action: 'sts:TagSession' }))
    await assume(root, arn)
    await denied(assume(root, arn, { Tags: [{ Key: 'a', Value: 'b' }] }), arn)
  })

  test('for as long as it says', async () => {
    const arn = await role('short', { Principal: '*' })
    const refused = (DurationSeconds: number, named: string) =>
      expectRefusal(assume(ann, arn, { DurationSeconds }), 'ValidationError', named)
    await refused(899, 'greater than or equal to 900')
    await refused(3601, 'MaxSessionDuration')
    await refused(43_201, 'less than or equal to 43200')
    await expectRefusal(assume(ann, arn, { RoleSessionName: 'a b' }), 'ValidationError', 'roleSessionName')
    await expectRefusal(assume(ann, 'role/x'), 'ValidationError', 'role/x')
    await expectRefusal(assume(ann, arn, { Policy: '{' }), 'MalformedPolicyDocumentException', 'Json')
    await expectRefusal(
      assume(ann, arn, { SerialNumber: 'arn:aws:iam::1:mfa/x' }),
      'UnsupportedOperation',
      'SerialNumber',
    )
  })
})

test('sessions make no sessions of that kind', async () => {
  const { Credentials: given } = await served().sts(ann).send(new sdk.GetSessionTokenCommand({}))
  const again = served().sts(asClient(given!)).send(new sdk.GetSessionTokenCommand({}))
  await expectRefusal(again, 'AccessDenied', 'GetSessionToken with session credentials')
})

test('the id of a key tells its account; a message that Kiln has not encoded is not decoded', async () => {
  const sts = served().sts(stranger)
  const infoOf = async (AccessKeyId: string) =>
    (await sts.send(new sdk.GetAccessKeyInfoCommand({ AccessKeyId }))).Account
  expect(await infoOf(ann.accessKeyId)).toBe(account)
  // One of AWS's own, whose account is known: see "GetAccessKeyInfo" in the STS API reference for what it is for.
  expect(await infoOf('ASIAQNZGKIQY56JQ7WML')).toBe('029608264753')
  await expectRefusal(infoOf('AKIA0000000000000000'), 'ValidationError', 'AKIA0000000000000000')
  const decode = sts.send(new sdk.DecodeAuthorizationMessageCommand({ EncodedMessage: 'x' }))
  await expectRefusal(decode, 'UnsupportedOperation', 'DecodeAuthorizationMessage')
})
