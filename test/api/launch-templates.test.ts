/** Launch templates and their versions, as users see them. */
import {
  CreateLaunchTemplateCommand,
  type CreateLaunchTemplateCommandInput,
  CreateLaunchTemplateVersionCommand,
  CreateTagsCommand,
  DeleteLaunchTemplateCommand,
  DeleteLaunchTemplateVersionsCommand,
  DescribeLaunchTemplatesCommand,
  DescribeLaunchTemplateVersionsCommand,
  type DescribeLaunchTemplateVersionsCommandInput,
  type EC2Client,
  ModifyLaunchTemplateCommand,
  paginateDescribeLaunchTemplates,
  paginateDescribeLaunchTemplateVersions,
  type RequestLaunchTemplateData,
} from '@aws-sdk/client-ec2'
import { beforeAll, expect, test } from 'vitest'
import { commandFor } from '../../src/api/testing/official-client.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'

const served = useServedCloud()
let ec2: EC2Client
let accounts = 100

/** Nobody else's templates are in the way. */
const ownAccount = () => served().client(String(++accounts).padStart(12, '0'))

beforeAll(() => {
  ec2 = ownAccount()
})

const image = 'ami-0123456789abcdef0'
const data: RequestLaunchTemplateData = { ImageId: image, InstanceType: 't3.nano' }

const create = async (name: string, more: Partial<CreateLaunchTemplateCommandInput> = {}, client = ec2) => {
  const input = { LaunchTemplateName: name, LaunchTemplateData: data, ...more }
  return (await client.send(new CreateLaunchTemplateCommand(input))).LaunchTemplate!
}
const addVersion = async (name: string, contents: RequestLaunchTemplateData, SourceVersion?: string) =>
  (
    await ec2.send(
      new CreateLaunchTemplateVersionCommand({
        LaunchTemplateName: name,
        LaunchTemplateData: contents,
        SourceVersion,
      }),
    )
  ).LaunchTemplateVersion!
const versions = async (input: DescribeLaunchTemplateVersionsCommandInput) =>
  (await ec2.send(new DescribeLaunchTemplateVersionsCommand(input))).LaunchTemplateVersions!
const numbers = async (input: DescribeLaunchTemplateVersionsCommandInput) =>
  (await versions(input)).map((version) => version.VersionNumber)

test('everything that a template says comes back as it was given', async () => {
  const whole: RequestLaunchTemplateData = {
    ...data,
    KernelId: 'aki-1',
    RamDiskId: 'ari-1',
    EbsOptimized: false,
    IamInstanceProfile: { Arn: 'arn:aws:iam::000000000001:instance-profile/web' },
    BlockDeviceMappings: [
      { DeviceName: '/dev/xvda', Ebs: { VolumeSize: 8, VolumeType: 'gp3', Iops: 3000, DeleteOnTermination: true } },
      { DeviceName: '/dev/sdb', NoDevice: '' },
    ],
    NetworkInterfaces: [
      {
        DeviceIndex: 0,
        AssociatePublicIpAddress: true,
        Groups: ['sg-0123456789abcdef0'],
        Ipv6Addresses: [{ Ipv6Address: '2001:db8::1' }],
        PrivateIpAddresses: [{ Primary: true, PrivateIpAddress: '10.0.0.9' }],
      },
    ],
    KeyName: 'mine',
    Monitoring: { Enabled: true },
    Placement: { AvailabilityZone: 'eu-west-1b', Tenancy: 'default' },
    DisableApiTermination: true,
    DisableApiStop: false,
    InstanceInitiatedShutdownBehavior: 'terminate',
    UserData: 'aGVsbG8=',
    TagSpecifications: [{ ResourceType: 'instance', Tags: [{ Key: 'role', Value: 'web' }] }],
    InstanceMarketOptions: {
      MarketType: 'spot',
      SpotOptions: { MaxPrice: '0.01', ValidUntil: new Date('2030-01-02T03:04:05Z') },
    },
    CreditSpecification: { CpuCredits: 'standard' },
    CpuOptions: { CoreCount: 1, ThreadsPerCore: 2 },
    LicenseSpecifications: [{ LicenseConfigurationArn: 'arn:aws:license-manager:x' }],
    HibernationOptions: { Configured: false },
    MetadataOptions: { HttpTokens: 'required', HttpPutResponseHopLimit: 2, HttpEndpoint: 'enabled' },
    EnclaveOptions: { Enabled: false },
    MaintenanceOptions: { AutoRecovery: 'default' },
    PrivateDnsNameOptions: { HostnameType: 'ip-name', EnableResourceNameDnsARecord: true },
  }
  const made = await create('whole', { LaunchTemplateData: whole, VersionDescription: 'the first' })
  expect(made).toMatchObject({
    LaunchTemplateId: expect.stringMatching(/^lt-[0-9a-f]{17}$/),
    ...{ LaunchTemplateName: 'whole', DefaultVersionNumber: 1, LatestVersionNumber: 1 },
    CreatedBy: expect.stringMatching(/^arn:aws:iam::\d{12}:root$/),
  })
  const [first] = await versions({ LaunchTemplateId: made.LaunchTemplateId })
  expect(first).toMatchObject({ VersionNumber: 1, DefaultVersion: true, VersionDescription: 'the first' })
  expect(first!.LaunchTemplateData).toEqual(whole)
})

test('the tags of a template are its own, and not those of what it launches', async () => {
  const made = await create('tagged', {
    TagSpecifications: [{ ResourceType: 'launch-template', Tags: [{ Key: 'team', Value: 'a' }] }],
  })
  expect(made.Tags).toEqual([{ Key: 'team', Value: 'a' }])
  await ec2.send(new CreateTagsCommand({ Resources: [made.LaunchTemplateId!], Tags: [{ Key: 'cost', Value: '1' }] }))
  const found = await ec2.send(new DescribeLaunchTemplatesCommand({ Filters: [{ Name: 'tag:team', Values: ['a'] }] }))
  const tags = [
    { Key: 'cost', Value: '1' },
    { Key: 'team', Value: 'a' },
  ]
  expect(found.LaunchTemplates).toEqual([{ ...made, Tags: tags }])
  expect((await versions({ LaunchTemplateName: 'tagged' }))[0]!.LaunchTemplateData).toEqual(data)
})

test('versions are numbered, and named by number, range, $Latest and $Default', async () => {
  const { LaunchTemplateId: id } = await create('numbered')
  expect(await addVersion('numbered', { InstanceType: 't3.micro' })).toMatchObject({
    ...{ LaunchTemplateId: id, VersionNumber: 2, DefaultVersion: false },
    LaunchTemplateData: { InstanceType: 't3.micro' },
  })
  await addVersion('numbered', { InstanceType: 't3.small' })
  const LaunchTemplateId = id
  expect(await numbers({ LaunchTemplateId })).toEqual([3, 2, 1])
  expect(await numbers({ LaunchTemplateId, Versions: ['1', '3'] })).toEqual([3, 1])
  expect(await numbers({ LaunchTemplateId, Versions: ['$Latest'] })).toEqual([3])
  expect(await numbers({ LaunchTemplateId, Versions: ['$Default', '1'] })).toEqual([1])
  expect(await numbers({ LaunchTemplateId, MinVersion: '2' })).toEqual([3, 2])
  expect(await numbers({ LaunchTemplateId, MinVersion: '2', MaxVersion: '2' })).toEqual([2])
  const { LaunchTemplate: moved } = await ec2.send(
    new ModifyLaunchTemplateCommand({ LaunchTemplateId, DefaultVersion: '2' }),
  )
  expect(moved).toMatchObject({ DefaultVersionNumber: 2, LatestVersionNumber: 3 })
  expect(await numbers({ LaunchTemplateId, Versions: ['$Default'] })).toEqual([2])
  const defaults = [{ Name: 'is-default-version', Values: ['true'] }]
  expect(await numbers({ LaunchTemplateId, Filters: defaults })).toEqual([2])
})

test('a version that is based on another takes over what it does not say itself, but no snapshots', async () => {
  await create('source', {
    LaunchTemplateData: {
      ...data,
      KeyName: 'mine',
      BlockDeviceMappings: [{ DeviceName: '/dev/sdf', Ebs: { SnapshotId: 'snap-0123456789abcdef0', VolumeSize: 9 } }],
    },
  })
  const made = await addVersion('source', { InstanceType: 't3.small' }, '1')
  expect(made.LaunchTemplateData).toEqual({
    ...{ ImageId: image, InstanceType: 't3.small', KeyName: 'mine' },
    BlockDeviceMappings: [{ DeviceName: '/dev/sdf', Ebs: { VolumeSize: 9 } }],
  })
  expect((await addVersion('source', { KeyName: 'other' }, '$Latest')).LaunchTemplateData).toMatchObject({
    ...{ InstanceType: 't3.small', KeyName: 'other' },
  })
})

test('the latest and default versions of all templates of the account, and of no other', async () => {
  const [own, stranger] = [ownAccount(), ownAccount()]
  const one = await create('one', {}, own)
  const two = await create('two', {}, own)
  await create('theirs', {}, stranger)
  const next = { LaunchTemplateName: 'two', LaunchTemplateData: { KeyName: 'k' } }
  await own.send(new CreateLaunchTemplateVersionCommand(next))
  const all = async (...Versions: string[]) => {
    const { LaunchTemplateVersions: found } = await own.send(new DescribeLaunchTemplateVersionsCommand({ Versions }))
    return found!.map((version) => `${version.LaunchTemplateName} ${version.VersionNumber}`).sort()
  }
  expect(await all('$Latest')).toEqual(['one 1', 'two 2'])
  expect(await all('$Default')).toEqual(['one 1', 'two 1'])
  expect(await all('$Default', '$Latest')).toEqual(['one 1', 'two 1', 'two 2'])
  const { LaunchTemplates: listed } = await own.send(new DescribeLaunchTemplatesCommand({}))
  expect(listed!.map((template) => template.LaunchTemplateId)).toEqual([one.LaunchTemplateId, two.LaunchTemplateId])
  const elsewhere = served().client(String(accounts - 1).padStart(12, '0'), 'us-east-1')
  expect((await elsewhere.send(new DescribeLaunchTemplatesCommand({}))).LaunchTemplates).toEqual([])
  const id = one.LaunchTemplateId
  await expectRefusal(
    stranger.send(new DescribeLaunchTemplatesCommand({ LaunchTemplateIds: [id!] })),
    ...(['InvalidLaunchTemplateId.NotFound', id!] as const),
  )
})

test('pages and filters', async () => {
  const client = ownAccount()
  for (const name of ['page-1', 'page-2', 'page-3']) await create(name, {}, client)
  const pages: string[][] = []
  for await (const page of paginateDescribeLaunchTemplates({ client, pageSize: 2 }, {})) {
    pages.push(page.LaunchTemplates!.map((template) => template.LaunchTemplateName!))
  }
  expect(pages).toEqual([['page-1', 'page-2'], ['page-3']])
  for (const KeyName of ['a', 'b']) {
    const next = { LaunchTemplateName: 'page-1', LaunchTemplateData: { KeyName, InstanceType: 't3.micro' } as const }
    await client.send(new CreateLaunchTemplateVersionCommand(next))
  }
  const read: number[] = []
  const paging = paginateDescribeLaunchTemplateVersions({ client, pageSize: 1 }, { LaunchTemplateName: 'page-1' })
  for await (const page of paging) read.push(...page.LaunchTemplateVersions!.map((version) => version.VersionNumber!))
  expect(read).toEqual([3, 2, 1])
  const filtered = async (Name: string, value: string) => {
    const Filters = [{ Name, Values: [value] }]
    const input = { LaunchTemplateName: 'page-1', Filters }
    const { LaunchTemplateVersions: found } = await client.send(new DescribeLaunchTemplateVersionsCommand(input))
    return found!.map((version) => version.VersionNumber)
  }
  expect(await filtered('image-id', image)).toEqual([1])
  expect(await filtered('instance-type', 't3.mi*')).toEqual([3, 2])
  expect(await filtered('is-default-version', 'false')).toEqual([3, 2])
  const names = {
    LaunchTemplateNames: ['page-3', 'page-2'],
    Filters: [{ Name: 'launch-template-name', Values: ['*3'] }],
  }
  const { LaunchTemplates: named } = await client.send(new DescribeLaunchTemplatesCommand(names))
  expect(named!.map((template) => template.LaunchTemplateName)).toEqual(['page-3'])
})

test('a client token makes one template, and one version', async () => {
  const ClientToken = 'x'.repeat(128)
  const first = await create('once', { ClientToken })
  expect(await create('once', { ClientToken })).toEqual(first)
  await expectRefusal(create('twice', { ClientToken }), 'IdempotentParameterMismatch', ClientToken)
  const version = new CreateLaunchTemplateVersionCommand({
    ...{ LaunchTemplateName: 'once', LaunchTemplateData: { KeyName: 'k' }, ClientToken: 'v' },
  })
  const { LaunchTemplateVersion: made } = await ec2.send(version)
  expect((await ec2.send(version)).LaunchTemplateVersion).toEqual(made)
  expect(await numbers({ LaunchTemplateName: 'once' })).toEqual([2, 1])
})

test('versions are deleted but for the default one, and their numbers are not given again', async () => {
  const { LaunchTemplateId: id } = await create('shrinking')
  await addVersion('shrinking', { KeyName: 'a' })
  await addVersion('shrinking', { KeyName: 'b' })
  const LaunchTemplateName = 'shrinking'
  const deleted = await ec2.send(
    new DeleteLaunchTemplateVersionsCommand({ LaunchTemplateName, Versions: ['3', '1', '9'] }),
  )
  expect(deleted.SuccessfullyDeletedLaunchTemplateVersions).toEqual([
    { LaunchTemplateId: id, LaunchTemplateName, VersionNumber: 3 },
  ])
  expect(deleted.UnsuccessfullyDeletedLaunchTemplateVersions).toMatchObject([
    { VersionNumber: 1, ResponseError: { Code: 'unexpectedError', Message: expect.stringContaining('default') } },
    { VersionNumber: 9, ResponseError: { Code: 'launchTemplateVersionDoesNotExist' } },
  ])
  expect(await numbers({ LaunchTemplateName, Versions: ['$Latest'] })).toEqual([2])
  expect((await addVersion('shrinking', { KeyName: 'c' })).VersionNumber).toBe(4)
  const unknown = { LaunchTemplateId: 'lt-0123456789abcdef0', Versions: ['1'] }
  const { UnsuccessfullyDeletedLaunchTemplateVersions: kept } = await ec2.send(
    new DeleteLaunchTemplateVersionsCommand(unknown),
  )
  expect(kept).toMatchObject([{ VersionNumber: 1, ResponseError: { Code: 'launchTemplateIdDoesNotExist' } }])
})

test('a deleted template is gone, with its versions and tags, and its name is free', async () => {
  const tags = [{ ResourceType: 'launch-template' as const, Tags: [{ Key: 'left', Value: '' }] }]
  const { LaunchTemplateId } = await create('passing', { TagSpecifications: tags })
  const gone = await ec2.send(new DeleteLaunchTemplateCommand({ LaunchTemplateId }))
  expect(gone.LaunchTemplate).toMatchObject({ LaunchTemplateId, LaunchTemplateName: 'passing' })
  await expectRefusal(versions({ LaunchTemplateId }), 'InvalidLaunchTemplateId.NotFound', LaunchTemplateId!)
  await expectRefusal(
    ec2.send(new DeleteLaunchTemplateCommand({ LaunchTemplateName: 'passing' })),
    ...(['InvalidLaunchTemplateName.NotFoundException', 'passing'] as const),
  )
  const left = await ec2.send(commandFor('DescribeTags', { Filters: [{ Name: 'key', Values: ['left'] }] }))
  expect(left).toMatchObject({ Tags: [] })
  expect((await create('passing')).LaunchTemplateId).not.toBe(LaunchTemplateId)
})

test('what could not be launched is taken, with a warning', async () => {
  const { LaunchTemplate: made, Warning: warning } = await ec2.send(
    new CreateLaunchTemplateCommand({
      LaunchTemplateName: 'block',
      LaunchTemplateData: { ...data, InstanceMarketOptions: { MarketType: 'capacity-block' } },
    }),
  )
  expect(made!.LaunchTemplateName).toBe('block')
  expect(warning!.Errors).toEqual([
    { Code: 'UnsupportedOperation', Message: expect.stringContaining('InstanceMarketOptions') },
  ])
  const fine = await ec2.send(
    new CreateLaunchTemplateCommand({ LaunchTemplateName: 'no-image', LaunchTemplateData: { KeyName: 'k' } }),
  )
  expect(fine.Warning).toBeUndefined()
})

const named = { LaunchTemplateName: 'refusing' }
const tooMany = Array.from({ length: 201 }, (_, index) => String(index + 1))

test.each<[operation: string, input: object, code: string, says: string]>([
  [
    'CreateLaunchTemplate',
    { LaunchTemplateName: 'a b c', LaunchTemplateData: data },
    'InvalidLaunchTemplateName.MalformedException',
    'LaunchTemplateName',
  ],
  [
    'CreateLaunchTemplate',
    { LaunchTemplateName: 'ab', LaunchTemplateData: data },
    'InvalidLaunchTemplateName.MalformedException',
    '3 and 128',
  ],
  [
    'CreateLaunchTemplate',
    { ...named, LaunchTemplateData: data },
    'InvalidLaunchTemplateName.AlreadyExistsException',
    'in use',
  ],
  ['CreateLaunchTemplate', { ...named, LaunchTemplateData: {} }, 'MissingParameter', 'LaunchTemplateData'],
  [
    'CreateLaunchTemplate',
    { LaunchTemplateName: 'new', LaunchTemplateData: { UserData: '?' } },
    'InvalidParameterValue',
    'UserData',
  ],
  [
    'CreateLaunchTemplate',
    { LaunchTemplateName: 'new', LaunchTemplateData: data, VersionDescription: 'x'.repeat(256) },
    'InvalidParameterValue',
    'VersionDescription',
  ],
  [
    'CreateLaunchTemplate',
    { LaunchTemplateName: 'new', LaunchTemplateData: data, ClientToken: 'x'.repeat(129) },
    'InvalidParameterValue',
    '128',
  ],
  [
    'CreateLaunchTemplate',
    {
      LaunchTemplateName: 'new',
      LaunchTemplateData: data,
      TagSpecifications: [{ ResourceType: 'instance', Tags: [{ Key: 'a' }] }],
    },
    'InvalidParameterValue',
    "'instance'",
  ],
  [
    'CreateLaunchTemplate',
    {
      LaunchTemplateName: 'new',
      LaunchTemplateData: { TagSpecifications: [{ ResourceType: 'launch-template', Tags: [{ Key: 'a' }] }] },
    },
    'InvalidParameterValue',
    "'launch-template'",
  ],
  [
    'CreateLaunchTemplate',
    { LaunchTemplateName: 'new', LaunchTemplateData: data, DryRun: true },
    'DryRunOperation',
    'DryRun',
  ],
  ['CreateLaunchTemplateVersion', { LaunchTemplateData: data }, 'MissingParameter', 'LaunchTemplateName'],
  [
    'CreateLaunchTemplateVersion',
    { ...named, LaunchTemplateData: data, SourceVersion: '7' },
    'InvalidLaunchTemplateId.VersionNotFound',
    'version 7',
  ],
  [
    'CreateLaunchTemplateVersion',
    { ...named, LaunchTemplateData: data, SourceVersion: 'first' },
    'InvalidParameterValue',
    'SourceVersion',
  ],
  ['DescribeLaunchTemplates', { LaunchTemplateIds: ['x'] }, 'InvalidLaunchTemplateId.Malformed', 'lt-'],
  [
    'DescribeLaunchTemplates',
    { LaunchTemplateNames: ['refusing', 'nowhere'] },
    'InvalidLaunchTemplateName.NotFoundException',
    'nowhere',
  ],
  ['DescribeLaunchTemplates', { MaxResults: 201 }, 'InvalidParameterValue', '201'],
  ['DescribeLaunchTemplates', { Filters: [{ Name: 'x', Values: ['y'] }] }, 'InvalidParameterValue', "'x'"],
  ['DescribeLaunchTemplates', { NextToken: 'x' }, 'InvalidPaginationToken', 'token'],
  ['DescribeLaunchTemplateVersions', {}, 'MissingParameter', 'LaunchTemplateId'],
  ['DescribeLaunchTemplateVersions', { Versions: ['1'] }, 'MissingParameter', 'LaunchTemplateId'],
  [
    'DescribeLaunchTemplateVersions',
    { ...named, LaunchTemplateId: 'lt-0123456789abcdef0' },
    'InvalidParameterCombination',
    'LaunchTemplateId',
  ],
  [
    'DescribeLaunchTemplateVersions',
    { ...named, Versions: ['1', '2'] },
    'InvalidLaunchTemplateId.VersionNotFound',
    'version 2',
  ],
  ['DescribeLaunchTemplateVersions', { ...named, Versions: ['$Newest'] }, 'InvalidParameterValue', '$Newest'],
  ['DescribeLaunchTemplateVersions', { ...named, Versions: ['99999999999'] }, 'InvalidParameterValue', '99999999999'],
  [
    'DescribeLaunchTemplateVersions',
    { ...named, Versions: ['1'], MinVersion: '1' },
    'InvalidParameterCombination',
    'MinVersion',
  ],
  ['DescribeLaunchTemplateVersions', { ...named, MaxVersion: '0' }, 'InvalidParameterValue', 'MaxVersion'],
  ['ModifyLaunchTemplate', named, 'MissingParameter', 'SetDefaultVersion'],
  ['ModifyLaunchTemplate', { ...named, DefaultVersion: '666' }, 'InvalidLaunchTemplateId.VersionNotFound', '666'],
  ['ModifyLaunchTemplate', { DefaultVersion: '1' }, 'MissingParameter', 'LaunchTemplateId'],
  ['DeleteLaunchTemplate', {}, 'MissingParameter', 'LaunchTemplateId'],
  ['DeleteLaunchTemplateVersions', named, 'MissingParameter', 'LaunchTemplateVersion'],
  [
    'DeleteLaunchTemplateVersions',
    { ...named, Versions: ['$Latest'] },
    'InvalidParameterValue',
    'LaunchTemplateVersion',
  ],
  ['DeleteLaunchTemplateVersions', { ...named, Versions: tooMany }, 'InvalidParameterValue', '200'],
  ['GetLaunchTemplateData', { InstanceId: 'i-0123456789abcdef0' }, 'InvalidInstanceID.NotFound', 'i-0123456789abcdef0'],
])('%s refuses %j', async (operation, input, code, says) => {
  await create('refusing').catch(() => {})
  await expectRefusal(ec2.send(commandFor(operation, input)), code, says)
})
