import { createHash, randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemClock, waitFor } from '../../lib/clock.ts'
import { silentLog } from '../../lib/log.ts'
import { endProcess, isAlive, type ProcessRef, startDetached } from '../../lib/programs.ts'
import { systemRandom } from '../../lib/random.ts'
import { anywhere, networkDriverSuite, nicPlan, tcp, vpcPlan } from '../driver.suite.ts'
import type { NetworkDriver, NicPlan, TrafficRule } from '../driver.ts'
import { collect, exchange, knock, listens, publiclyListens, stands, until, wait } from './connections.fixture.ts'
import { hostAddresses } from './egress.ts'
import { TestGuest } from './guest.fixture.ts'
import { markedProcesses, networkInode, processesInNamespace, runHost } from './host-programs.ts'
import { tapName } from './links.ts'
import { createNamespaceDriver } from './namespace-driver.ts'
import { VpcFolder } from './vpc-folder.ts'

const vpcId = vpcPlan([]).id

function createIn(base: string, egress: 'slirp' | 'none' = 'none'): NetworkDriver {
  return createNamespaceDriver({
    networksDir: join(base, 'networks'),
    runDir: join(base, 'run'),
    metadataSocketPath: join(base, 'imds'),
    log: silentLog,
    clock: systemClock,
    random: systemRandom,
    egress,
  })
}

const host = await createIn(tmpdir()).probe()
const here = host.ok ? 'this host' : `not on this host (${host.detail})`

describe.skipIf(!host.ok)(here, () => {
  networkDriverSuite('namespace', async () => {
    const base = await mkdtemp(join(tmpdir(), 'kiln-net-'))
    return { create: () => createIn(base), dispose: () => rm(base, { recursive: true }) }
  })

  describe('a VPC in a namespace', () => {
    let base: string
    let driver: NetworkDriver
    let guests: TestGuest[]

    beforeEach(async () => {
      base = await mkdtemp(join(tmpdir(), 'kiln-net-'))
      await mkdir(join(base, 'guests'))
      driver = createIn(base)
      guests = []
    })

    afterEach(async () => {
      await Promise.all(guests.map((guest) => guest.end()))
      await driver.apply(vpcPlan([]))
      await driver.close()
      const folder = join(base, 'networks', vpcId)
      expect(markedProcesses(folder)).toEqual([])
      expect(existsSync(folder)).toBe(false)
      expect(await readdir(join(base, 'run')).catch(() => [])).toEqual([])
      await rm(base, { recursive: true })
    })

    /** Applies the plan and joins a guest to each interface, with the addresses that it should have. */
    async function bringUp(...nics: NicPlan[]): Promise<TestGuest[]> {
      await driver.apply(vpcPlan(nics))
      for (const nic of nics) {
        const attachment = await driver.attachment(vpcId, nic.id)
        if (attachment.kind !== 'tap') throw new Error('not a tap')
        expect(attachment.ifname).toBe(tapName(nic.id))
        guests.push(await TestGuest.join(nic, attachment.enter, join(base, 'guests')))
      }
      await driver.apply(vpcPlan(nics))
      await Promise.all(guests.map((guest) => guest.configure()))
      return guests
    }

    async function record() {
      return (await new VpcFolder(join(base, 'networks'), join(base, 'run'), vpcId).read())!
    }

    it('gives each guest its lease: address, mask, router, name', async () => {
      const nics = [nicPlan(10, []), nicPlan(7, [], { subnet: 21 })]
      await driver.apply(vpcPlan(nics))
      const enter = await enterVpc()
      for (const nic of nics) guests.push(await TestGuest.join(nic, enter, join(base, 'guests')))
      await driver.apply(vpcPlan(nics))
      const leases = await Promise.all(guests.map((guest) => guest.run('dhcp', guest.nic.mac)))
      const common = { resolver: null, domain: 'eu-west-1.compute.internal', mtu: 1500, mask: '255.255.240.0' }
      expect(leases).toEqual([
        { ...common, address: '172.31.0.10', router: '172.31.0.1', hostname: 'ip-172-31-0-10' },
        { ...common, address: '172.31.21.7', router: '172.31.16.1', hostname: 'ip-172-31-21-7' },
      ])
    })

    it('gives a lease to a guest that comes later, without a new DHCP server', async () => {
      await driver.apply(vpcPlan([nicPlan(10, [])]))
      const before = (await record()).dhcp
      const late = nicPlan(11, [])
      const nics = [nicPlan(10, []), late]
      await driver.apply(vpcPlan(nics))
      const guest = await TestGuest.join(late, await enterVpc(), join(base, 'guests'))
      guests.push(guest)
      await driver.apply(vpcPlan(nics))
      expect(await guest.run('dhcp', late.mac)).toMatchObject({ address: '172.31.0.11' })
      expect((await record()).dhcp).toEqual(before)
    })

    it('lets guests talk as their groups allow, over subnets too, and no further', async () => {
      const web: TrafficRule = {
        protocol: 'tcp',
        fromPort: 7000,
        toPort: 7001,
        peers: ['172.31.0.10/32', '172.31.0.0/28'],
      }
      const [a, b, c] = await bringUp(
        nicPlan(10, []),
        nicPlan(20, [web, { protocol: 'udp', fromPort: 7000, toPort: 7000, peers: ['172.31.0.0/16'] }], { subnet: 16 }),
        nicPlan(30, [anywhere], { egress: [tcp(7002)] }),
      )
      for (const port of ['7000', '7002']) await b!.start('echo', port)
      await c!.start('echo', '7002')
      await listens(a!, '172.31.16.20', '7000')
      const tried = await together({
        'allowed port': a!.run('tcp', '172.31.16.20', '7000'),
        'closed port': a!.run('tcp', '172.31.16.20', '7002'),
        'allowed port without a server': a!.run('tcp', '172.31.16.20', '7001'),
        'peer that is not named': c!.run('tcp', '172.31.16.20', '7000'),
        'egress that is allowed, ingress that is not': c!.run('tcp', '172.31.16.20', '7002'),
        'open to all': b!.run('tcp', '172.31.0.30', '7002'),
        'no ingress at all': b!.run('tcp', '172.31.0.10', '7000'),
        'datagram and its answer': a!.run('udp', '172.31.0.10', '172.31.16.20', '7000'),
        'datagram to a closed port': a!.run('udp', '172.31.0.10', '172.31.16.20', '7002'),
        'address that nobody has': a!.run('tcp', '172.31.0.99', '7000'),
      })
      expect(tried).toEqual({
        'allowed port': 'hello',
        'closed port': 'timeout',
        'allowed port without a server': 'ECONNREFUSED',
        'peer that is not named': 'timeout',
        'egress that is allowed, ingress that is not': 'timeout',
        'open to all': 'hello',
        'no ingress at all': 'timeout',
        'datagram and its answer': 'hello',
        'datagram to a closed port': 'timeout',
        'address that nobody has': expect.stringMatching(/timeout|EHOSTUNREACH/),
      })
    })

    it('drops what a guest sends under an address or a card that is not its own', async () => {
      const [a, b, c] = await bringUp(nicPlan(10, [anywhere]), nicPlan(20, [anywhere]), nicPlan(30, [anywhere]))
      await b!.start('echo', '7000')
      await c!.start('echo', '7000')
      await listens(a!, b!.nic.privateIp, '7000')
      await a!.ip(['address add 172.31.0.77/20 dev eth0'])
      expect(await a!.run('udp', '172.31.0.10', '172.31.0.20', '7000')).toBe('hello')
      expect(await a!.run('udp', '172.31.0.77', '172.31.0.20', '7000')).toBe('timeout')
      await a!.ip(['link set eth0 address 0a:00:00:00:00:99'])
      expect(await a!.run('udp', '172.31.0.10', '172.31.0.20', '7000')).toBe('timeout')
      // Who takes another's address gets nothing that is sent there: the router asks nobody where an address is.
      await a!.ip(['link set eth0 address 0a:00:00:00:00:0a', 'address add 172.31.0.20/32 dev eth0'])
      expect(await a!.run('udp', '172.31.0.20', '172.31.0.30', '7000')).toBe('timeout')
      expect(await c!.run('tcp', '172.31.0.20', '7000')).toBe('hello')
    })

    it("hears no ARP request in the name of an address that is not the guest's own", async () => {
      const [a] = await bringUp(nicPlan(10, [anywhere]), nicPlan(20, [anywhere]))
      await a!.ip(['address add 172.31.0.77/20 dev eth0'])
      // Each sends datagrams, and asks by ARP from its source where the other guest and the router are.
      for (const to of ['172.31.0.20', '172.31.0.1']) await a!.run('udp', '172.31.0.77', to, '7000')
      const neighbours = await runHost([...(await enterVpc()), 'ip', 'neigh', 'show'])
      expect(neighbours.match(/^172\S+/gm)?.sort()).toEqual(['172.31.0.10', '172.31.0.20'])
    })

    it('lends to a guest in no name but its own', async () => {
      const [a, b] = await bringUp(nicPlan(10, [anywhere]), nicPlan(20, [anywhere]))
      await expect(a!.run('dhcp', b!.nic.mac)).rejects.toThrow()
      for (const guest of [b!, a!]) {
        expect(await guest.run('dhcp', guest.nic.mac, 'the same')).toMatchObject({ address: guest.nic.privateIp })
      }
      // What the one calls itself takes nothing from the other that called itself so before.
      expect(await b!.run('dhcp-renew', b!.nic.mac, b!.nic.privateIp, 'the same')).toBe(b!.nic.privateIp)
    })

    it('keeps everything of its own from guests but metadata and DHCP', async () => {
      const [a] = await bringUp(nicPlan(10, []))
      const tried = await together({
        'its router': a!.run('tcp', '172.31.0.1', '80'),
        'its DHCP server over TCP': a!.run('tcp', '172.31.0.1', '67'),
        'another port of the metadata address': a!.run('tcp', '169.254.169.254', '22'),
        'the resolver, without a way out': a!.run('tcp', '172.31.0.2', '53'),
      })
      expect(new Set(Object.values(tried))).toEqual(new Set(['timeout']))
      expect(await a!.run('http', 'GET', 'http://169.254.169.254/')).toEqual({ status: 503, body: '' })
    })

    it('tells the metadata service who asks, whatever the guest says', async () => {
      const imds: Server = createServer((incoming: IncomingMessage, outgoing) => {
        outgoing
          .writeHead(200, { 'x-answer': 'yes' })
          .end(JSON.stringify([incoming.method, incoming.url, incoming.headers]))
      })
      await new Promise<void>((resolve) => imds.listen(join(base, 'imds'), resolve))
      const [a, b] = await bringUp(nicPlan(10, []), nicPlan(20, []))
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
      const imds = createServer((_, outgoing) => outgoing.end('token')).listen(join(base, 'imds'))
      const [a] = await bringUp(nicPlan(10, [], { metadataHopLimit: 1 }))
      const container = await a!.container()
      const ask = (from: TestGuest, method: string) =>
        from.run('http', method, 'http://169.254.169.254/latest/api/token')
      const token = { status: 200, body: 'token' }
      expect([await ask(a!, 'PUT'), await ask(container, 'GET')]).toEqual([token, token])
      expect(await ask(container, 'PUT')).toEqual({ error: 'ETIMEDOUT' })
      await driver.apply(vpcPlan([nicPlan(10, [], { metadataHopLimit: 2 })]))
      expect(await ask(container, 'PUT')).toEqual(token)
      imds.closeAllConnections()
      await new Promise((resolve) => imds.close(resolve))
    })

    it('stops a connection whose rule is revoked and leaves the others alone', async () => {
      const client = nicPlan(10, [])
      const [a, b] = await bringUp(client, nicPlan(20, [tcp(7000), tcp(7001)]))
      await b!.start('echo', '7000')
      await b!.start('echo', '7001')
      await listens(a!, '172.31.0.20', '7000')
      await listens(a!, '172.31.0.20', '7001')
      const revoked = await a!.start('chat', '172.31.0.20', '7000')
      const kept = await a!.start('chat', '172.31.0.20', '7001')
      await until(() => lines(revoked()) > 2 && lines(kept()) > 2)
      await driver.apply(vpcPlan([client, nicPlan(20, [tcp(7001)])]))
      const [revokedLines, keptLines] = [lines(revoked()), lines(kept())]
      await until(() => lines(kept()) > keptLines + 8)
      expect(lines(revoked())).toBeLessThanOrEqual(revokedLines + 2)
      expect(await a!.run('tcp', '172.31.0.20', '7000')).toBe('timeout')
    })

    it('reaches a guest as soon as it answers', async () => {
      const nic = nicPlan(10, [])
      await driver.apply(vpcPlan([nic]))
      expect(await driver.answer(vpcId, nic.privateIp)).toBe('silent')
      await bringUp(nic)
      expect(await driver.answer(vpcId, nic.privateIp)).toBe('refuses')
    })

    it('leads out of the VPC, but never back to this host', async () => {
      const addresses = hostAddresses()
      const server = createServer((_, outgoing) => outgoing.end('host'))
      await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve))
      const { port } = server.address() as AddressInfo
      await driver.close()
      driver = createIn(base, 'slirp')
      const [a] = await bringUp(nicPlan(10, []))
      const routed = async () =>
        (await runHost([...(await enterVpc()), 'ip', 'route'])).includes('default via 198.18.0.2')
      expect(await waitFor(systemClock, async () => (await routed()) || undefined, wait)).toBe(true)
      expect(await a!.run('dhcp', a!.nic.mac)).toMatchObject({ resolver: '172.31.0.2' })
      const gateways = ['198.18.0.2', '198.18.0.100', '169.254.1.1']
      const tried = await together(
        Object.fromEntries(
          [...addresses, ...gateways].map((address) => [address, a!.run('tcp', address, String(port))]),
        ),
      )
      // A guest's own 127.0.0.1 is itself.
      expect(new Set(Object.values(tried))).toEqual(new Set(['timeout', 'ECONNREFUSED']))
      expect(Object.keys(tried).filter((address) => tried[address] === 'ECONNREFUSED')).toEqual(['127.0.0.1'])
      server.close()
    })

    describe('a public address', () => {
      it('carries 100 MB into a guest and the answer out, by half-close', async () => {
        const publicIp = await driver.allocatePublicIp(new Set())
        const [guest] = await bringUp(nicPlan(10, [tcp(7000)], { publicIp }))
        await guest!.start('digest', '7000')
        await publiclyListens(publicIp, 7000)
        const content = randomBytes(100 * 1024 * 1024)
        const socket = connect({ host: publicIp, port: 7000, allowHalfOpen: true })
        const answer = collect(socket)
        socket.end(content)
        const digest = createHash('sha256').update(content).digest('hex')
        expect((await answer).toString()).toBe(`${digest} ${content.length}`)
      })

      it('holds back a fast sender while the receiver does not read', async () => {
        const publicIp = await driver.allocatePublicIp(new Set())
        const [guest] = await bringUp(nicPlan(10, [tcp(7000)], { publicIp }))
        await guest!.start('echo', '7000')
        await publiclyListens(publicIp, 7000)
        const socket = connect({ host: publicIp, port: 7000, allowHalfOpen: true })
        socket.pause()
        const content = randomBytes(64 * 1024 * 1024)
        socket.end(content)
        // All buffers on the way together hold far less than what is sent.
        await stands(() => socket.bytesWritten - socket.writableLength)
        expect(socket.bytesWritten - socket.writableLength).toBeLessThan(content.length)
        expect(process.memoryUsage().arrayBuffers).toBeLessThan(256 * 1024 * 1024)
        const echoed = await collect(socket)
        expect(echoed.equals(content)).toBe(true)
      })

      it('resets the client when the guest refuses', async () => {
        const publicIp = await driver.allocatePublicIp(new Set())
        await bringUp(nicPlan(10, [tcp(7000)], { publicIp }))
        expect(await knock(publicIp, 7000)).toBe('ECONNRESET')
      })

      it('is closed, with its connections, when its rule goes', async () => {
        const publicIp = await driver.allocatePublicIp(new Set())
        const [guest] = await bringUp(nicPlan(10, [tcp(7000), tcp(7001)], { publicIp }))
        await guest!.start('echo', '7000')
        await guest!.start('echo', '7001')
        await publiclyListens(publicIp, 7000)
        await publiclyListens(publicIp, 7001)
        const [revoked, kept] = [connect(7000, publicIp), connect(7001, publicIp)]
        const cut = new Promise((resolve) => revoked.on('error', () => {}).once('close', resolve))
        await Promise.all([revoked, kept].map((socket) => exchange(socket)))
        await driver.apply(vpcPlan([nicPlan(10, [tcp(7001), tcp(7000, '10.0.0.0/8')], { publicIp })]))
        await cut
        expect(await knock(publicIp, 7000)).toBe('ECONNREFUSED')
        await exchange(kept)
        kept.destroy()
      })

      it('is said to be taken when another program has the port, and everything else works', async () => {
        const publicIp = await driver.allocatePublicIp(new Set())
        const other = createTcpServer()
        await new Promise<void>((resolve) => other.listen(7000, publicIp, resolve))
        const [guest] = await bringUp(nicPlan(10, [tcp(7000), tcp(7001)], { publicIp }))
        await guest!.start('echo', '7001')
        await publiclyListens(publicIp, 7001)
        await new Promise((resolve) => other.close(resolve))
        await driver.apply(vpcPlan([guest!.nic]))
        expect(await knock(publicIp, 7000)).toBe('ECONNRESET')
      })
    })

    describe('after something was killed', () => {
      const nic = nicPlan(10, [tcp(7000)])

      async function worksFor(guest: TestGuest): Promise<void> {
        expect(await driver.answer(vpcId, nic.privateIp)).toBe('refuses')
        expect(await guest.run('http', 'GET', 'http://169.254.169.254/')).toEqual({ status: 503, body: '' })
        expect(await guest.run('dhcp', nic.mac)).toMatchObject({ address: nic.privateIp })
      }

      it.each(['agent', 'dhcp'] as const)('the %s is started anew, alone', async (name) => {
        const [guest] = await bringUp(nic)
        const before = await record()
        await endProcess(before[name]!, 0)
        await driver.apply(vpcPlan([nic]))
        await worksFor(guest!)
        const after = await record()
        expect(after).toEqual({ ...before, [name]: after[name] })
        expect(after[name]).not.toEqual(before[name])
      })

      it('a new driver adopts what runs', async () => {
        const [guest] = await bringUp(nic)
        const before = await record()
        await driver.close()
        driver = createIn(base)
        expect(await driver.list()).toEqual([vpcId])
        expect(await driver.attachment(vpcId, nic.id)).toMatchObject({ kind: 'tap' })
        await driver.apply(vpcPlan([nic]))
        expect(await record()).toEqual(before)
        await worksFor(guest!)
      })

      it('a dead holder is replaced from inside, as long as anything lives there', async () => {
        const [guest] = await bringUp(nic)
        const before = await record()
        await endProcess(before.holder!, 0)
        await driver.apply(vpcPlan([nic]))
        const after = await record()
        expect(after).toEqual({ ...before, holder: after.holder })
        await worksFor(guest!)
      })

      it('a machine alone keeps its network', async () => {
        await driver.apply(vpcPlan([nic]))
        const enter = await enterVpc()
        // It stands for QEMU: a program that entered the namespace and is none of the driver's.
        const machine = await startDetached(enter[0]!, [...enter.slice(1), 'sleep', '60'], {
          logPath: join(base, 'guests', 'machine.log'),
        })
        const before = await record()
        await waitFor(systemClock, () => networkInode(machine.pid) === before.networkInode || undefined, wait)
        for (const ref of [before.agent, before.dhcp, before.holder]) await endProcess(ref!, 0)
        await driver.close()
        driver = createIn(base)
        await driver.apply(vpcPlan([nic]))
        expect((await record()).networkInode).toBe(before.networkInode)
        expect(isAlive(machine)).toBe(true)
        await endProcess(machine, 0)
      })

      it('what a killed daemon started and could not record is found, or ended', async () => {
        const [guest] = await bringUp(nic)
        const before = await record()
        await driver.close()
        await rm(join(base, 'networks', vpcId, 'vpc.json'))
        driver = createIn(base)
        await driver.apply(vpcPlan([nic]))
        const after = await record()
        expect(after.networkInode).toBe(before.networkInode)
        const living = [after.holder, after.agent, after.dhcp] as ProcessRef[]
        expect(
          markedProcesses(join(base, 'networks', vpcId))
            .map(pid)
            .sort(),
        ).toEqual(living.map(pid).sort())
        await worksFor(guest!)
      })

      it('when all of it is gone, all of it is made anew', async () => {
        await driver.apply(vpcPlan([nic]))
        const before = await record()
        for (const ref of [before.agent, before.dhcp, before.holder]) await endProcess(ref!, 0)
        expect(processesInNamespace(before.networkInode!)).toEqual([])
        await driver.apply(vpcPlan([nic]))
        await bringUp(nic)
        await worksFor(guests[0]!)
      })
    })

    it('leaves nothing behind', async () => {
      const links = () => runHost(['ip', '-j', 'link', 'show'])
      const before = await links()
      await bringUp(nicPlan(10, [anywhere]), nicPlan(20, [anywhere]))
      const { networkInode: inode } = await record()
      expect(await links()).toBe(before)
      await Promise.all(guests.map((guest) => guest.end()))
      await driver.apply(vpcPlan([]))
      expect(await links()).toBe(before)
      expect(processesInNamespace(inode!)).toEqual([])
    })

    async function enterVpc(): Promise<readonly string[]> {
      const nicId = (await record()).nicIds[0]!
      const attachment = await driver.attachment(vpcId, nicId)
      if (attachment.kind !== 'tap') throw new Error('not a tap')
      return attachment.enter
    }
  })
})

const pid = (ref: ProcessRef) => ref.pid
const lines = (text: string) => text.split('\n').length

/** Awaits all values of an object at once. */
async function together(tried: Record<string, Promise<unknown>>): Promise<Record<string, unknown>> {
  return Object.fromEntries(
    await Promise.all(Object.entries(tried).map(async ([name, result]) => [name, await result])),
  )
}
