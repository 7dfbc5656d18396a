/** Volumes whose snapshot is fetched from the first moment on, at a rate. Simulated machines, real files. */
import {
  AttachVolumeCommand,
  CreateImageCommand,
  CreateVolumeCommand,
  type CreateVolumeCommandInput,
  DescribeVolumeStatusCommand,
  DescribeVolumesCommand,
  waitUntilVolumeAvailable,
} from '@aws-sdk/client-ec2'
import { beforeAll, expect, test } from 'vitest'
import { type Caller, callerOf } from '../support/caller.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'
import { byteOfVolume } from '../support/volume-bytes.ts'

/** While it is closed, nothing that is fetched comes to its end. */
let gate = Promise.resolve()
const asked: (number | undefined)[] = []
const served = useServedCloud({
  isLive: true,
  wrapBlocks: (blocks) => ({
    ...blocks,
    async materialize(request, progress) {
      asked.push(request.bytesPerSecond)
      await progress?.onPercent?.(40)
      await gate
      await blocks.materialize(request, progress)
    },
  }),
})
const zone = 'eu-west-1a'
const mib = 1024 ** 2
const waiting = { minDelay: 0.1, maxDelay: 0.3, maxWaitTime: 30 }
let caller: Caller
let snapshot: string
beforeAll(async () => {
  caller = await callerOf(served(), '000000000001')
  const image = await caller.image(caller.seedImage)
  snapshot = image.BlockDeviceMappings![0]!.Ebs!.SnapshotId!
})

const create = async (more: Partial<CreateVolumeCommandInput>) =>
  (await caller.ec2.send(new CreateVolumeCommand({ AvailabilityZone: zone, ...more }))).VolumeId!

const detailsOf = async (id: string) =>
  (await caller.ec2.send(new DescribeVolumeStatusCommand({ VolumeIds: [id] }))).VolumeStatuses![0]!
    .InitializationStatusDetails

test('a rate is kept to from the start and told; the volume can be used and attached meanwhile', async () => {
  let open = () => {}
  gate = new Promise((resolve) => {
    open = resolve
  })
  const id = await create({ SnapshotId: snapshot, VolumeInitializationRate: 100 })
  await waitUntilVolumeAvailable({ client: caller.ec2, ...waiting }, { VolumeIds: [id] })
  await expect
    .poll(() => detailsOf(id), { timeout: 10_000 })
    .toEqual({
      ...{ InitializationType: 'provisioned-rate', Progress: 40, EstimatedTimeToCompleteInSeconds: 1 },
    })
  const [instance] = await caller.launch({ Placement: { AvailabilityZone: zone } })
  await caller.ec2.send(new AttachVolumeCommand({ VolumeId: id, InstanceId: instance.InstanceId!, Device: '/dev/sdf' }))
  const isAttached = async () =>
    (await caller.ec2.send(new DescribeVolumesCommand({ VolumeIds: [id] }))).Volumes![0]!.Attachments![0]!.State
  await expect.poll(isAttached, { timeout: 10_000 }).toBe('attached')
  open()
  await caller.quiet()
  expect(asked).toContain(100 * mib)
  expect(await detailsOf(id)).toEqual({
    ...{ InitializationType: 'provisioned-rate', Progress: 100, EstimatedTimeToCompleteInSeconds: 0 },
  })
  const { Volumes: found } = await caller.ec2.send(new DescribeVolumesCommand({ VolumeIds: [id] }))
  expect(found![0]!.VolumeInitializationRate).toBe(100)
  expect((await served().cloud.volumes.usage(id)).isLazy).toBe(false)
  expect(await byteOfVolume(served(), id, 0)).toBe(7)
})

test('without a rate a volume stays lazy; an instance takes one for each volume', async () => {
  const lazy = await create({ SnapshotId: snapshot })
  await caller.quiet()
  expect(await detailsOf(lazy)).toEqual({ InitializationType: 'default', Progress: 0 })
  const empty = await create({ Size: 1 })
  await caller.quiet()
  expect(await detailsOf(empty)).toBeUndefined()
  const [instance] = await caller.launch({
    Placement: { AvailabilityZone: zone },
    BlockDeviceMappings: [
      { DeviceName: '/dev/xvda', Ebs: { VolumeInitializationRate: 300 } },
      { DeviceName: '/dev/sdf', Ebs: { SnapshotId: snapshot } },
    ],
  })
  await caller.quiet()
  const volumes = (await caller.describe(instance.InstanceId!)).BlockDeviceMappings!
  const details = volumes.map(async (mapping) => (await detailsOf(mapping.Ebs!.VolumeId!))?.InitializationType)
  expect(await Promise.all(details)).toEqual(['provisioned-rate', 'default'])
  expect(await detailsOf(volumes[0]!.Ebs!.VolumeId!)).toMatchObject({ Progress: 100 })
})

test('a rate that cannot be is refused by name', async () => {
  for (const rate of [99, 301]) {
    const wish = create({ SnapshotId: snapshot, VolumeInitializationRate: rate })
    await expectRefusal(wish, 'InvalidParameterValue', String(rate))
  }
  const empty = create({ Size: 1, VolumeInitializationRate: 100 })
  await expectRefusal(empty, 'InvalidParameterCombination', 'VolumeInitializationRate')
  const devices = [{ DeviceName: '/dev/sdf', Ebs: { VolumeSize: 1, VolumeInitializationRate: 100 } }]
  await expectRefusal(caller.launch({ BlockDeviceMappings: devices }), 'InvalidParameterCombination', '/dev/sdf')
  const [instance] = await caller.launch()
  const image = new CreateImageCommand({
    ...{ InstanceId: instance.InstanceId!, Name: 'no rate' },
    BlockDeviceMappings: devices,
  })
  await expectRefusal(caller.ec2.send(image), 'UnsupportedOperation', 'VolumeInitializationRate')
})
