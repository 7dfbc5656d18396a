import { describe, expect, test } from 'vitest'
import { isKilnError } from '../../lib/errors.ts'
import { readAuthorization, type SignedRequest } from './authorization.ts'
import { readChunks } from './chunks.ts'
import { verifySignature } from './verification.ts'

// The worked example of the S3 API reference, "Signature calculations: transferring payload in multiple chunks".
const request: SignedRequest = {
  method: 'PUT',
  target: '/examplebucket/chunkObject.txt',
  headers: [
    ['Host', 's3.amazonaws.com'],
    ['x-amz-date', '20130524T000000Z'],
    ['x-amz-storage-class', 'REDUCED_REDUNDANCY'],
    [
      'Authorization',
      'AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class,Signature=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9',
    ],
    ['x-amz-content-sha256', 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'],
    ['Content-Encoding', 'aws-chunked'],
    ['x-amz-decoded-content-length', '66560'],
    ['Content-Length', '66824'],
  ],
  body: undefined,
}
const signatures = [
  'ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648',
  '0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497',
  'b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9',
]
const sizes = [65536, 1024, 0]

function body(change: (text: string) => string = (text) => text): Buffer {
  const text = sizes.map(
    (size, i) => `${size.toString(16)};chunk-signature=${signatures[i]}\r\n${'a'.repeat(size)}\r\n`,
  )
  return Buffer.from(change(text.join('')))
}

async function* inPieces(bytes: Buffer, pieceBytes: number) {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes)
}

async function seed() {
  const lookup = async () => ({ secret: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY', accountId: '123456789012' })
  const policy = { unknownKeyCode: 'AuthFailure', objectStorage: true } as const
  const at = Date.UTC(2013, 4, 24)
  return (await verifySignature(request, readAuthorization(request)!, policy, lookup, at)).seed
}

async function read(bytes: Buffer, decodedBytes = 66560, pieceBytes = 1000) {
  const chunks: Buffer[] = []
  try {
    for await (const chunk of readChunks(inPieces(bytes, pieceBytes), {
      seed: await seed(),
      decodedBytes,
    }))
      chunks.push(chunk)
    return Buffer.concat(chunks).toString()
  } catch (error) {
    return isKilnError(error) ? { code: error.code, before: Buffer.concat(chunks).length } : error
  }
}

describe('a body signed chunk by chunk', () => {
  test.each([1, 7, 1000, 100_000])('of the S3 reference reads as it was, in pieces of %i bytes', async (pieceBytes) => {
    expect(await read(body(), 66560, pieceBytes)).toBe('a'.repeat(66560))
  })

  test('gives nothing of a chunk that was changed', async () => {
    const changed = body((text) => text.replace(/a\r\n400/, 'b\r\n400'))
    expect(await read(changed)).toEqual({ code: 'SignatureDoesNotMatch', before: 0 })
    const second = body((text) => text.replace('0055', '0056'))
    expect(await read(second)).toEqual({ code: 'SignatureDoesNotMatch', before: 65536 })
    const last = body((text) => text.replace('b6c6', 'b6c7'))
    expect(await read(last)).toEqual({ code: 'SignatureDoesNotMatch', before: 66560 })
  })

  test('is refused when it is cut, longer, or announces another length', async () => {
    const incomplete = expect.objectContaining({ code: 'IncompleteBody' })
    expect(await read(body().subarray(0, 70))).toEqual(incomplete)
    expect(await read(body().subarray(0, 65700))).toEqual(incomplete)
    expect(await read(body().subarray(0, -1))).toEqual(incomplete)
    expect(await read(body((text) => text.slice(0, text.lastIndexOf('0;chunk'))))).toEqual(incomplete)
    expect(await read(Buffer.concat([body(), Buffer.from('x')]))).toEqual(incomplete)
    expect(await read(body(), 66559)).toEqual(incomplete)
    expect(await read(body(), 66561)).toEqual(incomplete)
    expect(await read(Buffer.from('fffffff;chunk-signature=00\r\n'))).toEqual(incomplete)
    expect(await read(Buffer.from('z'.repeat(500)))).toEqual(incomplete)
    expect(await read(Buffer.from(`7fffffff;chunk-signature=${signatures[0]}\r\n`))).toEqual(incomplete)
  })
})

// The worked example of "Signature calculations for trailing headers (chunked uploads)" in the S3 API reference; its request's own signature is the seed.
describe('a body signed chunk by chunk with trailing headers', () => {
  const trailerLine = 'x-amz-checksum-crc32c:sOO8/Q==\r\n'
  const parts = [
    ['b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2', 65536],
    ['1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7', 1024],
    ['2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992', 0],
  ] as const
  const signature = 'd81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435'
  const whole = (trailer = trailerLine, last = `x-amz-trailer-signature:${signature}\r\n\r\n`) =>
    Buffer.from(
      parts
        .map(
          ([sign, size]) => `${size.toString(16)};chunk-signature=${sign}\r\n${'a'.repeat(size)}${size ? '\r\n' : ''}`,
        )
        .join('') +
        trailer +
        last,
    )

  async function readTrailed(bytes: Buffer): Promise<[string, Map<string, string>]> {
    const trailers = new Map<string, string>()
    const example = await seed()
    const trailed = { ...example, signature: '106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e' }
    const found: Buffer[] = []
    try {
      const chunks = readChunks(inPieces(bytes, 1000), { seed: trailed, decodedBytes: 66560, trailers })
      for await (const chunk of chunks) found.push(chunk)
      return [`${Buffer.concat(found).length} bytes`, trailers]
    } catch (error) {
      return [(error as { code: string }).code, trailers]
    }
  }

  test('reads as it was, and what trails is known', async () => {
    expect(await readTrailed(whole())).toEqual(['66560 bytes', new Map([['x-amz-checksum-crc32c', 'sOO8/Q==']])])
  })

  test('is refused when what trails was changed, or is not signed', async () => {
    const [changed] = await readTrailed(whole(trailerLine.replace('sOO8', 'sOO9')))
    const [unsigned] = await readTrailed(whole(trailerLine, '\r\n'))
    const [more] = await readTrailed(whole(`${trailerLine}x-amz-meta-a:b\r\n`))
    expect([changed, unsigned, more]).toEqual(Array(3).fill('SignatureDoesNotMatch'))
  })
})
