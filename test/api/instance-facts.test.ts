/** Small things that clients ask of instances: credits, monitoring, UEFI data, passwords. */
import {
  DescribeInstanceCreditSpecificationsCommand,
  GetDefaultCreditSpecificationCommand,
  GetLaunchTemplateDataCommand,
  GetPasswordDataCommand,
  type Instance,
  ModifyDefaultCreditSpecificationCommand,
  ModifyInstanceCreditSpecificationCommand,
  MonitorInstancesCommand,
  paginateDescribeInstanceCreditSpecifications,
  type RunInstancesCommandInput,
  TerminateInstancesCommand,
  UnmonitorInstancesCommand,
} from '@aws-sdk/client-ec2'
import { beforeAll, expect, test } from 'vitest'
import { commandFor } from '../../src/api/testing/official-client.ts'
import { type Caller, callerOf } from '../support/caller.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'

const served = useServedCloud({ isLive: true })
let caller: Caller
let burstable: string[]
let steady: string
let ended: string
const nowhere = 'i-0123456789abcdef0'

beforeAll(async () => {
  caller = await callerOf(served(), '000000000001')
  const ids = (instances: Instance[]) => instances.map((instance) => instance.InstanceId!)
  burstable = ids(await caller.launch({ MaxCount: 6 }))
  steady = ids(await caller.launch({ InstanceType: 'm5.large' }))[0]!
  ended = burstable.pop()!
  await caller.ec2.send(new TerminateInstancesCommand({ InstanceIds: [ended] }))
  await caller.reaches(ended, 'terminated')
})

test('burstable instances have unlimited credits, and others none', async () => {
  const { ec2 } = caller
  const [first] = burstable as [string]
  const asked = await ec2.send(new DescribeInstanceCreditSpecificationsCommand({ InstanceIds: [first] }))
  expect(asked.InstanceCreditSpecifications).toEqual([{ InstanceId: first, CpuCredits: 'unlimited' }])
  const read: string[][] = []
  for await (const page of paginateDescribeInstanceCreditSpecifications({ client: ec2, pageSize: 5 }, {})) {
    read.push(page.InstanceCreditSpecifications!.map((credits) => credits.InstanceId!))
  }
  expect(read.map((page) => page.length)).toEqual([5, 1])
  expect(read.flat().sort()).toEqual([...burstable, ended].sort())
  const Filters = [{ Name: 'instance-id', Values: [first, steady] }]
  const filtered = await ec2.send(new DescribeInstanceCreditSpecificationsCommand({ Filters }))
  expect(filtered.InstanceCreditSpecifications!.map((credits) => credits.InstanceId)).toEqual([first])
})

test('credits are set instance by instance: what cannot be is told for each', async () => {
  const [first] = burstable as [string]
  const specifications = [first, steady, ended, nowhere, 'x'].map((InstanceId) => ({
    InstanceId,
    CpuCredits: 'unlimited',
  }))
  const set = await caller.ec2.send(
    new ModifyInstanceCreditSpecificationCommand({ InstanceCreditSpecifications: specifications }),
  )
  expect(set.SuccessfulInstanceCreditSpecifications).toEqual([{ InstanceId: first }])
  expect(set.UnsuccessfulInstanceCreditSpecifications).toMatchObject([
    { InstanceId: steady, Error: { Code: 'InstanceCreditSpecification.NotSupported' } },
    { InstanceId: ended, Error: { Code: 'IncorrectInstanceState' } },
    { InstanceId: nowhere, Error: { Code: 'InvalidInstanceID.NotFound' } },
    { InstanceId: 'x', Error: { Code: 'InvalidInstanceID.Malformed' } },
  ])
})

test('credits are what a launch says, else what the account set for the family, and can be changed', async () => {
  const { ec2, launch: launchAll } = await callerOf(served(), '000000000002')
  const launch = async (about: Partial<RunInstancesCommandInput>) => (await launchAll(about))[0].InstanceId!
  const creditsOf = async (id: string) => {
    const answer = await ec2.send(new DescribeInstanceCreditSpecificationsCommand({ InstanceIds: [id] }))
    return answer.InstanceCreditSpecifications![0]!.CpuCredits
  }
  const family = async (InstanceFamily: 't2' | 't3') => {
    const answer = await ec2.send(new GetDefaultCreditSpecificationCommand({ InstanceFamily }))
    return answer.InstanceFamilyCreditSpecification
  }
  expect(await family('t2')).toEqual({ InstanceFamily: 't2', CpuCredits: 'standard' })
  expect(await family('t3')).toEqual({ InstanceFamily: 't3', CpuCredits: 'unlimited' })
  const saving = await launch({ InstanceType: 't3.nano', CreditSpecification: { CpuCredits: 'standard' } })
  expect(await creditsOf(saving)).toBe('standard')
  expect(await creditsOf(await launch({ InstanceType: 't2.nano' }))).toBe('standard')
  await ec2.send(new ModifyDefaultCreditSpecificationCommand({ InstanceFamily: 't2', CpuCredits: 'unlimited' }))
  expect(await family('t2')).toEqual({ InstanceFamily: 't2', CpuCredits: 'unlimited' })
  expect(await creditsOf(await launch({ InstanceType: 't2.nano' }))).toBe('unlimited')
  const InstanceCreditSpecifications = [{ InstanceId: saving, CpuCredits: 'unlimited' }]
  await ec2.send(new ModifyInstanceCreditSpecificationCommand({ InstanceCreditSpecifications }))
  expect(await creditsOf(saving)).toBe('unlimited')
  const { LaunchTemplateData: data } = await ec2.send(new GetLaunchTemplateDataCommand({ InstanceId: saving }))
  expect(data!.CreditSpecification).toEqual({ CpuCredits: 'unlimited' })
  const none = launch({ InstanceType: 'm5.large', CreditSpecification: { CpuCredits: 'standard' } })
  await expectRefusal(none, 'InstanceCreditSpecification.NotSupported', 'm5.large')
})

test('monitoring is switched for several instances at once', async () => {
  const InstanceIds = burstable.slice(0, 2)
  const states = () => Promise.all(InstanceIds.map(async (id) => (await caller.describe(id)).Monitoring!.State))
  const { InstanceMonitorings: on } = await caller.ec2.send(new MonitorInstancesCommand({ InstanceIds }))
  expect(on).toEqual(InstanceIds.map((InstanceId) => ({ InstanceId, Monitoring: { State: 'pending' } })))
  expect(await states()).toEqual(['enabled', 'enabled'])
  const withEnded = { InstanceIds: [...InstanceIds, ended] }
  await expectRefusal(caller.ec2.send(new UnmonitorInstancesCommand(withEnded)), 'IncorrectInstanceState', ended)
  expect(await states()).toEqual(['enabled', 'enabled'])
  const { InstanceMonitorings: off } = await caller.ec2.send(new UnmonitorInstancesCommand({ InstanceIds }))
  expect(off!.map((each) => each.Monitoring!.State)).toEqual(['disabling', 'disabling'])
  expect(await states()).toEqual(['disabled', 'disabled'])
})

test('a Linux instance has an empty password', async () => {
  const [InstanceId] = burstable as [string]
  const { LaunchTime } = await caller.describe(InstanceId)
  const answer = await caller.ec2.send(new GetPasswordDataCommand({ InstanceId }))
  expect(answer).toMatchObject({ InstanceId, PasswordData: '', Timestamp: LaunchTime })
})

test.each<[operation: string, input: () => object, code: string, named: () => string]>([
  [
    'DescribeInstanceCreditSpecifications',
    () => ({ InstanceIds: [steady] }),
    'InstanceCreditSpecification.NotSupported',
    () => steady,
  ],
  [
    'DescribeInstanceCreditSpecifications',
    () => ({ InstanceIds: [nowhere] }),
    'InvalidInstanceID.NotFound',
    () => nowhere,
  ],
  [
    'DescribeInstanceCreditSpecifications',
    () => ({ InstanceIds: burstable, MaxResults: 5 }),
    'InvalidParameterCombination',
    () => 'InstanceIds',
  ],
  [
    'DescribeInstanceCreditSpecifications',
    () => ({ Filters: [{ Name: 'image-id', Values: ['x'] }] }),
    'InvalidParameterValue',
    () => "'image-id'",
  ],
  [
    'ModifyDefaultCreditSpecification',
    () => ({ InstanceFamily: 't3', CpuCredits: 'x' }),
    'InvalidCpuCredits',
    () => 'x',
  ],
  [
    'ModifyDefaultCreditSpecification',
    () => ({ InstanceFamily: 'm5', CpuCredits: 'standard' }),
    'InvalidParameterValue',
    () => 'm5',
  ],
  ['GetDefaultCreditSpecification', () => ({ InstanceFamily: 'm5' }), 'InvalidParameterValue', () => 'm5'],
  [
    'ModifyInstanceCreditSpecification',
    () => ({ InstanceCreditSpecifications: [{ InstanceId: burstable[0], CpuCredits: 'much' }] }),
    'InvalidCpuCredits',
    () => 'much',
  ],
  [
    'GetInstanceUefiData',
    () => ({ InstanceId: caller.seedImage }),
    'InvalidInstanceID.Malformed',
    () => caller.seedImage,
  ],
  ['GetInstanceUefiData', () => ({ InstanceId: burstable[0] }), 'UnsupportedOperation', () => burstable[0]!],
  ['GetInstanceUefiData', () => ({ InstanceId: nowhere }), 'InvalidInstanceID.NotFound', () => nowhere],
  ['GetConsoleScreenshot', () => ({ InstanceId: burstable[0] }), 'UnsupportedOperation', () => 'is simulated'],
  ['GetConsoleScreenshot', () => ({ InstanceId: ended }), 'IncorrectInstanceState', () => ended],
  ['GetConsoleScreenshot', () => ({ InstanceId: nowhere }), 'InvalidInstanceID.NotFound', () => nowhere],
  ['GetPasswordData', () => ({ InstanceId: nowhere }), 'InvalidInstanceID.NotFound', () => nowhere],
  ['MonitorInstances', () => ({ InstanceIds: [nowhere] }), 'InvalidInstanceID.NotFound', () => nowhere],
  ['MonitorInstances', () => ({ InstanceIds: [] }), 'MissingParameter', () => 'InstanceId'],
  ['UnmonitorInstances', () => ({ InstanceIds: ['x'] }), 'InvalidInstanceID.Malformed', () => 'x'],
])('%s %# is refused', async (operation, input, code, named) => {
  await expectRefusal(caller.ec2.send(commandFor(operation, input())), code, named())
})
