/** Images, snapshots and volumes as users see them, on a real block store with real disk files. */
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  CopyImageCommand,
  CopySnapshotCommand,
  CreateImageCommand,
  CreateSnapshotCommand,
  DeleteSnapshotCommand,
  DeleteVolumeCommand,
  DeregisterImageCommand,
  DescribeImageAttributeCommand,
  DescribeImagesCommand,
  DescribeSnapshotsCommand,
  DescribeVolumesCommand,
  RebootInstancesCommand,
  RegisterImageCommand,
  type Snapshot,
  StartInstancesCommand,
  StopInstancesCommand,
  TerminateInstancesCommand,
} from '@aws-sdk/client-ec2'
import { beforeAll, expect, test } from 'vitest'
import type { SnapshotBlocks } from '../../src/blocks/ports.ts'
import { nbdImage, writeLayer } from '../../src/blocks/testing/qemu-disks.ts'
import { systemClock, waitFor } from '../../src/lib/clock.ts'
import { run } from '../../src/lib/programs.ts'
import { type Caller, callerOf } from '../support/caller.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'

/** Faults that a test puts before the block store. */
const faults: { capture?: () => Promise<void> } = {}
const wrapBlocks = (blocks: SnapshotBlocks): SnapshotBlocks => ({
  ...blocks,
  async capture(request, progress) {
    await faults.capture?.()
    return blocks.capture(request, progress)
  },
})

const served = useServedCloud({ isLive: true, wrapBlocks })
let caller: Caller
let abroad: Caller
beforeAll(async () => {
  caller = await callerOf(served(), '000000000001')
  abroad = await callerOf(served(), '000000000001', 'us-west-2')
})

const account = '000000000001'

async function completed(snapshotId: string, by = caller): Promise<Snapshot> {
  const found = await waitFor(
    systemClock,
    async () => {
      const { Snapshots: [one] = [] } = await by.ec2.send(new DescribeSnapshotsCommand({ SnapshotIds: [snapshotId] }))
      return one!.State === 'pending' ? undefined : one!
    },
    { everyMs: 50, timeoutMs: 20_000 },
  )
  return found!
}

const snapshotOf = async (volumeId: string): Promise<Snapshot> =>
  completed((await caller.ec2.send(new CreateSnapshotCommand({ VolumeId: volumeId }))).SnapshotId!)

/** What a guest would write: into the file that the volume's machine writes to now. */
async function write(volumeId: string, ...commands: string[]): Promise<void> {
  const { state, volumesDir } = served().deps
  const top = (await state.volumes.layers(volumeId)).at(-1)!
  await writeLayer([join(volumesDir, volumeId, top.fileName)], commands)
}

/** The first `bytes` of a completed snapshot, as a volume that is made of it reads them. */
async function contentOf(snapshotId: string, bytes: number): Promise<Buffer> {
  const { state, blocks } = served().deps
  const { region, rootHash } = (await state.snapshots.get(snapshotId))!
  const folder = await mkdtemp(join(tmpdir(), 'kiln-content-'))
  try {
    const source = await blocks.serve({ region, root: rootHash!, volumeId: 'vol-00000000' })
    await run('qemu-img', ['dd', '-O', 'raw', `bs=${bytes}`, 'count=1', `if=${nbdImage(source)}`, `of=${folder}/raw`])
    return await readFile(join(folder, 'raw'))
  } finally {
    await rm(folder, { recursive: true })
  }
}

test('a second snapshot stores what was written since the first, and reads as the whole', async () => {
  const [instance] = await caller.launch()
  const volumeId = instance.BlockDeviceMappings![0]!.Ebs!.VolumeId!
  await write(volumeId, 'write -P 1 1M 8M')
  const first = await snapshotOf(volumeId)
  await write(volumeId, 'write -P 2 3M 512k')
  const second = await snapshotOf(volumeId)
  expect([first.State, first.Progress, second.State]).toEqual(['completed', '100%', 'completed'])
  const rows = await served().deps.state.snapshots.many([first.SnapshotId!, second.SnapshotId!])
  const stored = (snapshot: Snapshot) => rows.find((row) => row.id === snapshot.SnapshotId)!.storedBytes!
  // All blocks of one pattern are one block: the first holds two, the second one more; leaf and root come on top.
  expect(stored(second)).toBeLessThan(4096)
  const [before, after] = [
    await contentOf(first.SnapshotId!, 10 * 2 ** 20),
    await contentOf(second.SnapshotId!, 10 * 2 ** 20),
  ]
  const sample = (content: Buffer) =>
    [0, 1 << 20, 3 << 20, (3 << 20) + (512 << 10), (9 << 20) - 1, 9 << 20].map((at) => content[at])
  expect(sample(before)).toEqual([7, 1, 1, 1, 1, 0])
  expect(sample(after)).toEqual([7, 1, 2, 1, 1, 0])
})

test('an image of several volumes, with and without reboot, launches with all of them', async () => {
  const [instance] = await caller.launch({
    BlockDeviceMappings: [
      { DeviceName: '/dev/sdf', Ebs: { VolumeSize: 1, VolumeType: 'gp3', DeleteOnTermination: false } },
      { DeviceName: '/dev/sdg', Ebs: { VolumeSize: 2 } },
    ],
  })
  const id = instance.InstanceId!
  const volumeAt = (device: string) =>
    instance.BlockDeviceMappings!.find((one) => one.DeviceName === device)!.Ebs!.VolumeId!
  await write(volumeAt('/dev/sdf'), 'write -P 3 0 64k')
  const console = async () => (await served().machines.consoleOutput(id, 65_536))!.text.match(/ready/g)!.length
  const boots = await console()
  const live = await caller.imageOf(id, 'several live', true)
  expect(await console()).toBe(boots)
  const rebooted = await caller.imageOf(id, 'several rebooted', false)
  expect(await console()).toBe(boots + 1)
  expect((await caller.describe(id)).State!.Name).toBe('running')
  for (const image of [live, rebooted]) {
    expect(image).toMatchObject({ State: 'available', SourceInstanceId: id, SourceImageId: caller.seedImage })
    expect(
      image.BlockDeviceMappings!.map(({ DeviceName, Ebs }) => [DeviceName, Ebs!.VolumeSize, Ebs!.DeleteOnTermination]),
    ).toEqual([
      ['/dev/xvda', 1, true],
      ['/dev/sdf', 1, false],
      ['/dev/sdg', 2, true],
    ])
    expect((await contentOf(image.BlockDeviceMappings![1]!.Ebs!.SnapshotId!, 4096))[0]).toBe(3)
  }
  const [copy] = await caller.launch({ ImageId: rebooted.ImageId })
  expect(copy.BlockDeviceMappings!.map((one) => one.DeviceName)).toEqual(['/dev/xvda', '/dev/sdf', '/dev/sdg'])
})

test('an image is finished although its instance is terminated meanwhile', async () => {
  const [instance] = await caller.launch()
  const id = instance.InstanceId!
  await write(instance.BlockDeviceMappings![0]!.Ebs!.VolumeId!, 'write -P 5 0 64k')
  const made = await caller.ec2.send(new CreateImageCommand({ InstanceId: id, Name: 'orphan', NoReboot: true }))
  await caller.ec2.send(new TerminateInstancesCommand({ InstanceIds: [id] }))
  const image = await caller.image(made.ImageId!)
  expect(image.State).toBe('available')
  expect((await contentOf(image.BlockDeviceMappings![0]!.Ebs!.SnapshotId!, 4096))[0]).toBe(5)
  await caller.reaches(id, 'terminated')
})

test('an image whose blocks cannot be stored fails, says why, and frees its name', async () => {
  const [instance] = await caller.launch()
  const id = instance.InstanceId!
  faults.capture = async () => {
    throw new Error('the store is full')
  }
  const failed = await caller.imageOf(id, 'unlucky').finally(() => delete faults.capture)
  expect(failed.State).toBe('failed')
  expect(failed.StateReason!.Message).toMatch(/^snapshots: snapshot snap-\w+ failed: capture: the store is full/)
  const { State: state, StateMessage: why } = await completed(failed.BlockDeviceMappings![0]!.Ebs!.SnapshotId!)
  expect([state, why]).toEqual(['error', 'capture: the store is full'])
  expect((await caller.describe(id)).State!.Name).toBe('running')
  const failedFor = async (Name: string, value: string) =>
    (await caller.ec2.send(new DescribeImagesCommand({ Filters: [{ Name, Values: [value] }] }))).Images!.length
  expect(await failedFor('state-reason-code', 'Server.InternalError')).toBe(1)
  expect(await failedFor('state-reason-code', 'Client.*')).toBe(0)
  expect(await failedFor('state-reason-message', '*store is full*')).toBe(1)
  expect(await failedFor('state-reason-message', 'store')).toBe(0)
  expect((await caller.imageOf(id, 'unlucky')).State).toBe('available')
  await caller.ec2.send(new DeleteSnapshotCommand({ SnapshotId: failed.BlockDeviceMappings![0]!.Ebs!.SnapshotId! }))
  await caller.ec2.send(new DeregisterImageCommand({ ImageId: failed.ImageId! }))
})

test('a volume whose files are gone is never taken for an empty one', async () => {
  const [instance] = await caller.launch()
  const id = instance.InstanceId!
  const volumeId = instance.BlockDeviceMappings![0]!.Ebs!.VolumeId!
  await write(volumeId, 'write -P 6 0 64k')
  const folder = join(served().deps.volumesDir, volumeId)
  const start = () => caller.ec2.send(new StartInstancesCommand({ InstanceIds: [id] }))
  await rename(folder, `${folder}.away`)

  const lost = expect.stringMatching(`file ${folder}/layer-0000.qcow2 of volume ${volumeId} is missing`)
  expect(await snapshotOf(volumeId)).toMatchObject({ State: 'error', StateMessage: lost })
  await caller.ec2.send(new RebootInstancesCommand({ InstanceIds: [id] }))
  expect((await caller.reaches(id, 'stopped')).StateReason!.Message).toEqual(lost)
  await start()
  expect((await caller.reaches(id, 'stopped')).StateReason!.Message).toEqual(lost)
  expect(existsSync(folder)).toBe(false)

  await rename(`${folder}.away`, folder)
  await start()
  await caller.reaches(id, 'running')
  const whole = await snapshotOf(volumeId)
  expect(whole.State).toBe('completed')
  expect((await contentOf(whole.SnapshotId!, 4096))[0]).toBe(6)
})

test('an image does not shrink the volumes of its instance', async () => {
  const [instance] = await caller.launch({ BlockDeviceMappings: [{ DeviceName: '/dev/xvda', Ebs: { VolumeSize: 3 } }] })
  const create = (VolumeSize: number) =>
    caller.ec2.send(
      new CreateImageCommand({
        InstanceId: instance.InstanceId!,
        Name: `size ${VolumeSize}`,
        BlockDeviceMappings: [{ DeviceName: '/dev/xvda', Ebs: { VolumeSize } }],
      }),
    )
  await expectRefusal(create(2), 'InvalidBlockDeviceMapping', 'VolumeSize')
  const larger = await caller.image((await create(4)).ImageId!)
  const [launched] = await caller.launch({ ImageId: larger.ImageId })
  const { Volumes: volumes } = await caller.ec2.send(
    new DescribeVolumesCommand({ VolumeIds: [launched.BlockDeviceMappings![0]!.Ebs!.VolumeId!] }),
  )
  expect(volumes![0]!.Size).toBe(4)
  const small = caller.launch({
    ImageId: larger.ImageId,
    BlockDeviceMappings: [{ DeviceName: '/dev/xvda', Ebs: { VolumeSize: 2 } }],
  })
  await expectRefusal(small, 'InvalidBlockDeviceMapping', 'smaller than snapshot')
})

test('an image registered from a snapshot launches', async () => {
  const [instance] = await caller.launch()
  const volumeId = instance.BlockDeviceMappings![0]!.Ebs!.VolumeId!
  await write(volumeId, 'write -P 9 0 64k')
  const snapshot = await snapshotOf(volumeId)
  const { ImageId: id } = await caller.ec2.send(
    new RegisterImageCommand({
      Name: 'by hand',
      RootDeviceName: '/dev/xvda',
      Architecture: 'x86_64',
      EnaSupport: true,
      BlockDeviceMappings: [{ DeviceName: '/dev/xvda', Ebs: { SnapshotId: snapshot.SnapshotId, VolumeSize: 2 } }],
      TagSpecifications: [{ ResourceType: 'image', Tags: [{ Key: 'a', Value: 'b' }] }],
    }),
  )
  const { Images: images } = await caller.ec2.send(new DescribeImagesCommand({ ImageIds: [id!] }))
  expect(images![0]).toMatchObject({ State: 'available', OwnerId: account, Tags: [{ Key: 'a', Value: 'b' }] })
  const [launched] = await caller.launch({ ImageId: id })
  const copy = await snapshotOf(launched.BlockDeviceMappings![0]!.Ebs!.VolumeId!)
  expect((await contentOf(copy.SnapshotId!, 4096))[0]).toBe(9)
  await expectRefusal(
    caller.ec2.send(new DeleteSnapshotCommand({ SnapshotId: snapshot.SnapshotId! })),
    'InvalidSnapshot.InUse',
    id!,
  )
})

test('an image copied to another region has its own snapshots there, and its tags when they are asked for', async () => {
  const [instance] = await caller.launch()
  const { ImageId: source } = await caller.ec2.send(
    new CreateImageCommand({
      InstanceId: instance.InstanceId!,
      Name: 'far',
      TagSpecifications: [{ ResourceType: 'image', Tags: [{ Key: 'a', Value: 'b' }] }],
    }),
  )
  // A copy may only be asked for once the image is there.
  await caller.image(source!)
  const copy = (more: object) =>
    abroad.ec2.send(
      new CopyImageCommand({ Name: 'near', SourceImageId: source, SourceRegion: 'eu-west-1', ...more } as never),
    )
  const made = await copy({
    CopyImageTags: true,
    ClientToken: 'copy',
    TagSpecifications: [{ ResourceType: 'snapshot', Tags: [{ Key: 'c', Value: 'd' }] }],
  })
  await expectRefusal(copy({ ClientToken: 'copy' }), 'IdempotentParameterMismatch', "'copy'")
  await expectRefusal(copy({}), 'InvalidAMIName.Duplicate', 'near')
  const image = await abroad.image(made.ImageId!)
  expect(image).toMatchObject({
    State: 'available',
    SourceImageId: source,
    SourceImageRegion: 'eu-west-1',
    Tags: [{ Key: 'a', Value: 'b' }],
  })
  const snapshotId = image.BlockDeviceMappings![0]!.Ebs!.SnapshotId!
  const snapshot = await completed(snapshotId, abroad)
  expect(snapshot).toMatchObject({ State: 'completed', OwnerId: account, Tags: [{ Key: 'c', Value: 'd' }] })
  await expectRefusal(
    caller.ec2.send(new DescribeSnapshotsCommand({ SnapshotIds: [snapshotId] })),
    'InvalidSnapshot.NotFound',
    snapshotId,
  )
  await abroad.launch({ ImageId: image.ImageId })
  const plain = await abroad.image((await copy({ Name: 'plain' })).ImageId!)
  expect(plain.Tags).toEqual([])
})

test('an image registered for IMDSv2 gives its instances that, unless their launch says otherwise', async () => {
  const [instance] = await caller.launch()
  const snapshot = await snapshotOf(instance.BlockDeviceMappings![0]!.Ebs!.VolumeId!)
  const { ImageId: id } = await caller.ec2.send(
    new RegisterImageCommand({
      Name: 'tokens only',
      RootDeviceName: '/dev/xvda',
      ImdsSupport: 'v2.0',
      BlockDeviceMappings: [{ DeviceName: '/dev/xvda', Ebs: { SnapshotId: snapshot.SnapshotId } }],
    }),
  )
  const { Images: images } = await caller.ec2.send(new DescribeImagesCommand({ ImageIds: [id!] }))
  expect(images![0]!.ImdsSupport).toBe('v2.0')
  const [strict] = await caller.launch({ ImageId: id })
  expect(strict.MetadataOptions).toMatchObject({ HttpTokens: 'required', HttpPutResponseHopLimit: 2 })
  const [lax] = await caller.launch({ ImageId: id, MetadataOptions: { HttpTokens: 'optional' } })
  expect(lax.MetadataOptions).toMatchObject({ HttpTokens: 'optional', HttpPutResponseHopLimit: 2 })
})

test('deregistering takes the snapshots along, but for those that another image needs', async () => {
  const [instance] = await caller.launch({ BlockDeviceMappings: [{ DeviceName: '/dev/sdf', Ebs: { VolumeSize: 1 } }] })
  const image = await caller.imageOf(instance.InstanceId!, 'shares')
  const [root, data] = image.BlockDeviceMappings!.map((one) => one.Ebs!.SnapshotId!) as [string, string]
  const other = await caller.ec2.send(
    new RegisterImageCommand({
      Name: 'sharer',
      RootDeviceName: '/dev/xvda',
      BlockDeviceMappings: [{ DeviceName: '/dev/xvda', Ebs: { SnapshotId: root } }],
    }),
  )
  const first = await caller.ec2.send(
    new DeregisterImageCommand({ ImageId: image.ImageId!, DeleteAssociatedSnapshots: true }),
  )
  expect(first.DeleteSnapshotResults).toEqual([
    { SnapshotId: root, ReturnCode: 'skipped' },
    { SnapshotId: data, ReturnCode: 'success' },
  ])
  expect((await caller.describe(instance.InstanceId!)).State!.Name).toBe('running')
  expect((await completed(root)).State).toBe('completed')
  const second = await caller.ec2.send(
    new DeregisterImageCommand({ ImageId: other.ImageId!, DeleteAssociatedSnapshots: true }),
  )
  expect(second.DeleteSnapshotResults).toEqual([{ SnapshotId: root, ReturnCode: 'success' }])
  const named = await caller.ec2.send(
    new DescribeImagesCommand({ Owners: ['self'], Filters: [{ Name: 'name', Values: ['shar*'] }] }),
  )
  expect(named.Images).toEqual([])
})

test('a kept volume is snapshotted and deleted on its own; while it is read it stays', async () => {
  const [instance] = await caller.launch({
    BlockDeviceMappings: [{ DeviceName: '/dev/sdf', Ebs: { VolumeSize: 1, DeleteOnTermination: false } }],
  })
  const id = instance.InstanceId!
  const volumeId = instance.BlockDeviceMappings![1]!.Ebs!.VolumeId!
  const remove = () => caller.ec2.send(new DeleteVolumeCommand({ VolumeId: volumeId }))
  await expectRefusal(remove(), 'VolumeInUse', id)
  await caller.ec2.send(new StopInstancesCommand({ InstanceIds: [id] }))
  await caller.reaches(id, 'stopped')
  await expectRefusal(remove(), 'VolumeInUse', id)
  await caller.ec2.send(new TerminateInstancesCommand({ InstanceIds: [id] }))
  await caller.reaches(id, 'terminated')
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  faults.capture = () => held
  const pending = await caller.ec2.send(new CreateSnapshotCommand({ VolumeId: volumeId }))
  expect(pending).toMatchObject({ State: 'pending', VolumeSize: 1, VolumeId: volumeId })
  await expectRefusal(remove(), 'VolumeInUse', pending.SnapshotId!)
  await expectRefusal(
    caller.ec2.send(new DeleteSnapshotCommand({ SnapshotId: pending.SnapshotId! })),
    'IncorrectState',
    pending.SnapshotId!,
  )
  await expectRefusal(
    caller.ec2.send(
      new RegisterImageCommand({
        Name: 'too early',
        RootDeviceName: '/dev/xvda',
        BlockDeviceMappings: [{ DeviceName: '/dev/xvda', Ebs: { SnapshotId: pending.SnapshotId } }],
      }),
    ),
    'IncorrectState',
    pending.SnapshotId!,
  )
  delete faults.capture
  release()
  expect((await completed(pending.SnapshotId!)).State).toBe('completed')
  await remove()
  await expectRefusal(remove(), 'InvalidVolume.NotFound', volumeId)
  expect(await readdir(served().deps.volumesDir)).not.toContain(volumeId)
  // The snapshot needs the volume no more.
  expect((await contentOf(pending.SnapshotId!, 4096))[0]).toBe(0)
  await caller.ec2.send(new DeleteSnapshotCommand({ SnapshotId: pending.SnapshotId! }))
})

test('a snapshot is copied within and between regions, and described with its own words', async () => {
  const [instance] = await caller.launch()
  const volumeId = instance.BlockDeviceMappings![0]!.Ebs!.VolumeId!
  const made = await caller.ec2.send(
    new CreateSnapshotCommand({
      VolumeId: volumeId,
      Description: 'before',
      TagSpecifications: [{ ResourceType: 'snapshot', Tags: [{ Key: 'a', Value: 'b' }] }],
    }),
  )
  expect(made).toMatchObject({ Description: 'before', Tags: [{ Key: 'a', Value: 'b' }] })
  // Asked for while its source is still being made, the copy waits for it.
  const copy = await abroad.ec2.send(
    new CopySnapshotCommand({ SourceRegion: 'eu-west-1', SourceSnapshotId: made.SnapshotId, Description: 'after' }),
  )
  const done = await completed(copy.SnapshotId!, abroad)
  expect(done).toMatchObject({ State: 'completed', Description: 'after', VolumeId: 'vol-ffffffff', VolumeSize: 1 })
  expect((await contentOf(copy.SnapshotId!, 4096))[0]).toBe(7)
})

test('what an image says of itself, to its owner and to others', async () => {
  const attribute = (Attribute: string, id = caller.seedImage) =>
    caller.ec2.send(new DescribeImageAttributeCommand({ ImageId: id, Attribute: Attribute as never }))
  expect((await attribute('description')).Description).toEqual({ Value: 'A seed' })
  const [instance] = await caller.launch()
  const own = await caller.imageOf(instance.InstanceId!, 'own')
  expect((await attribute('launchPermission', own.ImageId)).LaunchPermissions).toEqual([])
  expect((await attribute('blockDeviceMapping', own.ImageId)).BlockDeviceMappings).toEqual(own.BlockDeviceMappings)
})
