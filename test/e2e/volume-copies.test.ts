/** A disk is copied while a real guest writes it. */
import { CopyVolumesCommand, CreateVolumeCommand } from '@aws-sdk/client-ec2'
import { expect, test } from 'vitest'
import { useFleet } from './support/fleet.ts'

const on = useFleet()

test('a copy of a disk that is being written holds every record up to one, and is attached beside its source', async () => {
  const zone = (await on.fleet.describe(on.instance)).Placement!.AvailabilityZone!
  const { VolumeId: source } = await on.fleet.ec2.send(new CreateVolumeCommand({ AvailabilityZone: zone, Size: 1 }))
  const disk = await on.fleet.attach(source!, on.instance, '/dev/sdf')
  // One record of 4 KiB after the other, each its own number, each on the disk before the next begins.
  const writer = [
    'i=0',
    'while [ $i -lt 4000 ]; do',
    `printf "%-4095d\\n" $i | dd of=${disk} bs=4096 seek=$i conv=notrunc,fsync; i=$((i+1))`,
    'done',
  ].join('\n')
  await on.fleet.ssh(
    on.instance,
    `echo '${writer}' > writer; sudo setsid sh writer </dev/null >/dev/null 2>&1 & sleep 2`,
  )
  const countOf = async (path: string) =>
    Number(
      await on.fleet.ssh(on.instance, `sudo dd if=${path} bs=4096 count=4000 2>/dev/null | tr -d '\\000' | wc -c`),
    ) / 4096
  await expect.poll(() => countOf(disk), { timeout: 60_000 }).toBeGreaterThan(20)
  const { Volumes: copies } = await on.fleet.ec2.send(new CopyVolumesCommand({ SourceVolumeId: source!, Size: 2 }))
  const seen = await countOf(disk)
  const copy = await on.fleet.attach(copies![0]!.VolumeId!, on.instance, '/dev/sdg')
  const count = await countOf(copy)
  expect(Number.isInteger(count)).toBe(true)
  expect(count).toBeGreaterThan(20)
  expect(count).toBeLessThanOrEqual(seen + 1)
  const numbers = await on.fleet.ssh(
    on.instance,
    `sudo dd if=${copy} bs=4096 count=${count} 2>/dev/null | tr -s ' ' '\\n'`,
  )
  expect(numbers.split('\n').map(Number)).toEqual(Array.from({ length: count }, (_, index) => index))
  expect(await on.fleet.ssh(on.instance, `cat /sys/block/${copy.slice(5)}/size`)).toBe(String(2 * 2 ** 21))
})
