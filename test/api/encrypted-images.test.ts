/** Encrypted images, who may use them, and what a disabled key does, through the official clients; machines are simulated. */
import {
  AttachVolumeCommand,
  CopyImageCommand,
  CreateVolumeCommand,
  DescribeImagesCommand,
  DescribeSnapshotsCommand,
  DescribeVolumesCommand,
  DisableEbsEncryptionByDefaultCommand,
  EnableEbsEncryptionByDefaultCommand,
  GetEbsDefaultKmsKeyIdCommand,
  GetEbsEncryptionByDefaultCommand,
  ModifyEbsDefaultKmsKeyIdCommand,
  ModifyImageAttributeCommand,
  ModifySnapshotAttributeCommand,
  RegisterImageCommand,
  ResetEbsDefaultKmsKeyIdCommand,
  StartInstancesCommand,
  StopInstancesCommand,
} from '@aws-sdk/client-ec2'
import { describe, expect, test } from 'vitest'
import { callerOf } from '../support/caller.ts'
import { DirectSnapshots, diskOf } from '../support/direct-snapshots.ts'
import { useEncryption } from '../support/encrypted-volumes.ts'
import { expectRefusal } from '../support/served-cloud.ts'

const region = 'eu-west-1'
const zone = 'eu-west-1a'
const owner = '000000000003'
const other = '000000000004'

const { served, on } = useEncryption(owner)

describe('images and launches', () => {
  const rootDevice = { DeviceName: '/dev/xvda' }

  test('a launch encrypts what it is asked to, an image of it is encrypted, and so is what is made of that', async () => {
    const key = await on.encryption.newKey()
    const [instance] = await on.caller.launch({
      BlockDeviceMappings: [
        { ...rootDevice, Ebs: { Encrypted: true, KmsKeyId: key.arn } },
        { DeviceName: '/dev/sdf', Ebs: { VolumeSize: 1, Encrypted: true } },
        { DeviceName: '/dev/sdg', Ebs: { VolumeSize: 1 } },
      ],
    })
    const ids = instance.BlockDeviceMappings!.map((device) => device.Ebs!.VolumeId!)
    const { Volumes } = await on.caller.ec2.send(new DescribeVolumesCommand({ VolumeIds: ids }))
    const keyAt = (device: string) => Volumes!.find((row) => row.Attachments![0]!.Device === device)!.KmsKeyId
    expect([keyAt('/dev/xvda'), keyAt('/dev/sdf'), keyAt('/dev/sdg')]).toEqual([
      key.arn,
      await on.encryption.managedArn(),
      undefined,
    ])

    const image = await on.caller.imageOf(instance.InstanceId!, 'encrypted')
    expect(image.BlockDeviceMappings!.map((device) => device.Ebs!.Encrypted)).toEqual([true, true, false])
    const [again] = await on.caller.launch({ ImageId: image.ImageId! })
    const rootVolume = await on.encryption.settledVolume(again.BlockDeviceMappings![0]!.Ebs!.VolumeId!)
    expect(rootVolume).toMatchObject({ Encrypted: true, KmsKeyId: key.arn })
    const filtered = await on.caller.ec2.send(
      new DescribeImagesCommand({
        Owners: ['self'],
        Filters: [{ Name: 'block-device-mapping.encrypted', Values: ['true'] }],
      }),
    )
    expect(filtered.Images!.map((row) => row.ImageId)).toContain(image.ImageId)

    const { ImageId } = await on.caller.ec2.send(
      new CopyImageCommand({
        ...{ Name: 'encrypted copy', SourceRegion: region, SourceImageId: image.ImageId! },
        ...{ Encrypted: true, KmsKeyId: key.arn },
      }),
    )
    const copied = await on.caller.image(ImageId!)
    expect(copied.BlockDeviceMappings!.map((device) => device.Ebs!.Encrypted)).toEqual([true, true, true])
    const snapshotIds = copied.BlockDeviceMappings!.map((device) => device.Ebs!.SnapshotId!)
    const { Snapshots } = await on.caller.ec2.send(new DescribeSnapshotsCommand({ SnapshotIds: snapshotIds }))
    expect(new Set(Snapshots!.map((row) => row.KmsKeyId))).toEqual(new Set([key.arn]))
  })

  test('an image says of encryption what EC2 lets it say', async () => {
    const sealed = await on.direct.make(diskOf({ 0: 'a' }), { Encrypted: true })
    const register = (name: string, root: object, more: object[] = []) =>
      on.caller.ec2.send(
        new RegisterImageCommand({
          ...{ Name: name, RootDeviceName: '/dev/xvda', VirtualizationType: 'hvm' },
          BlockDeviceMappings: [{ ...rootDevice, Ebs: { SnapshotId: sealed, ...root } }, ...more],
        }),
      )
    for (const Encrypted of [true, false])
      await expectRefusal(register('refused', { Encrypted }), 'InvalidBlockDeviceMapping', 'the encrypted flag')
    await expectRefusal(register('refused', { KmsKeyId: 'alias/aws/ebs' }), 'InvalidBlockDeviceMapping', 'KmsKeyId')
    const empty = { DeviceName: '/dev/sdf', Ebs: { VolumeSize: 1, Encrypted: true } }
    const { ImageId } = await register('registered', {}, [empty])
    const image = await on.caller.image(ImageId!)
    expect(image.BlockDeviceMappings!.map((device) => device.Ebs!.Encrypted)).toEqual([true, true])
    const [instance] = await on.caller.launch({ ImageId: ImageId! })
    for (const device of instance.BlockDeviceMappings!)
      expect(await on.encryption.settledVolume(device.Ebs!.VolumeId!)).toMatchObject({
        Encrypted: true,
        KmsKeyId: await on.encryption.managedArn(),
      })
    const launch = (ebs: object) =>
      on.caller.launch({ ImageId: ImageId!, BlockDeviceMappings: [{ ...rootDevice, Ebs: ebs }] })
    await expectRefusal(launch({ Encrypted: false }), 'InvalidParameterValue', 'BlockDeviceMapping.Ebs.Encrypted')
    await expectRefusal(launch({ KmsKeyId: 'alias/aws/ebs' }), 'InvalidParameterDependency', 'Ebs.KmsKeyId')
    await expectRefusal(launch({ Encrypted: true, KmsKeyId: 'alias/no' }), 'InvalidParameterValue', 'Ebs.KmsKeyId')
  })

  test('the account default encrypts everything new in its region, under the default key', async () => {
    const away = await callerOf(served(), owner, 'eu-central-1')
    const there = { accountId: owner, region: 'eu-central-1' }
    const ec2 = away.ec2
    expect(await ec2.send(new GetEbsEncryptionByDefaultCommand({}))).toMatchObject({ EbsEncryptionByDefault: false })
    expect(await ec2.send(new GetEbsDefaultKmsKeyIdCommand({}))).toMatchObject({ KmsKeyId: 'alias/aws/ebs' })
    const key = await on.encryption.newKey('alias/standard', there)
    const modified = await ec2.send(new ModifyEbsDefaultKmsKeyIdCommand({ KmsKeyId: 'alias/standard' }))
    expect(modified.KmsKeyId).toBe(key.arn)
    expect(await ec2.send(new EnableEbsEncryptionByDefaultCommand({}))).toMatchObject({ EbsEncryptionByDefault: true })
    expect(await ec2.send(new GetEbsEncryptionByDefaultCommand({}))).toMatchObject({ EbsEncryptionByDefault: true })
    expect(await ec2.send(new GetEbsDefaultKmsKeyIdCommand({}))).toMatchObject({ KmsKeyId: key.arn })
    const made = await on.encryption.volume({ AvailabilityZone: 'eu-central-1a', Encrypted: false }, away)
    expect(made).toMatchObject({ Encrypted: true, KmsKeyId: key.arn })
    const [instance] = await away.launch()
    const root = await on.encryption.settledVolume(instance.BlockDeviceMappings![0]!.Ebs!.VolumeId!, away)
    expect(root).toMatchObject({ Encrypted: true, KmsKeyId: key.arn })
    const plain = await on.direct.make(diskOf({ 0: 'a' }))
    expect(await on.encryption.copy(plain, {}, away)).toMatchObject({ Encrypted: true, KmsKeyId: key.arn })
    await ec2.send(new ResetEbsDefaultKmsKeyIdCommand({}))
    expect(await ec2.send(new GetEbsDefaultKmsKeyIdCommand({}))).toMatchObject({ KmsKeyId: 'alias/aws/ebs' })
    await ec2.send(new DisableEbsEncryptionByDefaultCommand({}))
    expect(await on.encryption.volume({ AvailabilityZone: 'eu-central-1a' }, away)).toMatchObject({ Encrypted: false })
    const bad = ec2.send(new ModifyEbsDefaultKmsKeyIdCommand({ KmsKeyId: 'alias/none' }))
    await expectRefusal(bad, 'InvalidParameterValue', 'KmsKeyId')
  })
})

describe('sharing', () => {
  const shareSnapshot = (id: string, who: object) =>
    on.caller.ec2.send(
      new ModifySnapshotAttributeCommand({
        ...{ SnapshotId: id, Attribute: 'createVolumePermission', OperationType: 'add' },
        ...who,
      }),
    )

  test('nothing under the managed key is shared, and nothing encrypted with all', async () => {
    const managed = await on.direct.make(diskOf({ 0: 'a' }), { Encrypted: true })
    const own = await on.direct.make(diskOf({ 0: 'a' }), {
      Encrypted: true,
      KmsKeyArn: (await on.encryption.newKey()).arn,
    })
    await expectRefusal(shareSnapshot(managed, { UserIds: [other] }), 'OperationNotPermitted', 'alias/aws/ebs')
    for (const id of [managed, own])
      await expectRefusal(shareSnapshot(id, { GroupNames: ['all'] }), 'OperationNotPermitted', 'shared with all')
    const { ImageId } = await on.caller.ec2.send(
      new RegisterImageCommand({
        ...{ Name: 'not to be shared', RootDeviceName: '/dev/xvda', VirtualizationType: 'hvm' },
        BlockDeviceMappings: [{ DeviceName: '/dev/xvda', Ebs: { SnapshotId: managed } }],
      }),
    )
    const shareImage = (add: object) =>
      on.caller.ec2.send(new ModifyImageAttributeCommand({ ImageId, LaunchPermission: { Add: [add] } }))
    await expectRefusal(shareImage({ UserId: other }), 'OperationNotPermitted', 'alias/aws/ebs')
    await expectRefusal(shareImage({ Group: 'all' }), 'OperationNotPermitted', 'shared with all')
  })

  test('who is given a snapshot can use it once the key is shared too', async () => {
    const key = await on.encryption.newKey()
    const disk = diskOf({ 0: 'shared' })
    const source = await on.direct.make(disk, { Encrypted: true, KmsKeyArn: key.arn })
    await shareSnapshot(source, { UserIds: [other] })
    const stranger = await callerOf(served(), other)
    const theirs = new DirectSnapshots(served().ebs(other), stranger.ec2)
    const refused = await on.encryption.copy(source, {}, stranger)
    expect(refused).toMatchObject({
      State: 'error',
      StateMessage: expect.stringContaining('is not accessible to account'),
    })
    const bad = await stranger.ec2.send(new CreateVolumeCommand({ AvailabilityZone: zone, SnapshotId: source }))
    expect(await on.encryption.settledVolume(bad.VolumeId!, stranger)).toMatchObject({ State: 'error' })

    await served().cloud.encryptionKeys.share(key.id, other, true)
    const good = await on.encryption.copy(source, {}, stranger)
    const strangersKey = await on.encryption.managedArn({ accountId: other, region })
    expect(good).toMatchObject({ State: 'completed', Encrypted: true, KmsKeyId: strangersKey })
    expect(await theirs.read(good.SnapshotId!)).toEqual(disk)
    const made = await on.encryption.volume({ SnapshotId: source }, stranger)
    expect(made).toMatchObject({ KmsKeyId: strangersKey })
    // A copy is its owner's: neither the key nor the snapshot that it came from matters any more.
    await served().cloud.encryptionKeys.share(key.id, other, false)
    expect(await theirs.read(good.SnapshotId!)).toEqual(disk)
  })
})

describe('a disabled key', () => {
  test('lets no new volume, launch, start, attachment or snapshot succeed; what runs goes on; enabled, all works', async () => {
    const key = await on.encryption.newKey()
    const keys = served().cloud.encryptionKeys
    const encrypted = { Encrypted: true, KmsKeyId: key.arn }
    const mapping = { BlockDeviceMappings: [{ DeviceName: '/dev/xvda', Ebs: encrypted }] }
    const [running] = await on.caller.launch(mapping)
    const [stopped] = await on.caller.launch(mapping)
    await on.caller.ec2.send(new StopInstancesCommand({ InstanceIds: [stopped.InstanceId!] }))
    await on.caller.reaches(stopped.InstanceId!, 'stopped')
    const loose = await on.encryption.volume({ ...encrypted, AvailabilityZone: running.Placement!.AvailabilityZone! })
    const image = await on.caller.imageOf(running.InstanceId!, 'of a key that is disabled')
    await keys.setState(key.id, 'disabled')

    const made = await on.caller.ec2.send(new CreateVolumeCommand({ AvailabilityZone: zone, Size: 1, ...encrypted }))
    expect(await on.encryption.settledVolume(made.VolumeId!)).toMatchObject({ State: 'error', KmsKeyId: key.arn })

    const [failed] = await on.caller.launch({ ImageId: image.ImageId! }, 'terminated')
    const clientError = { Code: 'Client.InternalError', Message: 'Client.InternalError: Client error on launch' }
    expect(failed.StateReason).toEqual(clientError)
    expect(failed.StateTransitionReason).toContain(`${key.arn} is disabled`)

    await on.caller.ec2.send(new StartInstancesCommand({ InstanceIds: [stopped.InstanceId!] }))
    await on.caller.quiet()
    expect(await on.caller.describe(stopped.InstanceId!)).toMatchObject({
      State: { Name: 'stopped' },
      StateReason: clientError,
    })

    const attach = () =>
      on.caller.ec2.send(
        new AttachVolumeCommand({ VolumeId: loose.VolumeId!, InstanceId: running.InstanceId!, Device: '/dev/sdf' }),
      )
    await expectRefusal(attach(), 'CustomerKeyHasBeenRevoked', key.arn)

    for (const id of [running.BlockDeviceMappings![0]!.Ebs!.VolumeId!, loose.VolumeId!]) {
      expect(await on.encryption.snapshotOf(id)).toMatchObject({
        State: 'error',
        StateMessage: expect.stringContaining(`${key.arn} is disabled`),
      })
    }
    const snapshot = image.BlockDeviceMappings![0]!.Ebs!.SnapshotId!
    expect(await on.encryption.copy(snapshot)).toMatchObject({
      State: 'error',
      StateMessage: expect.stringContaining('is disabled'),
    })
    expect((await on.caller.describe(running.InstanceId!)).State!.Name).toBe('running')

    await keys.setState(key.id, 'enabled')
    await on.caller.ec2.send(new StartInstancesCommand({ InstanceIds: [stopped.InstanceId!] }))
    await on.caller.reaches(stopped.InstanceId!, 'running')
    await on.caller.launch({ ImageId: image.ImageId! })
    await attach()
    expect(await on.encryption.snapshotOf(running.BlockDeviceMappings![0]!.Ebs!.VolumeId!)).toMatchObject({
      State: 'completed',
    })
    expect(await on.encryption.copy(snapshot)).toMatchObject({ State: 'completed' })
  })
})
