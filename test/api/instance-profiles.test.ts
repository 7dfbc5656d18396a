/** Instance profiles: at launches, on instances, and the credentials that reach programs within an instance. */
import { join } from 'node:path'
import * as sdk from '@aws-sdk/client-ec2'
import * as iam from '@aws-sdk/client-iam'
import { GetCallerIdentityCommand, STSClient, type STSClientConfig } from '@aws-sdk/client-sts'
import { fromInstanceMetadata } from '@smithy/credential-provider-imds'
import { afterAll, beforeAll, beforeEach, describe, expect, type TestContext, test, vi } from 'vitest'
import { systemClock } from '../../src/lib/clock.ts'
import { run } from '../../src/lib/programs.ts'
import { type GuestMetadata, openGuestMetadata } from '../support/guest-metadata.ts'
import { type Credentials, expectRefusal, useServedCloud } from '../support/served-cloud.ts'

let aheadMs = 0
const clock = { ...systemClock, now: () => systemClock.now() + aheadMs }
const served = useServedCloud({ isLive: true, auth: 'verify', clock })
const account = '300000000001'
const region = 'eu-west-1'

let owner: Credentials
let ec2: sdk.EC2Client
let people: iam.IAMClient
let imageId: string

beforeAll(async () => {
  owner = await served().accountKey(account)
  ec2 = served().client(owner, region)
  people = served().iam(owner)
  imageId = (await ec2.send(new sdk.DescribeImagesCommand({ Owners: ['amazon'] }))).Images![0]!.ImageId!
  await profile('web', 'ec2.amazonaws.com')
  await profile('batch', 'ec2.amazonaws.com')
})

/** A profile with a role of the same name, for that service. */
async function profile(name: string, service: string): Promise<void> {
  const statement = { Effect: 'Allow', Principal: { Service: service }, Action: 'sts:AssumeRole' }
  const document = JSON.stringify({ Version: '2012-10-17', Statement: [statement] })
  await people.send(new iam.CreateRoleCommand({ RoleName: name, AssumeRolePolicyDocument: document }))
  await people.send(new iam.CreateInstanceProfileCommand({ InstanceProfileName: name, Path: '/p/' }))
  await people.send(new iam.AddRoleToInstanceProfileCommand({ InstanceProfileName: name, RoleName: name }))
}

const arn = (name: string) => `arn:aws:iam::${account}:instance-profile/p/${name}`

async function launch(more: Partial<sdk.RunInstancesCommandInput> = {}): Promise<sdk.Instance> {
  const request = { ImageId: imageId, InstanceType: 't3.nano', MinCount: 1, MaxCount: 1, ...more } as const
  return (await ec2.send(new sdk.RunInstancesCommand(request))).Instances![0]!
}

const described = async (id: string) =>
  (await ec2.send(new sdk.DescribeInstancesCommand({ InstanceIds: [id] }))).Reservations![0]!.Instances![0]!

const associations = async (input: sdk.DescribeIamInstanceProfileAssociationsCommandInput) =>
  (await ec2.send(new sdk.DescribeIamInstanceProfileAssociationsCommand(input))).IamInstanceProfileAssociations!

describe('on instances', () => {
  test('a launch names one by its name or its ARN, and tells it', async () => {
    const byName = await launch({ IamInstanceProfile: { Name: 'web' } })
    const byArn = await launch({ IamInstanceProfile: { Arn: arn('batch') } })
    expect(byName.IamInstanceProfile).toMatchObject({ Arn: arn('web'), Id: expect.stringMatching(/^AIPA/) })
    expect((await described(byArn.InstanceId!)).IamInstanceProfile!.Arn).toBe(arn('batch'))
    const found = async (Name: string, value: string) => {
      const request = new sdk.DescribeInstancesCommand({ Filters: [{ Name, Values: [value] }] })
      return (await ec2.send(request)).Reservations!.flatMap((each) => each.Instances!.map((one) => one.InstanceId))
    }
    expect(await found('iam-instance-profile.arn', arn('batch'))).toEqual([byArn.InstanceId])
    expect(await found('iam-instance-profile.id', byName.IamInstanceProfile!.Id!)).toEqual([byName.InstanceId])
    expect(await found('iam-instance-profile.name', 'w?b')).toEqual([byName.InstanceId])
  })

  test('a launch template names one, and the request may name another', async () => {
    const LaunchTemplateName = 'with-profile'
    const LaunchTemplateData = {
      ImageId: imageId,
      InstanceType: 't3.nano',
      IamInstanceProfile: { Name: 'web' },
    } as const
    await ec2.send(new sdk.CreateLaunchTemplateCommand({ LaunchTemplateName, LaunchTemplateData }))
    const from = (more: Partial<sdk.RunInstancesCommandInput>) =>
      launch({ LaunchTemplate: { LaunchTemplateName }, ...more })
    expect((await from({})).IamInstanceProfile!.Arn).toBe(arn('web'))
    expect((await from({ IamInstanceProfile: { Arn: arn('batch') } })).IamInstanceProfile!.Arn).toBe(arn('batch'))
  })

  test('one is put on, replaced and taken away while the instance lives', async () => {
    const { InstanceId } = await launch()
    const put = (Name: string) =>
      ec2.send(new sdk.AssociateIamInstanceProfileCommand({ InstanceId, IamInstanceProfile: { Name } }))
    const first = (await put('web')).IamInstanceProfileAssociation!
    expect(first).toMatchObject({ InstanceId, State: 'associating', IamInstanceProfile: { Arn: arn('web') } })
    expect(first.AssociationId).toMatch(/^iip-assoc-[0-9a-f]{17}$/)
    await expectRefusal(put('batch'), 'IncorrectState', InstanceId!)
    const Filters = [{ Name: 'instance-id', Values: [InstanceId!] }]
    expect(await associations({ Filters })).toMatchObject([{ AssociationId: first.AssociationId, State: 'associated' }])
    const change = { AssociationId: first.AssociationId, IamInstanceProfile: { Arn: arn('batch') } }
    const second = await ec2.send(new sdk.ReplaceIamInstanceProfileAssociationCommand(change))
    const { AssociationId } = second.IamInstanceProfileAssociation!
    expect((await described(InstanceId!)).IamInstanceProfile!.Arn).toBe(arn('batch'))
    const gone = new sdk.DisassociateIamInstanceProfileCommand({ AssociationId: first.AssociationId })
    await expectRefusal(ec2.send(gone), 'InvalidAssociationID.NotFound', first.AssociationId!)
    await ec2.send(new sdk.DisassociateIamInstanceProfileCommand({ AssociationId }))
    expect((await described(InstanceId!)).IamInstanceProfile).toBeUndefined()
    expect(await associations({ Filters })).toEqual([])
  })

  test('another account has neither the profile nor the association', async () => {
    const stranger = served().client(await served().accountKey('300000000002'), region)
    const { InstanceId } = await launch({ IamInstanceProfile: { Name: 'web' } })
    const [association] = await associations({ Filters: [{ Name: 'instance-id', Values: [InstanceId!] }] })
    const { AssociationId } = association!
    const refused = (request: Promise<unknown>, code: string, named: string) => expectRefusal(request, code, named)
    const take = stranger.send(new sdk.DisassociateIamInstanceProfileCommand({ AssociationId }))
    await refused(take, 'InvalidAssociationID.NotFound', AssociationId!)
    const run = { ImageId: imageId, InstanceType: 't3.nano', MinCount: 1, MaxCount: 1 } as const
    const byArn = stranger.send(new sdk.RunInstancesCommand({ ...run, IamInstanceProfile: { Arn: arn('web') } }))
    await refused(byArn, 'InvalidParameterValue', 'Invalid IAM Instance Profile ARN')
    const see = stranger.send(
      new sdk.DescribeIamInstanceProfileAssociationsCommand({ AssociationIds: [AssociationId!] }),
    )
    await refused(see, 'InvalidAssociationID.NotFound', AssociationId!)
  })

  test('a profile without a role is not to be had', async () => {
    await people.send(new iam.CreateInstanceProfileCommand({ InstanceProfileName: 'empty' }))
    const refused = launch({ IamInstanceProfile: { Name: 'empty' } })
    await expectRefusal(refused, 'InvalidParameterValue', 'has no associated IAM Roles')
  })
})

describe('within an instance', () => {
  let instance: sdk.Instance
  let metadata: GuestMetadata
  beforeAll(async () => {
    instance = await launch({ IamInstanceProfile: { Name: 'web' } })
    metadata = await openGuestMetadata(served(), { vpcId: instance.VpcId!, privateIp: instance.PrivateIpAddress! })
  })
  afterAll(() => metadata?.close())
  beforeEach(() => {
    vi.stubEnv('AWS_EC2_METADATA_SERVICE_ENDPOINT', metadata.url)
    return () => {
      aheadMs = 0
      vi.unstubAllEnvs()
    }
  })

  const read = async (path: string) => {
    const headers = { 'x-aws-ec2-metadata-token-ttl-seconds': '60' }
    const token = await (await fetch(`${metadata.url}/latest/api/token`, { method: 'PUT', headers })).text()
    const asked = { headers: { 'x-aws-ec2-metadata-token': token } }
    const answer = await fetch(`${metadata.url}/latest/meta-data/${path}`, asked)
    return { status: answer.status, text: await answer.text() }
  }
  const given = async (role = 'web') => JSON.parse((await read(`iam/security-credentials/${role}`)).text)
  const whoIs = async (credentials: STSClientConfig['credentials'], offsetMs = 0) => {
    const sts = new STSClient({
      endpoint: served().url,
      region,
      credentials,
      maxAttempts: 1,
      systemClockOffset: offsetMs,
    })
    const { Arn } = await sts.send(new GetCallerIdentityCommand({})).finally(() => sts.destroy())
    return Arn
  }
  const session = (role = 'web') => `arn:aws:sts::${account}:assumed-role/${role}/${instance.InstanceId}`

  test('the profile and its role are told', async () => {
    expect((await read('iam/')).text.split('\n')).toEqual(['info', 'security-credentials/'])
    expect(JSON.parse((await read('iam/info')).text)).toMatchObject({ Code: 'Success', InstanceProfileArn: arn('web') })
    expect((await read('iam/security-credentials/')).text).toBe('web')
    expect((await read('iam/security-credentials/other')).status).toBe(404)
  })

  test('the SDK finds the credentials, and they are those of the role', async () => {
    expect(await whoIs(fromInstanceMetadata())).toBe(session())
    const found = await fromInstanceMetadata()()
    const { Vpcs: vpcs } = await served()
      .client(found as Credentials, region)
      .send(new sdk.DescribeVpcsCommand({}))
    expect(vpcs!.map((vpc) => vpc.OwnerId)).toEqual([account])
  })

  test('boto3 finds them too', async (context: TestContext) => {
    if (!(await hasBoto3())) return context.skip('there is no boto3')
    const env = {
      ...{ PATH: process.env.PATH, AWS_ENDPOINT_URL: served().url, AWS_DEFAULT_REGION: region, HOME: '/nonexistent' },
      AWS_EC2_METADATA_SERVICE_ENDPOINT: metadata.url,
      // boto3 gives up after a second, in which a busy machine may not have answered.
      AWS_METADATA_SERVICE_TIMEOUT: '30',
    }
    const answer = JSON.parse(await run('python3', [join(import.meta.dirname, 'instance_role.py')], { env }))
    expect(answer).toEqual({ arn: session(), owners: [account] })
  })

  test('they are the same for an hour, renewed long before they end, and end', async () => {
    const first = await given()
    expect(await given()).toEqual(first)
    aheadMs = 3600_000
    const second = await given()
    expect(second.AccessKeyId).not.toBe(first.AccessKeyId)
    const asClient = (told: typeof first) => ({
      ...{ accessKeyId: told.AccessKeyId, secretAccessKey: told.SecretAccessKey, sessionToken: told.Token },
    })
    expect(await whoIs(asClient(first), aheadMs)).toBe(session())
    expect(await whoIs(asClient(second), aheadMs)).toBe(session())
    aheadMs = 6 * 3600_000 + 1000
    await expectRefusal(whoIs(asClient(first), aheadMs), 'ExpiredToken', 'expired')
  })

  test('another profile is seen at once, and none leaves nothing', async () => {
    const [association] = await associations({ Filters: [{ Name: 'instance-id', Values: [instance.InstanceId!] }] })
    const change = { AssociationId: association!.AssociationId, IamInstanceProfile: { Name: 'batch' } }
    const replaced = await ec2.send(new sdk.ReplaceIamInstanceProfileAssociationCommand(change))
    expect((await read('iam/security-credentials/')).text).toBe('batch')
    expect(await whoIs(fromInstanceMetadata())).toBe(session('batch'))
    const { AssociationId } = replaced.IamInstanceProfileAssociation!
    await ec2.send(new sdk.DisassociateIamInstanceProfileCommand({ AssociationId }))
    expect((await read('iam/info')).status).toBe(404)
    await ec2.send(
      new sdk.AssociateIamInstanceProfileCommand({
        InstanceId: instance.InstanceId,
        IamInstanceProfile: { Name: 'web' },
      }),
    )
  })

  test('a role that does not trust EC2 gives none, and says why; nor does a profile that lost its role', async () => {
    await profile('closed', 'lambda.amazonaws.com')
    const [association] = await associations({ Filters: [{ Name: 'instance-id', Values: [instance.InstanceId!] }] })
    const change = { AssociationId: association!.AssociationId, IamInstanceProfile: { Name: 'closed' } }
    await ec2.send(new sdk.ReplaceIamInstanceProfileAssociationCommand(change))
    expect(await given('closed')).toMatchObject({
      ...{
        Code: 'AssumeRoleUnauthorizedAccess',
        Message: expect.stringContaining('EC2 cannot assume the role closed.'),
      },
    })
    const both = { InstanceProfileName: 'closed', RoleName: 'closed' }
    await people.send(new iam.RemoveRoleFromInstanceProfileCommand(both))
    expect(JSON.parse((await read('iam/info')).text).Code).toBe('InstanceProfileNotFound')
    expect((await read('iam/security-credentials/')).status).toBe(404)
  })
})

const hasBoto3 = () =>
  run('python3', ['-c', 'import boto3']).then(
    () => true,
    () => false,
  )
