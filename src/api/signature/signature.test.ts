import { createHash, createHmac } from 'node:crypto'
import { SignatureV4 } from '@smithy/signature-v4'
import { describe, expect, test } from 'vitest'
import { isKilnError } from '../../lib/errors.ts'
import { readAuthorization, type SignedRequest } from './authorization.ts'
import {
  chunkedPayload,
  type KeyLookup,
  type SignaturePolicy,
  unsignedPayload,
  verifySignature,
} from './verification.ts'

/** The hash that the official signer asks for. */
class Sha256 {
  readonly #hash
  constructor(secret?: string | ArrayBuffer | Uint8Array) {
    this.#hash = secret === undefined ? createHash('sha256') : createHmac('sha256', Buffer.from(secret as Uint8Array))
  }
  update(data: string | Uint8Array) {
    this.#hash.update(data)
  }
  async digest() {
    return new Uint8Array(this.#hash.digest())
  }
  reset() {}
}

const nowMs = Date.UTC(2026, 4, 6, 7, 8, 9)
const credentials = { accessKeyId: 'AKIAKILN', secretAccessKey: 'a very secret key' }
const lookupKey: KeyLookup = async (id) =>
  id === credentials.accessKeyId ? { secret: credentials.secretAccessKey, accountId: '123456789012' } : undefined
const ec2: SignaturePolicy = { unknownKeyCode: 'AuthFailure', objectStorage: false }
const s3: SignaturePolicy = { unknownKeyCode: 'InvalidClientTokenId', objectStorage: true }

interface Plain {
  method: string
  path: string
  query: Record<string, string | string[]>
  headers: Record<string, string>
  body?: string
}

const post: Plain = {
  method: 'POST',
  path: '/',
  query: {},
  headers: { host: '127.0.0.1:4566', 'content-type': 'application/x-www-form-urlencoded', 'x-odd': '  two   blanks ' },
  body: 'Action=DescribeImages&Version=2016-11-15',
}

const get: Plain = {
  method: 'GET',
  path: '/',
  query: { Action: 'DescribeImages', 'Owner.1': 'self', b: ['2', '1'], odd: "é !*'()+&=/%" },
  headers: { host: '127.0.0.1:4566' },
}

function signer(service = 'ec2', options: { uriEscapePath?: boolean; secretAccessKey?: string } = {}) {
  return new SignatureV4({
    service,
    region: 'eu-west-1',
    credentials: { ...credentials, secretAccessKey: options.secretAccessKey ?? credentials.secretAccessKey },
    sha256: Sha256 as never,
    uriEscapePath: options.uriEscapePath ?? service !== 's3',
    applyChecksum: service === 's3',
  })
}

/** As it would come over the wire. */
function wire(request: Plain): SignedRequest {
  const encode = (text: string) =>
    encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
  const query = Object.entries(request.query)
    .flatMap(([name, values]) => [values].flat().map((value) => `${encode(name)}=${encode(value)}`))
    .join('&')
  return {
    method: request.method,
    target: request.path + (query ? `?${query}` : ''),
    headers: Object.entries(request.headers),
    body: Buffer.from(request.body ?? ''),
  }
}

const signingDate = new Date(nowMs)

async function signed(request: Plain, service = 'ec2'): Promise<Plain> {
  return (await signer(service).sign({ ...request, protocol: 'http:', hostname: '127.0.0.1' } as never, {
    signingDate,
  })) as unknown as Plain
}

async function presigned(request: Plain, expiresIn = 300, service = 'ec2'): Promise<Plain> {
  return (await signer(service).presign({ ...request, protocol: 'http:', hostname: '127.0.0.1' } as never, {
    signingDate,
    expiresIn,
  })) as unknown as Plain
}

async function verify(request: SignedRequest, policy = ec2, atMs = nowMs) {
  return verifySignature(request, readAuthorization(request)!, policy, lookupKey, atMs)
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
    return 'accepted'
  } catch (error) {
    return isKilnError(error) ? error.code : `unexpected: ${error}`
  }
}

describe('a request signed by the official signer', () => {
  test.each([
    ['POST with a header', () => signed(post)],
    ['GET with a header', () => signed(get)],
    ['GET presigned', () => presigned(get)],
    ['POST presigned', () => presigned(post)],
    ['a path that is encoded twice', () => signed({ ...get, path: '/a%20b/c' })],
  ])('%s is accepted', async (_, make) => {
    expect((await verify(wire(await make()))).accountId).toBe('123456789012')
  })

  test('an S3 path is signed as sent, and its payload may be unsigned', async () => {
    const request = await signed({ ...get, path: '/bucket/a%20b%2Bc', query: {} }, 's3')
    expect((await verify(wire(request), s3)).accountId).toBe('123456789012')
    const url = await presigned(
      { ...get, path: '/bucket/key', query: {}, headers: { host: 'h', 'x-amz-content-sha256': unsignedPayload } },
      60,
      's3',
    )
    expect((await verify({ ...wire(url), body: undefined }, s3)).payloadHash).toBe(unsignedPayload)
  })

  test('an unsigned or chunked payload is refused where the service has none', async () => {
    for (const marker of [unsignedPayload, chunkedPayload]) {
      const request = await signed({ ...post, headers: { ...post.headers, 'x-amz-content-sha256': marker } })
      expect(await codeOf(verify(wire(request)))).toBe('SignatureDoesNotMatch')
      expect(
        await codeOf(
          verify(
            wire(await signed({ ...post, headers: { ...post.headers, 'x-amz-content-sha256': marker } }, 's3')),
            s3,
          ),
        ),
      ).toBe('accepted')
    }
  })

  test('bodies may be unsigned by method, where a signed header holds their checksum; nothing else is loosened', async () => {
    const ebs: SignaturePolicy = { ...ec2, unsignedBodies: ['PUT'] }
    const headers = { ...post.headers, 'x-amz-content-sha256': unsignedPayload, 'x-amz-checksum': 'of the body' }
    const put = wire(await signed({ ...post, method: 'PUT', headers }, 'ebs'))
    expect((await verify({ ...put, body: Buffer.from('another body') }, ebs)).payloadHash).toBe(unsignedPayload)
    const swapped = put.headers.map(([name, value]) => [name, name === 'x-amz-checksum' ? 'another' : value] as const)
    expect(await codeOf(verify({ ...put, headers: swapped }, ebs))).toBe('SignatureDoesNotMatch')
    expect(await codeOf(verify(wire(await signed({ ...post, headers }, 'ebs')), ebs))).toBe('SignatureDoesNotMatch')
    const chunked = { ...headers, 'x-amz-content-sha256': chunkedPayload }
    const inChunks = wire(await signed({ ...post, method: 'PUT', headers: chunked }, 'ebs'))
    expect(await codeOf(verify(inChunks, ebs))).toBe('SignatureDoesNotMatch')
  })

  test.each<[string, (request: SignedRequest) => SignedRequest]>([
    ['the method', (r) => ({ ...r, method: 'PUT' })],
    ['the path', (r) => ({ ...r, target: r.target.replace(/^\//, '/x') })],
    ['the query', (r) => ({ ...r, target: `${r.target}${r.target.includes('?') ? '&' : '?'}DryRun=true` })],
    ['the host', (r) => ({ ...r, headers: r.headers.map(([n, v]) => [n, n === 'host' ? 'evil' : v]) })],
    ['the body', (r) => ({ ...r, body: Buffer.concat([r.body!, Buffer.from('&X=1')]) })],
    ['an added x-amz- header', (r) => ({ ...r, headers: [...r.headers, ['x-amz-extra', '1']] })],
    ['a repeated host', (r) => ({ ...r, headers: [...r.headers, ['Host', 'evil']] })],
  ])('is refused in both forms when %s is changed', async (_, tamper) => {
    expect(await codeOf(verify(tamper(wire(await signed(post)))))).toBe('SignatureDoesNotMatch')
    expect(await codeOf(verify(tamper(wire(await presigned(post)))))).toBe('SignatureDoesNotMatch')
  })

  test('is refused when the region, service, day, time or signature of the header is changed', async () => {
    const request = await signed(post)
    const change = (from: RegExp | string, to: string) => {
      const authorization = request.headers.authorization!.replace(from, to)
      expect(authorization).not.toBe(request.headers.authorization)
      return codeOf(verify(wire({ ...request, headers: { ...request.headers, authorization } })))
    }
    expect(await change('eu-west-1', 'us-east-1')).toBe('SignatureDoesNotMatch')
    expect(await change('/ec2/', '/sts/')).toBe('SignatureDoesNotMatch')
    expect(await change('20260506', '20260505')).toBe('SignatureDoesNotMatch')
    expect(await change(/Signature=[0-9a-f]{8}/, 'Signature=00000000')).toBe('SignatureDoesNotMatch')
    expect(await change(/Signature=[0-9a-f]{4}/, 'Signature=')).toBe('SignatureDoesNotMatch')
    expect(await change('content-type;', '')).toBe('SignatureDoesNotMatch')
    expect(await change('host;', '')).toBe('SignatureDoesNotMatch')
    expect(await change('AKIAKILN', 'AKIAOTHER')).toBe('AuthFailure')
    expect(await change(/, Signature=.*/, '')).toBe('IncompleteSignature')
    const later = { ...request.headers, 'x-amz-date': '20260506T070810Z' }
    expect(await codeOf(verify(wire({ ...request, headers: later })))).toBe('SignatureDoesNotMatch')
  })

  test('is refused when any parameter of a presigned URL is changed', async () => {
    const request = await presigned(get)
    for (const name of Object.keys(request.query)) {
      if (name === 'X-Amz-Algorithm') continue
      const original = [request.query[name]!].flat()[0]!
      const last = original.at(-1)!
      const value = original.slice(0, -1) + (last === '1' ? '2' : '1')
      const code = await codeOf(verify(wire({ ...request, query: { ...request.query, [name]: value } })))
      expect(code, name).not.toBe('accepted')
      expect(code, name).not.toContain('unexpected')
      const { [name]: _, ...rest } = request.query
      if (name !== 'X-Amz-Credential')
        expect(await codeOf(verify(wire({ ...request, query: rest }))), name).not.toBe('accepted')
    }
  })

  test('a wrong secret does not match', async () => {
    const request = await signer('ec2', { secretAccessKey: 'another' }).sign(
      { ...post, protocol: 'http:', hostname: 'h' } as never,
      { signingDate },
    )
    expect(await codeOf(verify(wire(request as unknown as Plain)))).toBe('SignatureDoesNotMatch')
  })

  test('is good for 15 minutes, a presigned one until it expires, and neither before its time', async () => {
    const header = wire(await signed(post))
    const minutes = 60_000
    expect(await codeOf(verify(header, ec2, nowMs + 14 * minutes))).toBe('accepted')
    expect(await codeOf(verify(header, ec2, nowMs + 16 * minutes))).toBe('RequestExpired')
    expect(await codeOf(verify(header, ec2, nowMs - 14 * minutes))).toBe('accepted')
    expect(await codeOf(verify(header, ec2, nowMs - 16 * minutes))).toBe('RequestExpired')
    const url = wire(await presigned(get, 3600))
    expect(await codeOf(verify(url, ec2, nowMs + 59 * minutes))).toBe('accepted')
    expect(await codeOf(verify(url, ec2, nowMs + 61 * minutes))).toBe('RequestExpired')
    expect(await codeOf(verify(url, ec2, nowMs - 16 * minutes))).toBe('RequestExpired')
  })
})

describe('reading the signer', () => {
  const request = (authorization: string): SignedRequest => ({
    method: 'GET',
    target: '/',
    headers: [['Authorization', authorization]],
    body: undefined,
  })

  test('a request without any signature names none', () => {
    expect(readAuthorization({ method: 'GET', target: '/?Action=X', headers: [], body: undefined })).toBeUndefined()
  })

  test('a credential is enough to know key, region and service', () => {
    const read = readAuthorization(
      request('AWS4-HMAC-SHA256 Credential=123456789012/20260101/eu-west-1/ec2/aws4_request'),
    )
    expect(read?.scope).toEqual({ accessKeyId: '123456789012', date: '20260101', region: 'eu-west-1', service: 'ec2' })
  })

  test.each([
    'Bearer x',
    'AWS4-HMAC-SHA256',
    'AWS4-HMAC-SHA256 Credential=a/b/c',
    'AWS4-HMAC-SHA256 Credential=a/20260101/r/s/aws5_request',
    '',
  ])('refuses %j', async (authorization) => {
    expect(await codeOf((async () => readAuthorization(request(authorization)))())).toBe('IncompleteSignature')
  })
})
