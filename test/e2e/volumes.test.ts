/** Disks that come, grow and go under a running guest, and a root that comes to stand on its own. */
import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import {
  CreateSnapshotCommand,
  CreateVolumeCommand,
  DescribeVolumesCommand,
  DetachVolumeCommand,
  ModifyVolumeCommand,
  waitUntilSnapshotCompleted,
  waitUntilVolumeAvailable,
} from '@aws-sdk/client-ec2'
import { expect, test } from 'vitest'
import { homeAt } from '../../src/lib/home.ts'
import { useFleet, waiting } from './support/fleet.ts'

const on = useFleet()

async function create(more: { Size?: number; SnapshotId?: string }): Promise<string> {
  const zone = (await on.fleet.describe(on.instance)).Placement!.AvailabilityZone!
  const wish = { AvailabilityZone: zone, VolumeType: 'gp3', ...more } as const
  return (await on.fleet.ec2.send(new CreateVolumeCommand(wish))).VolumeId!
}

const attach = (id: string, device: string) => on.fleet.attach(id, on.instance, device)

test('a disk comes with its serial, is written, grows, is snapshotted and goes; another one made of it holds the same', async () => {
  const id = await create({ Size: 1 })
  const disk = await attach(id, '/dev/sdf')
  await on.fleet.ssh(
    on.instance,
    `sudo mke2fs -q ${disk} && sudo mkdir -p /mnt && sudo mount ${disk} /mnt && echo kept | sudo tee /mnt/file && sync`,
  )

  await on.fleet.ec2.send(new ModifyVolumeCommand({ VolumeId: id, Size: 3 }))
  const sectors = 3 * 2 ** 21
  await expect
    .poll(() => on.fleet.ssh(on.instance, `cat /sys/block/${disk.slice(5)}/size`), { timeout: 30_000 })
    .toBe(String(sectors))
  expect(await on.fleet.ssh(on.instance, `sudo cat /mnt/file`)).toBe('kept')

  const { SnapshotId: snapshot } = await on.fleet.ec2.send(new CreateSnapshotCommand({ VolumeId: id }))
  await waitUntilSnapshotCompleted({ client: on.fleet.ec2, ...waiting }, { SnapshotIds: [snapshot!] })
  await on.fleet.ssh(on.instance, 'echo later | sudo tee /mnt/file && sudo umount /mnt && sync')
  await on.fleet.ec2.send(new DetachVolumeCommand({ VolumeId: id }))
  await waitUntilVolumeAvailable({ client: on.fleet.ec2, ...waiting }, { VolumeIds: [id] })
  expect(await on.fleet.hasDisk(on.instance, id)).toBe(false)

  const copy = await create({ SnapshotId: snapshot! })
  const other = await attach(copy, '/dev/sdf')
  const { Volumes: made } = await on.fleet.ec2.send(new DescribeVolumesCommand({ VolumeIds: [copy] }))
  expect(made![0]).toMatchObject({ Size: 3, SnapshotId: snapshot })
  expect(await on.fleet.ssh(on.instance, `sudo mount ${other} /mnt && sudo cat /mnt/file; sudo umount /mnt`)).toBe(
    'kept',
  )
  const again = await attach(id, '/dev/sdg')
  expect(await on.fleet.ssh(on.instance, `sudo mount ${again} /mnt && sudo cat /mnt/file; sudo umount /mnt`)).toBe(
    'later',
  )
})

test('a root that was hydrated needs nothing of the store, while its guest runs', async () => {
  const filters = [{ Name: 'attachment.device', Values: ['/dev/xvda'] }]
  const { Volumes: roots } = await on.fleet.ec2.send(new DescribeVolumesCommand({ Filters: filters }))
  const root = roots![0]!.VolumeId!
  const shown = async () => JSON.parse(await on.kiln.command('volume', 'show', root, '--json')) as { isLazy: boolean }
  expect(await shown()).toMatchObject({ isLazy: true })
  await on.kiln.command('volume', 'hydrate', root)
  await expect.poll(shown, { timeout: 60_000 }).toMatchObject({ isLazy: false })
  const store = join(homeAt(on.kiln.home).regionsDir, 'us-east-1')
  await rename(store, `${store}.away`)
  try {
    expect(await on.fleet.ssh(on.instance, 'sudo cat /usr/lib/x86_64-linux-gnu/* 2>/dev/null | wc -c')).not.toBe('0')
  } finally {
    await rename(`${store}.away`, store)
  }
})
