/**
 * Encrypted disks under real guests: what a guest writes is read by whoever has the key, and found in no file of the home,
 * in whatever state its volumes, snapshots and images are.
 */
import { readdir, readFile } from 'node:fs/promises'
import {
  CopyImageCommand,
  CreateImageCommand,
  CreateSnapshotCommand,
  CreateVolumeCommand,
  DescribeImagesCommand,
  DescribeVolumesCommand,
  DetachVolumeCommand,
  StartInstancesCommand,
  StopInstancesCommand,
  waitUntilImageAvailable,
  waitUntilInstanceStatusOk,
  waitUntilInstanceStopped,
  waitUntilSnapshotCompleted,
} from '@aws-sdk/client-ec2'
import { expect, test } from 'vitest'
import { filesHolding } from '../support/raw-search.ts'
import { useFleet, waiting } from './support/fleet.ts'

const account = '111122223333'
const [rootMarker, dataMarker, plainMarker] = ['root-', 'data-', 'plain-'].map(
  (name) => `${name}marker-${'0123456789abcdef'.repeat(2)}`,
) as [string, string, string]

const on = useFleet({ hasInstance: false, accountId: account })

/** As long as this finds the marker of a disk that is not encrypted, finding none of the others means something. */
async function expectHidden(): Promise<void> {
  const found = await filesHolding(on.kiln.home, [rootMarker, dataMarker])
  expect(found).toEqual([])
}

const devicesOf = async (id: string) => (await on.fleet.describe(id)).BlockDeviceMappings!

/** On no command line and in no environment of a process of this home. */
async function expectNoKeyInProcesses(hexKeys: readonly string[]): Promise<void> {
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    for (const file of ['cmdline', 'environ']) {
      const text = await readFile(`/proc/${pid}/${file}`, 'latin1').catch(() => '')
      for (const key of hexKeys) {
        const bytes = Buffer.from(key, 'hex')
        for (const form of [key, bytes.toString('base64'), bytes.toString('base64url'), bytes.toString('latin1')])
          expect(text.includes(form)).toBe(false)
      }
    }
  }
}

test('a guest of an encrypted root and data volume, its snapshots, its image and a copy of that, and no trace on the disk', async () => {
  const arn = (await on.kiln.command('key', 'create', '--encryption', '--alias', 'guest', '--account', account)).trim()
  expect(arn).toMatch(/^arn:aws:kms:us-east-1:111122223333:key\//)
  const [instance] = (await on.fleet.launch({
    more: {
      BlockDeviceMappings: [
        { DeviceName: '/dev/xvda', Ebs: { Encrypted: true, KmsKeyId: 'alias/guest' } },
        { DeviceName: '/dev/sdf', Ebs: { VolumeSize: 1, Encrypted: true, KmsKeyId: 'alias/guest' } },
        { DeviceName: '/dev/sdg', Ebs: { VolumeSize: 1 } },
      ],
    },
  })) as [string]
  const volumes = (await devicesOf(instance)).map((device) => device.Ebs!.VolumeId!) as [string, string, string]
  const [dataDisk, plainDisk] = [await on.fleet.disk(instance, volumes[1]), await on.fleet.disk(instance, volumes[2])]
  const write = (marker: string, disk: string) =>
    `sudo mke2fs -q ${disk} && sudo mount ${disk} /mnt && echo ${marker} | sudo tee /mnt/marker && sync && sudo umount /mnt`
  await on.fleet.ssh(instance, `echo ${rootMarker} | sudo tee /marker && sync`)
  await on.fleet.ssh(instance, `sudo mkdir -p /mnt; ${write(dataMarker, dataDisk)}`)
  await on.fleet.ssh(instance, write(plainMarker, plainDisk))
  // Running: the layers that QEMU writes.
  expect((await filesHolding(on.kiln.home, [plainMarker])).length).toBeGreaterThan(0)
  await expectHidden()
  const master = await readFile(`${on.kiln.home}/keys/master.key`, 'utf8')
  await expectNoKeyInProcesses([master.split('\n')[1]!])

  // Snapshotted, and the snapshot attached again beside it.
  const { SnapshotId } = await on.fleet.ec2.send(new CreateSnapshotCommand({ VolumeId: volumes[1] }))
  await waitUntilSnapshotCompleted({ client: on.fleet.ec2, ...waiting }, { SnapshotIds: [SnapshotId!] })
  const zone = (await on.fleet.describe(instance)).Placement!.AvailabilityZone!
  const { VolumeId } = await on.fleet.ec2.send(new CreateVolumeCommand({ AvailabilityZone: zone, SnapshotId }))
  const again = await on.fleet.attach(VolumeId!, instance, '/dev/sdh')
  expect(await on.fleet.ssh(instance, `sudo mount -r ${again} /mnt && sudo cat /mnt/marker; sudo umount /mnt`)).toBe(
    dataMarker,
  )
  await on.fleet.ec2.send(new DetachVolumeCommand({ VolumeId: VolumeId! }))
  await expectHidden()

  // The daemon was away, and its guest went on.
  await on.kiln.kill9()
  await on.kiln.restart()
  on.fleet.reconnect()
  const { ImageId } = await on.fleet.ec2.send(
    new CreateImageCommand({ InstanceId: instance, Name: 'encrypted guest', NoReboot: true }),
  )
  await waitUntilImageAvailable({ client: on.fleet.ec2, ...waiting }, { ImageIds: [ImageId!] })
  await expectHidden()

  // Stopped, hydrated, started.
  await on.fleet.ec2.send(new StopInstancesCommand({ InstanceIds: [instance] }))
  await waitUntilInstanceStopped({ client: on.fleet.ec2, ...waiting }, { InstanceIds: [instance] })
  await expectHidden()
  for (const id of [volumes[0], VolumeId!]) {
    await on.kiln.command('volume', 'hydrate', id)
    const isLazy = async () => JSON.parse(await on.kiln.command('volume', 'show', id, '--json')).isLazy as boolean
    await expect.poll(isLazy, { timeout: 120_000 }).toBe(false)
  }
  await expectHidden()
  await on.fleet.ec2.send(new StartInstancesCommand({ InstanceIds: [instance] }))
  await waitUntilInstanceStatusOk({ client: on.fleet.ec2, ...waiting }, { InstanceIds: [instance] })
  expect(await on.fleet.ssh(instance, 'sudo cat /marker')).toBe(rootMarker)
  await on.fleet.terminate([instance])

  // Copied under another key, the image boots and knows what was written.
  await on.kiln.command('key', 'create', '--encryption', '--alias', 'copy', '--account', account)
  const { ImageId: copied } = await on.fleet.ec2.send(
    new CopyImageCommand({
      ...{ Name: 'copied guest', SourceRegion: 'us-east-1', SourceImageId: ImageId! },
      ...{ Encrypted: true, KmsKeyId: 'alias/copy' },
    }),
  )
  await waitUntilImageAvailable({ client: on.fleet.ec2, ...waiting }, { ImageIds: [copied!] })
  await on.kiln.command('key', 'disable', 'alias/guest')
  const [another] = (await on.fleet.launch({ imageId: copied! })) as [string]
  expect(await on.fleet.ssh(another, 'sudo cat /marker')).toBe(rootMarker)
  const { Volumes } = await on.fleet.ec2.send(
    new DescribeVolumesCommand({ VolumeIds: (await devicesOf(another)).map((device) => device.Ebs!.VolumeId!) }),
  )
  expect(Volumes!.map((row) => row.Encrypted)).toEqual([true, true, true])
  await expectHidden()
  await on.fleet.terminate([another])

  // The image under the disabled key cannot be launched; its blocks and everybody else's are as they were.
  const [refused] = (await on.fleet.launch({ imageId: ImageId!, isWaitedFor: false })) as [string]
  await expect.poll(async () => (await on.fleet.describe(refused)).State!.Name, { timeout: 60_000 }).toBe('terminated')
  expect((await on.fleet.describe(refused)).StateReason).toEqual({
    Code: 'Client.InternalError',
    Message: 'Client.InternalError: Client error on launch',
  })
  const { Images } = await on.fleet.ec2.send(new DescribeImagesCommand({ ImageIds: [ImageId!] }))
  expect(Images![0]!.State).toBe('available')
  await on.kiln.command('check')
})
