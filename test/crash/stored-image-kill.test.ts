/** Images that are being stored and restored go on after `kill -9` of the daemon, to the same end. */
import { createHash } from 'node:crypto'
import {
  CreateRestoreImageTaskCommand,
  CreateStoreImageTaskCommand,
  DescribeImagesCommand,
  DescribeSnapshotsCommand,
  DescribeStoreImageTasksCommand,
  EC2Client,
  type Image,
} from '@aws-sdk/client-ec2'
import { CreateBucketCommand, DeleteObjectCommand, GetObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { systemClock, waitFor } from '../../src/lib/clock.ts'
import { type RunningKiln, startKiln } from '../e2e/support/kiln.ts'

const region = 'us-east-1'
const Bucket = 'kept-images'
const timing = { everyMs: 100, timeoutMs: 60_000 }

let kiln: RunningKiln
beforeAll(async () => {
  kiln = await startKiln()
})
afterAll(() => kiln.cleanup())

const settings = () => ({
  endpoint: kiln.url,
  region,
  credentials: { accessKeyId: '123456789012', secretAccessKey: 'x' },
})
const ec2 = () => new EC2Client(settings())
const s3 = () => new S3Client(settings())

async function eventually<T>(what: string, probe: () => Promise<T | undefined>): Promise<T> {
  const found = await waitFor(systemClock, probe, timing)
  if (found === undefined) throw new Error(`${what} did not come`)
  return found
}

async function crashAfter(ms: number): Promise<void> {
  await systemClock.sleep(ms)
  await kiln.kill9()
  await kiln.restart()
}

test('an image is stored and restored whole, however often the daemon is killed meanwhile', async () => {
  const { Images: seeds } = await ec2().send(new DescribeImagesCommand({ Owners: ['amazon'] }))
  const seed = seeds!.find((image) => image.RootDeviceType === 'ebs')!
  await s3().send(new CreateBucketCommand({ Bucket }))
  const Key = `${seed.ImageId}.bin`
  const digests = new Set<string>()
  for (const waitMs of [0, 60, 200, 400]) {
    await ec2().send(new CreateStoreImageTaskCommand({ ImageId: seed.ImageId, Bucket }))
    await crashAfter(waitMs)
    const task = await eventually('the stored image', async () => {
      const { StoreImageTaskResults: tasks } = await ec2().send(new DescribeStoreImageTasksCommand({}))
      return tasks![0]!.StoreTaskState === 'InProgress' ? undefined : tasks![0]
    })
    expect(task).toMatchObject({ StoreTaskState: 'Completed', S3objectKey: Key })
    const { Body } = await s3().send(new GetObjectCommand({ Bucket, Key }))
    digests.add(
      createHash('sha256')
        .update(await Body!.transformToByteArray())
        .digest('hex'),
    )
    if (waitMs !== 400) await s3().send(new DeleteObjectCommand({ Bucket, Key }))
  }
  expect(digests.size).toBe(1)

  const images: Image[] = []
  for (const waitMs of [0, 60, 200, 400]) {
    const { ImageId } = await ec2().send(
      new CreateRestoreImageTaskCommand({ Bucket, ObjectKey: Key, Name: `restored ${waitMs}` }),
    )
    await crashAfter(waitMs)
    const image = await eventually('the restored image', async () => {
      const { Images: found } = await ec2().send(new DescribeImagesCommand({ ImageIds: [ImageId!] }))
      return found![0]!.State === 'pending' ? undefined : found![0]
    })
    expect(image.State).toBe('available')
    images.push(image)
  }
  const { Snapshots: snapshots } = await ec2().send(new DescribeSnapshotsCommand({ OwnerIds: ['self'] }))
  expect(snapshots!.map((snapshot) => snapshot.State)).toEqual(images.map(() => 'completed'))
  await kiln.command('check')

  const again = JSON.parse(
    await kiln.command(
      'image',
      'restore',
      Bucket,
      Key,
      '--name',
      'by hand',
      '--region',
      region,
      '--account',
      '123456789012',
      '--json',
    ),
  )
  await s3().send(new DeleteObjectCommand({ Bucket, Key: `${again.imageId}.bin` }))
  const told = await kiln.command(
    'image',
    'store',
    again.imageId,
    Bucket,
    '--region',
    region,
    '--account',
    '123456789012',
  )
  expect(told.trim()).toBe(`s3://${Bucket}/${again.imageId}.bin: ${again.imageId}`)
})
