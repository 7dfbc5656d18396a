/** Bundles that want to fill memory or disk: refused, or held to what they hold, through the whole cloud. */
import { createHash } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import {
  DescribeInstancesCommand,
  RegisterImageCommand,
  RunInstancesCommand,
  TerminateInstancesCommand,
} from '@aws-sdk/client-ec2'
import {
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Identity } from '../../src/bundles/identity.ts'
import { archiveAround } from '../../src/bundles/tar-archive.ts'
import { systemClock, waitFor } from '../../src/lib/clock.ts'
import { bundleAround, newIdentity, putBundle } from '../support/bundles.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'

const served = useServedCloud({ isLive: true, timing: { bootSettleMs: 0 } })
const accountId = '111122223333'
const mib = 1024 ** 2
/** Of one megabyte of zeros there are a thousand bytes; packed members may follow each other. */
const packedMib = gzipSync(Buffer.alloc(mib))
/** More than all that may be held of a bundle at once, and less than what these unpack to. */
const memoryMaxBytes = 400 * mib
const rootMib = 512

let signer: Identity
let cloudCertificate: string
let watcher: NodeJS.Timeout
let peak = 0
let names = 0

beforeAll(async () => {
  signer = await newIdentity('01')
  const { certificates } = served().cloud
  cloudCertificate = (await certificates.cloudIdentity()).certificate
  await certificates.upload({ accountId, userId: null }, signer.certificate)
  watcher = setInterval(() => {
    peak = Math.max(peak, process.memoryUsage.rss())
  }, 20)
})
afterAll(() => clearInterval(watcher))

async function withinMemory(work: () => Promise<void>): Promise<void> {
  const before = process.memoryUsage.rss()
  peak = before
  await work()
  expect(peak - before).toBeLessThan(memoryMaxBytes)
}

async function register(ImageLocation: string): Promise<string> {
  names += 1
  const { ImageId } = await served()
    .client(accountId)
    .send(new RegisterImageCommand({ Name: `bomb ${names}`, ImageLocation }))
  return ImageId!
}

async function settled(id: string) {
  const row = () => served().deps.state.images.get(id)
  const isSettled = async () => ((await row())?.state === 'pending' ? undefined : true)
  expect(await waitFor(systemClock, isSettled, { everyMs: 50, timeoutMs: 240_000 })).toBe(true)
  return (await row())!
}

const put = (bundle: ReturnType<typeof bundleAround>) => {
  names += 1
  return putBundle(served().s3(accountId), { bucket: 'bombs', prefix: `b${names}` }, bundle)
}
const about = (sizeBytes: number, digestSha1: string) => ({
  sizeBytes,
  digestSha1,
  accountId,
  signer,
  cloudCertificate,
})

test('a manifest of a gigabyte is refused before it is read', async () => {
  const s3 = served().s3(accountId)
  const [Bucket, Key] = ['large-manifests', 'x.manifest.xml']
  await s3.send(new CreateBucketCommand({ Bucket }))
  const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key }))
  const part = Buffer.alloc(64 * mib, ' ')
  const Parts: { PartNumber: number; ETag: string }[] = []
  for (let PartNumber = 1; PartNumber <= 16; PartNumber += 1) {
    const { ETag } = await s3.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body: part }))
    Parts.push({ PartNumber, ETag: ETag! })
  }
  await s3.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }))
  await withinMemory(() => expectRefusal(register(`${Bucket}/${Key}`), 'InvalidManifest', 'larger than 1048576 bytes'))
})

test('a bundle that unpacks to ten gigabytes where it declares four kilobytes fails at once', async () => {
  const { before } = archiveAround('image', 4096)
  const archive = gzipSync(Buffer.concat([before, Buffer.alloc(4096, 7)]))
  const bomb = Buffer.concat([archive, ...Array.from({ length: 10 * 1024 }, () => packedMib)])
  expect(bomb.length).toBeLessThan(16 * mib)
  const location = await put(bundleAround(bomb, about(4096, '0'.repeat(40))))
  await withinMemory(async () => {
    expect(await settled(await register(location))).toMatchObject({
      state: 'failed',
      stateReasonMessage: 'something follows the end of the archive',
    })
  })
})

test('a root of half a gigabyte of zeros is launched, and takes no room', async () => {
  const sizeBytes = rootMib * mib
  const { before, after } = archiveAround('image', sizeBytes)
  const digest = createHash('sha1').update(before)
  const zeros = Buffer.alloc(mib)
  for (let count = 0; count < rootMib; count += 1) digest.update(zeros)
  const packed = [gzipSync(before), ...Array.from({ length: rootMib }, () => packedMib), gzipSync(after)]
  const made = bundleAround(Buffer.concat(packed), about(sizeBytes, digest.update(after).digest('hex')))
  const location = await put(made)
  const client = served().client(accountId)
  await withinMemory(async () => {
    const image = await settled(await register(location))
    expect(image).toMatchObject({ state: 'available' })
    const launch = { ImageId: image.id, InstanceType: 'm1.small', MinCount: 1, MaxCount: 1 } as const
    const { Instances } = await client.send(new RunInstancesCommand(launch))
    const InstanceIds = [Instances![0]!.InstanceId!]
    const inState = async (name: string) => {
      const { Reservations } = await client.send(new DescribeInstancesCommand({ InstanceIds }))
      return Reservations![0]!.Instances![0]!.State!.Name === name ? true : undefined
    }
    const timing = { everyMs: 50, timeoutMs: 240_000 }
    expect(await waitFor(systemClock, () => inState('running'), timing)).toBe(true)
    const folder = served().deps.instanceStoreDir
    const file = await stat(join(folder, InstanceIds[0]!, 'base.raw'))
    expect(file.size).toBe(sizeBytes)
    expect(file.blocks * 512).toBeLessThan(mib)
    await client.send(new TerminateInstancesCommand({ InstanceIds }))
    expect(await waitFor(systemClock, () => inState('terminated'), timing)).toBe(true)
    expect(await readdir(join(folder, 'images'))).toEqual([])
  })
})
