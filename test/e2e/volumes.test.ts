/** Disks that come, grow and go under a running guest, and a root that comes to stand on its own. */
import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import {
  AttachVolumeCommand,
  CreateSnapshotCommand,
  CreateVolumeCommand,
  DescribeVolumesCommand,
  DetachVolumeCommand,
  ModifyVolumeCommand,
  waitUntilSnapshotCompleted,
  waitUntilVolumeAvailable,
  waitUntilVolumeInUse,
} from '@aws-sdk/client-ec2'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { homeAt } from '../../src/lib/home.ts'
import { type Fleet, prepareFleet } from './support/fleet.ts'
import { type RunningKiln, startKiln } from './support/kiln.ts'

const waiting = { minDelay: 1, maxDelay: 1, maxWaitTime: 120 }
let kiln: RunningKiln
let fleet: Fleet
let instance: string
let zone: string
beforeAll(async () => {
  kiln = await startKiln({ machines: 'qemu' })
  fleet = await prepareFleet(kiln)
  ;[instance] = (await fleet.launch({})) as [string]
  zone = (await fleet.describe(instance)).Placement!.AvailabilityZone!
})
afterAll(() => kiln.cleanup())

async function create(more: { Size?: number; SnapshotId?: string }): Promise<string> {
  const { VolumeId: id } = await fleet.ec2.send(
    new CreateVolumeCommand({ AvailabilityZone: zone, VolumeType: 'gp3', ...more }),
  )
  await waitUntilVolumeAvailable({ client: fleet.ec2, ...waiting }, { VolumeIds: [id!] })
  return id!
}

async function attach(id: string, device: string): Promise<void> {
  await fleet.ec2.send(new AttachVolumeCommand({ VolumeId: id, InstanceId: instance, Device: device }))
  await waitUntilVolumeInUse({ client: fleet.ec2, ...waiting }, { VolumeIds: [id] })
}

/** The guest's name of the disk whose serial is the volume's id; empty when it sees none. */
const diskOf = (id: string) =>
  fleet.ssh(instance, `grep -l ${id.replace('-', '')} /sys/block/vd*/serial | cut -d/ -f4`).catch(() => '')

const whenSeen = (id: string) => expect.poll(() => diskOf(id), { timeout: 30_000 }).toMatch(/^vd[a-z]$/)

test('a disk comes with its serial, is written, grows, is snapshotted and goes; another one made of it holds the same', async () => {
  const id = await create({ Size: 1 })
  await attach(id, '/dev/sdf')
  await whenSeen(id)
  const disk = `/dev/${await diskOf(id)}`
  await fleet.ssh(
    instance,
    `sudo mke2fs -q ${disk} && sudo mkdir -p /mnt && sudo mount ${disk} /mnt && echo kept | sudo tee /mnt/file && sync`,
  )

  await fleet.ec2.send(new ModifyVolumeCommand({ VolumeId: id, Size: 3 }))
  const sectors = 3 * 2 ** 21
  await expect
    .poll(() => fleet.ssh(instance, `cat /sys/block/${disk.slice(5)}/size`), { timeout: 30_000 })
    .toBe(String(sectors))
  expect(await fleet.ssh(instance, `sudo cat /mnt/file`)).toBe('kept')

  const { SnapshotId: snapshot } = await fleet.ec2.send(new CreateSnapshotCommand({ VolumeId: id }))
  await waitUntilSnapshotCompleted({ client: fleet.ec2, ...waiting }, { SnapshotIds: [snapshot!] })
  await fleet.ssh(instance, 'echo later | sudo tee /mnt/file && sudo umount /mnt && sync')
  await fleet.ec2.send(new DetachVolumeCommand({ VolumeId: id }))
  await waitUntilVolumeAvailable({ client: fleet.ec2, ...waiting }, { VolumeIds: [id] })
  expect(await diskOf(id)).toBe('')

  const copy = await create({ SnapshotId: snapshot! })
  const { Volumes: made } = await fleet.ec2.send(new DescribeVolumesCommand({ VolumeIds: [copy] }))
  expect(made![0]).toMatchObject({ Size: 3, SnapshotId: snapshot })
  await attach(copy, '/dev/sdf')
  await whenSeen(copy)
  const other = `/dev/${await diskOf(copy)}`
  expect(await fleet.ssh(instance, `sudo mount ${other} /mnt && sudo cat /mnt/file; sudo umount /mnt`)).toBe('kept')
  await attach(id, '/dev/sdg')
  await whenSeen(id)
  const again = `/dev/${await diskOf(id)}`
  expect(await fleet.ssh(instance, `sudo mount ${again} /mnt && sudo cat /mnt/file; sudo umount /mnt`)).toBe('later')
})

test('a root that was hydrated needs nothing of the store, while its guest runs', async () => {
  const filters = [{ Name: 'attachment.device', Values: ['/dev/xvda'] }]
  const { Volumes: roots } = await fleet.ec2.send(new DescribeVolumesCommand({ Filters: filters }))
  const root = roots![0]!.VolumeId!
  const shown = async () => JSON.parse(await kiln.command('volume', 'show', root, '--json')) as { isLazy: boolean }
  expect(await shown()).toMatchObject({ isLazy: true })
  await kiln.command('volume', 'hydrate', root)
  await expect.poll(shown, { timeout: 60_000 }).toMatchObject({ isLazy: false })
  const store = join(homeAt(kiln.home).regionsDir, 'us-east-1')
  await rename(store, `${store}.away`)
  try {
    expect(await fleet.ssh(instance, 'sudo cat /usr/lib/x86_64-linux-gnu/* 2>/dev/null | wc -c')).not.toBe('0')
  } finally {
    await rename(`${store}.away`, store)
  }
})
