/** The operations of KMS that are served, through the client of boto3. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { run } from '../../src/lib/programs.ts'
import { useServedCloud } from '../support/served-cloud.ts'

const served = useServedCloud({ isLive: true })

const hasBoto3 = await run('python3', ['-c', 'import boto3']).then(
  () => true,
  () => false,
)

test.skipIf(!hasBoto3)(
  'keys are made, named, listed, rotated, disabled and enabled, each account having its own',
  async () => {
    const script = join(import.meta.dirname, 'keys.py')
    expect(await run('python3', [script, served().url])).toBe('keys: as they should be\n')
  },
)

const ask = (target: string, body: string, service = 'kms') =>
  fetch(served().url, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-amz-json-1.1',
      'x-amz-target': target,
      authorization: `AWS4-HMAC-SHA256 Credential=111122223333/20260101/us-east-1/${service}/aws4_request, SignedHeaders=host, Signature=${'0'.repeat(64)}`,
    },
    body,
  })

test.each([
  ['an operation that is none', 'TrentService', '{}', 404, 'UnknownOperationException'],
  ['an operation of an object', 'TrentService.constructor', '{}', 400, 'UnsupportedOperationException'],
  ['an operation that is not served', 'TrentService.GenerateDataKey', '{}', 400, 'UnsupportedOperationException'],
  ['no JSON', 'TrentService.ListKeys', 'x', 400, 'ValidationException'],
  ['a list for an object', 'TrentService.ListKeys', '[]', 400, 'ValidationException'],
  ['a limit of nothing', 'TrentService.ListKeys', '{"Limit":0}', 400, 'ValidationException'],
  ['a key id that is no text', 'TrentService.DescribeKey', '{"KeyId":7}', 400, 'ValidationException'],
  ['no key id', 'TrentService.DescribeKey', '{}', 400, 'ValidationException'],
])('%s is refused in the form of KMS', async (_, target, body, status, type) => {
  const answer = await ask(target, body)
  expect([answer.status, ((await answer.json()) as { __type: string }).__type]).toEqual([status, type])
})
