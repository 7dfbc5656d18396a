/** A real guest whose root is replaced under it, and a daemon that is killed meanwhile. */
import {
  AttachVolumeCommand,
  CreateReplaceRootVolumeTaskCommand,
  type CreateReplaceRootVolumeTaskCommandInput,
  CreateSnapshotCommand,
  DescribeReplaceRootVolumeTasksCommand,
  DescribeVolumesCommand,
  waitUntilSnapshotCompleted,
  waitUntilVolumeAvailable,
  waitUntilVolumeInUse,
} from '@aws-sdk/client-ec2'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { systemClock, waitFor } from '../../src/lib/clock.ts'
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

const rootId = async () =>
  (await fleet.describe(instance)).BlockDeviceMappings!.find((each) => each.DeviceName === '/dev/xvda')!.Ebs!.VolumeId!

async function replace(more: Partial<CreateReplaceRootVolumeTaskCommandInput> = {}): Promise<string> {
  const wish = new CreateReplaceRootVolumeTaskCommand({ InstanceId: instance, ...more })
  return (await fleet.ec2.send(wish)).ReplaceRootVolumeTask!.ReplaceRootVolumeTaskId!
}

async function outcome(taskId: string): Promise<string | undefined> {
  const asking = new DescribeReplaceRootVolumeTasksCommand({ ReplaceRootVolumeTaskIds: [taskId] })
  return await waitFor(
    systemClock,
    async () => {
      const state = (await fleet.ec2.send(asking)).ReplaceRootVolumeTasks![0]!.TaskState!
      return /^(succeeded|failed)/.test(state) ? state : undefined
    },
    { everyMs: 300, timeoutMs: 120_000 },
  )
}

const noteOf = () => fleet.ssh(instance, 'cat note.txt 2>/dev/null || echo none')

test('what was written since the launch is gone, the instance is the same, and the old root holds the file elsewhere', async () => {
  await fleet.ssh(instance, 'echo first > note.txt && sync')
  const [before, old] = [await fleet.describe(instance), await rootId()]
  const { SnapshotId: snapshot } = await fleet.ec2.send(new CreateSnapshotCommand({ VolumeId: old }))
  await waitUntilSnapshotCompleted({ client: fleet.ec2, ...waiting }, { SnapshotIds: [snapshot!] })
  await fleet.ssh(instance, 'echo second > note.txt && sync')

  expect(await outcome(await replace())).toBe('succeeded')
  expect(await noteOf()).toBe('none')
  const after = await fleet.describe(instance)
  expect([after.PrivateIpAddress, after.PublicIpAddress]).toEqual([before.PrivateIpAddress, before.PublicIpAddress])
  await waitUntilVolumeAvailable({ client: fleet.ec2, ...waiting }, { VolumeIds: [old] })
  await fleet.ec2.send(new AttachVolumeCommand({ VolumeId: old, InstanceId: instance, Device: '/dev/sdf' }))
  await waitUntilVolumeInUse({ client: fleet.ec2, ...waiting }, { VolumeIds: [old] })
  const disk = () =>
    fleet.ssh(instance, `grep -l ${old.replace('-', '')} /sys/block/vd*/serial | cut -d/ -f4`).catch(() => '')
  await expect.poll(disk, { timeout: 30_000 }).toMatch(/^vd[a-z]$/)
  // The root is the last partition of Kiln Linux.
  const read = `p=$(ls /dev/$0?* | tail -1); sudo mkdir -p /mnt; sudo mount -o ro $p /mnt; sudo find /mnt -name note.txt -exec cat {} +; sudo umount /mnt`
  expect(await fleet.ssh(instance, `sh -c '${read}' ${await disk()}`)).toBe('second')

  expect(await outcome(await replace({ SnapshotId: snapshot!, DeleteReplacedRootVolume: true }))).toBe('succeeded')
  expect(await noteOf()).toBe('first')
})

test('a daemon that is killed at any moment carries the replacement on', async () => {
  for (const delayMs of [20, 700, 2500]) {
    await fleet.ssh(instance, `echo ${delayMs} > note.txt && sync`)
    const old = await rootId()
    const task = await replace({ DeleteReplacedRootVolume: true })
    await systemClock.sleep(delayMs)
    await kiln.kill9()
    await kiln.restart()
    fleet.reconnect()
    expect(await outcome(task)).toBe('succeeded')
    expect(await noteOf()).toBe('none')
    expect(await rootId()).not.toBe(old)
    const gone = async () =>
      (await fleet.ec2.send(new DescribeVolumesCommand({}))).Volumes!.every((volume) => volume.VolumeId !== old)
    await expect.poll(gone, { timeout: 30_000 }).toBe(true)
  }
})
