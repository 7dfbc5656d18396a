/** What `kill -9` of the daemon may cost those who write objects: what was not acknowledged, and that as a whole. */
import { createHash, randomBytes } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { systemClock, waitFor } from '../../src/lib/clock.ts'
import { homeAt } from '../../src/lib/home.ts'
import { type RunningKiln, startKiln } from '../e2e/support/kiln.ts'

const region = 'us-east-1'
const Bucket = 'crashing'
const rounds = 8
const mib = 1024 ** 2

let kiln: RunningKiln
beforeAll(async () => {
  kiln = await startKiln()
})
afterAll(() => kiln.cleanup())

const connect = () =>
  new S3Client({
    endpoint: kiln.url,
    region,
    credentials: { accessKeyId: '123456789012', secretAccessKey: 'x' },
    maxAttempts: 1,
  })

async function files(): Promise<number> {
  const names = await readdir(join(homeAt(kiln.home).regionsDir, region, 'objects'), { recursive: true })
  return names.filter((name) => name.includes('/')).length
}

const md5 = (content: Buffer) => createHash('md5').update(content).digest('hex')

test('objects and parts that were acknowledged are there and whole; of all others there is nothing', async () => {
  await connect().send(new CreateBucketCommand({ Bucket }))
  // Those of the public images.
  const before = await files()
  /** The version of each key that was acknowledged last, and all that were sent, in order. */
  const acknowledged = new Map<string, string>()
  const possible = new Map<string, string[]>()
  const part = randomBytes(5 * mib)

  async function write(s3: S3Client, Key: string, Body: Buffer): Promise<void> {
    possible.set(Key, [...(possible.get(Key) ?? []), md5(Body)])
    await s3.send(new PutObjectCommand({ Bucket, Key, Body }))
    acknowledged.set(Key, md5(Body))
  }

  async function writeInParts(s3: S3Client, Key: string): Promise<void> {
    const last = randomBytes(1000)
    possible.set(Key, [md5(Buffer.concat([part, last]))])
    const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key }))
    const parts = [part, last].map(async (Body, i) => {
      const { ETag } = await s3.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber: i + 1, Body }))
      return { PartNumber: i + 1, ETag }
    })
    const MultipartUpload = { Parts: await Promise.all(parts) }
    await s3.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload }))
    acknowledged.set(Key, md5(Buffer.concat([part, last])))
  }

  for (let round = 0; round < rounds; round++) {
    const s3 = connect()
    let isOver = false
    const writer = async (index: number) => {
      for (let i = 0; !isOver; i++) {
        // A key of each writer is written again and again, and must be one of the versions.
        await write(s3, `again-${index}`, randomBytes(1 + ((i * 77_777) % 300_000)))
        if (i % 3 === 0) await write(s3, `once-${round}-${index}-${i}`, randomBytes(i * 1000))
        if (index === 0) await writeInParts(s3, `parts-${round}-${i}`)
      }
    }
    const writers = [0, 1, 2].map((index) => writer(index).catch(() => {}))
    await systemClock.sleep(300 + round * 170)
    await kiln.kill9()
    isOver = true
    await Promise.all(writers)
    s3.destroy()
    await kiln.restart()
  }

  const s3 = connect()
  const found = new Map<string, string>()
  let ContinuationToken: string | undefined
  do {
    const page = await s3.send(new ListObjectsV2Command({ Bucket, ContinuationToken }))
    for (const { Key } of page.Contents!) {
      const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key }))
      found.set(Key!, md5(Buffer.from(await Body!.transformToByteArray())))
    }
    ContinuationToken = page.NextContinuationToken
  } while (ContinuationToken)
  expect(acknowledged.size).toBeGreaterThan(rounds)
  expect([...acknowledged.keys()].filter((key) => !found.has(key))).toEqual([])
  for (const [key, digest] of found) {
    // A write that was cut off before its answer may have come through; none that came before an acknowledged one is back.
    const versions = possible.get(key)!
    const least = acknowledged.has(key) ? versions.lastIndexOf(acknowledged.get(key)!) : 0
    expect([key, versions.indexOf(digest) >= least]).toEqual([key, true])
  }

  const { Uploads = [] } = await s3.send(new ListMultipartUploadsCommand({ Bucket }))
  for (const { Key, UploadId } of Uploads) {
    await s3.send(new ListPartsCommand({ Bucket, Key, UploadId }))
    await s3.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }))
  }
  for (const Key of found.keys()) await s3.send(new DeleteObjectCommand({ Bucket, Key }))
  // What writes left that were cut off is swept at the start, beside the requests.
  const isEmpty = await waitFor(systemClock, async () => ((await files()) === before ? true : undefined), {
    everyMs: 200,
    timeoutMs: 30_000,
  })
  expect([isEmpty, await files()]).toEqual([true, before])
  s3.destroy()
})
