/** Instances whose root lies in the instance store, and ephemeral disks, on simulated machines with real files. */
import { existsSync } from 'node:fs'
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  AttachVolumeCommand,
  CreateImageCommand,
  CreateReplaceRootVolumeTaskCommand,
  CreateVolumeCommand,
  DescribeInstancesCommand,
  DescribeInstanceTypesCommand,
  DescribeVolumesCommand,
  type Instance,
  ModifyInstanceAttributeCommand,
  RebootInstancesCommand,
  RegisterImageCommand,
  RunInstancesCommand,
  type RunInstancesCommandInput,
  StartInstancesCommand,
  StopInstancesCommand,
  TerminateInstancesCommand,
} from '@aws-sdk/client-ec2'
import { DeleteObjectCommand } from '@aws-sdk/client-s3'
import { beforeAll, describe, expect, test } from 'vitest'
import { systemClock, waitFor } from '../../src/lib/clock.ts'
import { makeBundle, newIdentity, putBundle, rootImage } from '../support/bundles.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'

const served = useServedCloud({ isLive: true, timing: { bootSettleMs: 0 } })
const accountId = '111122223333'
const root = rootImage(3 * 1024 * 1024)
const ec2 = () => served().client(accountId)
const store = () => served().deps.instanceStoreDir

let imageId: string

beforeAll(async () => {
  const signer = await newIdentity('01')
  const { certificates } = served().cloud
  await certificates.upload({ accountId, userId: null }, signer.certificate)
  const cloudCertificate = (await certificates.cloudIdentity()).certificate
  const blockDeviceMapping = [
    { virtual: 'ami', device: 'sda1' },
    { virtual: 'ephemeral0', device: 'sdb' },
    { virtual: 'ephemeral1', device: 'sdc' },
  ]
  const bundle = await makeBundle({ image: root, accountId, signer, cloudCertificate, blockDeviceMapping })
  imageId = await register(await putBundle(served().s3(accountId), { bucket: 'bundles', prefix: 'a' }, bundle), 'good')
})

async function register(ImageLocation: string, Name: string): Promise<string> {
  const { ImageId } = await ec2().send(new RegisterImageCommand({ Name, ImageLocation }))
  await until(async () => (await served().deps.state.images.get(ImageId!))?.state === 'available')
  return ImageId!
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  const timing = { everyMs: 30, timeoutMs: 60_000 }
  expect(await waitFor(systemClock, async () => ((await holds()) ? true : undefined), timing)).toBe(true)
}

async function launch(more: Partial<RunInstancesCommandInput> = {}): Promise<Instance[]> {
  const input = { ImageId: imageId, InstanceType: 'm1.large', MinCount: 1, MaxCount: 1, ...more } as const
  const { Instances } = await ec2().send(new RunInstancesCommand(input))
  return Instances!
}

async function described(id: string): Promise<Instance> {
  const { Reservations } = await ec2().send(new DescribeInstancesCommand({ InstanceIds: [id] }))
  return Reservations![0]!.Instances![0]!
}

const inState = (id: string, state: string) => until(async () => (await described(id)).State!.Name === state)

async function running(more: Partial<RunInstancesCommandInput> = {}): Promise<string> {
  const [instance] = await launch(more)
  await inState(instance!.InstanceId!, 'running')
  return instance!.InstanceId!
}

async function terminate(...ids: string[]): Promise<void> {
  await ec2().send(new TerminateInstancesCommand({ InstanceIds: ids }))
  for (const id of ids) await inState(id, 'terminated')
}

describe('an instance whose root comes out of a bundle', () => {
  test('has the bundle for a root, and blank disks of its type; all of it goes when it is terminated', async () => {
    const [one, two] = await launch({ MaxCount: 2 })
    const [a, b] = [one!.InstanceId!, two!.InstanceId!]
    await inState(a, 'running')
    await inState(b, 'running')
    const instance = await described(a)
    expect(instance).toMatchObject({ RootDeviceType: 'instance-store', RootDeviceName: '/dev/sda1' })
    expect(instance.BlockDeviceMappings).toEqual([])
    const base = await readFile(join(store(), a, 'base.raw'))
    expect(base.equals(root)).toBe(true)
    expect((await readdir(join(store(), a))).sort()).toEqual([
      'base.raw',
      'ephemeral0.qcow2',
      'ephemeral1.qcow2',
      'root.qcow2',
    ])
    const rows = await served().deps.state.instanceDisks.of([a])
    expect(rows).toMatchObject([
      { virtualName: 'root', slot: 0, sizeBytes: 10 * 1024 ** 3, deviceName: '/dev/sda1' },
      { virtualName: 'ephemeral1', sizeBytes: 420e9, deviceName: '/dev/sdc' },
      { virtualName: 'ephemeral0', sizeBytes: 420e9, deviceName: '/dev/sdb' },
    ])
    for (const { id } of rows) expect(id).toMatch(/^AWS-[0-9a-f]{17}$/)
    const { Volumes } = await ec2().send(new DescribeVolumesCommand({}))
    expect(Volumes).toEqual([])

    await ec2().send(new RebootInstancesCommand({ InstanceIds: [a] }))
    expect(existsSync(join(store(), a, 'root.qcow2'))).toBe(true)
    await terminate(a)
    expect(existsSync(join(store(), a))).toBe(false)
    expect(await readdir(join(store(), 'images'))).toEqual([`${imageId}.raw`])
    await terminate(b)
    expect(await readdir(store())).toEqual(['images'])
    expect(await readdir(join(store(), 'images'))).toEqual([])
    expect(await served().deps.state.instanceDisks.of([a, b])).toEqual([])
  })

  test('has no stopped state, and is bundled instead of being made an image of', async () => {
    const id = await running()
    const ids = { InstanceIds: [id] }
    const noRoot = "does not have an 'ebs' root device type"
    await expectRefusal(ec2().send(new StopInstancesCommand(ids)), 'UnsupportedOperation', noRoot)
    await expectRefusal(ec2().send(new StartInstancesCommand(ids)), 'UnsupportedOperation', noRoot)
    const image = new CreateImageCommand({ InstanceId: id, Name: 'an image' })
    await expectRefusal(ec2().send(image), 'InvalidParameterValue', 'bundle it instead')
    const replace = new CreateReplaceRootVolumeTaskCommand({ InstanceId: id })
    await expectRefusal(ec2().send(replace), 'UnsupportedOperation', id)
    await served().machines.pressPowerButton(id)
    await inState(id, 'terminated')
    expect(existsSync(join(store(), id))).toBe(false)
  })

  test('ends when its machine dies, or does not come up again', async () => {
    const died = await running()
    await served().machines.faults.vanish(died)
    await inState(died, 'terminated')
    expect((await described(died)).StateReason).toEqual({
      Code: 'Server.InternalError',
      Message: 'Server.InternalError: the virtual machine ended unexpectedly',
    })
    const lost = await running()
    await rm(join(store(), lost, 'base.raw'))
    await ec2().send(new RebootInstancesCommand({ InstanceIds: [lost] }))
    await inState(lost, 'terminated')
    expect((await described(lost)).StateReason).toEqual({
      Code: 'Server.InternalError',
      Message: 'Server.InternalError: power-on: the root in the instance store is missing',
    })
    expect(existsSync(join(store(), lost))).toBe(false)
  })

  test('ends at once when it is terminated while its root is fetched, and those who wait for that root fetch it', async () => {
    const { locks } = served().deps
    const held = Promise.withResolvers<void>()
    const busy = locks.hold(`bundle:${imageId}`, () => held.promise)
    const [one, two] = await launch({ MaxCount: 2 })
    const [ended, waiting] = [one!.InstanceId!, two!.InstanceId!]
    await terminate(ended)
    expect(existsSync(join(store(), ended))).toBe(false)
    expect((await described(waiting)).State!.Name).toBe('pending')
    held.resolve()
    await busy
    await inState(waiting, 'running')
    await terminate(waiting)
    expect(await readdir(join(store(), 'images'))).toEqual([])
  })

  test('leaves nothing when it is terminated while its bundle is read', async () => {
    const { objects } = served().deps
    const read = objects.read.bind(objects)
    // A store that gives nothing of a part, and does not end.
    objects.read = async function* (region, name, range) {
      while (range.end - range.start > 512 * 1024) {
        await systemClock.sleep(10)
        yield Buffer.alloc(0)
      }
      yield* read(region, name, range)
    }
    try {
      const [instance] = await launch()
      await until(async () => existsSync(join(store(), 'images', `${imageId}.raw.new`)))
      await terminate(instance!.InstanceId!)
    } finally {
      objects.read = read
    }
    expect(await readdir(store())).toEqual(['images'])
    expect(await readdir(join(store(), 'images'))).toEqual([])
  })

  test('has volumes beside its root, which outlive it', async () => {
    const id = await running({
      BlockDeviceMappings: [{ DeviceName: '/dev/sdf', Ebs: { VolumeSize: 1, DeleteOnTermination: false } }],
    })
    const { AvailabilityZone } = (await described(id)).Placement!
    const { VolumeId } = await ec2().send(new CreateVolumeCommand({ AvailabilityZone: AvailabilityZone!, Size: 1 }))
    await until(async () => (await served().deps.state.volumes.get(VolumeId!))?.state === 'available')
    const attach = (Device: string, InstanceId: string) =>
      ec2().send(new AttachVolumeCommand({ VolumeId: VolumeId!, InstanceId, Device }))
    await expectRefusal(attach('/dev/sda1', id), 'InvalidParameterValue', '/dev/sda1 is already in use')
    await expectRefusal(attach('/dev/sdb', id), 'InvalidParameterValue', '/dev/sdb is already in use')
    await attach('/dev/sdg', id)
    await until(async () => (await described(id)).BlockDeviceMappings?.length === 2)
    const slots = (await served().deps.state.volumes.attachmentsOfInstances([id])).map(({ slot }) => slot)
    expect(slots.sort()).toEqual([1, 2])
    await terminate(id)
    const { Volumes } = await ec2().send(new DescribeVolumesCommand({}))
    expect(Volumes!.map(({ State }) => State)).toEqual(['available', 'available'])
    const other = await running()
    await attach('/dev/sdg', other)
    await until(async () => (await described(other)).BlockDeviceMappings?.length === 1)
    await terminate(other)
  })

  test('is refused on a type that has no instance store, and where the mapping changes its root', async () => {
    await expectRefusal(launch({ InstanceType: 't3.micro' }), 'InvalidParameterCombination', "'t3.micro'")
    await expectRefusal(launch({ InstanceType: 'i3.large' }), 'InvalidParameterCombination', "'i3.large'")
    const BlockDeviceMappings = [{ DeviceName: '/dev/sda1', Ebs: { VolumeSize: 20 } }]
    await expectRefusal(launch({ BlockDeviceMappings }), 'InvalidBlockDeviceMapping', '/dev/sda1')
  })

  test('ends with the reason when its bundle is no longer there', async () => {
    const signer = await newIdentity('02')
    const { certificates } = served().cloud
    await certificates.upload({ accountId, userId: null }, signer.certificate)
    const cloudCertificate = (await certificates.cloudIdentity()).certificate
    const bundle = await makeBundle({ image: root, accountId, signer, cloudCertificate })
    const s3 = served().s3(accountId)
    const location = await putBundle(s3, { bucket: 'bundles', prefix: 'b' }, bundle)
    const gone = await register(location, 'will be gone')
    await s3.send(new DeleteObjectCommand({ Bucket: 'bundles', Key: 'b/image.part.00' }))
    const [instance] = await launch({ ImageId: gone })
    await inState(instance!.InstanceId!, 'terminated')
    expect((await described(instance!.InstanceId!)).StateReason).toMatchObject({
      Code: 'Server.InternalError',
      Message: expect.stringMatching(/^Server\.InternalError: the root could not be fetched: part 0 .* cannot be read/),
    })
    expect(existsSync(join(store(), instance!.InstanceId!))).toBe(false)
    expect(await readdir(join(store(), 'images'))).toEqual([])
  })
})

describe('ephemeral disks of an EBS-backed instance', () => {
  test('are blank again after a stop', async () => {
    const [seed] = await served()
      .deps.state.images.list('eu-west-1', { accountId })
      .then(({ items }) => items.filter(({ rootDeviceType }) => rootDeviceType === 'ebs'))
    const BlockDeviceMappings = [
      { DeviceName: '/dev/sdb', VirtualName: 'ephemeral0' },
      // The type has two.
      { DeviceName: '/dev/sdd', VirtualName: 'ephemeral2' },
    ]
    const id = await running({ ImageId: seed!.id, BlockDeviceMappings })
    const files = async () => readdir(join(store(), id))
    expect(await files()).toEqual(['ephemeral0.qcow2'])
    await ec2().send(new StopInstancesCommand({ InstanceIds: [id] }))
    await inState(id, 'stopped')
    expect(existsSync(join(store(), id))).toBe(false)
    await ec2().send(new StartInstancesCommand({ InstanceIds: [id] }))
    await inState(id, 'running')
    expect(await files()).toEqual(['ephemeral0.qcow2'])
    await terminate(id)
  })

  test('are there once, where the request maps them, when the image maps them too', async () => {
    const BlockDeviceMappings = [{ DeviceName: '/dev/sdh', VirtualName: 'ephemeral0' }]
    const id = await running({ BlockDeviceMappings })
    const rows = await served().deps.state.instanceDisks.of([id])
    expect(rows.map(({ virtualName, deviceName }) => [virtualName, deviceName]).sort()).toEqual([
      ['ephemeral0', '/dev/sdh'],
      ['ephemeral1', '/dev/sdc'],
      ['root', '/dev/sda1'],
    ])
    await terminate(id)
  })

  test('are there without a mapping where they are behind NVMe', async () => {
    const [seed] = (await served().deps.state.images.list('eu-west-1', { accountId })).items.filter(
      ({ rootDeviceType }) => rootDeviceType === 'ebs',
    )
    const id = await running({ ImageId: seed!.id, InstanceType: 'm5d.4xlarge' })
    const rows = await served().deps.state.instanceDisks.of([id])
    expect(rows.map(({ virtualName, sizeBytes }) => [virtualName, sizeBytes])).toEqual([
      ['ephemeral1', 300e9],
      ['ephemeral0', 300e9],
    ])
    await terminate(id)
  })

  test('follow the type that the instance is started with', async () => {
    const [seed] = (await served().deps.state.images.list('eu-west-1', { accountId })).items.filter(
      ({ rootDeviceType }) => rootDeviceType === 'ebs',
    )
    const BlockDeviceMappings = [
      { DeviceName: '/dev/sdb', VirtualName: 'ephemeral0' },
      { DeviceName: '/dev/sdc', VirtualName: 'ephemeral1' },
    ]
    const id = await running({ ImageId: seed!.id, BlockDeviceMappings })
    const disksOf = async (type: string) => {
      await ec2().send(new StopInstancesCommand({ InstanceIds: [id] }))
      await inState(id, 'stopped')
      await ec2().send(new ModifyInstanceAttributeCommand({ InstanceId: id, InstanceType: { Value: type } }))
      await ec2().send(new StartInstancesCommand({ InstanceIds: [id] }))
      await inState(id, 'running')
      const files = (await readdir(store())).includes(id) ? (await readdir(join(store(), id))).sort() : []
      const rows = await served().deps.state.instanceDisks.of([id])
      expect(rows.map(({ virtualName }) => `${virtualName}.qcow2`).sort()).toEqual(files)
      return rows.map((row) => [row.virtualName, row.deviceName, row.sizeBytes, row.slot])
    }
    expect(await disksOf('m1.small')).toEqual([['ephemeral0', '/dev/sdb', 160e9, 23]])
    expect(await disksOf('m5d.4xlarge')).toEqual([
      ['ephemeral1', '/dev/nvme2n1', 300e9, 22],
      ['ephemeral0', '/dev/sdb', 300e9, 23],
    ])
    expect(await disksOf('m1.large')).toEqual([['ephemeral0', '/dev/sdb', 420e9, 23]])
    expect(await disksOf('t3.micro')).toEqual([])
    await terminate(id)
  })

  test('are told by the instance types', async () => {
    const Filters = [
      { Name: 'instance-storage-supported', Values: ['true'] },
      { Name: 'supported-root-device-type', Values: ['instance-store'] },
    ]
    const { InstanceTypes } = await ec2().send(new DescribeInstanceTypesCommand({ Filters }))
    const xlarge = InstanceTypes!.find(({ InstanceType }) => InstanceType === 'm1.xlarge')
    expect(xlarge?.InstanceStorageInfo).toEqual({
      TotalSizeInGB: 1680,
      Disks: [{ Count: 4, SizeInGB: 420, Type: 'hdd' }],
      NvmeSupport: 'unsupported',
      EncryptionSupport: 'unsupported',
    })
    expect(InstanceTypes!.some(({ InstanceType }) => InstanceType === 'i3.large')).toBe(false)
  })
})
