/** A real guest whose root is replaced under it, and a daemon that is killed meanwhile. */
import {
  CreateReplaceRootVolumeTaskCommand,
  type CreateReplaceRootVolumeTaskCommandInput,
  CreateSnapshotCommand,
  DescribeReplaceRootVolumeTasksCommand,
  DescribeVolumesCommand,
  waitUntilSnapshotCompleted,
} from '@aws-sdk/client-ec2'
import { expect, test } from 'vitest'
import { systemClock, waitFor } from '../../src/lib/clock.ts'
import { useFleet, waiting } from './support/fleet.ts'

const on = useFleet()

const rootId = async () =>
  (await on.fleet.describe(on.instance)).BlockDeviceMappings!.find((each) => each.DeviceName === '/dev/xvda')!.Ebs!
    .VolumeId!

async function replace(more: Partial<CreateReplaceRootVolumeTaskCommandInput> = {}): Promise<string> {
  const wish = new CreateReplaceRootVolumeTaskCommand({ InstanceId: on.instance, ...more })
  return (await on.fleet.ec2.send(wish)).ReplaceRootVolumeTask!.ReplaceRootVolumeTaskId!
}

async function outcome(taskId: string): Promise<string | undefined> {
  const asking = new DescribeReplaceRootVolumeTasksCommand({ ReplaceRootVolumeTaskIds: [taskId] })
  return await waitFor(
    systemClock,
    async () => {
      const state = (await on.fleet.ec2.send(asking)).ReplaceRootVolumeTasks![0]!.TaskState!
      return /^(succeeded|failed)/.test(state) ? state : undefined
    },
    { everyMs: 300, timeoutMs: 120_000 },
  )
}

const noteOf = () => on.fleet.ssh(on.instance, 'cat note.txt 2>/dev/null || echo none')

test('what was written since the launch is gone, the instance is the same, and the old root holds the file elsewhere', async () => {
  await on.fleet.ssh(on.instance, 'echo first > note.txt && sync')
  const [before, old] = [await on.fleet.describe(on.instance), await rootId()]
  const { SnapshotId: snapshot } = await on.fleet.ec2.send(new CreateSnapshotCommand({ VolumeId: old }))
  await waitUntilSnapshotCompleted({ client: on.fleet.ec2, ...waiting }, { SnapshotIds: [snapshot!] })
  await on.fleet.ssh(on.instance, 'echo second > note.txt && sync')

  expect(await outcome(await replace())).toBe('succeeded')
  expect(await noteOf()).toBe('none')
  const after = await on.fleet.describe(on.instance)
  expect([after.PrivateIpAddress, after.PublicIpAddress]).toEqual([before.PrivateIpAddress, before.PublicIpAddress])
  const disk = await on.fleet.attach(old, on.instance, '/dev/sdf')
  // The root is the last partition of Kiln Linux.
  const read = `p=$(ls $0?* | tail -1); sudo mkdir -p /mnt; sudo mount -o ro $p /mnt; sudo find /mnt -name note.txt -exec cat {} +; sudo umount /mnt`
  expect(await on.fleet.ssh(on.instance, `sh -c '${read}' ${disk}`)).toBe('second')

  expect(await outcome(await replace({ SnapshotId: snapshot!, DeleteReplacedRootVolume: true }))).toBe('succeeded')
  expect(await noteOf()).toBe('first')
})

test('a daemon that is killed at any moment carries the replacement on', async () => {
  for (const delayMs of [20, 700, 2500]) {
    await on.fleet.ssh(on.instance, `echo ${delayMs} > note.txt && sync`)
    const old = await rootId()
    const task = await replace({ DeleteReplacedRootVolume: true })
    await systemClock.sleep(delayMs)
    await on.kiln.kill9()
    await on.kiln.restart()
    on.fleet.reconnect()
    expect(await outcome(task)).toBe('succeeded')
    expect(await noteOf()).toBe('none')
    expect(await rootId()).not.toBe(old)
    const gone = async () =>
      (await on.fleet.ec2.send(new DescribeVolumesCommand({}))).Volumes!.every((volume) => volume.VolumeId !== old)
    await expect.poll(gone, { timeout: 30_000 }).toBe(true)
  }
})
