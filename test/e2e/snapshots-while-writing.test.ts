/** Snapshots of disks that are being written: each is what the disk was at one instant, and nothing else. */
import {
  AttachVolumeCommand,
  CreateSnapshotCommand,
  CreateSnapshotsCommand,
  CreateVolumeCommand,
  DescribeInstancesCommand,
  waitUntilSnapshotCompleted,
  waitUntilVolumeAvailable,
  waitUntilVolumeInUse,
} from '@aws-sdk/client-ec2'
import { expect, test } from 'vitest'
import { useFleet, waiting } from './support/fleet.ts'
import { acknowledged, readRecords, startRecords } from './support/guest-records.ts'

/** More than a guest writes while this file runs; what is read of each disk. */
const recordsMax = 4000
const on = useFleet({ hasInstance: false })

async function launchWithDisks(count: number): Promise<string> {
  const devices = Array.from({ length: count }, (_, index) => ({
    DeviceName: `/dev/sd${'fgh'[index]}`,
    Ebs: { VolumeSize: 1 },
  }))
  return (await on.fleet.launch({ more: { BlockDeviceMappings: devices } }))[0]!
}

async function volumeAt(instanceId: string, device: string): Promise<string> {
  const { Reservations: found } = await on.fleet.ec2.send(new DescribeInstancesCommand({ InstanceIds: [instanceId] }))
  const mappings = found![0]!.Instances![0]!.BlockDeviceMappings!
  return mappings.find((mapping) => mapping.DeviceName === device)!.Ebs!.VolumeId!
}

/** Volumes of these snapshots, attached to a running instance; the guest's names of their disks, in that order. */
async function attachAll(reader: string, snapshots: readonly string[]): Promise<string[]> {
  await waitUntilSnapshotCompleted({ client: on.fleet.ec2, ...waiting }, { SnapshotIds: [...snapshots] })
  const zone = (await on.fleet.describe(reader)).Placement!.AvailabilityZone!
  const made = await Promise.all(
    snapshots.map((id) => on.fleet.ec2.send(new CreateVolumeCommand({ AvailabilityZone: zone, SnapshotId: id }))),
  )
  const volumes = made.map((volume) => volume.VolumeId!)
  await waitUntilVolumeAvailable({ client: on.fleet.ec2, ...waiting }, { VolumeIds: volumes })
  for (const [index, id] of volumes.entries()) {
    const request = { VolumeId: id, InstanceId: reader, Device: `/dev/sd${'fghijklmnop'[index]}` }
    await on.fleet.ec2.send(new AttachVolumeCommand(request))
  }
  await waitUntilVolumeInUse({ client: on.fleet.ec2, ...waiting }, { VolumeIds: volumes })
  const disks: string[] = []
  for (const id of volumes) disks.push((await on.fleet.disk(reader, id)).slice('/dev/'.length))
  return disks
}

test('ten snapshots of a disk that is written all the time: each holds the records up to its instant, none missing, none torn', async () => {
  const writer = await launchWithDisks(1)
  const volume = await volumeAt(writer, '/dev/sdf')
  await startRecords(on.fleet, writer, ['vdb'])
  const taken: { id: string; atLeast: number }[] = []
  for (let count = 0; count < 10; count++) {
    const atLeast = await acknowledged(on.fleet, writer)
    const { SnapshotId: id } = await on.fleet.ec2.send(new CreateSnapshotCommand({ VolumeId: volume }))
    taken.push({ id: id!, atLeast })
  }
  const ids = taken.map(({ id }) => id)
  await waitUntilSnapshotCompleted({ client: on.fleet.ec2, ...waiting }, { SnapshotIds: ids })
  const atMost = (await acknowledged(on.fleet, writer)) + 1
  await on.fleet.terminate([writer])

  const [reader] = (await on.fleet.launch({})) as [string]
  let before = 0
  for (const [index, disk] of (await attachAll(reader, ids)).entries()) {
    const held = await readRecords(on.fleet, reader, disk, recordsMax)
    expect(held, `snapshot ${index}`).toBeGreaterThanOrEqual(Math.max(before, taken[index]!.atLeast))
    expect(held, `snapshot ${index}`).toBeLessThanOrEqual(atMost)
    before = held
  }
  expect(taken[0]!.atLeast).toBeGreaterThan(0)
  expect(before).toBeGreaterThan(taken[0]!.atLeast)
  await on.fleet.terminate([reader])
})

test('snapshots of two disks taken together hold the same records, but for the one that was on its way', async () => {
  const writer = await launchWithDisks(2)
  await startRecords(on.fleet, writer, ['vdb', 'vdc'])
  const pairs: { ids: [string, string]; atLeast: number }[] = []
  for (let count = 0; count < 4; count++) {
    const atLeast = await acknowledged(on.fleet, writer)
    const { Snapshots: made } = await on.fleet.ec2.send(
      new CreateSnapshotsCommand({ InstanceSpecification: { InstanceId: writer, ExcludeBootVolume: true } }),
    )
    const first = await volumeAt(writer, '/dev/sdf')
    const [a, b] = [...made!].sort((one) => (one.VolumeId === first ? -1 : 1))
    pairs.push({ ids: [a!.SnapshotId!, b!.SnapshotId!], atLeast })
    await on.fleet.ssh(writer, 'sleep 0.5')
  }
  const ids = pairs.flatMap((pair) => pair.ids)
  await waitUntilSnapshotCompleted({ client: on.fleet.ec2, ...waiting }, { SnapshotIds: ids })
  await on.fleet.terminate([writer])

  const [reader] = (await on.fleet.launch({})) as [string]
  const disks = await attachAll(reader, ids)
  for (const [index, { atLeast }] of pairs.entries()) {
    const [first, second] = [
      await readRecords(on.fleet, reader, disks[index * 2]!, recordsMax),
      await readRecords(on.fleet, reader, disks[index * 2 + 1]!, recordsMax),
    ]
    expect([0, 1], `pair ${index}: ${first} and ${second}`).toContain(first - second)
    expect(second, `pair ${index}`).toBeGreaterThanOrEqual(atLeast)
  }
  await on.fleet.terminate([reader])
})
