/**
 * Encrypted disks under real guests: what a guest writes is read by whoever has the key, and found in no file of the home,
 * in whatever state its volumes, snapshots and images are.
 */
import { readdir, readFile } from 'node:fs/promises'
import {
  AttachVolumeCommand,
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
  waitUntilVolumeAvailable,
  waitUntilVolumeInUse,
} from '@aws-sdk/client-ec2'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { filesHolding } from '../support/raw-search.ts'
import { type Fleet, prepareFleet } from './support/fleet.ts'
import { type RunningKiln, startKiln } from './support/kiln.ts'

const waiting = { minDelay: 1, maxDelay: 1, maxWaitTime: 240 }
const account = '111122223333'
const [rootMarker, dataMarker, plainMarker] = ['root-', 'data-', 'plain-'].map(
  (name) => `${name}marker-${'0123456789abcdef'.repeat(2)}`,
) as [string, string, string]

let kiln: RunningKiln
let fleet: Fleet
beforeAll(async () => {
  kiln = await startKiln({ machines: 'qemu' })
  fleet = await prepareFleet(kiln)
})
afterAll(() => kiln.cleanup())

/** As long as this finds the marker of a disk that is not encrypted, finding none of the others means something. */
async function expectHidden(): Promise<void> {
  const found = await filesHolding(kiln.home, [rootMarker, dataMarker])
  expect(found).toEqual([])
}

const devicesOf = async (id: string) => (await fleet.describe(id)).BlockDeviceMappings!

/** The guest's name of the disk whose serial is the volume's id. */
async function diskIn(instance: string, volume: string): Promise<string> {
  const find = `grep -l ${volume.replace('-', '')} /sys/block/vd*/serial | cut -d/ -f4`
  await expect.poll(() => fleet.ssh(instance, find).catch(() => ''), { timeout: 30_000 }).toMatch(/^vd[a-z]$/)
  return `/dev/${await fleet.ssh(instance, find)}`
}

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
  const arn = (await kiln.command('key', 'create', '--encryption', '--alias', 'guest', '--account', account)).trim()
  expect(arn).toMatch(/^arn:aws:kms:us-east-1:111122223333:key\//)
  const [instance] = (await fleet.launch({
    more: {
      BlockDeviceMappings: [
        { DeviceName: '/dev/xvda', Ebs: { Encrypted: true, KmsKeyId: 'alias/guest' } },
        { DeviceName: '/dev/sdf', Ebs: { VolumeSize: 1, Encrypted: true, KmsKeyId: 'alias/guest' } },
        { DeviceName: '/dev/sdg', Ebs: { VolumeSize: 1 } },
      ],
    },
  })) as [string]
  const volumes = (await devicesOf(instance)).map((device) => device.Ebs!.VolumeId!) as [string, string, string]
  const [dataDisk, plainDisk] = [await diskIn(instance, volumes[1]), await diskIn(instance, volumes[2])]
  const write = (marker: string, disk: string) =>
    `sudo mke2fs -q ${disk} && sudo mount ${disk} /mnt && echo ${marker} | sudo tee /mnt/marker && sync && sudo umount /mnt`
  await fleet.ssh(instance, `echo ${rootMarker} | sudo tee /marker && sync`)
  await fleet.ssh(instance, `sudo mkdir -p /mnt; ${write(dataMarker, dataDisk)}`)
  await fleet.ssh(instance, write(plainMarker, plainDisk))
  // Running: the layers that QEMU writes.
  expect((await filesHolding(kiln.home, [plainMarker])).length).toBeGreaterThan(0)
  await expectHidden()
  const master = await readFile(`${kiln.home}/keys/master.key`, 'utf8')
  await expectNoKeyInProcesses([master.split('\n')[1]!])

  // Snapshotted, and the snapshot attached again beside it.
  const { SnapshotId } = await fleet.ec2.send(new CreateSnapshotCommand({ VolumeId: volumes[1] }))
  await waitUntilSnapshotCompleted({ client: fleet.ec2, ...waiting }, { SnapshotIds: [SnapshotId!] })
  const zone = (await fleet.describe(instance)).Placement!.AvailabilityZone!
  const { VolumeId } = await fleet.ec2.send(new CreateVolumeCommand({ AvailabilityZone: zone, SnapshotId }))
  await waitUntilVolumeAvailable({ client: fleet.ec2, ...waiting }, { VolumeIds: [VolumeId!] })
  await fleet.ec2.send(new AttachVolumeCommand({ VolumeId: VolumeId!, InstanceId: instance, Device: '/dev/sdh' }))
  await waitUntilVolumeInUse({ client: fleet.ec2, ...waiting }, { VolumeIds: [VolumeId!] })
  const again = await diskIn(instance, VolumeId!)
  expect(await fleet.ssh(instance, `sudo mount -r ${again} /mnt && sudo cat /mnt/marker; sudo umount /mnt`)).toBe(
    dataMarker,
  )
  await fleet.ec2.send(new DetachVolumeCommand({ VolumeId: VolumeId! }))
  await expectHidden()

  // The daemon was away, and its guest went on.
  await kiln.kill9()
  await kiln.restart()
  fleet.reconnect()
  const { ImageId } = await fleet.ec2.send(
    new CreateImageCommand({ InstanceId: instance, Name: 'encrypted guest', NoReboot: true }),
  )
  await waitUntilImageAvailable({ client: fleet.ec2, ...waiting }, { ImageIds: [ImageId!] })
  await expectHidden()

  // Stopped, hydrated, started.
  await fleet.ec2.send(new StopInstancesCommand({ InstanceIds: [instance] }))
  await waitUntilInstanceStopped({ client: fleet.ec2, ...waiting }, { InstanceIds: [instance] })
  await expectHidden()
  for (const id of [volumes[0], VolumeId!]) {
    await kiln.command('volume', 'hydrate', id)
    const isLazy = async () => JSON.parse(await kiln.command('volume', 'show', id, '--json')).isLazy as boolean
    await expect.poll(isLazy, { timeout: 120_000 }).toBe(false)
  }
  await expectHidden()
  await fleet.ec2.send(new StartInstancesCommand({ InstanceIds: [instance] }))
  await waitUntilInstanceStatusOk({ client: fleet.ec2, ...waiting }, { InstanceIds: [instance] })
  expect(await fleet.ssh(instance, 'sudo cat /marker')).toBe(rootMarker)
  await fleet.terminate([instance])

  // Copied under another key, the image boots and knows what was written.
  await kiln.command('key', 'create', '--encryption', '--alias', 'copy', '--account', account)
  const { ImageId: copied } = await fleet.ec2.send(
    new CopyImageCommand({
      ...{ Name: 'copied guest', SourceRegion: 'us-east-1', SourceImageId: ImageId! },
      ...{ Encrypted: true, KmsKeyId: 'alias/copy' },
    }),
  )
  await waitUntilImageAvailable({ client: fleet.ec2, ...waiting }, { ImageIds: [copied!] })
  await kiln.command('key', 'disable', 'alias/guest')
  const [another] = (await fleet.launch({ imageId: copied! })) as [string]
  expect(await fleet.ssh(another, 'sudo cat /marker')).toBe(rootMarker)
  const { Volumes } = await fleet.ec2.send(
    new DescribeVolumesCommand({ VolumeIds: (await devicesOf(another)).map((device) => device.Ebs!.VolumeId!) }),
  )
  expect(Volumes!.map((row) => row.Encrypted)).toEqual([true, true, true])
  await expectHidden()
  await fleet.terminate([another])

  // The image under the disabled key cannot be launched; its blocks and everybody else's are as they were.
  const [refused] = (await fleet.launch({ imageId: ImageId!, isWaitedFor: false })) as [string]
  await expect.poll(async () => (await fleet.describe(refused)).State!.Name, { timeout: 60_000 }).toBe('terminated')
  expect((await fleet.describe(refused)).StateReason).toEqual({
    Code: 'Client.InternalError',
    Message: 'Client.InternalError: Client error on launch',
  })
  const { Images } = await fleet.ec2.send(new DescribeImagesCommand({ ImageIds: [ImageId!] }))
  expect(Images![0]!.State).toBe('available')
  await kiln.command('check')
})
