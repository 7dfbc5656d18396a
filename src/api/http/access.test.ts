import { DescribeRegionsCommand } from '@aws-sdk/client-ec2'
import { GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts'
import { describe, expect, test } from 'vitest'
import { account, authorization, codeOf, credentials, failure, running, send, start } from '../testing/http-edge.ts'
import { sdkClient } from '../testing/running-server.ts'

describe('who may ask', () => {
  test('nobody without a signature, but for the health', async () => {
    await start()
    const reply = await send({ path: '/?Action=DescribeRegions' })
    expect(reply).toMatchObject({ status: 403 })
    expect(codeOf(reply)).toBe('MissingAuthenticationToken')
    expect(await send({ path: '/_kiln/health' })).toMatchObject({ status: 200, body: '{"status":"ready"}' })
    expect(await send({ path: '/_kiln/nothing' })).toMatchObject({ status: 404 })
  })

  test.each(['evil.example', '127.0.0.1.evil.example', 'localhost.evil.example', '10.0.0.1', '127.evil'])(
    'no other host than loopback in open mode: %j',
    async (host) => {
      await start()
      const reply = await send({ path: '/_kiln/health', headers: { host } })
      expect([reply.status, codeOf(reply)]).toEqual([403, 'InvalidHostHeader'])
    },
  )

  test.each(['localhost', 'LOCALHOST:4566', '127.0.0.1:4566', '127.3.2.1', '[::1]:4566', 'bucket.s3.localhost:4566'])(
    'loopback in open mode: %s',
    async (host) => {
      await start()
      expect(await send({ path: '/_kiln/health', headers: { host } })).toMatchObject({ status: 200 })
    },
  )

  test('no web page of another origin, not even with a presigned URL', async () => {
    await start({ handlers: { DescribeRegions: async () => ({ Regions: [] }) } })
    const path = `/?Action=DescribeRegions&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${account}%2F20260101%2Feu-west-1%2Fec2%2Faws4_request`
    expect(await send({ path })).toMatchObject({ status: 200 })
    expect(await send({ path, headers: { 'sec-fetch-site': 'none' } })).toMatchObject({ status: 200 })
    const own = { origin: `http://127.0.0.1:${running!.port}`, 'sec-fetch-site': 'same-origin' }
    expect(await send({ path, headers: own })).toMatchObject({ status: 200 })
    const foreign = [
      ['sec-fetch-site', 'cross-site'],
      ['sec-fetch-site', 'same-site'],
      ['origin', 'http://evil.example'],
      ['origin', 'null'],
      ['origin', 'http://127.0.0.1:1'],
    ] as const
    for (const [name, value] of foreign) {
      const reply = await send({ path, headers: { [name]: value } })
      expect([reply.status, codeOf(reply)]).toEqual([403, 'UnauthorizedOperation'])
    }
    const preflight = await send({ method: 'OPTIONS', headers: { 'access-control-request-method': 'POST' } })
    expect(preflight.status).toBe(403)
    expect(Object.keys(preflight.headers).filter((name) => name.startsWith('access-control'))).toEqual([])
  })

  test('an access key of 12 digits is the account, any other means account 000000000000', async () => {
    await start()
    const identity = async (accessKeyId: string) => {
      const sts = new STSClient({
        endpoint: running!.url,
        region: 'us-east-1',
        credentials: { accessKeyId, secretAccessKey: 'x' },
      })
      const { Account, Arn } = await sts.send(new GetCallerIdentityCommand({}))
      sts.destroy()
      return { Account, Arn }
    }
    expect(await identity(account)).toEqual({ Account: account, Arn: `arn:aws:iam::${account}:root` })
    expect(await identity('AKIATEST')).toEqual({ Account: '000000000000', Arn: 'arn:aws:iam::000000000000:root' })
  })

  test('a region that does not exist, and a service that is not served, are named', async () => {
    await start()
    const ask = (service: string, region: string) =>
      send({ path: '/?Action=DescribeRegions', headers: { authorization: authorization(service, region) } })
    const moon = await ask('ec2', 'us-moon-1')
    expect(codeOf(moon)).toBe('AuthFailure')
    expect(moon.body).toContain('us-moon-1')
    const lambda = await ask('lambda', 'eu-west-1')
    expect(codeOf(lambda)).toBe('UnsupportedOperation')
    expect(lambda.body).toContain('lambda')
    expect(codeOf(await ask('ec2', 'constructor'))).toBe('AuthFailure')
  })

  test('in verify mode, only who has the secret', async () => {
    const key = { accessKeyId: 'AKIAKILN', secretAccessKey: 'right' }
    const auth = {
      mode: 'verify',
      lookupKey: async (id: string) =>
        id === key.accessKeyId ? { secret: 'right', accountId: '999999999999' } : undefined,
    } as const
    await start({
      auth,
      handlers: { DescribeRegions: async (_, ctx) => ({ Regions: [{ RegionName: ctx.accountId }] }) },
    })
    const ask = async (credentials: typeof key) => {
      const caller = sdkClient(running!.url, credentials)
      const result = await failure(caller.send(new DescribeRegionsCommand({})).then((output) => Promise.reject(output)))
      caller.destroy()
      return result
    }
    expect(await ask(key)).toMatchObject({ Regions: [{ RegionName: '999999999999' }] })
    expect(await ask({ ...key, secretAccessKey: 'wrong' })).toMatchObject({
      name: 'SignatureDoesNotMatch',
      $metadata: { httpStatusCode: 403 },
    })
    expect(await ask({ ...key, accessKeyId: account })).toMatchObject({
      name: 'AuthFailure',
      $metadata: { httpStatusCode: 401 },
    })
    const sts = new STSClient({ endpoint: running!.url, region: 'us-east-1', credentials, maxAttempts: 1 })
    expect(await failure(sts.send(new GetCallerIdentityCommand({})))).toMatchObject({ name: 'InvalidClientTokenId' })
    sts.destroy()
  })
})
