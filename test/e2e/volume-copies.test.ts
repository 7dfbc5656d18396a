/** A disk is copied while a real guest writes it. */
import {
  AttachVolumeCommand,
  CopyVolumesCommand,
  CreateVolumeCommand,
  waitUntilVolumeAvailable,
  waitUntilVolumeInUse,
} from '@aws-sdk/client-ec2'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Fleet, prepareFleet } from './support/fleet.ts'
import { type RunningKiln, startKiln } from './support/kiln.ts'

const waiting = { minDelay: 1, maxDelay: 1, maxWaitTime: 120 }
let kiln: RunningKiln
let fleet: Fleet
let instance: string
beforeAll(async () => {
  kiln = await startKiln({ machines: 'qemu' })
  fleet = await prepareFleet(kiln)
  ;[instance] = (await fleet.launch({})) as [string]
})
afterAll(() => kiln.cleanup())

async function attach(id: string, device: string): Promise<string> {
  await waitUntilVolumeAvailable({ client: fleet.ec2, ...waiting }, { VolumeIds: [id] })
  await fleet.ec2.send(new AttachVolumeCommand({ VolumeId: id, InstanceId: instance, Device: device }))
  await waitUntilVolumeInUse({ client: fleet.ec2, ...waiting }, { VolumeIds: [id] })
  const disk = () =>
    fleet.ssh(instance, `grep -l ${id.replace('-', '')} /sys/block/vd*/serial | cut -d/ -f4`).catch(() => '')
  await expect.poll(disk, { timeout: 30_000 }).toMatch(/^vd[a-z]$/)
  return `/dev/${await disk()}`
}

test('a copy of a disk that is being written holds every record up to one, and is attached beside its source', async () => {
  const zone = (await fleet.describe(instance)).Placement!.AvailabilityZone!
  const { VolumeId: source } = await fleet.ec2.send(new CreateVolumeCommand({ AvailabilityZone: zone, Size: 1 }))
  const disk = await attach(source!, '/dev/sdf')
  // One record of 4 KiB after the other, each its own number, each on the disk before the next begins.
  const writer = [
    'i=0',
    'while [ $i -lt 4000 ]; do',
    `printf "%-4095d\\n" $i | dd of=${disk} bs=4096 seek=$i conv=notrunc,fsync; i=$((i+1))`,
    'done',
  ].join('\n')
  await fleet.ssh(instance, `echo '${writer}' > writer; sudo setsid sh writer </dev/null >/dev/null 2>&1 & sleep 2`)
  const countOf = async (path: string) =>
    Number(await fleet.ssh(instance, `sudo dd if=${path} bs=4096 count=4000 2>/dev/null | tr -d '\\000' | wc -c`)) /
    4096
  await expect.poll(() => countOf(disk), { timeout: 60_000 }).toBeGreaterThan(20)
  const { Volumes: copies } = await fleet.ec2.send(new CopyVolumesCommand({ SourceVolumeId: source!, Size: 2 }))
  const seen = await countOf(disk)
  const copy = await attach(copies![0]!.VolumeId!, '/dev/sdg')
  const count = await countOf(copy)
  expect(Number.isInteger(count)).toBe(true)
  expect(count).toBeGreaterThan(20)
  expect(count).toBeLessThanOrEqual(seen + 1)
  const numbers = await fleet.ssh(instance, `sudo dd if=${copy} bs=4096 count=${count} 2>/dev/null | tr -s ' ' '\\n'`)
  expect(numbers.split('\n').map(Number)).toEqual(Array.from({ length: count }, (_, index) => index))
  expect(await fleet.ssh(instance, `cat /sys/block/${copy.slice(5)}/size`)).toBe(String(2 * 2 ** 21))
})
