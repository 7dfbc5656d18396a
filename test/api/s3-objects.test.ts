/** S3's objects through the official client: written, read, listed, copied, removed. */
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import {
  CopyObjectCommand,
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectsCommand,
  GetBucketLocationCommand,
  GetObjectAttributesCommand,
  GetObjectCommand,
  type GetObjectCommandInput,
  HeadBucketCommand,
  HeadObjectCommand,
  ListBucketsCommand,
  ListObjectsCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutObjectCommand,
  type PutObjectCommandInput,
  type S3Client,
} from '@aws-sdk/client-s3'
import { beforeAll, describe, expect, test } from 'vitest'
import { objectFiles, refusalOf } from '../support/object-files.ts'
import { useServedCloud } from '../support/served-cloud.ts'

const account = '000000000001'
const stranger = '000000000002'
const served = useServedCloud()
let s3: S3Client
let others: S3Client
const Bucket = 'a-bucket'

beforeAll(async () => {
  s3 = served().s3(account)
  others = served().s3(stranger)
  await s3.send(new CreateBucketCommand({ Bucket }))
})

const put = (Key: string, Body: PutObjectCommandInput['Body'] = Key, more: Partial<PutObjectCommandInput> = {}) =>
  s3.send(new PutObjectCommand({ Bucket, Key, Body, ...more }))
const get = (Key: string, more: Partial<GetObjectCommandInput> = {}) =>
  s3.send(new GetObjectCommand({ Bucket, Key, ...more }))
const textOf = async (Key: string, more: Partial<GetObjectCommandInput> = {}) =>
  await (await get(Key, more)).Body!.transformToString()
const md5 = (text: string | Buffer) => createHash('md5').update(text).digest('hex')

describe('buckets', () => {
  test('are made where they shall be, found, listed and removed', async () => {
    expect((await s3.send(new GetBucketLocationCommand({ Bucket }))).LocationConstraint).toBe('eu-west-1')
    expect((await s3.send(new HeadBucketCommand({ Bucket }))).BucketRegion).toBe('eu-west-1')
    const first = served().s3(account, 'us-east-1')
    await first.send(new CreateBucketCommand({ Bucket: 'first-region' }))
    expect(
      (await first.send(new GetBucketLocationCommand({ Bucket: 'first-region' }))).LocationConstraint,
    ).toBeUndefined()
    const { Buckets, Owner } = await s3.send(new ListBucketsCommand({}))
    expect(Buckets!.map(({ Name, BucketRegion }) => `${Name} ${BucketRegion}`)).toEqual([
      'a-bucket eu-west-1',
      'first-region us-east-1',
    ])
    expect(Owner!.ID).toMatch(/^[0-9a-f]{64}$/)
    expect((await s3.send(new ListBucketsCommand({ MaxBuckets: 1 }))).ContinuationToken).toBe('a-bucket')
    expect((await others.send(new ListBucketsCommand({}))).Buckets).toEqual([])
    await first.send(new DeleteBucketCommand({ Bucket: 'first-region' }))
    expect(await refusalOf(first.send(new DeleteBucketCommand({ Bucket: 'first-region' })))).toBe('NoSuchBucket 404')
  })

  test('have one name for all accounts, and refuse names that S3 refuses', async () => {
    const make = (client: S3Client, name: string) => refusalOf(client.send(new CreateBucketCommand({ Bucket: name })))
    expect(await make(s3, Bucket)).toBe('BucketAlreadyOwnedByYou 409')
    expect(await make(others, Bucket)).toBe('BucketAlreadyExists 409')
    for (const name of ['ab', 'Upper', 'a..b', '-a-b', '192.168.1.1', 'xn--abc', 'a_b', 'x'.repeat(64)]) {
      expect(await make(s3, name)).toBe('InvalidBucketName 400')
    }
  })

  test('are not made where the request does not say clearly, nor where there is nothing', async () => {
    const make = (client: S3Client, LocationConstraint: string | undefined) =>
      refusalOf(
        client.send(
          new CreateBucketCommand({
            Bucket: 'nowhere',
            CreateBucketConfiguration: { LocationConstraint: LocationConstraint as never },
          }),
        ),
      )
    const first = served().s3(account, 'us-east-1')
    expect(await make(first, 'moon-1')).toBe('InvalidLocationConstraint 400')
    expect(await make(first, 'us-east-1')).toBe('InvalidLocationConstraint 400')
    expect(await make(s3, 'us-west-2')).toBe('IllegalLocationConstraintException 400')
    expect(await make(first, 'EU')).toBe('accepted')
    expect((await s3.send(new GetBucketLocationCommand({ Bucket: 'nowhere' }))).LocationConstraint).toBe('eu-west-1')
    await s3.send(new DeleteBucketCommand({ Bucket: 'nowhere' }))
  })

  test('are asked for in their own region, which a refusal names', async () => {
    const elsewhere = served().s3(account, 'us-east-1')
    const request = elsewhere.send(new ListObjectsV2Command({ Bucket }))
    await expect(request).rejects.toMatchObject({ name: 'PermanentRedirect', Region: 'eu-west-1' })
    const following = served().s3(account, 'us-east-1', { followRegionRedirects: true })
    expect((await following.send(new ListObjectsV2Command({ Bucket }))).Name).toBe(Bucket)
  })

  test('that hold something are not removed, nor those of another account', async () => {
    await put('something')
    expect(await refusalOf(s3.send(new DeleteBucketCommand({ Bucket })))).toBe('BucketNotEmpty 409')
    expect(await refusalOf(others.send(new DeleteBucketCommand({ Bucket })))).toBe('AccessDenied 403')
    expect(await refusalOf(others.send(new HeadBucketCommand({ Bucket })))).toMatch(/403$/)
    expect(await refusalOf(s3.send(new HeadBucketCommand({ Bucket: 'no-such-bucket' })))).toBe('NotFound 404')
  })
})

describe('an object', () => {
  test('comes back as it went, with all that was said of it', async () => {
    const about = {
      ContentType: 'image/svg+xml',
      CacheControl: 'max-age=60',
      ContentDisposition: 'attachment; filename="a.svg"',
      ContentLanguage: 'de',
      ContentEncoding: 'gzip',
      Metadata: { colour: 'red', 'two-words': 'a b' },
    }
    const { ETag, ChecksumCRC32 } = await put('kept', 'some bytes', about)
    expect([ETag, ChecksumCRC32]).toEqual([`"${md5('some bytes')}"`, expect.any(String)])
    const found = await get('kept')
    expect(found).toMatchObject({ ...about, ETag, ContentLength: 10, AcceptRanges: 'bytes' })
    expect(Math.abs(found.LastModified!.getTime() - Date.now())).toBeLessThan(60_000)
    expect(await found.Body!.transformToString()).toBe('some bytes')
    const head = await s3.send(new HeadObjectCommand({ Bucket, Key: 'kept', ChecksumMode: 'ENABLED' }))
    expect(head).toMatchObject({ ...about, ETag, ContentLength: 10, ChecksumCRC32, ChecksumType: 'FULL_OBJECT' })
    await put('plain', 'x')
    const plain = await get('plain')
    expect([plain.ContentType, plain.CacheControl]).toEqual(['application/octet-stream', undefined])
    const attributes = await s3.send(
      new GetObjectAttributesCommand({ Bucket, Key: 'kept', ObjectAttributes: ['ETag', 'ObjectSize', 'Checksum'] }),
    )
    expect(attributes).toMatchObject({ ETag: md5('some bytes'), ObjectSize: 10, Checksum: { ChecksumCRC32 } })
  })

  test.each(['SHA1', 'SHA256', 'CRC32', 'CRC32C', 'CRC64NVME'] as const)(
    'is proved by %s, of a text or a stream',
    async (name) => {
      const content = 'proved '.repeat(30_000)
      const sent = await put(`proved-${name}`, content, { ChecksumAlgorithm: name })
      const streamed = await put(`streamed-${name}`, Readable.from([Buffer.from(content)]), {
        ChecksumAlgorithm: name,
        ContentLength: content.length,
      })
      const value = sent[`Checksum${name}`]
      expect(value).toEqual(expect.any(String))
      expect(streamed[`Checksum${name}`]).toBe(value)
      // The client itself compares what it reads with the checksum.
      expect(await textOf(`streamed-${name}`, { ChecksumMode: 'ENABLED' })).toBe(content)
      const wrong = { [`Checksum${name}`]: Buffer.alloc(Buffer.from(value!, 'base64').length).toString('base64') }
      expect(await refusalOf(put('never', content, wrong))).toBe('BadDigest 400')
      expect(await refusalOf(get('never'))).toBe('NoSuchKey 404')
    },
  )

  test('is refused when its MD5 is another, or none', async () => {
    const wrong = Buffer.alloc(16).toString('base64')
    expect(await refusalOf(put('never', 'x', { ContentMD5: wrong }))).toBe('BadDigest 400')
    expect(await refusalOf(put('never', 'x', { ContentMD5: 'nonsense' }))).toBe('InvalidDigest 400')
    await put('good', 'x', { ContentMD5: Buffer.from(md5('x'), 'hex').toString('base64') })
    expect(await textOf('good')).toBe('x')
  })

  test('is read in ranges', async () => {
    await put('digits', '0123456789')
    const range = async (Range: string) => {
      const { Body, ContentRange, ContentLength } = await get('digits', { Range })
      return [await Body!.transformToString(), ContentRange, ContentLength]
    }
    expect(await range('bytes=2-4')).toEqual(['234', 'bytes 2-4/10', 3])
    expect(await range('bytes=7-')).toEqual(['789', 'bytes 7-9/10', 3])
    expect(await range('bytes=-2')).toEqual(['89', 'bytes 8-9/10', 2])
    expect(await range('bytes=-200')).toEqual(['0123456789', 'bytes 0-9/10', 10])
    expect(await range('bytes=5-100')).toEqual(['56789', 'bytes 5-9/10', 5])
    expect(await range('bytes=1-2,4-5')).toEqual(['0123456789', undefined, 10])
    for (const Range of ['bytes=10-', 'bytes=10-20', 'bytes=-0']) {
      expect(await refusalOf(get('digits', { Range }))).toBe('InvalidRange 416')
    }
    await put('nothing', '')
    expect(await textOf('nothing')).toBe('')
    expect(await refusalOf(get('nothing', { Range: 'bytes=0-' }))).toBe('InvalidRange 416')
  })

  test('is read on conditions', async () => {
    const { ETag } = await put('conditional', 'x')
    const { LastModified } = await get('conditional')
    const earlier = new Date(LastModified!.getTime() - 1000)
    const read = (more: Partial<GetObjectCommandInput>) => refusalOf(get('conditional', more))
    expect(await read({ IfMatch: ETag })).toBe('accepted')
    expect(await read({ IfMatch: '"other"' })).toBe('PreconditionFailed 412')
    expect(await read({ IfNoneMatch: '"other"' })).toBe('accepted')
    expect(await read({ IfNoneMatch: ETag })).toMatch(/304$/)
    expect(await read({ IfModifiedSince: earlier })).toBe('accepted')
    expect(await read({ IfModifiedSince: LastModified })).toMatch(/304$/)
    expect(await read({ IfUnmodifiedSince: LastModified })).toBe('accepted')
    expect(await read({ IfUnmodifiedSince: earlier })).toBe('PreconditionFailed 412')
    // The ETag decides where it is given: RFC 9110, 13.2.2.
    expect(await read({ IfMatch: ETag, IfUnmodifiedSince: earlier })).toBe('accepted')
    expect(await get('conditional', { ResponseContentType: 'text/x', ResponseCacheControl: 'no-cache' })).toMatchObject(
      {
        ContentType: 'text/x',
        CacheControl: 'no-cache',
      },
    )
  })

  test('is written on conditions', async () => {
    expect(await refusalOf(put('once', '1', { IfNoneMatch: '*' }))).toBe('accepted')
    expect(await refusalOf(put('once', '2', { IfNoneMatch: '*' }))).toBe('PreconditionFailed 412')
    expect(await refusalOf(put('once', '2', { IfMatch: '"other"' }))).toBe('PreconditionFailed 412')
    const { ETag } = await get('once')
    expect(await refusalOf(put('once', '3', { IfMatch: ETag }))).toBe('accepted')
    expect(await refusalOf(put('nowhere', '3', { IfMatch: ETag }))).toBe('NoSuchKey 404')
    expect(await textOf('once')).toBe('3')
  })

  test.each([
    'a/../../../etc/passwd',
    '../up',
    './here',
    '/begins with a slash',
    'ends/',
    'two//slashes',
    'plus+and space',
    'ümläut 😀',
    '%41%2f',
    'a&b=c?d#e',
    '"<\'>',
    'tab\tand\u0001control',
    'x'.repeat(1024),
  ])('may be called %j', async (Key) => {
    await put(Key, `content of ${Key}`)
    expect(await textOf(Key)).toBe(`content of ${Key}`)
    const { Contents } = await s3.send(new ListObjectsV2Command({ Bucket, Prefix: Key, EncodingType: 'url' }))
    expect(Contents!.map((object) => decodeURIComponent(object.Key!))).toContain(Key)
    await s3.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key }] } }))
    expect(await refusalOf(get(Key))).toBe('NoSuchKey 404')
  })

  test('may not be called just anything', async () => {
    expect(await refusalOf(put('x'.repeat(1025)))).toBe('KeyTooLongError 400')
    expect(await refusalOf(put('ü'.repeat(513)))).toBe('KeyTooLongError 400')
    expect(await refusalOf(put('nul\0'))).toBe('InvalidArgument 400')
    expect(await refusalOf(put('m', 'x', { Metadata: { long: 'x'.repeat(2048) } }))).toBe('MetadataTooLarge 400')
  })

  test('is refused what Kiln has not, rather than kept without', async () => {
    expect(await refusalOf(put('s', 'x', { ServerSideEncryption: 'aws:kms' }))).toBe('NotImplemented 501')
    expect(await refusalOf(put('s', 'x', { Tagging: 'a=b' }))).toBe('NotImplemented 501')
    expect(await refusalOf(put('s', 'x', { StorageClass: 'GLACIER' }))).toBe('InvalidStorageClass 400')
    expect(await refusalOf(get('s'))).toBe('NoSuchKey 404')
  })
})

describe('copies', () => {
  test('carry the bytes, and what was said of them unless it is said anew', async () => {
    await put('source key+1', 'copied', { ContentType: 'text/plain', Metadata: { a: '1' } })
    const copy = (Key: string, more: object = {}) =>
      s3.send(new CopyObjectCommand({ Bucket, Key, CopySource: `/${Bucket}/source%20key%2B1`, ...more }))
    const made = await copy('copy')
    expect(made.CopyObjectResult).toMatchObject({ ETag: `"${md5('copied')}"` })
    expect(await get('copy')).toMatchObject({ ContentType: 'text/plain', Metadata: { a: '1' } })
    await copy('copy', { MetadataDirective: 'REPLACE', ContentType: 'text/html', Metadata: { b: '2' } })
    expect(await get('copy')).toMatchObject({ ContentType: 'text/html', Metadata: { b: '2' } })
    expect(await textOf('copy')).toBe('copied')
    expect(await refusalOf(copy('source key+1'))).toBe('InvalidRequest 400')
    expect(await refusalOf(copy('copy', { CopySourceIfMatch: '"other"' }))).toBe('PreconditionFailed 412')
    expect(await refusalOf(copy('copy', { CopySource: 'nothing' }))).toBe('InvalidArgument 400')
    expect(await refusalOf(copy('copy', { CopySource: `${Bucket}/none` }))).toBe('NoSuchKey 404')
  })
})

describe('lists', () => {
  const bucket = 'for-lists'
  const keys = ['a', 'a/1', 'a/2', 'a/b/3', 'b', 'c/', 'c/4', 'd', 'Z', 'ä', '😀', '\uffee']
  beforeAll(async () => {
    await s3.send(new CreateBucketCommand({ Bucket: bucket }))
    for (const Key of keys) await s3.send(new PutObjectCommand({ Bucket: bucket, Key, Body: Key }))
  })
  const sorted = [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))

  async function listV2(more: object): Promise<string[][]> {
    const pages: string[][] = []
    let ContinuationToken: string | undefined
    do {
      const page = await s3.send(new ListObjectsV2Command({ Bucket: bucket, ContinuationToken, ...more }))
      const found = [...(page.Contents ?? []).map((o) => o.Key!), ...(page.CommonPrefixes ?? []).map((p) => p.Prefix!)]
      expect(page.KeyCount).toBe(found.length)
      pages.push(found)
      ContinuationToken = page.NextContinuationToken
      expect(page.IsTruncated).toBe(ContinuationToken !== undefined)
    } while (ContinuationToken)
    return pages
  }

  async function listV1(more: object): Promise<string[]> {
    const found: string[] = []
    let Marker: string | undefined
    for (;;) {
      const page = await s3.send(new ListObjectsCommand({ Bucket: bucket, Marker, ...more }))
      found.push(...(page.Contents ?? []).map((o) => o.Key!), ...(page.CommonPrefixes ?? []).map((p) => p.Prefix!))
      if (!page.IsTruncated) return found
      Marker = page.NextMarker ?? page.Contents!.at(-1)!.Key
    }
  }

  test('are in the order of bytes, in pages of any size', async () => {
    for (const MaxKeys of [1, 2, 5, 1000]) {
      expect((await listV2({ MaxKeys })).flat()).toEqual(sorted)
      expect(await listV1({ MaxKeys })).toEqual(sorted)
    }
    expect(await listV2({ MaxKeys: 0 })).toEqual([[]])
    expect((await listV2({ StartAfter: 'b' })).flat()).toEqual(sorted.slice(sorted.indexOf('b') + 1))
    expect((await listV2({ Prefix: 'a/' })).flat()).toEqual(['a/1', 'a/2', 'a/b/3'])
    expect((await listV2({ Prefix: '😀' })).flat()).toEqual(['😀'])
  })

  test('take keys below a delimiter together, each once', async () => {
    const grouped = ['Z', 'a', 'a/', 'b', 'c/', 'd', 'ä', '\uffee', '😀']
    for (const MaxKeys of [1, 2, 3, 1000]) {
      const pages = await listV2({ MaxKeys, Delimiter: '/' })
      expect(pages.flat().sort()).toEqual([...grouped].sort())
      expect(pages.every((page) => page.length <= MaxKeys)).toBe(true)
      expect((await listV1({ MaxKeys, Delimiter: '/' })).sort()).toEqual([...grouped].sort())
    }
    expect((await listV2({ Prefix: 'a/', Delimiter: '/' })).flat()).toEqual(['a/1', 'a/2', 'a/b/'])
    expect((await listV2({ Delimiter: '1' })).flat()).toContain('a/1')
    expect(await refusalOf(s3.send(new ListObjectsV2Command({ Bucket: bucket, ContinuationToken: 'x' })))).toBe(
      'InvalidArgument 400',
    )
  })

  test('say what S3 says of each, and one version', async () => {
    const { Contents } = await s3.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: 'd', FetchOwner: true }))
    expect(Contents).toMatchObject([
      { Key: 'd', Size: 1, ETag: `"${md5('d')}"`, StorageClass: 'STANDARD', Owner: { DisplayName: account } },
    ])
    const { Versions } = await s3.send(new ListObjectVersionsCommand({ Bucket: bucket, Prefix: 'd' }))
    expect(Versions).toMatchObject([{ Key: 'd', VersionId: 'null', IsLatest: true }])
  })
})

test('many are removed at once, those too that are not there; then their files are gone', async () => {
  const bucket = 'to-be-emptied'
  const before = (await objectFiles(served())).length
  await s3.send(new CreateBucketCommand({ Bucket: bucket }))
  const names = Array.from({ length: 30 }, (_, i) => `key <${i}> & more\r`)
  await Promise.all(names.map((Key) => s3.send(new PutObjectCommand({ Bucket: bucket, Key, Body: Key }))))
  expect(await objectFiles(served())).toHaveLength(before + 30)
  const Objects = [...names, 'never there'].map((Key) => ({ Key }))
  const { Deleted } = await s3.send(new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects } }))
  expect(Deleted!.map((object) => object.Key)).toEqual(Objects.map((object) => object.Key))
  const quiet = await s3.send(new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects, Quiet: true } }))
  expect(quiet.Deleted).toBeUndefined()
  await s3.send(new DeleteBucketCommand({ Bucket: bucket }))
  expect(await objectFiles(served())).toHaveLength(before)
})
