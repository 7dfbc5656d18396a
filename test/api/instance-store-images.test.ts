/** RegisterImage with ImageLocation: bundles in buckets, good and bad, through the official clients. */
import {
  CopyImageCommand,
  type CopyImageCommandInput,
  CreateStoreImageTaskCommand,
  DeregisterImageCommand,
  DescribeImagesCommand,
  ExportImageCommand,
  type Image,
  ModifyImageAttributeCommand,
  RegisterImageCommand,
  type RegisterImageCommandInput,
} from '@aws-sdk/client-ec2'
import { DeleteObjectCommand, HeadObjectCommand, ListObjectsV2Command, PutObjectCommand } from '@aws-sdk/client-s3'
import { beforeAll, describe, expect, test } from 'vitest'
import type { Identity } from '../../src/bundles/identity.ts'
import { manifestMaxBytes, writeManifest } from '../../src/bundles/manifest.ts'
import { systemClock, waitFor } from '../../src/lib/clock.ts'
import { type MadeBundle, makeBundle, newIdentity, putBundle, resealed, rootImage } from '../support/bundles.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'

const served = useServedCloud({ isLive: true })
const accountId = '111122223333'
const otherId = '444455556666'
const image = rootImage(12 * 1024 * 1024)

let mine: Identity
let cloudCertificate: string
let good: MadeBundle
let bundles = 0

beforeAll(async () => {
  mine = await newIdentity('01')
  const { certificates } = served().cloud
  cloudCertificate = (await certificates.cloudIdentity()).certificate
  await certificates.upload({ accountId, userId: null }, mine.certificate)
  good = await bundle()
})

const bundle = (about: Partial<Parameters<typeof makeBundle>[0]> = {}) =>
  makeBundle({ image, accountId, signer: mine, cloudCertificate, ...about })

/** Each in a place of its own. */
function put(made: MadeBundle, account = accountId): Promise<string> {
  bundles += 1
  return putBundle(served().s3(account), { bucket: `bundles-${account}`, prefix: `b${bundles}` }, made)
}

let names = 0
async function register(location: string, more: Partial<RegisterImageCommandInput> = {}, account = accountId) {
  names += 1
  const input = { Name: `bundled ${names}`, ImageLocation: location, ...more }
  const { ImageId } = await served().client(account).send(new RegisterImageCommand(input))
  return ImageId!
}

async function settled(id: string, region?: string): Promise<Image> {
  const found = await waitFor(
    systemClock,
    async () => {
      const { Images } = await served()
        .client(accountId, region)
        .send(new DescribeImagesCommand({ ImageIds: [id] }))
      return Images![0]!.State === 'pending' ? undefined : Images![0]!
    },
    { everyMs: 50, timeoutMs: 60_000 },
  )
  if (!found) throw new Error(`${id} stays pending`)
  return found
}

describe('a bundle', () => {
  test('becomes an image that is available once all of it was read', async () => {
    const mapped = await bundle({ blockDeviceMapping: [{ virtual: 'ephemeral0', device: 'sdb' }] })
    const location = await put(mapped)
    const id = await register(`/${location}`, {
      BlockDeviceMappings: [{ DeviceName: '/dev/sdf', Ebs: { VolumeSize: 2 } }],
    })
    expect(await settled(id)).toMatchObject({
      State: 'available',
      ImageLocation: location,
      RootDeviceType: 'instance-store',
      RootDeviceName: '/dev/sda1',
      Architecture: 'x86_64',
      BlockDeviceMappings: [
        { DeviceName: '/dev/sdb', VirtualName: 'ephemeral0' },
        { DeviceName: '/dev/sdf', Ebs: { VolumeSize: 2 } },
      ],
    })
    const client = served().client(accountId)
    const Filters = [
      { Name: 'manifest-location', Values: [location] },
      { Name: 'root-device-type', Values: ['instance-store'] },
    ]
    const { Images } = await client.send(new DescribeImagesCommand({ Filters }))
    expect(Images!.map((each) => each.ImageId)).toEqual([id])
    const row = (await served().deps.state.images.get(id))!
    const pieces: Buffer[] = []
    for await (const piece of served().cloud.bundles.openImage(row)) pieces.push(Buffer.from(piece))
    expect(Buffer.concat(pieces).equals(image)).toBe(true)

    await client.send(new DeregisterImageCommand({ ImageId: id }))
    const [Bucket, ...key] = location.split('/')
    await served()
      .s3(accountId)
      .send(new HeadObjectCommand({ Bucket, Key: key.join('/') }))
  })

  test('is read by the image service where another account keeps it and lets the service in', async () => {
    const s3 = served().s3(otherId)
    const location = await putBundle(s3, { bucket: 'kept-elsewhere', prefix: 'b' }, good)
    await expectRefusal(register(location), 'InvalidManifest', 'HTTP 403')
    for (const [name, Body] of [...good.parts, ['image.manifest.xml', good.document] as const]) {
      await s3.send(new PutObjectCommand({ Bucket: 'kept-elsewhere', Key: `b/${name}`, Body, ACL: 'aws-exec-read' }))
    }
    expect((await settled(await register(location))).State).toBe('available')
  })
})

describe('what is no good bundle', () => {
  const refused = async (made: MadeBundle, named: string, code = 'InvalidManifest') =>
    expectRefusal(register(await put(made)), code, named)

  test('is refused by its manifest', async () => {
    const { signature: _, ...unsigned } = good.manifest
    const signed = (image: Partial<typeof unsigned.image>) => ({
      ...good,
      document: writeManifest({ ...unsigned, image: { ...unsigned.image, ...image } }, () => good.manifest.signature),
    })
    await refused(signed({ sizeBytes: image.length + 1 }), 'signature is by none')
    await refused(await bundle({ signer: await newIdentity('02') }), 'signature is by none')
    await refused(await bundle({ accountId: otherId }), otherId, 'AuthFailure')
    await refused(await bundle({ cloudCertificate: mine.certificate }), 'sealed for another certificate')
    await refused(
      { ...good, document: good.document.replace('?>', '?><!DOCTYPE manifest [<!ENTITY a "b">]>') },
      'only elements',
    )
    await refused({ ...good, document: 'no XML' }, 'not well-formed')
    const onRoot = await bundle({ blockDeviceMapping: [{ virtual: 'ephemeral0', device: 'sda1' }] })
    await refused(onRoot, 'maps ephemeral0 at /dev/sda1')
    await refused({ ...good, document: ' '.repeat(manifestMaxBytes + 1) }, `larger than ${manifestMaxBytes} bytes`)
  })

  test('is refused by where it is said to be', async () => {
    await expectRefusal(register('nowhere'), 'InvalidManifest', "'nowhere' (ImageLocation) names no manifest")
    await expectRefusal(register('no-such-bucket/x.manifest.xml'), 'InvalidManifest', 'HTTP 404')
    const location = await put(good)
    await expectRefusal(register(location, {}, otherId), 'InvalidManifest', 'HTTP 403')
    await expectRefusal(register(location, { Architecture: 'arm64' }), 'UnsupportedOperation', 'arm64')
    const onRoot = [{ DeviceName: '/dev/sda1', Ebs: { VolumeSize: 8 } }]
    await expectRefusal(register(location, { BlockDeviceMappings: onRoot }), 'InvalidBlockDeviceMapping', '/dev/sda1')
    const elsewhere = await putBundle(served().s3(accountId, 'us-west-2'), { bucket: 'in-the-west', prefix: 'b' }, good)
    await expectRefusal(register(elsewhere), 'InvalidManifest', 'its bucket is in us-west-2')
  })

  test('makes an image that fails with part, place and digest', async () => {
    const flipped = new Map(good.parts)
    const bytes = Buffer.from(good.parts.get('image.part.00')!)
    bytes[1000]! ^= 1
    flipped.set('image.part.00', bytes)
    const failed = await settled(await register(await put({ ...good, parts: flipped })))
    expect(failed).toMatchObject({
      State: 'failed',
      StateReason: {
        Code: 'Client.InvalidManifest',
        Message: expect.stringMatching(
          /^part 0 \('image\.part\.00', from byte 0 .*digest [0-9a-f]{40}, and the manifest says/,
        ),
      },
    })
    const without = new Map(good.parts)
    without.delete('image.part.00')
    const missing = await settled(await register(await put({ ...good, parts: without })))
    expect(missing.StateReason?.Message).toMatch(/^part 0 \('bundles-.*image\.part\.00'\) cannot be read/)
    // A failed image lets its name go.
    const { Name } = missing
    expect((await settled(await register(await put(good), { Name }))).State).toBe('available')
  })

  test('makes an image that fails where the sealed key is not that of the parts', async () => {
    const failed = await settled(await register(await put(resealed(good, { signer: mine, cloudCertificate }))))
    expect(failed).toMatchObject({ State: 'failed', StateReason: { Message: expect.stringContaining('key is wrong') } })
  })
})

describe('an image whose root lies in a bundle', () => {
  test('is neither exported nor stored, with volumes beside its root or without', async () => {
    const id = await register(await put(good), {
      BlockDeviceMappings: [{ DeviceName: '/dev/sdf', Ebs: { SnapshotId: await seedSnapshot() } }],
    })
    await settled(id)
    const client = served().client(accountId)
    const S3ExportLocation = { S3Bucket: `bundles-${accountId}` }
    const exported = new ExportImageCommand({ ImageId: id, DiskImageFormat: 'RAW', S3ExportLocation })
    await expectRefusal(client.send(exported), 'InvalidParameter', `'${id}' (ImageId) is backed by an instance store`)
    const stored = new CreateStoreImageTaskCommand({ ImageId: id, Bucket: `bundles-${accountId}` })
    await expectRefusal(
      client.send(stored),
      'InvalidParameterValue',
      `'${id}' (ImageId) is backed by an instance store`,
    )
    const West = { SourceRegion: 'eu-west-1', SourceImageId: id, Name: 'with a volume' }
    const copied = served().client(accountId, 'us-west-2').send(new CopyImageCommand(West))
    await expectRefusal(copied, 'UnsupportedOperation', `'${id}' maps snapshots beside its bundle`)
  })

  async function seedSnapshot(): Promise<string> {
    const { Images } = await served()
      .client(accountId)
      .send(new DescribeImagesCommand({ Owners: ['amazon'] }))
    return Images![0]!.BlockDeviceMappings![0]!.Ebs!.SnapshotId!
  }
})

describe('CopyImage', () => {
  const copy = async (source: string, more: Partial<CopyImageCommandInput> = {}, account = accountId) => {
    names += 1
    const input = { Name: `copied ${names}`, SourceImageId: source, SourceRegion: 'eu-west-1', ...more }
    const { ImageId } = await served().client(account, 'us-west-2').send(new CopyImageCommand(input))
    return ImageId!
  }

  test("copies the bundle into the caller's bucket in that region, which needs the source no more", async () => {
    const location = await put(good)
    const source = await register(location)
    await settled(source)
    const id = await copy(source)
    const row = async () => (await served().deps.state.images.get(id))!
    await waitFor(systemClock, async () => ((await row()).state === 'pending' ? undefined : true), {
      everyMs: 50,
      timeoutMs: 60_000,
    })
    const made = await row()
    expect(made).toMatchObject({ state: 'available', rootDeviceType: 'instance-store', sourceImageId: source })
    expect(made.imageLocation).toMatch(
      /^amis-for-111122223333-in-us-west-2-[0-9a-f]{10}\/ami-[0-9a-f]{17}\/image\.manifest\.xml$/,
    )
    const [Bucket, ...key] = location.split('/')
    const Key = key.join('/').replace('manifest.xml', 'part.00')
    await served().s3(accountId).send(new DeleteObjectCommand({ Bucket, Key }))
    const pieces: Buffer[] = []
    for await (const piece of served().cloud.bundles.openImage(made)) pieces.push(Buffer.from(piece))
    expect(Buffer.concat(pieces).equals(image)).toBe(true)
    // Its owner may register it once more: it is a bundle like any other.
    const again = new RegisterImageCommand({ Name: 'registered copy', ImageLocation: made.imageLocation! })
    expect((await served().client(accountId, 'us-west-2').send(again)).ImageId).toMatch(/^ami-/)
  })

  test('leaves no object behind when the bundle turns out to be damaged', async () => {
    const location = await put(good)
    const source = await register(location)
    await settled(source)
    const [Bucket, ...key] = location.split('/')
    const Key = key.join('/').replace('manifest.xml', 'part.00')
    const Body = Buffer.from(good.parts.get('image.part.00')!)
    Body[0]! ^= 1
    await served().s3(accountId).send(new PutObjectCommand({ Bucket, Key, Body }))
    const failed = await settled(await copy(source), 'us-west-2')
    expect(failed).toMatchObject({
      State: 'failed',
      StateReason: { Message: expect.stringMatching(/^verify: part 0 \('image\.part\.00'/) },
    })
    const [target, folder] = failed.ImageLocation!.split('/')
    const left = new ListObjectsV2Command({ Bucket: target, Prefix: folder })
    expect((await served().s3(accountId, 'us-west-2').send(left)).KeyCount).toBe(0)
  })

  test('needs to read the bundle, and encrypts none', async () => {
    const source = await register(await put(good))
    await settled(source)
    await expectRefusal(copy(source, { Encrypted: true }), 'InvalidParameterCombination', source)
    const LaunchPermission = { Add: [{ UserId: otherId }] }
    await served()
      .client(accountId)
      .send(new ModifyImageAttributeCommand({ ImageId: source, LaunchPermission }))
    await expectRefusal(copy(source, {}, otherId), 'InvalidRequest', `the storage of this ami (${source})`)
  })
})
