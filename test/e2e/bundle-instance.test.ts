/** A bundle that the cloud makes of a running guest, on real machines: its root goes on, and another one begins with it. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import {
  BundleInstanceCommand,
  DescribeBundleTasksCommand,
  DescribeImagesCommand,
  RebootInstancesCommand,
  RegisterImageCommand,
  waitUntilImageAvailable,
} from '@aws-sdk/client-ec2'
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3'
import { expect, test } from 'vitest'
import { systemClock, waitFor } from '../../src/lib/clock.ts'
import { homeAt } from '../../src/lib/home.ts'
import { useFleet, waiting } from './support/fleet.ts'

const account = '111122223333'
const bucket = 'bundles-of-guests'
const stage = useFleet({ hasInstance: false, accountId: account })

/** Kiln Linux in the instance store. */
async function seed(): Promise<string> {
  const Filters = [{ Name: 'root-device-type', Values: ['instance-store'] }]
  const { Images: images } = await stage.fleet.ec2.send(new DescribeImagesCommand({ Owners: ['amazon'], Filters }))
  return images![0]!.ImageId!
}

async function registered(ImageLocation: string, Name: string): Promise<string> {
  const { ec2 } = stage.fleet
  const { ImageId } = await ec2.send(new RegisterImageCommand({ Name, ImageLocation }))
  await waitUntilImageAvailable({ client: ec2, ...waiting }, { ImageIds: [ImageId!] })
  return ImageId!
}

async function bundled(instanceId: string, prefix: string, meanwhile = async () => {}): Promise<string> {
  const Storage = { S3: { Bucket: bucket, Prefix: prefix } }
  const asked = await stage.fleet.ec2.send(new BundleInstanceCommand({ InstanceId: instanceId, Storage }))
  await meanwhile()
  const BundleIds = [asked.BundleTask!.BundleId!]
  const ended = async () => {
    const { BundleTasks: tasks } = await stage.fleet.ec2.send(new DescribeBundleTasksCommand({ BundleIds }))
    return ['complete', 'failed'].includes(tasks![0]!.State!) ? tasks![0] : undefined
  }
  const task = await waitFor(systemClock, ended, { everyMs: 300, timeoutMs: 240_000 })
  expect(task).toMatchObject({ State: 'complete', Progress: '100%' })
  return `${bucket}/${prefix}.manifest.xml`
}

test('a running guest is bundled, also over a crash of the daemon; its bundle boots, and so does the guest again', async () => {
  const { kiln, fleet } = stage
  const credentials = { accessKeyId: account, secretAccessKey: 'any' }
  const s3 = new S3Client({ endpoint: kiln.url, region: 'us-east-1', credentials })
  await s3.send(new CreateBucketCommand({ Bucket: bucket }))
  s3.destroy()
  const launch = async (imageId: string) => (await fleet.launch({ imageId, instanceType: 'm1.small' }))[0]!
  const guest = await launch(await seed())
  await fleet.ssh(guest, 'echo before > kept && sync')
  const location = await bundled(guest, 'of/guest', async () => {
    await kiln.kill9()
    await kiln.restart()
    fleet.reconnect()
  })
  await fleet.ssh(guest, 'echo after >> kept && sync')
  const copy = await launch(await registered(location, 'of the guest'))
  expect(await fleet.ssh(copy, 'cat kept')).toBe('before')
  await fleet.terminate([copy])

  // Another layer, and a reboot: the guest has all that it wrote.
  await bundled(guest, 'of/guest once more')
  const boot = await fleet.ssh(guest, 'cat /proc/sys/kernel/random/boot_id')
  await fleet.ec2.send(new RebootInstancesCommand({ InstanceIds: [guest] }))
  const rebooted = async () =>
    (await fleet.ssh(guest, 'cat /proc/sys/kernel/random/boot_id')) === boot ? undefined : true
  await waitFor(systemClock, () => rebooted().catch(() => undefined), { everyMs: 500, timeoutMs: 120_000 })
  expect(await fleet.ssh(guest, 'cat kept')).toBe('before\nafter')
  await fleet.terminate([guest])
  const { instanceStoreDir } = homeAt(kiln.home)
  expect(await readdir(instanceStoreDir)).toEqual(['images'])
  expect(await readdir(join(instanceStoreDir, 'images'))).toEqual([])
})
