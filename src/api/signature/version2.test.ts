import { describe, expect, test } from 'vitest'
import { readAuthorization, type SignedRequest } from './authorization.ts'
import { stringToSign, verifyVersion2 } from './version2.ts'

// Key and requests of the S3 user guide, "Signing and authenticating REST requests (AWS signature version 2)".
const key = { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secret: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' }
const policy = { unknownKeyCode: 'InvalidAccessKeyId', objectStorage: true } as const
const at = Date.UTC(2007, 2, 27, 19, 36, 42)

const get: SignedRequest = {
  method: 'GET',
  target: '/photos/puppy.jpg',
  headers: [
    ['Host', 'awsexamplebucket1.us-west-1.s3.amazonaws.com'],
    ['Date', 'Tue, 27 Mar 2007 19:36:42 +0000'],
    ['Authorization', `AWS ${key.accessKeyId}:qgk2+6Sv9/oM7G3qLEjTH1a1l1g=`],
  ],
  body: undefined,
}
const list: SignedRequest = {
  method: 'GET',
  target: '/?prefix=photos&max-keys=50&marker=puppy',
  headers: [
    ['User-Agent', 'Mozilla/5.0'],
    ['Host', 'awsexamplebucket1.s3.us-west-1.amazonaws.com'],
    ['Date', 'Tue, 27 Mar 2007 19:42:41 +0000'],
    ['Authorization', `AWS ${key.accessKeyId}:m0WP8eCtspQl5Ahe6L1SozdX9YA=`],
  ],
  body: undefined,
}
const acl: SignedRequest = {
  ...list,
  target: '/?acl',
  headers: [
    ['Date', 'Tue, 27 Mar 2007 19:44:46 +0000'],
    ['Authorization', `AWS ${key.accessKeyId}:82ZHiFIjc+WbcwFKGUVEQspPn+0=`],
  ],
}

async function verdict(request: SignedRequest, hostBucket: string | undefined, nowMs = at): Promise<string> {
  const lookup = async (id: string) =>
    id === key.accessKeyId ? { secret: key.secret, accountId: '123456789012' } : undefined
  try {
    const authorization = readAuthorization(request)!
    return (await verifyVersion2(request, authorization, hostBucket, policy, lookup, nowMs)).accountId
  } catch (error) {
    return (error as { code: string }).code
  }
}

describe('a signature of version 2', () => {
  test.each([
    ['GET of an object', get],
    ['list', list],
    ['subresource', acl],
  ])('of the S3 guide is right: %s', async (_, request) => {
    expect(await verdict(request, 'awsexamplebucket1')).toBe('123456789012')
  })

  test('is refused when anything that it covers is another', async () => {
    expect(await verdict(get, 'another-bucket')).toBe('SignatureDoesNotMatch')
    expect(await verdict({ ...get, method: 'PUT' }, 'awsexamplebucket1')).toBe('SignatureDoesNotMatch')
    expect(await verdict({ ...get, target: '/photos/kitten.jpg' }, 'awsexamplebucket1')).toBe('SignatureDoesNotMatch')
    expect(await verdict({ ...get, target: '/photos/puppy.jpg?acl' }, 'awsexamplebucket1')).toBe(
      'SignatureDoesNotMatch',
    )
    const more = [...get.headers, ['x-amz-meta-a', 'b'] as const]
    expect(await verdict({ ...get, headers: more }, 'awsexamplebucket1')).toBe('SignatureDoesNotMatch')
    expect(await verdict(get, 'awsexamplebucket1', at + 16 * 60_000)).toBe('RequestExpired')
    const unknown = get.headers.map(([name, value]) => [name, value.replace(key.accessKeyId, 'AKIAOTHER')] as const)
    expect(await verdict({ ...get, headers: unknown }, 'awsexamplebucket1')).toBe('InvalidAccessKeyId')
    const unsigned = get.headers.map(([name, value]) => [name, value.replace(/:qgk.*/, '')] as const)
    expect(await verdict({ ...get, headers: unsigned }, 'awsexamplebucket1')).toBe('IncompleteSignature')
  })

  test('may stand in the query, until it expires', async () => {
    const signature = encodeURIComponent('NpgCjnDzrM+WFzoENXmpNDUsSn8=')
    const target = `/photos/puppy.jpg?AWSAccessKeyId=${key.accessKeyId}&Signature=${signature}&Expires=1175139620`
    const request = { method: 'GET', target, headers: [['Host', 'x']] as const, body: undefined }
    // The guide's example, whose bucket had this name when it was signed.
    expect(await verdict(request, 'johnsmith')).toBe('123456789012')
    expect(await verdict(request, 'johnsmith', 1175139621_000)).toBe('RequestExpired')
    expect(await verdict({ ...request, target: target.replace('1175139620', '9') }, 'b', 0)).toBe(
      'SignatureDoesNotMatch',
    )
  })

  test('covers headers in order, lists joined, and the parameters that mean something', () => {
    const headers = [
      ['X-Amz-Meta-ReviewedBy', 'joe@johnsmith.net'],
      ['X-Amz-Meta-ReviewedBy', 'jane@johnsmith.net'],
      ['x-amz-acl', 'public-read'],
      ['content-type', 'application/x-download'],
    ] as const
    const target = '/b/k?uploadId=u&partNumber=1&x-id=PutObject&response-content-type=a%2Fb'
    expect(stringToSign({ method: 'PUT', target, headers, body: undefined }, 'D', undefined)).toBe(
      'PUT\n\napplication/x-download\nD\nx-amz-acl:public-read\nx-amz-meta-reviewedby:joe@johnsmith.net,jane@johnsmith.net\n/b/k?partNumber=1&response-content-type=a/b&uploadId=u',
    )
  })
})
