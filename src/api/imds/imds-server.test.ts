import { mkdtemp, rm } from 'node:fs/promises'
import { type IncomingHttpHeaders, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { silentLog } from '../../lib/log.ts'
import { createImdsServer, type ImdsServer } from './imds-server.ts'
import type { ImdsInstance } from './instance.ts'
import { metadataVersions } from './metadata-tree.ts'

const mac = '0a:12:34:56:78:9a'
const web: ImdsInstance = {
  instanceId: 'i-0123456789abcdef0',
  imageId: 'ami-0123456789abcdef0',
  imageManifestPath: null,
  instanceType: 't3.nano',
  architecture: 'x86_64',
  accountId: '123456789012',
  region: 'eu-west-1',
  availabilityZone: 'eu-west-1a',
  availabilityZoneId: 'euw1-az1',
  reservationId: 'r-0123456789abcdef0',
  launchIndex: 0,
  launchedAtMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
  network: {
    interfaceId: 'eni-0123456789abcdef0',
    mac,
    privateIp: '172.31.0.10',
    privateHostname: 'ip-172-31-0-10.eu-west-1.compute.internal',
    publicIp: '127.5.6.7',
    publicHostname: null,
    subnetId: 'subnet-0123456789abcdef0',
    subnetCidr: '172.31.0.0/20',
    vpcId: 'vpc-1',
    vpcCidr: '172.31.0.0/16',
    securityGroups: [
      { id: 'sg-1', name: 'default' },
      { id: 'sg-2', name: 'web' },
    ],
  },
  key: { name: 'my key', openSshPublicKey: 'ssh-ed25519 AAAA my key\n' },
  userData: Buffer.from('#!/bin/sh\necho \xff\n', 'latin1'),
  blockDevices: [
    { deviceName: '/dev/xvda', kind: 'root' },
    { deviceName: '/dev/sdf', kind: 'ebs' },
    { deviceName: '/dev/sdg', kind: 'ebs' },
    { deviceName: '/dev/sdb', kind: 'ephemeral' },
  ],
  options: { httpEndpoint: 'enabled', httpTokens: 'optional', instanceMetadataTags: 'enabled' },
  tags: { Name: 'web 1' },
}
const strict: ImdsInstance = {
  ...web,
  instanceId: 'i-0fffffffffffffff0',
  key: null,
  userData: null,
  tags: {},
  network: { ...web.network, privateIp: '172.31.0.11', publicIp: null },
  options: { httpEndpoint: 'enabled', httpTokens: 'required', instanceMetadataTags: 'disabled' },
}
const closed: ImdsInstance = { ...web, options: { ...web.options, httpEndpoint: 'disabled' } }

interface Reply {
  status: number
  headers: IncomingHttpHeaders
  body: Buffer
  text: string
}

const secret = Buffer.alloc(32, 7)
const instances = new Map([
  ['vpc-1/172.31.0.10', web],
  ['vpc-1/172.31.0.11', strict],
  ['vpc-1/172.31.0.12', closed],
  ['vpc-2/172.31.0.10', { ...web, instanceId: 'i-02222222222222220' }],
])

let folder: string
let server: ImdsServer
let nowMs: number

function start(): ImdsServer {
  return createImdsServer({
    source: { instanceAt: async (vpcId, ip) => instances.get(`${vpcId}/${ip}`) ?? null },
    secret,
    clock: { now: () => nowMs, sleep: () => Promise.reject(new Error('unused')) },
    log: silentLog,
  })
}

beforeEach(async () => {
  nowMs = 1_800_000_000_000
  folder = await mkdtemp(join(tmpdir(), 'kiln-imds-'))
  server = start()
  await server.listen(join(folder, 'imds'))
})

afterEach(async () => {
  await server.close()
  await rm(folder, { recursive: true })
})

function call(method: string, path: string, headers: Record<string, string> = {}, ip = '172.31.0.10', vpcId = 'vpc-1') {
  return new Promise<Reply>((resolve, reject) => {
    const outgoing = request(
      {
        socketPath: join(folder, 'imds'),
        method,
        path,
        headers: { 'x-kiln-vpc': vpcId, 'x-kiln-source-ip': ip, ...headers },
      },
      async (answer) => {
        const chunks: Buffer[] = []
        for await (const chunk of answer) chunks.push(chunk)
        const body = Buffer.concat(chunks)
        resolve({ status: answer.statusCode!, headers: answer.headers, body, text: body.toString() })
      },
    )
    outgoing.on('error', reject).end()
  })
}

async function token(ttlSeconds = 60, ip = '172.31.0.10'): Promise<string> {
  const reply = await call(
    'PUT',
    '/latest/api/token',
    { 'X-aws-ec2-metadata-token-ttl-seconds': String(ttlSeconds) },
    ip,
  )
  expect(reply.status).toBe(200)
  expect(reply.headers['x-aws-ec2-metadata-token-ttl-seconds']).toBe(String(ttlSeconds))
  return reply.text
}

describe('what an instance reads of itself', () => {
  it.each([
    ['/', metadataVersions.join('\n')],
    ['/latest/', 'dynamic\nmeta-data\nuser-data'],
    ['/latest/meta-data/ami-id', web.imageId],
    ['/latest/meta-data/ami-launch-index', '0'],
    ['/latest/meta-data/ami-manifest-path', '(unknown)'],
    ['/latest/meta-data/block-device-mapping/', 'ami\nebs1\nebs2\nephemeral0\nroot'],
    ['/latest/meta-data/block-device-mapping/ami', '/dev/xvda'],
    ['/latest/meta-data/block-device-mapping/root', '/dev/xvda'],
    ['/latest/meta-data/block-device-mapping/ebs2', 'sdg'],
    ['/latest/meta-data/block-device-mapping/ephemeral0', 'sdb'],
    ['/latest/meta-data/events/maintenance/history', '[]'],
    ['/latest/meta-data/hostname', web.network.privateHostname],
    ['/latest/meta-data/instance-id', web.instanceId],
    ['/latest/meta-data/instance-life-cycle', 'on-demand'],
    ['/latest/meta-data/instance-type', 't3.nano'],
    ['/latest/meta-data/local-ipv4', '172.31.0.10'],
    ['/latest/meta-data/mac', mac],
    ['/latest/meta-data/network/interfaces/macs/', `${mac}/`],
    [`/latest/meta-data/network/interfaces/macs/${mac}/subnet-ipv4-cidr-block`, '172.31.0.0/20'],
    [`/latest/meta-data/network/interfaces/macs/${mac}/vpc-ipv4-cidr-blocks`, '172.31.0.0/16'],
    [`/latest/meta-data/network/interfaces/macs/${mac}/security-group-ids`, 'sg-1\nsg-2'],
    [`/latest/meta-data/network/interfaces/macs/${mac}/ipv4-associations/127.5.6.7`, '172.31.0.10'],
    [`/latest/meta-data/network/interfaces/macs/${mac}/owner-id`, '123456789012'],
    ['/latest/meta-data/placement/', 'availability-zone\navailability-zone-id\nregion'],
    ['/latest/meta-data/placement/availability-zone', 'eu-west-1a'],
    ['/latest/meta-data/placement/region', 'eu-west-1'],
    ['/latest/meta-data/public-ipv4', '127.5.6.7'],
    ['/latest/meta-data/public-keys/', '0=my key'],
    ['/latest/meta-data/public-keys/0/', 'openssh-key'],
    ['/latest/meta-data/public-keys/0/openssh-key', 'ssh-ed25519 AAAA my key'],
    ['/latest/meta-data/security-groups', 'default\nweb'],
    ['/latest/meta-data/services/domain', 'amazonaws.com'],
    ['/latest/meta-data/services/partition', 'aws'],
    ['/latest/meta-data/tags/instance/', 'Name'],
    ['/latest/meta-data/tags/instance/Name', 'web 1'],
    ['/2009-04-04/meta-data/instance-id', web.instanceId],
    ['/1.0/meta-data/instance-id', web.instanceId],
    ['/2021-03-23/meta-data/instance-id', web.instanceId],
  ])('%s', async (path, text) => {
    const reply = await call('GET', path)
    expect([reply.status, reply.text]).toEqual([200, text])
    expect(reply.headers.server).toBe('EC2ws')
    expect(reply.headers['content-type']).toBe('text/plain')
  })

  it('every name that a listing shows can be read', async () => {
    const visited: string[] = []
    const walk = async (path: string): Promise<void> => {
      const listing = await call('GET', path)
      expect(listing.status, path).toBe(200)
      for (const line of listing.text.split('\n')) {
        const child = path + (path.endsWith('public-keys/') ? `${line.split('=')[0]}/` : line)
        visited.push(child)
        if (child.endsWith('/')) await walk(child)
        else expect((await call('GET', encodeURI(child))).status, child).toBe(200)
      }
    }
    await walk('/latest/meta-data/')
    await walk('/latest/dynamic/')
    expect(visited.length).toBeGreaterThan(60)
  })

  it('user data comes back byte for byte', async () => {
    const reply = await call('GET', '/latest/user-data')
    expect(reply.body).toEqual(web.userData)
    expect(reply.headers['content-type']).toBe('application/octet-stream')
  })

  it('the identity document is JSON', async () => {
    const reply = await call('GET', '/latest/dynamic/instance-identity/document')
    expect(JSON.parse(reply.text)).toMatchObject({
      accountId: '123456789012',
      imageId: web.imageId,
      instanceId: web.instanceId,
      pendingTime: '2026-01-02T03:04:05Z',
      privateIp: '172.31.0.10',
      region: 'eu-west-1',
    })
  })

  it('two VPCs may use one address', async () => {
    const reply = await call('GET', '/latest/meta-data/instance-id', {}, '172.31.0.10', 'vpc-2')
    expect(reply.text).toBe('i-02222222222222220')
  })

  it('HEAD tells the length and sends nothing', async () => {
    const reply = await call('HEAD', '/latest/meta-data/instance-id')
    expect([reply.status, reply.text, reply.headers['content-length']]).toEqual([200, '', '19'])
  })
})

describe('what is not there', () => {
  it.each([
    '/latest/meta-data/spot/instance-action',
    '/latest/meta-data/iam/',
    '/latest/meta-data/nothing',
    '/1999-01-01/',
  ])('%s is 404 with a page', async (path) => {
    const reply = await call('GET', path)
    expect(reply.status).toBe(404)
    expect(reply.text).toMatch(/^<\?xml .*404 - Not Found/s)
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
      request({ socketPath: join(folder, 'imds'), path: '/' }, (answer) => resolve(answer.resume().statusCode!)).end(),
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
    nowMs += 20_000
    const reply = await call('GET', path, { 'X-aws-ec2-metadata-token': session }, '172.31.0.11')
    expect([reply.status, reply.text]).toEqual([200, strict.instanceId])
    expect(reply.headers['x-aws-ec2-metadata-token-ttl-seconds']).toBe('40')
  })

  it('a token ends with its time, and not before', async () => {
    const session = await token(60)
    const status = async () => (await call('GET', '/latest/', { 'x-aws-ec2-metadata-token': session })).status
    nowMs += 59_000
    expect(await status()).toBe(200)
    nowMs += 1000
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
    await server.close()
    server = start()
    await server.listen(join(folder, 'imds'))
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
