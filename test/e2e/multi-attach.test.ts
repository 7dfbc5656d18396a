/** Two real guests on one disk. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  AttachVolumeCommand,
  CreateSnapshotCommand,
  CreateVolumeCommand,
  DescribeVolumesCommand,
  DetachVolumeCommand,
  waitUntilSnapshotCompleted,
  waitUntilVolumeAvailable,
} from '@aws-sdk/client-ec2'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { homeAt } from '../../src/lib/home.ts'
import { type Fleet, prepareFleet } from './support/fleet.ts'
import { type RunningKiln, startKiln } from './support/kiln.ts'

const waiting = { minDelay: 1, maxDelay: 1, maxWaitTime: 120 }
let kiln: RunningKiln
let fleet: Fleet
beforeAll(async () => {
  kiln = await startKiln({ machines: 'qemu' })
  fleet = await prepareFleet(kiln)
})
afterAll(() => kiln.cleanup())

test('what one guest writes the other reads, through a snapshot, a killed storage daemon and a killed Kiln', async () => {
  const [one, two] = (await fleet.launch({ count: 2 })) as [string, string]
  const zone = (await fleet.describe(one)).Placement!.AvailabilityZone!
  const about = { AvailabilityZone: zone, Size: 4, VolumeType: 'io2', Iops: 1000 } as const
  const { VolumeId: id } = await fleet.ec2.send(new CreateVolumeCommand({ ...about, MultiAttachEnabled: true }))
  await waitUntilVolumeAvailable({ client: fleet.ec2, ...waiting }, { VolumeIds: [id!] })
  for (const instance of [one, two]) {
    await fleet.ec2.send(new AttachVolumeCommand({ VolumeId: id!, InstanceId: instance, Device: '/dev/sdf' }))
  }
  const disk = (instance: string) =>
    fleet.ssh(instance, `grep -l ${id!.replace('-', '')} /sys/block/vd*/serial | cut -d/ -f4`).catch(() => '')
  for (const instance of [one, two]) {
    await expect.poll(() => disk(instance), { timeout: 40_000 }).toMatch(/^vd[a-z]$/)
  }
  // Around the guests' own memory of the disk.
  const write = (instance: string, text: string) =>
    fleet.ssh(instance, `printf "%-4096s" ${text} > b; sudo dd if=b of=/dev/vdb bs=4096 oflag=direct conv=notrunc 2>&1`)
  const read = async (instance: string) =>
    (await fleet.ssh(instance, 'sudo dd if=/dev/vdb bs=4096 count=1 iflag=direct 2>/dev/null')).trim()

  await write(one, 'first')
  expect(await read(two)).toBe('first')
  const { SnapshotId: snapshot } = await fleet.ec2.send(new CreateSnapshotCommand({ VolumeId: id! }))
  await write(two, 'second')
  expect(await read(one)).toBe('second')
  await waitUntilSnapshotCompleted({ client: fleet.ec2, ...waiting }, { SnapshotIds: [snapshot!] })

  process.kill(Number(readFileSync(join(homeAt(kiln.home).runDir, `${id}.pid`), 'utf8')), 'SIGKILL')
  expect(await read(two)).toBe('second')
  await kiln.kill9()
  await kiln.restart()
  fleet.reconnect()
  await write(one, 'third')
  expect(await read(two)).toBe('third')

  await fleet.ec2.send(new DetachVolumeCommand({ VolumeId: id!, InstanceId: one }))
  const holders = async () => {
    const { Volumes: found } = await fleet.ec2.send(new DescribeVolumesCommand({ VolumeIds: [id!] }))
    return found![0]!.Attachments!.map((attachment) => attachment.InstanceId)
  }
  await expect.poll(holders, { timeout: 30_000 }).toEqual([two])
  expect(await disk(one)).toBe('')
  expect(await read(two)).toBe('third')
  const { VolumeId: copy } = await fleet.ec2.send(new CreateVolumeCommand({ ...about, SnapshotId: snapshot! }))
  await waitUntilVolumeAvailable({ client: fleet.ec2, ...waiting }, { VolumeIds: [copy!] })
  await fleet.ec2.send(new AttachVolumeCommand({ VolumeId: copy!, InstanceId: one, Device: '/dev/sdf' }))
  await expect.poll(() => read(one).catch(() => ''), { timeout: 40_000 }).toBe('first')
})
