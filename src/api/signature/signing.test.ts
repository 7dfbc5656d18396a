import { createHash, createHmac } from 'node:crypto'
import { SignatureV4 } from '@smithy/signature-v4'
import { describe, expect, test } from 'vitest'
import { readAuthorization } from './authorization.ts'
import { signatureHeaders } from './signing.ts'
import { verifySignature } from './verification.ts'

const key = { accessKeyId: 'AKIAEXAMPLEEXAMPLE', secret: 'secret/key+', region: 'eu-west-1', service: 'ec2' }
const nowMs = Date.UTC(2026, 0, 31, 17, 5, 9, 250)
const body = Buffer.from('Action=DescribeImages&Owner.1=self')
const sent = { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8', host: '127.0.0.1:4566' }
const request = { method: 'POST', target: '/', headers: Object.entries(sent), body }

/** What the official signer hashes with, on Node's own hashes. */
class Sha256 {
  readonly #hash

  constructor(secret?: string | Uint8Array) {
    this.#hash = secret === undefined ? createHash('sha256') : createHmac('sha256', secret)
  }

  update(data: string | Uint8Array): void {
    this.#hash.update(data)
  }

  async digest(): Promise<Uint8Array> {
    return this.#hash.digest()
  }
}

describe('requests of our own command', () => {
  test('are signed as the official signer signs them', async () => {
    const official = new SignatureV4({
      ...{ region: key.region, service: key.service, sha256: Sha256 as never, applyChecksum: false },
      credentials: { accessKeyId: key.accessKeyId, secretAccessKey: key.secret },
    })
    const signed = await official.sign(
      {
        method: 'POST',
        protocol: 'http:',
        hostname: '127.0.0.1',
        port: 4566,
        path: '/',
        headers: sent,
        body,
        query: {},
      },
      { signingDate: new Date(nowMs) },
    )
    expect(signatureHeaders(request, key, nowMs)).toEqual({
      'x-amz-date': signed.headers['x-amz-date'],
      authorization: signed.headers.authorization,
    })
  })

  test('pass the check that everybody passes', async () => {
    const headers = [...request.headers, ...Object.entries(signatureHeaders(request, key, nowMs))]
    const policy = { unknownKeyCode: 'AuthFailure', objectStorage: false } as const
    const lookup = async () => ({ secret: key.secret, accountId: '123456789012' })
    const complete = { ...request, headers }
    const verified = await verifySignature(complete, readAuthorization(complete)!, policy, lookup, nowMs)
    expect(verified.accountId).toBe('123456789012')
  })
})
