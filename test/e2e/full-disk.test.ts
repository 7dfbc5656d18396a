/** A disk of the host that runs full, under guests that write and under all that takes time. */
import {
  CopySnapshotCommand,
  type CopySnapshotCommandOutput,
  CreateSnapshotCommand,
  CreateVolumeCommand,
  DescribeInstancesCommand,
  DescribeSnapshotsCommand,
  DescribeVolumeStatusCommand,
  type Snapshot,
  waitUntilSnapshotCompleted,
  waitUntilVolumeAvailable,
} from '@aws-sdk/client-ec2'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { systemClock, waitFor } from '../../src/lib/clock.ts'
import { type Fleet, prepareFleet, waiting } from './support/fleet.ts'
import { type RunningKiln, startKiln } from './support/kiln.ts'
import { SmallDisk } from './support/small-disk.ts'

const timing = { everyMs: 300, timeoutMs: 120_000 }
const amplyMib = 2048
const dataMib = 96
let disk: SmallDisk | string
let kiln: RunningKiln | undefined
let fleet: Fleet
let away: Fleet
beforeAll(async () => {
  disk = await SmallDisk.make(amplyMib)
  if (typeof disk === 'string') return
  kiln = await startKiln({ machines: 'qemu', below: disk.path })
  fleet = await prepareFleet(kiln)
  away = await prepareFleet(kiln, 'eu-west-1')
})
afterAll(async () => {
  if (typeof disk === 'string') return
  await disk.leave(amplyMib)
  await kiln?.cleanup()
  await disk.remove()
})

async function ended(where: Fleet, id: string): Promise<Snapshot> {
  const look = async () => {
    const { Snapshots: found } = await where.ec2.send(new DescribeSnapshotsCommand({ SnapshotIds: [id] }))
    return found![0]!.State === 'pending' ? undefined : found![0]!
  }
  const snapshot = await waitFor(systemClock, look, timing)
  if (!snapshot) throw new Error(`${id} did not come to an end`)
  return snapshot
}

async function statusOf(volumeId: string): Promise<string> {
  const { VolumeStatuses: found } = await fleet.ec2.send(new DescribeVolumeStatusCommand({ VolumeIds: [volumeId] }))
  return found![0]!.VolumeStatus!.Status!
}

async function snapshotOf(volumeId: string): Promise<string> {
  return (await fleet.ec2.send(new CreateSnapshotCommand({ VolumeId: volumeId }))).SnapshotId!
}

test('guests wait, snapshots, copies and hydrations fail with the reason, nothing completed is harmed, and with room all goes on', async ({
  skip,
}) => {
  if (typeof disk === 'string') return skip(disk)
  const room = disk
  const [instance] = (await fleet.launch({
    more: { BlockDeviceMappings: [{ DeviceName: '/dev/sdf', Ebs: { VolumeSize: 1 } }] },
  })) as [string]
  const { Reservations: found } = await fleet.ec2.send(new DescribeInstancesCommand({ InstanceIds: [instance] }))
  const volume = found![0]!.Instances![0]!.BlockDeviceMappings!.find((one) => one.DeviceName === '/dev/sdf')!.Ebs!
    .VolumeId!
  const random = (seekMib: number, mib: number) =>
    `sudo dd if=/dev/urandom of=/dev/vdb bs=1M seek=${seekMib} count=${mib} conv=fsync 2>/dev/null`
  const sumOf = (mib: number) =>
    `sudo dd if=/dev/vdb bs=1M count=${mib} iflag=direct 2>/dev/null | sha256sum | cut -c1-64`
  await fleet.ssh(instance, random(0, dataMib))
  const before = await fleet.ssh(instance, sumOf(dataMib))
  const good = await snapshotOf(volume)
  await waitUntilSnapshotCompleted({ client: fleet.ec2, ...waiting }, { SnapshotIds: [good] })
  const zone = found![0]!.Instances![0]!.Placement!.AvailabilityZone!
  const { VolumeId: lazy } = await fleet.ec2.send(new CreateVolumeCommand({ AvailabilityZone: zone, SnapshotId: good }))
  await waitUntilVolumeAvailable({ client: fleet.ec2, ...waiting }, { VolumeIds: [lazy!] })

  // Hydration needs room for the whole snapshot, and gives back what it took when there is not enough.
  await room.leave(dataMib / 2)
  const freeBefore = await room.freeBytes()
  await expect(kiln!.command('volume', 'hydrate', lazy!)).rejects.toThrow(/could not be hydrated/)
  expect(await room.freeBytes()).toBeGreaterThan(freeBefore - 8 * 1024 ** 2)

  // So does a copy to a region that has nothing of it.
  const copying: CopySnapshotCommandOutput = await away.ec2.send(
    new CopySnapshotCommand({ SourceRegion: 'us-east-1', SourceSnapshotId: good }),
  )
  const copy = await ended(away, copying.SnapshotId!)
  expect(copy).toMatchObject({ State: 'error', StateMessage: expect.stringMatching(/no space left/i) })
  await kiln!.command('gc', '--grace', '0')

  // A snapshot of what the guest wrote since: its blocks have no room.
  await room.leave(dataMib + 40)
  await fleet.ssh(instance, random(dataMib, dataMib))
  const written = await fleet.ssh(instance, sumOf(2 * dataMib))
  const lost = await snapshotOf(volume)
  expect(await ended(fleet, lost)).toMatchObject({
    State: 'error',
    StateMessage: expect.stringMatching(/no space left/i),
  })
  await kiln!.command('gc', '--grace', '0')

  // A guest that writes more than there is room for.
  await room.leave(24)
  const writing = fleet.ssh(instance, `${random(2 * dataMib, dataMib)}; echo written`)
  writing.catch(() => {})
  await expect.poll(() => statusOf(volume), { timeout: 60_000, interval: 300 }).toBe('impaired')
  const { VolumeStatuses: told } = await fleet.ec2.send(new DescribeVolumeStatusCommand({ VolumeIds: [volume] }))
  expect(JSON.stringify(told![0])).toMatch(/no space left/)
  expect((await ended(fleet, good)).State).toBe('completed')
  await room.leave(amplyMib)
  expect(await writing).toBe('written')
  await expect.poll(() => statusOf(volume), { timeout: 60_000, interval: 300 }).toBe('ok')
  expect(await fleet.ssh(instance, sumOf(2 * dataMib))).toBe(written)

  // Everything works again, and what was completed is what it was.
  const after = await snapshotOf(volume)
  await waitUntilSnapshotCompleted({ client: fleet.ec2, ...waiting }, { SnapshotIds: [after] })
  const again = await away.ec2.send(new CopySnapshotCommand({ SourceRegion: 'us-east-1', SourceSnapshotId: good }))
  expect((await ended(away, again.SnapshotId!)).State).toBe('completed')
  await kiln!.command('volume', 'hydrate', lazy!)
  expect(await kiln!.command('check')).not.toMatch(/damaged|missing/)
  const [reader] = (await fleet.launch({
    more: {
      BlockDeviceMappings: [good, after].map((SnapshotId, index) => ({
        DeviceName: `/dev/sd${'fg'[index]}`,
        Ebs: { SnapshotId },
      })),
    },
  })) as [string]
  expect(await fleet.ssh(reader, sumOf(dataMib))).toBe(before)
  expect(await fleet.ssh(reader, sumOf(2 * dataMib).replace('vdb', 'vdc'))).toBe(written)
  await fleet.terminate([instance, reader])
})
