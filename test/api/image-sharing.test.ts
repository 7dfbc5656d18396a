/** Images that are shared: who launches and copies them, and what an account forbids itself. */
import {
  CopyImageCommand,
  DescribeImageAttributeCommand,
  DescribeImagesCommand,
  DisableImageBlockPublicAccessCommand,
  EnableImageBlockPublicAccessCommand,
  GetImageBlockPublicAccessStateCommand,
  type LaunchPermission,
  ModifyImageAttributeCommand,
  type ModifyImageAttributeCommandInput,
  ModifySnapshotAttributeCommand,
  ResetImageAttributeCommand,
} from '@aws-sdk/client-ec2'
import { beforeAll, beforeEach, expect, test } from 'vitest'
import { commandFor } from '../../src/api/testing/official-client.ts'
import { type Caller, callerOf } from '../support/caller.ts'
import { contentsOf } from '../support/cloud-contents.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'

const served = useServedCloud({ isLive: true })
const owner = '000000000001'
const friend = '000000000002'
let caller: Caller
let friendly: Caller
let stranger: Caller
const at = { image: '', snapshot: '' }

beforeAll(async () => {
  caller = await callerOf(served(), owner)
  friendly = await callerOf(served(), friend)
  stranger = await callerOf(served(), '000000000003')
  const [instance] = await caller.launch()
  const image = await caller.imageOf(instance.InstanceId!, 'shared')
  Object.assign(at, { image: image.ImageId, snapshot: image.BlockDeviceMappings![0]!.Ebs!.SnapshotId })
})
beforeEach(() => reset())

const modify = (input: Omit<ModifyImageAttributeCommandInput, 'ImageId'>) =>
  caller.ec2.send(new ModifyImageAttributeCommand({ ImageId: at.image, ...input }))
const add = (...permissions: LaunchPermission[]) => modify({ LaunchPermission: { Add: permissions } })
const reset = () =>
  caller.ec2.send(new ResetImageAttributeCommand({ ImageId: at.image, Attribute: 'launchPermission' }))
const permissions = async () => {
  const request = { ImageId: at.image, Attribute: 'launchPermission' as const }
  return (await caller.ec2.send(new DescribeImageAttributeCommand(request))).LaunchPermissions
}
const listed = async (by: Caller, more: object = {}) =>
  (await by.ec2.send(new DescribeImagesCommand(more))).Images!.some((one) => one.ImageId === at.image)
const copy = (by: Caller, Name: string) =>
  by.ec2.send(new CopyImageCommand({ Name, SourceImageId: at.image, SourceRegion: 'eu-west-1' }))

test('permissions are given and taken in both forms, both in one request too', async () => {
  await add({ UserId: friend }, { Group: 'all' })
  expect(await permissions()).toEqual([{ UserId: friend }, { Group: 'all' }])
  await modify({ LaunchPermission: { Add: [{ UserId: '000000000004' }], Remove: [{ Group: 'all' }] } })
  expect(await permissions()).toEqual([{ UserId: friend }, { UserId: '000000000004' }])
  await modify({ Attribute: 'launchPermission', OperationType: 'remove', UserIds: [friend] })
  await modify({ OperationType: 'add', UserGroups: ['all'] })
  expect(await permissions()).toEqual([{ UserId: '000000000004' }, { Group: 'all' }])
  await reset()
  expect(await permissions()).toEqual([])
  // Packer's way: the older list says again whom the newer one adds.
  await modify({ UserIds: [friend], LaunchPermission: { Add: [{ UserId: friend }] } })
  await modify({ UserGroups: ['all'], LaunchPermission: { Add: [{ Group: 'all' }] } })
  expect(await permissions()).toEqual([{ UserId: friend }, { Group: 'all' }])
})

test('a grantee sees and launches the image without a permission for its snapshot, and cannot copy it without one', async () => {
  expect([await listed(friendly), await listed(stranger)]).toEqual([false, false])
  await add({ UserId: friend })
  expect([await listed(friendly), await listed(stranger)]).toEqual([true, false])
  expect(await listed(friendly, { ExecutableUsers: ['self'] })).toBe(true)
  expect(await listed(friendly, { ExecutableUsers: ['all'] })).toBe(false)
  expect(await listed(caller, { ExecutableUsers: [friend] })).toBe(true)
  expect(await listed(friendly, { Owners: [owner] })).toBe(true)
  await friendly.launch({ ImageId: at.image })
  // Changing the root's size is no use of the snapshot by its id.
  const device = (DeviceName: string, Ebs: object) => ({
    ImageId: at.image,
    BlockDeviceMappings: [{ DeviceName, Ebs }],
  })
  await friendly.launch(device('/dev/xvda', { VolumeSize: 2 }))
  await expectRefusal(
    friendly.launch(device('/dev/sdf', { SnapshotId: at.snapshot })),
    'InvalidSnapshot.NotFound',
    at.snapshot,
  )
  await expectRefusal(copy(friendly, 'mine'), 'InvalidRequest', at.image)
  await expectRefusal(copy(stranger, 'mine'), 'InvalidAMIID.NotFound', at.image)
  await caller.ec2.send(
    new ModifySnapshotAttributeCommand({ SnapshotId: at.snapshot, OperationType: 'add', UserIds: [friend] }),
  )
  const { ImageId: copied } = await copy(friendly, 'mine')
  const own = await friendly.image(copied!)
  expect([own.State, own.OwnerId]).toEqual(['available', friend])
  await reset()
  expect(await listed(friendly)).toBe(false)
  await friendly.launch({ ImageId: copied })
})

test('a public image is everybody’s to launch, and says so', async () => {
  await add({ Group: 'all' })
  const { Images: found } = await stranger.ec2.send(new DescribeImagesCommand({ ImageIds: [at.image] }))
  expect(found![0]!.Public).toBe(true)
  expect(await listed(stranger, { ExecutableUsers: ['all'] })).toBe(true)
  expect(await listed(stranger, { ExecutableUsers: ['self'] })).toBe(false)
  await stranger.launch({ ImageId: at.image })
})

test('an account that blocks new public sharing keeps what is public', async () => {
  const state = async () =>
    (await caller.ec2.send(new GetImageBlockPublicAccessStateCommand({}))).ImageBlockPublicAccessState
  expect(await state()).toBe('unblocked')
  await add({ Group: 'all' })
  await caller.ec2.send(new EnableImageBlockPublicAccessCommand({ ImageBlockPublicAccessState: 'block-new-sharing' }))
  expect([await state(), await listed(stranger)]).toEqual(['block-new-sharing', true])
  await expectRefusal(add({ Group: 'all' }), 'OperationNotPermitted', 'block-new-sharing')
  await add({ UserId: friend })
  await caller.ec2.send(new DisableImageBlockPublicAccessCommand({}))
  expect(await state()).toBe('unblocked')
  await add({ Group: 'all' })
})

test('its description is changed in both forms', async () => {
  const description = async () =>
    (await caller.ec2.send(new DescribeImageAttributeCommand({ ImageId: at.image, Attribute: 'description' })))
      .Description!.Value
  await modify({ Description: { Value: 'what it is for' } })
  expect(await description()).toBe('what it is for')
  await modify({ Attribute: 'description', Value: 'something else' })
  expect(await description()).toBe('something else')
})

test.each([
  ['ModifyImageAttribute', { LaunchPermission: { Add: [{ UserId: friend }] } }],
  ['ModifyImageAttribute', { Description: { Value: 'mine' } }],
  ['ResetImageAttribute', { Attribute: 'launchPermission' }],
  ['DescribeImageAttribute', { Attribute: 'launchPermission' }],
])('%s %j is for the owner alone; to others the image is not even there', async (operation, input) => {
  await add({ UserId: friend })
  const before = await contentsOf(served())
  const ask = (by: Caller) => by.ec2.send(commandFor(operation, { ImageId: at.image, ...input }))
  await expectRefusal(ask(friendly), 'AuthFailure', at.image)
  await expectRefusal(ask(stranger), 'InvalidAMIID.NotFound', at.image)
  expect(await contentsOf(served())).toEqual(before)
})

const permission = (more: object) => ({ LaunchPermission: more })
test.each<[object, string, string]>([
  [permission({ Add: [{ UserId: '1234' }] }), 'InvalidAMIAttributeItemValue', '"1234" for userId'],
  [permission({ Remove: [{ UserId: '1234' }] }), 'InvalidAMIAttributeItemValue', '"1234" for userId'],
  [permission({ Add: [{ Group: 'some' }] }), 'InvalidAMIAttributeItemValue', '"some" for UserGroup'],
  [{ OperationType: 'add', UserGroups: ['some'] }, 'InvalidAMIAttributeItemValue', '"some" for UserGroup'],
  [{ OperationType: 'add', UserIds: ['x'] }, 'InvalidAMIAttributeItemValue', '"x" for userId'],
  [permission({ Add: [{ UserId: friend, Group: 'all' }] }), 'InvalidParameterCombination', 'Group'],
  [permission({ Add: [{ OrganizationArn: 'arn:x' }] }), 'UnsupportedOperation', 'OrganizationArn'],
  [{ OrganizationArns: ['arn:x'] }, 'UnsupportedOperation', 'OrganizationArns'],
  [{ ProductCodes: ['x'] }, 'UnsupportedOperation', 'ProductCodes'],
  [{ ImdsSupport: { Value: 'v2.0' } }, 'UnsupportedOperation', 'ImdsSupport'],
  [{}, 'MissingParameter', 'Attribute'],
  [{ Attribute: 'launchPermission' }, 'MissingParameter', 'OperationType'],
  [{ Attribute: 'description' }, 'MissingParameter', 'Value'],
  [{ Value: 'x' }, 'MissingParameter', 'Attribute'],
  [{ OperationType: 'add' }, 'MissingParameter', 'UserId'],
  [{ UserIds: [friend] }, 'MissingParameter', 'OperationType'],
  [{ Attribute: 'kernel', Value: 'x' }, 'InvalidParameterValue', 'kernel'],
  [{ Attribute: 'launchPermission', Value: 'x' }, 'InvalidParameterCombination', 'launchPermission'],
  [{ Attribute: 'description', OperationType: 'add', UserIds: [friend] }, 'InvalidParameterCombination', 'description'],
  [
    { Description: { Value: 'x' }, ...permission({ Add: [{ UserId: friend }] }) },
    'InvalidParameterCombination',
    'Description',
  ],
  [
    { ...permission({ Add: [{ UserId: friend }] }), UserIds: ['000000000004'] },
    'InvalidParameterCombination',
    'LaunchPermission',
  ],
  [
    { ...permission({ Add: [{ UserId: friend }] }), UserIds: [friend], OperationType: 'add' },
    'InvalidParameterCombination',
    'OperationType',
  ],
  [{ Description: { Value: 'x'.repeat(256) } }, 'InvalidParameterValue', 'Description'],
  [{ ImageId: 'ami', Description: { Value: 'x' } }, 'InvalidAMIID.Malformed', '"ami"'],
  [{ ...permission({ Add: [{ UserId: friend }] }), DryRun: true }, 'DryRunOperation', 'DryRun'],
])('ModifyImageAttribute %j is refused', async (input, code, named) => {
  const before = await contentsOf(served())
  await expectRefusal(caller.ec2.send(commandFor('ModifyImageAttribute', { ImageId: at.image, ...input })), code, named)
  expect(await contentsOf(served())).toEqual(before)
})

test.each([
  [
    'ResetImageAttribute',
    { ImageId: 'ami-0123456789abcdef0', Attribute: 'launchPermission' },
    'InvalidAMIID.NotFound',
    'ami-0',
  ],
  [
    'ResetImageAttribute',
    { ImageId: 'ami-0123456789abcdef0', Attribute: 'description' },
    'InvalidParameterValue',
    'description',
  ],
  ['DescribeImages', { Owners: ['me'] }, 'InvalidUserID.Malformed', '"me"'],
  ['DescribeImages', { ExecutableUsers: ['me'] }, 'InvalidUserID.Malformed', '"me"'],
  ['EnableImageBlockPublicAccess', { ImageBlockPublicAccessState: 'unblocked' }, 'InvalidParameterValue', 'unblocked'],
])('%s %j is refused', async (operation, input, code, named) => {
  await expectRefusal(caller.ec2.send(commandFor(operation, input)), code, named)
})
