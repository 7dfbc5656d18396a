/** Objects in parts, through the official client. */
import { createHash, randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { objectFiles, refusalOf } from '../support/object-files.ts'
import { useServedCloud } from '../support/served-cloud.ts'

const account = '000000000001'
const served = useServedCloud()
const mib = 1024 ** 2
let s3: S3Client
let Bucket: string
let buckets = 0
beforeAll(() => {
  s3 = served().s3(account)
})
beforeEach(async () => {
  Bucket = `bucket-${buckets++}`
  await s3.send(new CreateBucketCommand({ Bucket }))
})

const Key = 'in/parts'
const create = async (more: object = {}) =>
  (await s3.send(new CreateMultipartUploadCommand({ Bucket, Key, ...more }))).UploadId!
const upload = (UploadId: string, PartNumber: number, Body: Buffer, more: object = {}) =>
  s3.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body, ...more }))
const complete = (UploadId: string, Parts: CompletedPart[], more: object = {}) =>
  s3.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts }, ...more }))
const read = async (more: object = {}) =>
  Buffer.from(await (await s3.send(new GetObjectCommand({ Bucket, Key, ...more }))).Body!.transformToByteArray())
const md5 = (content: Buffer) => createHash('md5').update(content).digest()
const filesBefore = async () => (await objectFiles(served())).length

describe('a multipart upload', () => {
  test('becomes one object: the named parts in order, and no file of the others', async () => {
    const before = await filesBefore()
    const parts = [randomBytes(5 * mib), randomBytes(5 * mib + 1), randomBytes(100)]
    const UploadId = await create({ ContentType: 'text/x', Metadata: { a: 'b' } })
    const done = await Promise.all(
      parts.map(async (part, i) => ({ PartNumber: i * 7 + 1, ETag: (await upload(UploadId, i * 7 + 1, part)).ETag })),
    )
    await upload(UploadId, 3, Buffer.from('not wanted'))
    await upload(UploadId, 1, randomBytes(10))
    done[0]!.ETag = (await upload(UploadId, 1, parts[0]!)).ETag
    expect(await refusalOf(read())).toBe('NoSuchKey 404')
    const { ETag } = await complete(UploadId, done)
    expect(ETag).toBe(`"${md5(Buffer.concat(parts.map(md5))).toString('hex')}-3"`)
    expect(await read()).toEqual(Buffer.concat(parts))
    expect(await read({ Range: `bytes=${5 * mib - 2}-${10 * mib + 3}` })).toEqual(
      Buffer.concat(parts).subarray(5 * mib - 2, 10 * mib + 4),
    )
    expect(await read({ PartNumber: 2 })).toEqual(parts[1])
    const head = await s3.send(new HeadObjectCommand({ Bucket, Key }))
    expect(head).toMatchObject({ ContentType: 'text/x', Metadata: { a: 'b' }, ContentLength: 10 * mib + 101 })
    expect(await s3.send(new HeadObjectCommand({ Bucket, Key, PartNumber: 3 }))).toMatchObject({
      PartsCount: 3,
      ContentLength: 100,
    })
    expect(await filesBefore()).toBe(before + 3)
    // Who did not hear the answer may ask again.
    expect((await complete(UploadId, done)).ETag).toBe(ETag)
    expect(await refusalOf(complete(UploadId, done.slice(1)))).toBe('NoSuchUpload 404')
    await s3.send(new PutObjectCommand({ Bucket, Key, Body: 'replaced' }))
    expect(await filesBefore()).toBe(before + 1)
  })

  test.each([
    ['CRC32', 'COMPOSITE'],
    ['SHA256', 'COMPOSITE'],
    ['CRC32', 'FULL_OBJECT'],
    ['CRC32C', 'FULL_OBJECT'],
    ['CRC64NVME', 'FULL_OBJECT'],
  ] as const)('has a checksum of its parts: %s, %s', async (algorithm, type) => {
    const parts = [randomBytes(5 * mib + 17), randomBytes(3)]
    const UploadId = await create({ ChecksumAlgorithm: algorithm, ChecksumType: type })
    const done: CompletedPart[] = []
    for (const [i, part] of parts.entries()) {
      const sent = await upload(UploadId, i + 1, part, { ChecksumAlgorithm: algorithm })
      const name = `Checksum${algorithm}` as const
      done.push({ PartNumber: i + 1, ETag: sent.ETag, [name]: sent[name] })
    }
    const made = await complete(UploadId, done)
    expect(made.ChecksumType).toBe(type)
    const value = made[`Checksum${algorithm}`]!
    if (type === 'COMPOSITE') {
      expect(value).toMatch(/=-2$/)
    } else {
      // The same bytes in one piece have the same checksum, which the client computed itself.
      const whole = await s3.send(
        new PutObjectCommand({ Bucket, Key: 'whole', Body: Buffer.concat(parts), ChecksumAlgorithm: algorithm }),
      )
      expect(value).toBe(whole[`Checksum${algorithm}`])
      expect(await read({ ChecksumMode: 'ENABLED' })).toEqual(Buffer.concat(parts))
    }
  })

  test('is listed, with its parts, until it is aborted; then nothing of it is left', async () => {
    const before = await filesBefore()
    const ids = [await create(), await create()].sort()
    for (const number of [4, 2, 9]) await upload(ids[0]!, number, Buffer.from(`part ${number}`))
    const first = await s3.send(new ListPartsCommand({ Bucket, Key, UploadId: ids[0]!, MaxParts: 2 }))
    expect(first.Parts!.map((part) => [part.PartNumber, part.Size])).toEqual([
      [2, 6],
      [4, 6],
    ])
    expect([first.IsTruncated, first.NextPartNumberMarker]).toEqual([true, '4'])
    const rest = await s3.send(new ListPartsCommand({ Bucket, Key, UploadId: ids[0]!, PartNumberMarker: '4' }))
    expect(rest.Parts!.map((part) => part.PartNumber)).toEqual([9])
    const list = async (more: object) => s3.send(new ListMultipartUploadsCommand({ Bucket, ...more }))
    expect((await list({})).Uploads!.map((one) => one.UploadId).sort()).toEqual(ids)
    const page = await list({ MaxUploads: 1 })
    const next = await list({ KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker })
    expect([page.Uploads![0]!.UploadId, next.Uploads![0]!.UploadId].sort()).toEqual(ids)
    for (const UploadId of ids) await s3.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }))
    expect((await list({})).Uploads).toBeUndefined()
    expect(await filesBefore()).toBe(before)
    expect(await refusalOf(upload(ids[0]!, 1, Buffer.from('late')))).toBe('NoSuchUpload 404')
    expect(await filesBefore()).toBe(before)
  })

  test('goes with its bucket, which has no objects', async () => {
    const before = await filesBefore()
    await upload(await create(), 1, Buffer.from('forgotten'))
    await s3.send(new DeleteBucketCommand({ Bucket }))
    expect(await filesBefore()).toBe(before)
  })

  test('is completed with what it has, in order, and large enough', async () => {
    const UploadId = await create()
    const small = { PartNumber: 1, ETag: (await upload(UploadId, 1, Buffer.from('small'))).ETag }
    const large = { PartNumber: 2, ETag: (await upload(UploadId, 2, randomBytes(5 * mib))).ETag }
    const refused = (parts: CompletedPart[], more: object = {}) => refusalOf(complete(UploadId, parts, more))
    expect(await refused([small, large])).toBe('EntityTooSmall 400')
    expect(await refused([large, small])).toBe('InvalidPartOrder 400')
    expect(await refused([large, large])).toBe('InvalidPartOrder 400')
    expect(await refused([{ ...large, ETag: small.ETag! }])).toBe('InvalidPart 400')
    expect(await refused([large, { PartNumber: 3, ETag: large.ETag! }])).toBe('InvalidPart 400')
    expect(await refused([])).toBe('MalformedXML 400')
    expect(await refused([large], { MpuObjectSize: 7 })).toBe('InvalidRequest 400')
    expect(await refusalOf(upload(UploadId, 0, Buffer.from('x')))).toBe('InvalidArgument 400')
    expect(await refusalOf(upload(UploadId, 10_001, Buffer.from('x')))).toBe('InvalidArgument 400')
    expect(await refusalOf(upload('none', 1, Buffer.from('x')))).toBe('NoSuchUpload 404')
    await s3.send(new PutObjectCommand({ Bucket, Key, Body: 'there' }))
    expect(await refused([large], { IfNoneMatch: '*' })).toBe('PreconditionFailed 412')
    expect(await refused([large])).toBe('accepted')
  })

  test('takes parts of other objects', async () => {
    const source = randomBytes(6 * mib)
    await s3.send(new PutObjectCommand({ Bucket, Key: 'source', Body: source }))
    const UploadId = await create()
    const copy = (PartNumber: number, CopySourceRange?: string) =>
      s3.send(
        new UploadPartCopyCommand({
          Bucket,
          Key,
          UploadId,
          PartNumber,
          CopySource: `${Bucket}/source`,
          CopySourceRange,
        }),
      )
    const parts = [await copy(1), await copy(2, 'bytes=10-19')]
    await complete(
      UploadId,
      parts.map((part, i) => ({ PartNumber: i + 1, ETag: part.CopyPartResult!.ETag })),
    )
    expect(await read()).toEqual(Buffer.concat([source, source.subarray(10, 20)]))
    expect(await refusalOf(copy(3, `bytes=0-${6 * mib}`))).toBe('InvalidArgument 400')
  })
})

test('the official uploader sends a stream of unknown length', async () => {
  const pieces = Array.from({ length: 40 }, () => randomBytes(mib / 2 + 7))
  await new Upload({ client: s3, params: { Bucket, Key, Body: Readable.from(pieces) } }).done()
  expect(md5(await read())).toEqual(md5(Buffer.concat(pieces)))
})
