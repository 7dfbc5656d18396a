import { request } from 'node:http'
import { describe, expect, it } from 'vitest'
import { strict, useImdsBench } from './imds.fixture.ts'

const { call, token, passMs, restart, socketPath } = useImdsBench()

describe('what is not there', () => {
  it.each([
    '/latest/meta-data/ancestor-ami-ids',
    '/latest/meta-data/autoscaling/target-lifecycle-state',
    '/latest/meta-data/block-device-mapping/swap',
    '/latest/meta-data/events/recommendations/rebalance',
    '/latest/meta-data/iam/',
    '/latest/meta-data/iam/info',
    '/latest/meta-data/iam/security-credentials/',
    '/latest/meta-data/identity-credentials/ec2/security-credentials/ec2-instance',
    '/latest/meta-data/ipv6',
    '/latest/meta-data/kernel-id',
    '/latest/meta-data/managed-ssh-keys/active-keys/ec2-user/',
    '/latest/meta-data/placement/group-name',
    '/latest/meta-data/placement/host-id',
    '/latest/meta-data/placement/partition-number',
    '/latest/meta-data/product-codes',
    '/latest/meta-data/ramdisk-id',
    '/latest/meta-data/spot/instance-action',
    '/latest/meta-data/spot/termination-time',
    '/latest/meta-data/nothing',
    '/latest/meta-data/constructor',
    '/latest/api/',
    '/1999-01-01/',
    '/2018-09-25/meta-data/',
  ])('%s is 404 with a page', async (path) => {
    const reply = await call('GET', path)
    expect(reply.status).toBe(404)
    expect(reply.headers['content-type']).toBe('text/html')
    expect(reply.text).toMatch(/^<\?xml .*<title>404 - Not Found<\/title>/s)
  })

  it('a child of a text is 404', async () => {
    expect((await call('GET', '/latest/meta-data/instance-id/x')).status).toBe(404)
    expect((await call('GET', '/latest/meta-data/instance-id/__proto__')).status).toBe(404)
  })

  it('no key, user data, tags or public address: 404', async () => {
    const session = await token(60, '172.31.0.11')
    for (const path of ['meta-data/public-keys/', 'user-data', 'meta-data/tags/instance', 'meta-data/public-ipv4']) {
      const reply = await call('GET', `/latest/${path}`, { 'x-aws-ec2-metadata-token': session }, '172.31.0.11')
      expect(reply.status, path).toBe(404)
    }
  })

  it('an address that no instance has is 404, a request from nowhere 400', async () => {
    expect((await call('GET', '/latest/', {}, '172.31.9.9')).status).toBe(404)
    expect((await call('GET', '/latest/', { 'x-kiln-vpc': '' })).status).toBe(404)
    const nowhere = await new Promise<number>((resolve) =>
      request({ socketPath: socketPath(), path: '/' }, (answer) => resolve(answer.resume().statusCode!)).end(),
    )
    expect(nowhere).toBe(400)
  })

  it('malformed and endless paths are 400', async () => {
    expect((await call('GET', '/latest/%ff%')).status).toBe(400)
    expect((await call('GET', `/${'x'.repeat(4000)}`)).status).toBe(400)
  })

  it('other methods are 405', async () => {
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
      expect((await call(method, '/latest/meta-data/')).status, method).toBe(405)
    }
    expect((await call('GET', '/latest/api/token')).status).toBe(405)
  })
})

describe('sessions', () => {
  it('a token opens what is closed without one', async () => {
    const path = '/latest/meta-data/instance-id'
    expect((await call('GET', path, {}, '172.31.0.11')).status).toBe(401)
    const session = await token(60, '172.31.0.11')
    passMs(20_000)
    const reply = await call('GET', path, { 'X-aws-ec2-metadata-token': session }, '172.31.0.11')
    expect([reply.status, reply.text]).toEqual([200, strict.instanceId])
    expect(reply.headers['x-aws-ec2-metadata-token-ttl-seconds']).toBe('40')
  })

  it('a token ends with its time, and not before', async () => {
    const session = await token(60)
    const status = async () => (await call('GET', '/latest/', { 'x-aws-ec2-metadata-token': session })).status
    passMs(59_000)
    expect(await status()).toBe(200)
    passMs(1000)
    expect(await status()).toBe(401)
  })

  it("another instance's token, a changed one and nonsense are 401, even where none is needed", async () => {
    const session = await token()
    expect((await call('GET', '/latest/', { 'x-aws-ec2-metadata-token': session }, '172.31.0.11')).status).toBe(401)
    const bytes = Buffer.from(session, 'base64')
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes)
      changed[at]! ^= 1
      const reply = await call('GET', '/latest/', { 'x-aws-ec2-metadata-token': changed.toString('base64') })
      expect(reply.status, `byte ${at}`).toBe(401)
    }
    expect((await call('GET', '/latest/', { 'x-aws-ec2-metadata-token': 'x' })).status).toBe(401)
  })

  it('survive a restart of the service', async () => {
    const session = await token()
    await restart()
    expect((await call('GET', '/latest/', { 'x-aws-ec2-metadata-token': session })).status).toBe(200)
  })

  it.each(['0', '21601', '-1', '1.5', 'x', '', '1e3'])('a lifetime of %j is 400', async (ttl) => {
    const reply = await call('PUT', '/latest/api/token', { 'x-aws-ec2-metadata-token-ttl-seconds': ttl })
    expect(reply.status).toBe(400)
  })

  it('no lifetime is 400, the longest is six hours', async () => {
    expect((await call('PUT', '/latest/api/token')).status).toBe(400)
    await token(21_600)
  })

  it('a request that a proxy passed on gets no token', async () => {
    const headers = { 'x-aws-ec2-metadata-token-ttl-seconds': '60', 'X-Forwarded-For': '10.0.0.1' }
    expect((await call('PUT', '/latest/api/token', headers)).status).toBe(403)
  })

  it('a closed endpoint answers 403 to everything', async () => {
    expect((await call('GET', '/latest/', {}, '172.31.0.12')).status).toBe(403)
    const headers = { 'x-aws-ec2-metadata-token-ttl-seconds': '60' }
    expect((await call('PUT', '/latest/api/token', headers, '172.31.0.12')).status).toBe(403)
  })
})
