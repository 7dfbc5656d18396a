/** Snapshots that are shared: who sees and uses them, who may not, and what an account forbids itself. */
import {
  CopySnapshotCommand,
  CreateSnapshotCommand,
  type CreateVolumePermission,
  DeleteSnapshotCommand,
  DescribeImagesCommand,
  DescribeSnapshotAttributeCommand,
  DescribeSnapshotsCommand,
  DisableSnapshotBlockPublicAccessCommand,
  EnableSnapshotBlockPublicAccessCommand,
  GetSnapshotBlockPublicAccessStateCommand,
  ModifySnapshotAttributeCommand,
  type ModifySnapshotAttributeCommandInput,
  RegisterImageCommand,
  ResetSnapshotAttributeCommand,
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
let id: string

beforeAll(async () => {
  caller = await callerOf(served(), owner)
  friendly = await callerOf(served(), friend)
  stranger = await callerOf(served(), '000000000003')
  const [instance] = await caller.launch()
  const volume = { VolumeId: instance.BlockDeviceMappings![0]!.Ebs!.VolumeId! }
  id = (await caller.ec2.send(new CreateSnapshotCommand(volume))).SnapshotId!
  await caller.quiet()
})
beforeEach(() => reset())

const modify = (input: Omit<ModifySnapshotAttributeCommandInput, 'SnapshotId'>, by = caller) =>
  by.ec2.send(new ModifySnapshotAttributeCommand({ SnapshotId: id, ...input }))
const add = (...permissions: CreateVolumePermission[]) => modify({ CreateVolumePermission: { Add: permissions } })
const reset = () =>
  caller.ec2.send(new ResetSnapshotAttributeCommand({ SnapshotId: id, Attribute: 'createVolumePermission' }))
const permissions = async () => {
  const request = { SnapshotId: id, Attribute: 'createVolumePermission' as const }
  return (await caller.ec2.send(new DescribeSnapshotAttributeCommand(request))).CreateVolumePermissions
}
const listed = async (by: Caller, more: object = {}) =>
  (await by.ec2.send(new DescribeSnapshotsCommand(more))).Snapshots!.some((one) => one.SnapshotId === id)

test('permissions are given and taken in both forms, one by one and all at once', async () => {
  expect(await permissions()).toEqual([])
  await add({ UserId: friend }, { Group: 'all' })
  await add({ UserId: friend })
  expect(await permissions()).toEqual([{ UserId: friend }, { Group: 'all' }])
  await modify({ CreateVolumePermission: { Remove: [{ Group: 'all' }, { UserId: '999999999999' }] } })
  expect(await permissions()).toEqual([{ UserId: friend }])
  const flat = { Attribute: 'createVolumePermission' as const }
  await modify({ ...flat, OperationType: 'add', UserIds: ['000000000004'], GroupNames: ['all'] })
  await modify({ OperationType: 'remove', UserIds: [friend] })
  expect(await permissions()).toEqual([{ UserId: '000000000004' }, { Group: 'all' }])
  await reset()
  expect(await permissions()).toEqual([])
  // Packer's way: the older list says again whom the newer one adds.
  await modify({ UserIds: [friend], CreateVolumePermission: { Add: [{ UserId: friend }] } })
  await modify({ GroupNames: ['all'], CreateVolumePermission: { Add: [{ Group: 'all' }] } })
  expect(await permissions()).toEqual([{ UserId: friend }, { Group: 'all' }])
  const codes = await caller.ec2.send(
    new DescribeSnapshotAttributeCommand({ SnapshotId: id, Attribute: 'productCodes' }),
  )
  expect(codes).toMatchObject({ SnapshotId: id, ProductCodes: [] })
})

test('a grantee sees the snapshot, and makes volumes, images and copies of it', async () => {
  expect([await listed(friendly), await listed(stranger)]).toEqual([false, false])
  await add({ UserId: friend })
  expect([await listed(friendly), await listed(stranger)]).toEqual([true, false])
  expect(await listed(friendly, { SnapshotIds: [id] })).toBe(true)
  expect(await listed(friendly, { OwnerIds: [owner] })).toBe(true)
  expect(await listed(friendly, { OwnerIds: ['self'] })).toBe(false)
  expect(await listed(friendly, { RestorableByUserIds: ['self'] })).toBe(true)
  expect(await listed(friendly, { RestorableByUserIds: ['all'] })).toBe(false)
  expect(await listed(caller, { RestorableByUserIds: [friend] })).toBe(true)
  expect(await listed(caller, { RestorableByUserIds: ['000000000003'] })).toBe(false)
  expect(await listed(friendly, { RestorableByUserIds: ['000000000003'] })).toBe(false)

  const mapping = (DeviceName: string) => [{ DeviceName, Ebs: { SnapshotId: id } }]
  const registered = await friendly.ec2.send(
    new RegisterImageCommand({
      Name: 'borrowed',
      RootDeviceName: '/dev/xvda',
      BlockDeviceMappings: mapping('/dev/xvda'),
    }),
  )
  await friendly.launch({ ImageId: registered.ImageId })
  const [launched] = await friendly.launch({ BlockDeviceMappings: mapping('/dev/sdf') })
  expect(launched.BlockDeviceMappings).toHaveLength(2)
  const copy = await friendly.ec2.send(new CopySnapshotCommand({ SourceRegion: 'eu-west-1', SourceSnapshotId: id }))
  await friendly.quiet()
  // The copy is the grantee's own, and stays when the permission goes.
  await reset()
  const { Snapshots: own } = await friendly.ec2.send(new DescribeSnapshotsCommand({ OwnerIds: ['self'] }))
  expect(own!.map((one) => [one.SnapshotId, one.State])).toEqual([[copy.SnapshotId, 'completed']])
  expect(await listed(friendly)).toBe(false)
  // An image of somebody else holds the snapshot as an own one does.
  await expectRefusal(caller.ec2.send(new DeleteSnapshotCommand({ SnapshotId: id })), 'InvalidSnapshot.InUse', id)
  await friendly.ec2.send(commandFor('DeregisterImage', { ImageId: registered.ImageId }))
})

test.each([
  ['DeleteSnapshot', {}],
  ['ModifySnapshotAttribute', { CreateVolumePermission: { Add: [{ UserId: friend }] } }],
  ['ResetSnapshotAttribute', { Attribute: 'createVolumePermission' }],
  ['DescribeSnapshotAttribute', { Attribute: 'createVolumePermission' }],
  ['LockSnapshot', { LockMode: 'governance', LockDuration: 1 }],
  ['UnlockSnapshot', {}],
  ['ModifySnapshotTier', { StorageTier: 'archive' }],
  ['RestoreSnapshotTier', { PermanentRestore: true }],
])('%s is for the owner alone; to others the snapshot is not even there', async (operation, input) => {
  await add({ UserId: friend })
  const before = await contentsOf(served())
  const ask = (by: Caller) => by.ec2.send(commandFor(operation, { SnapshotId: id, ...input }))
  await expectRefusal(ask(friendly), 'OperationNotPermitted', id)
  await expectRefusal(ask(stranger), 'InvalidSnapshot.NotFound', id)
  expect(await contentsOf(served())).toEqual(before)
})

test('a public snapshot is everybody’s to use, until its owner blocks public access', async () => {
  const state = async () => (await caller.ec2.send(new GetSnapshotBlockPublicAccessStateCommand({}))).State
  const enable = (State: 'block-all-sharing' | 'block-new-sharing') =>
    caller.ec2.send(new EnableSnapshotBlockPublicAccessCommand({ State }))
  const copied = () => stranger.ec2.send(new CopySnapshotCommand({ SourceRegion: 'eu-west-1', SourceSnapshotId: id }))
  expect(await state()).toBe('unblocked')
  await add({ Group: 'all' })
  expect(await listed(stranger, { RestorableByUserIds: ['all'] })).toBe(true)
  await copied()

  expect((await enable('block-new-sharing')).State).toBe('block-new-sharing')
  expect(await listed(stranger)).toBe(true)
  await expectRefusal(add({ Group: 'all' }), 'OperationNotPermitted', 'block-new-sharing')
  await expectRefusal(modify({ OperationType: 'add', GroupNames: ['all'] }), 'OperationNotPermitted', 'block')
  await add({ UserId: friend })

  await enable('block-all-sharing')
  expect(await state()).toBe('block-all-sharing')
  expect([await listed(stranger), await listed(friendly)]).toEqual([false, true])
  await expectRefusal(copied(), 'InvalidSnapshot.NotFound', id)
  // Blocked, not taken back: it is public again when the block goes.
  expect(await permissions()).toEqual([{ UserId: friend }, { Group: 'all' }])
  const elsewhere = served().client(owner, 'us-west-2')
  expect((await elsewhere.send(new GetSnapshotBlockPublicAccessStateCommand({}))).State).toBe('unblocked')
  const disabled = await caller.ec2.send(new DisableSnapshotBlockPublicAccessCommand({}))
  expect([disabled.State, await state(), await listed(stranger)]).toEqual(['unblocked', 'unblocked', true])
})

test('the public images’ snapshots are restorable by all', async () => {
  const { Images: images } = await stranger.ec2.send(new DescribeImagesCommand({ ImageIds: [stranger.seedImage] }))
  const { Snapshots: found } = await stranger.ec2.send(new DescribeSnapshotsCommand({ RestorableByUserIds: ['all'] }))
  expect(found!.map((one) => one.SnapshotId)).toContain(images![0]!.BlockDeviceMappings![0]!.Ebs!.SnapshotId)
})

const tooMany = Array.from({ length: 501 }, (_, index) => ({ UserId: String(100_000_000_000 + index) }))
const permission = (more: object) => ({ CreateVolumePermission: more })
test.each<[string, string, object, string, string]>([
  [
    'an id that is none',
    'ModifySnapshotAttribute',
    permission({ Add: [{ UserId: '12' }] }),
    'InvalidUserID.Malformed',
    '"12"',
  ],
  [
    'a group that is none',
    'ModifySnapshotAttribute',
    permission({ Add: [{ Group: 'some' }] }),
    'InvalidParameterValue',
    'some',
  ],
  [
    'a flat group that is none',
    'ModifySnapshotAttribute',
    { OperationType: 'add', GroupNames: ['x'] },
    'InvalidParameterValue',
    '(x)',
  ],
  ['nobody', 'ModifySnapshotAttribute', permission({ Add: [{ UserId: '' }] }), 'InvalidUserID.Malformed', '""'],
  [
    'both at once',
    'ModifySnapshotAttribute',
    permission({ Add: [{ UserId: friend, Group: 'all' }] }),
    'InvalidParameterCombination',
    'Group',
  ],
  [
    'adding and removing',
    'ModifySnapshotAttribute',
    permission({ Add: [{ UserId: friend }], Remove: [{ Group: 'all' }] }),
    'InvalidParameterCombination',
    'Remove',
  ],
  [
    'both forms',
    'ModifySnapshotAttribute',
    { ...permission({ Add: [{ UserId: friend }] }), OperationType: 'add' },
    'InvalidParameterCombination',
    'OperationType',
  ],
  [
    'both forms that differ',
    'ModifySnapshotAttribute',
    { ...permission({ Add: [{ UserId: friend }] }), GroupNames: ['all'] },
    'InvalidParameterCombination',
    'CreateVolumePermission',
  ],
  ['no change', 'ModifySnapshotAttribute', {}, 'MissingParameter', 'CreateVolumePermission'],
  ['no operation', 'ModifySnapshotAttribute', { UserIds: [friend] }, 'MissingParameter', 'OperationType'],
  ['nobody in the flat form', 'ModifySnapshotAttribute', { OperationType: 'add' }, 'MissingParameter', 'UserId'],
  [
    'product codes',
    'ModifySnapshotAttribute',
    { Attribute: 'productCodes', OperationType: 'add' },
    'InvalidParameterValue',
    'productCodes',
  ],
  ['too many', 'ModifySnapshotAttribute', permission({ Add: tooMany }), 'InvalidParameterValue', '500'],
  [
    'a dry run',
    'ModifySnapshotAttribute',
    { ...permission({ Add: [{ UserId: friend }] }), DryRun: true },
    'DryRunOperation',
    'DryRun',
  ],
  ['product codes', 'ResetSnapshotAttribute', { Attribute: 'productCodes' }, 'InvalidParameterValue', 'productCodes'],
  ['no attribute', 'DescribeSnapshotAttribute', {}, 'MissingParameter', 'Attribute'],
  [
    'a malformed id',
    'DescribeSnapshotAttribute',
    { SnapshotId: 'snap', Attribute: 'productCodes' },
    'InvalidSnapshotID.Malformed',
    '"snap"',
  ],
  [
    'an owner that is none',
    'DescribeSnapshots',
    { SnapshotId: undefined, OwnerIds: ['me'] },
    'InvalidUserID.Malformed',
    '"me"',
  ],
  [
    'a user that is none',
    'DescribeSnapshots',
    { SnapshotId: undefined, RestorableByUserIds: ['x'] },
    'InvalidUserID.Malformed',
    '"x"',
  ],
  [
    'opening',
    'EnableSnapshotBlockPublicAccess',
    { SnapshotId: undefined, State: 'unblocked' },
    'InvalidParameterValue',
    'unblocked',
  ],
  ['no state', 'EnableSnapshotBlockPublicAccess', { SnapshotId: undefined }, 'MissingParameter', 'State'],
])('%s in %s is refused', async (_, operation, input, code, named) => {
  const before = await contentsOf(served())
  await expectRefusal(caller.ec2.send(commandFor(operation, { SnapshotId: id, ...input })), code, named)
  expect(await contentsOf(served())).toEqual(before)
})
