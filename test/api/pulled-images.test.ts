/** A publisher's image in this cloud: found as on EC2, launched by everybody, in every region, and gone where its owner says so. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  CopyImageCommand,
  CreateVolumeCommand,
  DeregisterImageCommand,
  DescribeImagesCommand,
  EnableEbsEncryptionByDefaultCommand,
} from '@aws-sdk/client-ec2'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { noWish } from '../../src/cloud/encryption/encryption.ts'
import type { Publication } from '../../src/cloud/regions/pulled-images.ts'
import { run } from '../../src/lib/programs.ts'
import { callerOf } from '../support/caller.ts'
import { convertTo, writeBootableDisk } from '../support/disk-images.ts'
import { useServedCloud } from '../support/served-cloud.ts'
import { byteOfVolume } from '../support/volume-bytes.ts'

const canonical = '099720109477'
const fedora = '125523088429'
const region = 'eu-west-1'
const noble = 'ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20260101'
const served = useServedCloud({ isLive: true })

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kiln-pulled-'))
  await writeBootableDisk(join(folder, 'disk.raw'), 'noble')
  await convertTo('qcow2', join(folder, 'disk.raw'), join(folder, 'disk.qcow2'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** As the control requests do it: a file that was sent becomes the publisher's image. */
async function publish(accountId: string, name: string, about: Partial<Publication> = {}, file = 'disk.qcow2') {
  const { cloud } = served()
  const bytes = await readFile(join(folder, file))
  const { id: uploadId } = await cloud.transfers.uploads.begin(bytes.length)
  await cloud.transfers.uploads.write(uploadId, 0, bytes)
  await cloud.regions.open(region)
  const checksum = `sha256:${'0'.repeat(64)}`
  const task = await cloud.transfers.imports.importImage(
    { accountId, region },
    {
      ...{
        name,
        description: `${name}, as published`,
        licenseType: null,
        bootMode: null,
        encryption: noWish,
        tags: [],
      },
      containers: [{ description: null, format: null, deviceName: '/dev/sda1', uploadId }],
      publication: {
        ...{ ownerAlias: 'amazon', isPartitioned: true },
        pulled: {
          catalogueName: 'x',
          version: '1',
          sourceUrl: 'https://example.org/x',
          checksum,
          verifiedBy: 'checksum',
        },
        ...about,
      },
    },
  )
  const quiet = await callerOf(served(), '000000000009')
  await quiet.quiet()
  return await cloud.transfers.tasks.get(task.id)
}

const named = (accountId: string, name: string, owners: string[], place = region) =>
  served()
    .client(accountId, place)
    .send(new DescribeImagesCommand({ Owners: owners, Filters: [{ Name: 'name', Values: [name] }] }))

test('the filters that find an image on EC2 find it here, and it launches with the bytes that were published', async () => {
  // What the publisher's account has set for itself does not seal what everybody is to launch.
  await served().client(canonical, region).send(new EnableEbsEncryptionByDefaultCommand({}))
  expect(await publish(canonical, noble)).toMatchObject({ status: 'completed' })
  for (const owners of [[canonical], ['amazon']]) {
    const { Images: found } = await named(
      '111111111111',
      'ubuntu/images/hvm-ssd*/ubuntu-noble-24.04-amd64-server-*',
      owners,
    )
    expect(found).toMatchObject([
      {
        ...{ Name: noble, OwnerId: canonical, ImageOwnerAlias: 'amazon', Public: true, State: 'available' },
        ...{ Architecture: 'x86_64', VirtualizationType: 'hvm', EnaSupport: true, RootDeviceName: '/dev/sda1' },
        ImageLocation: `amazon/${noble}`,
        BlockDeviceMappings: [{ DeviceName: '/dev/sda1', Ebs: { Encrypted: false, VolumeType: 'gp3', VolumeSize: 1 } }],
      },
    ])
  }
  const caller = await callerOf(served(), '111111111111')
  const { Images: images } = await named('111111111111', noble, [canonical])
  const image = images![0]!
  const [instance] = await caller.launch({ ImageId: image.ImageId! })
  expect(instance).toMatchObject({ RootDeviceName: '/dev/sda1', Architecture: 'x86_64' })
  const { VolumeId: volumeId } = await caller.ec2.send(
    new CreateVolumeCommand({
      AvailabilityZone: `${region}a`,
      SnapshotId: image.BlockDeviceMappings![0]!.Ebs!.SnapshotId!,
    }),
  )
  await caller.quiet()
  expect(await byteOfVolume(served(), volumeId!, 7 * 1024 ** 2)).toBe('noble'.charCodeAt(0))
})

test('an image without an alias is found by its owner, and may be copied', async () => {
  const name = 'Fedora-Cloud-Base-AmazonEC2.x86_64-43-1.6'
  expect(await publish(fedora, name, { ownerAlias: null })).toMatchObject({ status: 'completed' })
  expect((await named('111111111111', name, ['amazon'])).Images).toEqual([])
  const { Images: found } = await named('111111111111', 'Fedora-Cloud-Base-AmazonEC2.x86_64-43-*', [fedora])
  expect(found).toMatchObject([{ Name: name, OwnerId: fedora, Public: true, ImageLocation: `${fedora}/${name}` }])
  const caller = await callerOf(served(), '111111111111')
  const { ImageId: copy } = await caller.ec2.send(
    new CopyImageCommand({ SourceRegion: region, SourceImageId: found![0]!.ImageId!, Name: 'mine now' }),
  )
  expect(await caller.image(copy!)).toMatchObject({ State: 'available', OwnerId: '111111111111' })
})

test('every region has what was pulled, opened before or after, and what is deregistered there stays away', async () => {
  const name = 'debian-12-amd64-20260101-0001'
  const debian = '136693071363'
  await served().cloud.regions.open('eu-north-1')
  await publish(debian, name)
  const [here, before, after] = await Promise.all(
    [region, 'eu-north-1', 'ap-south-1'].map(
      async (place) => (await named('222222222222', name, [debian], place)).Images!,
    ),
  )
  expect([here, before, after].map((images) => images!.length)).toEqual([1, 1, 1])
  const ids = [here, before, after].map((images) => images![0]!.ImageId!)
  expect(new Set(ids).size).toBe(3)
  const elsewhere = await callerOf(served(), '222222222222', 'ap-south-1')
  await elsewhere.launch({ ImageId: ids[2]! })

  const owner = served().client(debian, 'eu-north-1')
  await owner.send(new DeregisterImageCommand({ ImageId: ids[1]! }))
  await publish(debian, 'debian-12-amd64-20260202-0002')
  const { Images: left } = await named('222222222222', 'debian-12-*', [debian], 'eu-north-1')
  expect(left!.map((image) => image.Name)).toEqual(['debian-12-amd64-20260202-0002'])
  const known = (await served().cloud.regions.pulled.list()).filter((row) => row.accountId === debian)
  expect(known.filter((row) => row.region === 'eu-north-1')).toMatchObject([
    { imageName: 'debian-12-amd64-20260202-0002', version: '1', verifiedBy: 'checksum' },
  ])
  // Pulling it there again brings it back.
  await publish(debian, name).then(() => expect.unreachable('it is there already'), isDuplicate)
  await served()
    .client(debian, region)
    .send(new DeregisterImageCommand({ ImageId: ids[0]! }))
  expect(await publish(debian, name)).toMatchObject({ status: 'completed' })
  expect((await named('222222222222', name, [debian])).Images).toHaveLength(1)
  expect((await named('222222222222', name, [debian], 'eu-north-1')).Images).toEqual([])
})

const isDuplicate = (error: unknown) => expect(error).toMatchObject({ code: 'InvalidAMIName.Duplicate' })

test('a disk without a partition table is taken from a publisher who says so, and what leads elsewhere never', async () => {
  const bare = await readFile(join(folder, 'disk.raw'))
  bare.fill(0x90, 446, 510)
  await writeFile(join(folder, 'bare.raw'), bare)
  const refused = await publish('538276064493', 'alpine-3.24.1-x86_64-bios-cloudinit-r0', {}, 'bare.raw')
  expect(refused).toMatchObject({ status: 'deleted', statusMessage: expect.stringContaining('no partition table') })
  const taken = await publish(
    ...(['538276064493', 'alpine-3.24.1-x86_64-bios-cloudinit-r0', { isPartitioned: false }, 'bare.raw'] as const),
  )
  expect(taken).toMatchObject({ status: 'completed' })
  await run('qemu-img', ['create', '-qf', 'qcow2', '-ub', '/etc/passwd', '-F', 'raw', join(folder, 'evil.qcow2'), '1M'])
  const evil = await publish('538276064493', 'alpine-evil', { isPartitioned: false }, 'evil.qcow2')
  expect(evil).toMatchObject({ status: 'deleted', statusMessage: expect.stringContaining('a backing file') })
  expect((await named('111111111111', 'alpine-evil', ['538276064493'])).Images).toEqual([])
})

test('nobody is charged for what a publisher owns', async () => {
  const { usage } = served().deps.state
  expect(await usage.levels({ accountIds: [canonical, fedora], usageTypes: ['EBS:SnapshotUsage'] })).toEqual([])
})
