/** What an account sets for its instances: metadata options of new ones, and serial consoles. */
import {
  DisableSerialConsoleAccessCommand,
  EnableSerialConsoleAccessCommand,
  GetInstanceMetadataDefaultsCommand,
  GetSerialConsoleAccessStatusCommand,
  ModifyInstanceMetadataDefaultsCommand,
  type ModifyInstanceMetadataDefaultsCommandInput,
  RegisterImageCommand,
} from '@aws-sdk/client-ec2'
import { beforeAll, beforeEach, expect, test } from 'vitest'
import { type Caller, callerOf } from '../support/caller.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'

const served = useServedCloud({ isLive: true })
let caller: Caller

const set = (input: ModifyInstanceMetadataDefaultsCommandInput) =>
  caller.ec2.send(new ModifyInstanceMetadataDefaultsCommand(input))
const defaults = async (ec2 = caller.ec2) => (await ec2.send(new GetInstanceMetadataDefaultsCommand({}))).AccountLevel

beforeAll(async () => {
  caller = await callerOf(served(), '000000000001')
})

beforeEach(async () => {
  await set({
    ...{ HttpTokens: 'no-preference', HttpEndpoint: 'no-preference', InstanceMetadataTags: 'no-preference' },
    HttpPutResponseHopLimit: -1,
  })
})

test('defaults are kept one by one, for one account in one region', async () => {
  expect(await defaults()).toEqual({ ManagedBy: 'account' })
  expect(await set({ HttpTokens: 'required', HttpPutResponseHopLimit: 4 })).toMatchObject({ Return: true })
  await set({ InstanceMetadataTags: 'enabled' })
  await set({ HttpTokens: 'no-preference' })
  await set({})
  expect(await defaults()).toEqual({
    ...{ HttpPutResponseHopLimit: 4, InstanceMetadataTags: 'enabled', ManagedBy: 'account' },
  })
  expect(await defaults(served().client('000000000002'))).toEqual({ ManagedBy: 'account' })
  expect(await defaults(served().client('000000000001', 'us-east-1'))).toEqual({ ManagedBy: 'account' })
})

test('a launch says more than the account, and the account more than the image', async () => {
  const optionsOf = async (more = {}) => (await caller.launch(more))[0].MetadataOptions
  const [plain] = await caller.launch()
  const { BlockDeviceMappings: disks } = await caller.imageOf(plain.InstanceId!, 'taken')
  const { ImageId: strict } = await caller.ec2.send(
    new RegisterImageCommand({
      ...{ Name: 'strict', RootDeviceName: '/dev/xvda', VirtualizationType: 'hvm', ImdsSupport: 'v2.0' },
      BlockDeviceMappings: [{ DeviceName: '/dev/xvda', Ebs: { SnapshotId: disks![0]!.Ebs!.SnapshotId! } }],
    }),
  )
  expect(await optionsOf({ ImageId: strict })).toMatchObject({ HttpTokens: 'required', HttpPutResponseHopLimit: 2 })
  await set({ HttpTokens: 'optional', HttpPutResponseHopLimit: 7, InstanceMetadataTags: 'enabled' })
  const said = { HttpTokens: 'optional', HttpPutResponseHopLimit: 7, InstanceMetadataTags: 'enabled' }
  expect(await optionsOf()).toMatchObject({ ...said, HttpEndpoint: 'enabled' })
  expect(await optionsOf({ ImageId: strict })).toMatchObject(said)
  expect(await optionsOf({ MetadataOptions: { HttpTokens: 'required' } })).toMatchObject({
    ...said,
    HttpTokens: 'required',
  })
})

test.each<[input: ModifyInstanceMetadataDefaultsCommandInput, code: string, named: string]>([
  [{ HttpPutResponseHopLimit: 0 }, 'InvalidParameterValue', 'HttpPutResponseHopLimit'],
  [{ HttpPutResponseHopLimit: 65 }, 'InvalidParameterValue', 'HttpPutResponseHopLimit'],
  [{ HttpTokens: 'sometimes' as 'optional' }, 'InvalidParameterValue', 'HttpTokens'],
  [{ HttpTokensEnforced: 'enabled' }, 'UnsupportedOperation', 'HttpTokensEnforced'],
  [{ HttpTokens: 'required', DryRun: true }, 'DryRunOperation', 'DryRun'],
])('metadata defaults %j are refused', async (input, code, named) => {
  await expectRefusal(set(input), code, named)
  expect(await defaults()).toEqual({ ManagedBy: 'account' })
})

test('access to serial consoles is off until it is allowed', async () => {
  const { ec2 } = caller
  const status = () => ec2.send(new GetSerialConsoleAccessStatusCommand({}))
  expect(await status()).toMatchObject({ SerialConsoleAccessEnabled: false, ManagedBy: 'account' })
  const enabled = await ec2.send(new EnableSerialConsoleAccessCommand({}))
  expect(enabled).toMatchObject({ SerialConsoleAccessEnabled: true })
  expect(await status()).toMatchObject({ SerialConsoleAccessEnabled: true })
  await set({ HttpTokens: 'required' })
  expect(await status()).toMatchObject({ SerialConsoleAccessEnabled: true })
  await ec2.send(new DisableSerialConsoleAccessCommand({}))
  expect(await status()).toMatchObject({ SerialConsoleAccessEnabled: false })
  expect(await defaults()).toMatchObject({ HttpTokens: 'required' })
})
