/** What S3 makes of those who mean harm, or go away. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { CreateBucketCommand, GetObjectCommand, PutObjectCommand, type S3Client } from '@aws-sdk/client-s3'
import { beforeAll, describe, expect, test } from 'vitest'
import { objectFiles, refusalOf } from '../support/object-files.ts'
import { useServedCloud } from '../support/served-cloud.ts'

const account = '000000000001'
const served = useServedCloud()
const Bucket = 'target'
let s3: S3Client
beforeAll(async () => {
  s3 = served().s3(account)
  await s3.send(new CreateBucketCommand({ Bucket }))
})

const authorization = `Authorization: AWS4-HMAC-SHA256 Credential=${account}/20260101/eu-west-1/s3/aws4_request, SignedHeaders=host, Signature=0`

/** Sends a head and then pieces, as long as anybody listens; gives what was answered, and how much was sent. */
async function raw(
  head: string,
  pieces: Iterable<string | Buffer> = [],
  { ends = false }: { ends?: boolean } = {},
): Promise<{ answer: string; sentBytes: number }> {
  const { port } = new URL(served().url)
  const socket = connect(Number(port), '127.0.0.1')
  let answer = ''
  let sentBytes = 0
  const closed = new Promise<void>((resolve) => socket.on('error', () => {}).once('close', () => resolve()))
  socket.on('data', (data) => {
    answer += data
  })
  socket.write(`${head.replaceAll('\n', '\r\n')}\r\nHost: localhost\r\n${authorization}\r\nConnection: close\r\n\r\n`)
  for (const piece of pieces) {
    if (socket.destroyed || answer !== '') break
    sentBytes += piece.length
    if (!socket.write(piece)) await Promise.race([once(socket, 'drain').catch(() => {}), closed])
  }
  if (ends) socket.destroy()
  await closed
  return { answer, sentBytes }
}

const codeOf = (answer: string) => /<Code>([^<]*)<\/Code>/.exec(answer)?.[1]
const statusOf = (answer: string) => Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1])
const files = () => objectFiles(served())
const isMissing = async (Key: string) =>
  expect(await refusalOf(s3.send(new GetObjectCommand({ Bucket, Key })))).toBe('NoSuchKey 404')

function* repeated(piece: Buffer, count: number): Generator<Buffer> {
  for (let i = 0; i < count; i++) yield piece
}

describe('paths', () => {
  test.each([
    ['/target/../../etc/passwd', 'NoSuchKey'],
    ['/target/..%2f..%2fetc%2fpasswd', 'NoSuchKey'],
    ['/target/%00', 'NoSuchKey'],
    ['/target/%ff', 'InvalidURI'],
    ['/..%2f..%2fetc/passwd', 'NoSuchBucket'],
    ['/%2e%2e/x', 'NoSuchBucket'],
    [`/target/${'x'.repeat(1025)}`, 'NoSuchKey'],
  ])('%s', async (path, code) => {
    expect(codeOf((await raw(`GET ${path} HTTP/1.1`)).answer)).toBe(code)
    expect(await files()).toEqual([])
  })
})

describe('documents', () => {
  const headers = (length: number) => `content-md5: 1B2M2Y8AsgTpgAmY7PhCfg==\nContent-Length: ${length}`

  test('of a gigabyte are refused before they come', async () => {
    const piece = Buffer.alloc(1024 ** 2, '<a>')
    for (const path of ['/target?delete', '/target/x?uploadId=u']) {
      const { answer, sentBytes } = await raw(`POST ${path} HTTP/1.1\n${headers(1024 ** 3)}`, repeated(piece, 1024))
      expect(codeOf(answer) ?? 'cut off').toMatch(/^(MaxMessageLengthExceeded|cut off)$/)
      expect(sentBytes).toBeLessThan(64 * 1024 ** 2)
    }
  })

  test.each([
    ['entities', '<!DOCTYPE a [<!ENTITY x "y">]><Delete><Object><Key>&x;</Key></Object></Delete>'],
    ['depth', '<Delete>'.repeat(100_000)],
    ['no end', '<Delete><Object><Key>a</Key>'],
    ['another root', '<Erase/>'],
    ['no keys', '<Delete></Delete>'],
    ['too many', `<Delete>${'<Object><Key>a</Key></Object>'.repeat(1001)}</Delete>`],
    ['no UTF-8', Buffer.from([0x3c, 0xff, 0x3e])],
  ])('with %s are malformed', async (_, document) => {
    const body = Buffer.from(document)
    const md5 = createHash('md5').update(body).digest('base64')
    const head = `POST /target?delete HTTP/1.1\ncontent-md5: ${md5}\nContent-Length: ${body.length}`
    expect(codeOf((await raw(head, [body])).answer)).toBe('MalformedXML')
  })
})

describe('bodies', () => {
  const put = (key: string, ...headers: string[]) => [`PUT /target/${key} HTTP/1.1`, ...headers].join('\n')
  const unsignedTrailer = 'x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER'

  test('that break off leave nothing', async () => {
    const piece = Buffer.alloc(256 * 1024, 'x')
    await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        raw(put(`cut-${i}`, `Content-Length: ${1024 ** 2}`), repeated(piece, 3), { ends: true }),
      ),
    )
    for (let i = 0; i < 100 && (await files()).length > 0; i++) await new Promise((resolve) => setTimeout(resolve, 50))
    expect(await files()).toEqual([])
    await isMissing('cut-0')
  })

  test('with another hash than they say are refused, and leave nothing', async () => {
    const head = put('hashed', 'Content-Length: 3', `x-amz-content-sha256: ${'0'.repeat(64)}`)
    expect(codeOf((await raw(head, ['abc'])).answer)).toBe('XAmzContentSHA256Mismatch')
    await isMissing('hashed')
    expect(await files()).toEqual([])
  })

  test.each([
    ['no length', 'x-amz-decoded-content-length: x', '3\r\nabc\r\n0\r\n\r\n', 'MissingContentLength'],
    ['more than was announced', 'x-amz-decoded-content-length: 2', '3\r\nabc\r\n0\r\n\r\n', 'IncompleteBody'],
    ['less than was announced', 'x-amz-decoded-content-length: 4', '3\r\nabc\r\n0\r\n\r\n', 'IncompleteBody'],
    ['a wrong size', 'x-amz-decoded-content-length: 3', '2\r\nabc\r\n0\r\n\r\n', 'IncompleteBody'],
    ['a header without end', 'x-amz-decoded-content-length: 3', 'f'.repeat(5000), 'IncompleteBody'],
    ['a size beyond all', 'x-amz-decoded-content-length: 3', `${'f'.repeat(13)}\r\nabc`, 'IncompleteBody'],
    ['trailers without end', 'x-amz-decoded-content-length: 0', `0\r\n${'a:b\r\n'.repeat(100)}`, 'IncompleteBody'],
    ['something behind', 'x-amz-decoded-content-length: 3', '3\r\nabc\r\n0\r\n\r\nmore', 'IncompleteBody'],
    [
      'a wrong checksum behind',
      'x-amz-decoded-content-length: 3\nx-amz-trailer: x-amz-checksum-crc32',
      '3\r\nabc\r\n0\r\nx-amz-checksum-crc32: AAAAAA==\r\n\r\n',
      'BadDigest',
    ],
    [
      'a checksum that does not come',
      'x-amz-decoded-content-length: 3\nx-amz-trailer: x-amz-checksum-crc32',
      '3\r\nabc\r\n0\r\n\r\n',
      'MalformedTrailerError',
    ],
  ])('in chunks with %s', async (_, header, body, code) => {
    const head = put('chunked', unsignedTrailer, header, `Content-Length: ${body.length}`)
    expect(codeOf((await raw(head, [body])).answer)).toBe(code)
    await isMissing('chunked')
    expect(await files()).toEqual([])
  })

  test('larger than S3 takes are refused before they come', async () => {
    const { answer } = await raw(put('huge', `Content-Length: ${6 * 1024 ** 3}`, 'Expect: 100-continue'))
    expect([statusOf(answer), codeOf(answer)]).toEqual([400, 'EntityTooLarge'])
  })

  test('are sent only when they are wanted, where the sender asks first', async () => {
    const refused = await raw('PUT /nobodys/x HTTP/1.1\nContent-Length: 3\nExpect: 100-continue')
    expect([statusOf(refused.answer), codeOf(refused.answer)]).toEqual([404, 'NoSuchBucket'])
    const taken = await raw(put('asked', 'Content-Length: 3\nExpect: 100-continue'), ['abc'])
    expect(taken.answer).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK/)
  })

  test('without a length are refused', async () => {
    const { answer } = await raw(put('unknown', 'Transfer-Encoding: chunked'), ['3\r\nabc\r\n0\r\n\r\n'])
    expect([statusOf(answer), codeOf(answer)]).toEqual([411, 'MissingContentLength'])
  })
})

test('an object that finds no room is refused, and leaves nothing', async () => {
  const { objects } = served().deps
  const { write } = objects
  async function* untilFull(source: AsyncIterable<Uint8Array>) {
    for await (const piece of source) {
      yield piece
      throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
    }
  }
  const before = await files()
  objects.write = (region, name, source) => write(region, name, untilFull(source))
  try {
    const put = s3.send(new PutObjectCommand({ Bucket, Key: 'no room', Body: Buffer.alloc(1_000_000) }))
    expect(await refusalOf(put)).toBe('ServiceUnavailable 503')
  } finally {
    objects.write = write
  }
  await isMissing('no room')
  expect(await files()).toEqual(before)
})

test('a reader that goes away lets go of what it read', async () => {
  await s3.send(new PutObjectCommand({ Bucket, Key: 'large', Body: Buffer.alloc(32 * 1024 ** 2) }))
  const before = (await files()).length
  await raw('GET /target/large HTTP/1.1', [], { ends: true })
  const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key: 'large' }))
  ;(Body as unknown as { destroy(): void }).destroy()
  await s3.send(new PutObjectCommand({ Bucket, Key: 'large', Body: 'small' }))
  for (let i = 0; i < 100 && (await files()).length > before; i++)
    await new Promise((resolve) => setTimeout(resolve, 50))
  expect(await files()).toHaveLength(before)
})

test('of many writers of one key at once the last has it, and one file is left', async () => {
  const before = (await files()).length
  const bodies = Array.from({ length: 24 }, (_, i) => Buffer.alloc(200_000, `${i} `))
  await Promise.all(bodies.map((Body) => s3.send(new PutObjectCommand({ Bucket, Key: 'contended', Body }))))
  const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key: 'contended' }))
  const found = Buffer.from(await Body!.transformToByteArray())
  expect(bodies.some((body) => body.equals(found))).toBe(true)
  expect(await files()).toHaveLength(before + 1)
})
