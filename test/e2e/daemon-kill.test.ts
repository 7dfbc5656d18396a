/** What `kill -9` of the daemon may cost: nothing. */
import { readdirSync, readFileSync } from 'node:fs'
import { CreateImageCommand, DescribeImagesCommand, DescribeInstancesCommand } from '@aws-sdk/client-ec2'
import { beforeAll, expect, test } from 'vitest'
import { systemClock, waitFor } from '../../src/lib/clock.ts'
import { useFleet } from './support/fleet.ts'

const on = useFleet({ hasInstance: false })

let source: string
let bystander: string
beforeAll(async () => {
  ;[source, bystander] = (await on.fleet.launch({ count: 2 })) as [string, string]
})

/** The QEMU processes of an instance. */
function machinesOf(instanceId: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
        return line.includes(on.kiln.home) && line.includes(instanceId) && line.startsWith('qemu-system')
      } catch {
        return false
      }
    })
    .map(Number)
}

async function imageSettled(imageId: string) {
  const image = await waitFor(
    systemClock,
    async () => {
      const { Images: images } = await on.fleet.ec2.send(new DescribeImagesCommand({ ImageIds: [imageId] }))
      return images![0]!.State === 'pending' ? undefined : images![0]
    },
    { everyMs: 500, timeoutMs: 240_000 },
  )
  return image!
}

test('two instances and an image in the making survive kill -9 of the daemon, whenever it comes', async () => {
  const instances = [source, bystander]
  await on.fleet.ssh(
    source,
    'echo kept > note.txt; sudo dd if=/dev/urandom of=/var/data bs=1M count=60 2>/dev/null; sync',
  )
  const before = instances.map(machinesOf)
  expect(before.map((pids) => pids.length)).toEqual([1, 1])

  // Without a reboot the machine must stay the same process, so the daemon may die at any of these moments.
  const images: string[] = []
  for (const [index, delayMs] of [0, 60, 250, 900].entries()) {
    const name = `taken-${index}`
    const { ImageId: id } = await on.fleet.ec2.send(
      new CreateImageCommand({ InstanceId: source, Name: name, NoReboot: true }),
    )
    images.push(id!)
    await systemClock.sleep(delayMs)
    await on.kiln.kill9()
    expect(instances.map(machinesOf)).toEqual(before)
    await on.kiln.restart()
    on.fleet.reconnect()
  }
  for (const id of images) expect((await imageSettled(id)).State).toBe('available')
  expect(instances.map(machinesOf)).toEqual(before)
  const { Reservations: reservations } = await on.fleet.ec2.send(
    new DescribeInstancesCommand({ InstanceIds: instances }),
  )
  const states = reservations!.flatMap(({ Instances: found }) => found!.map((instance) => instance.State!.Name))
  expect(states).toEqual(['running', 'running'])
  expect(await on.fleet.ssh(source, 'cat note.txt')).toBe('kept')
  expect(await on.fleet.ssh(bystander, 'echo reachable')).toBe('reachable')

  const [copy] = await on.fleet.launch({ imageId: images.at(-1)! })
  const same = 'sudo sha256sum /var/data | cut -c1-64; cat note.txt'
  expect(await on.fleet.ssh(copy!, same)).toBe(await on.fleet.ssh(source, same))
  await on.fleet.terminate([copy!])
})

test('killed while an image shuts its instance down, the next daemon finishes it and starts the instance again', async () => {
  await on.fleet.ssh(source, 'echo kept on > note.txt && sync')
  const { ImageId: id } = await on.fleet.ec2.send(new CreateImageCommand({ InstanceId: source, Name: 'with reboot' }))
  await systemClock.sleep(400)
  await on.kiln.kill9()
  await on.kiln.restart()
  on.fleet.reconnect()
  expect((await imageSettled(id!)).State).toBe('available')
  expect(await on.fleet.ssh(source, 'cat note.txt')).toBe('kept on')
  expect(machinesOf(source)).toHaveLength(1)
})
