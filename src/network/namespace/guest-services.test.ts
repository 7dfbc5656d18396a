/** What a guest of a VPC finds at the metadata address: its metadata, the API, and nothing else. */
import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { createServer as createTcpServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type GuestOrigin, readOrigin } from '../../lib/guest-origin.ts'
import { nicPlan, vpcPlan } from '../driver.suite.ts'
import { together } from './connections.fixture.ts'
import type { TestGuest } from './guest.fixture.ts'
import { namespacesHere, useVpc, vpcId } from './vpc.fixture.ts'

const host = await namespacesHere()

describe.skipIf(!host.ok)(host.name, () => {
  const vpc = useVpc()

  it('keeps everything of its own from guests but metadata, API and DHCP', async () => {
    const [a] = await vpc.bringUp(nicPlan(10, []))
    const tried = await together({
      'its router': a!.run('tcp', '172.31.0.1', '80'),
      'its DHCP server over TCP': a!.run('tcp', '172.31.0.1', '67'),
      'another port of the metadata address': a!.run('tcp', '169.254.169.254', '22'),
      'the resolver, without a way out': a!.run('tcp', '172.31.0.2', '53'),
    })
    expect(new Set(Object.values(tried))).toEqual(new Set(['timeout']))
    for (const url of ['http://169.254.169.254/', 'http://169.254.169.254:4566/']) {
      expect(await a!.run('http', 'GET', url)).toEqual({ status: 503, body: '' })
    }
  })

  it('takes guests to the API, and says which each is', async () => {
    const api = createServer(async (incoming, outgoing) => {
      const hash = createHash('sha256')
      for await (const chunk of incoming) hash.update(chunk)
      outgoing.end(JSON.stringify([origins.get(incoming.socket), hash.digest('hex')]))
    })
    const origins = new Map<object, GuestOrigin>()
    const door = createTcpServer({ allowHalfOpen: true }, async (socket) => {
      origins.set(socket, await readOrigin(socket, 1000))
      api.emit('connection', socket)
    })
    await new Promise<void>((resolve) => door.listen(join(vpc.base, 'api'), resolve))
    const [a, b] = await vpc.bringUp(nicPlan(10, [], { egress: [] }), nicPlan(20, []))
    const url = 'http://169.254.169.254:4566/bucket/key'
    const uploads = [a!, b!].map((guest) => guest.run<{ sent: string; body: string }>('upload', url, '20'))
    for (const [index, { sent, body }] of (await Promise.all(uploads)).entries()) {
      expect(JSON.parse(body)).toEqual([{ vpcId, sourceIp: ['172.31.0.10', '172.31.0.20'][index] }, sent])
    }
    // Under another's address, a guest reaches nobody.
    await a!.ip(['address add 172.31.0.20/32 dev eth0', 'route replace 169.254.169.254 via 172.31.0.1 src 172.31.0.20'])
    expect(await a!.run('http', 'GET', url)).toEqual({ error: 'ETIMEDOUT' })
    expect(await b!.run('http', 'GET', url)).toMatchObject({ status: 200 })
    for (const socket of origins.keys()) (socket as Socket).destroy()
    await new Promise((resolve) => door.close(resolve))
    expect(await b!.run('http', 'GET', url)).toEqual({ status: 503, body: '' })
  })

  it('tells the metadata service who asks, whatever the guest says', async () => {
    const imds: Server = createServer((incoming: IncomingMessage, outgoing) => {
      outgoing
        .writeHead(200, { 'x-answer': 'yes' })
        .end(JSON.stringify([incoming.method, incoming.url, incoming.headers]))
    })
    await new Promise<void>((resolve) => imds.listen(join(vpc.base, 'imds'), resolve))
    const [a, b] = await vpc.bringUp(nicPlan(10, []), nicPlan(20, []))
    const lies = {
      'x-kiln-vpc': 'vpc-1',
      'X-Kiln-Source-IP': '172.31.0.20',
      'x-kiln-more': '1',
      'X-Forwarded-For': '9.9.9.9',
    }
    const asked = await Promise.all(
      [a!, b!].map((guest) =>
        guest.run<{ status: number; body: string }>(
          'http',
          'PUT',
          'http://169.254.169.254/latest/api/token?x=1',
          JSON.stringify(lies),
        ),
      ),
    )
    for (const [index, { status, body }] of asked.entries()) {
      const [method, url, headers] = JSON.parse(body)
      expect([status, method, url]).toEqual([200, 'PUT', '/latest/api/token?x=1'])
      expect(headers).toMatchObject({ 'x-kiln-vpc': vpcId, 'x-forwarded-for': '9.9.9.9' })
      expect(headers['x-kiln-source-ip']).toBe(['172.31.0.10', '172.31.0.20'][index])
      expect(headers).not.toHaveProperty('x-kiln-more')
    }
    imds.closeAllConnections()
    await new Promise((resolve) => imds.close(resolve))
    expect(await a!.run('http', 'GET', 'http://169.254.169.254/')).toEqual({ status: 503, body: '' })
  })

  it('lets a metadata token travel no further than its hop limit', async () => {
    const imds = createServer((_, outgoing) => outgoing.end('token')).listen(join(vpc.base, 'imds'))
    const [a] = await vpc.bringUp(nicPlan(10, [], { metadataHopLimit: 1 }))
    const container = await a!.container()
    const ask = (from: TestGuest, method: string) => from.run('http', method, 'http://169.254.169.254/latest/api/token')
    const token = { status: 200, body: 'token' }
    expect([await ask(a!, 'PUT'), await ask(container, 'GET')]).toEqual([token, token])
    expect(await ask(container, 'PUT')).toEqual({ error: 'ETIMEDOUT' })
    await vpc.driver.apply(vpcPlan([nicPlan(10, [], { metadataHopLimit: 2 })]))
    expect(await ask(container, 'PUT')).toEqual(token)
    imds.closeAllConnections()
    await new Promise((resolve) => imds.close(resolve))
  })
})
