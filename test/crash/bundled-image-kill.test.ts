/** Bundles that are being proved and copied go on after `kill -9` of the daemon, to the same end. */
import { createHash } from 'node:crypto'
import {
  CopyImageCommand,
  DescribeImagesCommand,
  EC2Client,
  type Image,
  RegisterImageCommand,
} from '@aws-sdk/client-ec2'
import { GetObjectCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parseManifest } from '../../src/bundles/manifest.ts'
import { systemClock, waitFor } from '../../src/lib/clock.ts'
import { type RunningKiln, startKiln } from '../e2e/support/kiln.ts'

const [from, to] = ['us-east-1', 'eu-west-1']
const waitsMs = [0, 60, 250]
const timing = { everyMs: 100, timeoutMs: 60_000 }

let kiln: RunningKiln
beforeAll(async () => {
  kiln = await startKiln()
})
afterAll(() => kiln.cleanup())

const settings = (region: string) => ({
  ...{ endpoint: kiln.url, region },
  credentials: { accessKeyId: '123456789012', secretAccessKey: 'x' },
})
const ec2 = (region: string) => new EC2Client(settings(region))
const s3 = (region: string) => new S3Client(settings(region))

async function crashAfter(ms: number): Promise<void> {
  await systemClock.sleep(ms)
  await kiln.kill9()
  await kiln.restart()
}

async function settled(imageId: string): Promise<Image> {
  const found = await waitFor(
    systemClock,
    async () => {
      const { Images: images } = await ec2(to).send(new DescribeImagesCommand({ ImageIds: [imageId] }))
      return images![0]!.State === 'pending' ? undefined : images![0]!
    },
    timing,
  )
  if (!found) throw new Error(`${imageId} stays pending`)
  return found
}

const bytesOf = async (client: S3Client, Bucket: string, Key: string) => {
  const { Body } = await client.send(new GetObjectCommand({ Bucket, Key }))
  return Body!.transformToByteArray()
}

/** What the manifest says of its parts: their names, and their digests. */
async function partsTold(region: string, location: string): Promise<string[]> {
  const [bucket, ...key] = location.split('/')
  const { image } = parseManifest(await bytesOf(s3(region), bucket!, key.join('/')))
  return image.parts.map(({ filename, digestSha1 }) => `${filename} ${digestSha1}`)
}

/** What lies beside the manifest, in the same words. */
async function partsThere(region: string, location: string): Promise<string[]> {
  const [Bucket, folder] = location.split('/')
  const listing = new ListObjectsV2Command({ Bucket, Prefix: `${folder}/` })
  const { Contents: objects } = await s3(region).send(listing)
  const parts: string[] = []
  for (const { Key } of objects!) {
    if (`${Bucket}/${Key}` === location) continue
    const digest = createHash('sha1').update(await bytesOf(s3(region), Bucket!, Key!))
    parts.push(`${Key!.split('/').at(-1)} ${digest.digest('hex')}`)
  }
  return parts
}

test('a bundle is copied whole and proved to its end, however often the daemon is killed meanwhile', async () => {
  const { Images: seeds } = await ec2(from).send(new DescribeImagesCommand({ Owners: ['amazon'] }))
  const seed = seeds!.find((image) => image.RootDeviceType === 'instance-store')!
  const source = await partsTold(from, seed.ImageLocation!)

  const copies: Image[] = []
  for (const waitMs of waitsMs) {
    const wish = { SourceRegion: from, SourceImageId: seed.ImageId, Name: `copied ${waitMs}` }
    const { ImageId } = await ec2(to).send(new CopyImageCommand(wish))
    await crashAfter(waitMs)
    copies.push(await settled(ImageId!))
  }
  expect(copies.map((image) => image.State)).toEqual(waitsMs.map(() => 'available'))
  for (const { ImageLocation } of copies) {
    expect(await partsTold(to, ImageLocation!)).toEqual(source)
    expect(await partsThere(to, ImageLocation!)).toEqual(source)
  }

  for (const [index, waitMs] of waitsMs.entries()) {
    const { ImageLocation } = copies[index]!
    const { ImageId } = await ec2(to).send(new RegisterImageCommand({ Name: `registered ${waitMs}`, ImageLocation }))
    await crashAfter(waitMs)
    expect(await settled(ImageId!)).toMatchObject({ State: 'available', ImageLocation })
  }
  const { Images: all } = await ec2(to).send(new DescribeImagesCommand({ Owners: ['self'] }))
  expect(all!.length).toBe(2 * waitsMs.length)
})
