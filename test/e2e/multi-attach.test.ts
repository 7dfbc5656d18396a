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
import { expect, test } from 'vitest'
import { homeAt } from '../../src/lib/home.ts'
import { useFleet, waiting } from './support/fleet.ts'

const on = useFleet({ hasInstance: false })

test('what one guest writes the other reads, through a snapshot, a killed storage daemon and a killed Kiln', async () => {
  const [one, two] = (await on.fleet.launch({ count: 2 })) as [string, string]
  const zone = (await on.fleet.describe(one)).Placement!.AvailabilityZone!
  const about = { AvailabilityZone: zone, Size: 4, VolumeType: 'io2', Iops: 1000 } as const
  const { VolumeId: id } = await on.fleet.ec2.send(new CreateVolumeCommand({ ...about, MultiAttachEnabled: true }))
  await waitUntilVolumeAvailable({ client: on.fleet.ec2, ...waiting }, { VolumeIds: [id!] })
  for (const instance of [one, two]) {
    await on.fleet.ec2.send(new AttachVolumeCommand({ VolumeId: id!, InstanceId: instance, Device: '/dev/sdf' }))
  }
  for (const instance of [one, two]) await on.fleet.disk(instance, id!)
  // Around the guests' own memory of the disk.
  const write = (instance: string, text: string) =>
    on.fleet.ssh(
      instance,
      `printf "%-4096s" ${text} > b; sudo dd if=b of=/dev/vdb bs=4096 oflag=direct conv=notrunc 2>&1`,
    )
  const read = async (instance: string) =>
    (await on.fleet.ssh(instance, 'sudo dd if=/dev/vdb bs=4096 count=1 iflag=direct 2>/dev/null')).trim()

  await write(one, 'first')
  expect(await read(two)).toBe('first')
  const { SnapshotId: snapshot } = await on.fleet.ec2.send(new CreateSnapshotCommand({ VolumeId: id! }))
  await write(two, 'second')
  expect(await read(one)).toBe('second')
  await waitUntilSnapshotCompleted({ client: on.fleet.ec2, ...waiting }, { SnapshotIds: [snapshot!] })

  process.kill(Number(readFileSync(join(homeAt(on.kiln.home).runDir, `${id}.pid`), 'utf8')), 'SIGKILL')
  expect(await read(two)).toBe('second')
  await on.kiln.kill9()
  await on.kiln.restart()
  on.fleet.reconnect()
  await write(one, 'third')
  expect(await read(two)).toBe('third')

  await on.fleet.ec2.send(new DetachVolumeCommand({ VolumeId: id!, InstanceId: one }))
  const holders = async () => {
    const { Volumes: found } = await on.fleet.ec2.send(new DescribeVolumesCommand({ VolumeIds: [id!] }))
    return found![0]!.Attachments!.map((attachment) => attachment.InstanceId)
  }
  await expect.poll(holders, { timeout: 30_000 }).toEqual([two])
  expect(await on.fleet.hasDisk(one, id!)).toBe(false)
  expect(await read(two)).toBe('third')
  const { VolumeId: copy } = await on.fleet.ec2.send(new CreateVolumeCommand({ ...about, SnapshotId: snapshot! }))
  expect(await on.fleet.attach(copy!, one, '/dev/sdf')).toBe('/dev/vdb')
  expect(await read(one)).toBe('first')
})
