import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { systemClock, waitFor } from '../../lib/clock.ts'
import { endProcess, isAlive, type ProcessRef, startDetached } from '../../lib/programs.ts'
import { anywhere, networkDriverSuite, nicPlan, tcp, vpcPlan } from '../driver.suite.ts'
import type { TrafficRule } from '../driver.ts'
import {
  collect,
  exchange,
  knock,
  listens,
  publiclyListens,
  stands,
  together,
  until,
  wait,
} from './connections.fixture.ts'
import { hostAddresses } from './egress.ts'
import { TestGuest } from './guest.fixture.ts'
import { markedProcesses, networkInode, processesInNamespace, runHost } from './host-programs.ts'
import { createIn, namespacesHere, useVpc, vpcId } from './vpc.fixture.ts'

const host = await namespacesHere()

describe.skipIf(!host.ok)(host.name, () => {
  networkDriverSuite('namespace', async () => {
    const base = await mkdtemp(join(tmpdir(), 'kiln-net-'))
    return { create: () => createIn(base), dispose: () => rm(base, { recursive: true }) }
  })

  describe('a VPC in a namespace', () => {
    const vpc = useVpc()

    it('gives each guest its lease: address, mask, router, name', async () => {
      const nics = [nicPlan(10, []), nicPlan(7, [], { subnet: 21 })]
      await vpc.driver.apply(vpcPlan(nics))
      const enter = await vpc.enter()
      for (const nic of nics) vpc.guests.push(await TestGuest.join(nic, enter, join(vpc.base, 'guests')))
      await vpc.driver.apply(vpcPlan(nics))
      const leases = await Promise.all(vpc.guests.map((guest) => guest.run('dhcp', guest.nic.mac)))
      const common = {
        resolver: null,
        ntp: null,
        domain: 'eu-west-1.compute.internal',
        mtu: 1500,
        mask: '255.255.240.0',
      }
      expect(leases).toEqual([
        { ...common, address: '172.31.0.10', router: '172.31.0.1', hostname: 'ip-172-31-0-10' },
        { ...common, address: '172.31.21.7', router: '172.31.16.1', hostname: 'ip-172-31-21-7' },
      ])
    })

    it('gives a lease to a guest that comes later, without a new DHCP server', async () => {
      await vpc.driver.apply(vpcPlan([nicPlan(10, [])]))
      const before = (await vpc.record()).dhcp
      const late = nicPlan(11, [])
      const nics = [nicPlan(10, []), late]
      await vpc.driver.apply(vpcPlan(nics))
      const guest = await TestGuest.join(late, await vpc.enter(), join(vpc.base, 'guests'))
      vpc.guests.push(guest)
      await vpc.driver.apply(vpcPlan(nics))
      expect(await guest.run('dhcp', late.mac)).toMatchObject({ address: '172.31.0.11' })
      expect((await vpc.record()).dhcp).toEqual(before)
    })

    it('lets guests talk as their groups allow, over subnets too, and no further', async () => {
      const web: TrafficRule = {
        protocol: 'tcp',
        fromPort: 7000,
        toPort: 7001,
        peers: ['172.31.0.10/32', '172.31.0.0/28'],
      }
      const [a, b, c] = await vpc.bringUp(
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
      const [a, b, c] = await vpc.bringUp(nicPlan(10, [anywhere]), nicPlan(20, [anywhere]), nicPlan(30, [anywhere]))
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
      const [a] = await vpc.bringUp(nicPlan(10, [anywhere]), nicPlan(20, [anywhere]))
      await a!.ip(['address add 172.31.0.77/20 dev eth0'])
      // Each sends datagrams, and asks by ARP from its source where the other guest and the router are.
      for (const to of ['172.31.0.20', '172.31.0.1']) await a!.run('udp', '172.31.0.77', to, '7000')
      const neighbours = await runHost([...(await vpc.enter()), 'ip', 'neigh', 'show'])
      expect(neighbours.match(/^172\S+/gm)?.sort()).toEqual(['172.31.0.10', '172.31.0.20'])
    })

    it('lends to a guest in no name but its own', async () => {
      const [a, b] = await vpc.bringUp(nicPlan(10, [anywhere]), nicPlan(20, [anywhere]))
      await expect(a!.run('dhcp', b!.nic.mac)).rejects.toThrow()
      for (const guest of [b!, a!]) {
        expect(await guest.run('dhcp', guest.nic.mac, 'the same')).toMatchObject({ address: guest.nic.privateIp })
      }
      // What the one calls itself takes nothing from the other that called itself so before.
      expect(await b!.run('dhcp-renew', b!.nic.mac, b!.nic.privateIp, 'the same')).toBe(b!.nic.privateIp)
    })

    it('stops a connection whose rule is revoked and leaves the others alone', async () => {
      const client = nicPlan(10, [])
      const [a, b] = await vpc.bringUp(client, nicPlan(20, [tcp(7000), tcp(7001)]))
      await b!.start('echo', '7000')
      await b!.start('echo', '7001')
      await listens(a!, '172.31.0.20', '7000')
      await listens(a!, '172.31.0.20', '7001')
      const revoked = await a!.start('chat', '172.31.0.20', '7000')
      const kept = await a!.start('chat', '172.31.0.20', '7001')
      await until(() => lines(revoked()) > 2 && lines(kept()) > 2)
      await vpc.driver.apply(vpcPlan([client, nicPlan(20, [tcp(7001)])]))
      const [revokedLines, keptLines] = [lines(revoked()), lines(kept())]
      await until(() => lines(kept()) > keptLines + 8)
      expect(lines(revoked())).toBeLessThanOrEqual(revokedLines + 2)
      expect(await a!.run('tcp', '172.31.0.20', '7000')).toBe('timeout')
    })

    it('reaches a guest as soon as it answers', async () => {
      const nic = nicPlan(10, [])
      await vpc.driver.apply(vpcPlan([nic]))
      expect(await vpc.driver.answer(vpcId, nic.privateIp)).toBe('silent')
      await vpc.bringUp(nic)
      expect(await vpc.driver.answer(vpcId, nic.privateIp)).toBe('refuses')
    })

    it('leads out of the VPC, but never back to this host', async () => {
      const addresses = hostAddresses()
      const server = createServer((_, outgoing) => outgoing.end('host'))
      await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve))
      const { port } = server.address() as AddressInfo
      await vpc.driver.close()
      vpc.driver = createIn(vpc.base, 'slirp')
      const [a] = await vpc.bringUp(nicPlan(10, []))
      const routed = async () =>
        (await runHost([...(await vpc.enter()), 'ip', 'route'])).includes('default via 198.18.0.2')
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
        const publicIp = await vpc.driver.allocatePublicIp(new Set())
        const [guest] = await vpc.bringUp(nicPlan(10, [tcp(7000)], { publicIp }))
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
        const publicIp = await vpc.driver.allocatePublicIp(new Set())
        const [guest] = await vpc.bringUp(nicPlan(10, [tcp(7000)], { publicIp }))
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
        const publicIp = await vpc.driver.allocatePublicIp(new Set())
        await vpc.bringUp(nicPlan(10, [tcp(7000)], { publicIp }))
        expect(await knock(publicIp, 7000)).toBe('ECONNRESET')
      })

      it('is closed, with its connections, when its rule goes', async () => {
        const publicIp = await vpc.driver.allocatePublicIp(new Set())
        const [guest] = await vpc.bringUp(nicPlan(10, [tcp(7000), tcp(7001)], { publicIp }))
        await guest!.start('echo', '7000')
        await guest!.start('echo', '7001')
        await publiclyListens(publicIp, 7000)
        await publiclyListens(publicIp, 7001)
        const [revoked, kept] = [connect(7000, publicIp), connect(7001, publicIp)]
        const cut = new Promise((resolve) => revoked.on('error', () => {}).once('close', resolve))
        await Promise.all([revoked, kept].map((socket) => exchange(socket)))
        await vpc.driver.apply(vpcPlan([nicPlan(10, [tcp(7001), tcp(7000, '10.0.0.0/8')], { publicIp })]))
        await cut
        expect(await knock(publicIp, 7000)).toBe('ECONNREFUSED')
        await exchange(kept)
        kept.destroy()
      })

      it('is said to be taken when another program has the port, and everything else works', async () => {
        const publicIp = await vpc.driver.allocatePublicIp(new Set())
        const other = createTcpServer()
        await new Promise<void>((resolve) => other.listen(7000, publicIp, resolve))
        const [guest] = await vpc.bringUp(nicPlan(10, [tcp(7000), tcp(7001)], { publicIp }))
        await guest!.start('echo', '7001')
        await publiclyListens(publicIp, 7001)
        await new Promise((resolve) => other.close(resolve))
        await vpc.driver.apply(vpcPlan([guest!.nic]))
        expect(await knock(publicIp, 7000)).toBe('ECONNRESET')
      })
    })

    describe('after something was killed', () => {
      const nic = nicPlan(10, [tcp(7000)])

      async function worksFor(guest: TestGuest): Promise<void> {
        expect(await vpc.driver.answer(vpcId, nic.privateIp)).toBe('refuses')
        expect(await guest.run('http', 'GET', 'http://169.254.169.254/')).toEqual({ status: 503, body: '' })
        expect(await guest.run('dhcp', nic.mac)).toMatchObject({ address: nic.privateIp })
      }

      it.each(['agent', 'dhcp'] as const)('the %s is started anew, alone', async (name) => {
        const [guest] = await vpc.bringUp(nic)
        const before = await vpc.record()
        await endProcess(before[name]!, 0)
        await vpc.driver.apply(vpcPlan([nic]))
        await worksFor(guest!)
        const after = await vpc.record()
        expect(after).toEqual({ ...before, [name]: after[name] })
        expect(after[name]).not.toEqual(before[name])
      })

      it('a new driver adopts what runs', async () => {
        const [guest] = await vpc.bringUp(nic)
        const before = await vpc.record()
        await vpc.driver.close()
        vpc.driver = createIn(vpc.base)
        expect(await vpc.driver.list()).toEqual([vpcId])
        expect(await vpc.driver.attachment(vpcId, nic.id)).toMatchObject({ kind: 'tap' })
        await vpc.driver.apply(vpcPlan([nic]))
        expect(await vpc.record()).toEqual(before)
        await worksFor(guest!)
      })

      it('a dead holder is replaced from inside, as long as anything lives there', async () => {
        const [guest] = await vpc.bringUp(nic)
        const before = await vpc.record()
        await endProcess(before.holder!, 0)
        await vpc.driver.apply(vpcPlan([nic]))
        const after = await vpc.record()
        expect(after).toEqual({ ...before, holder: after.holder })
        await worksFor(guest!)
      })

      it('a machine alone keeps its network', async () => {
        await vpc.driver.apply(vpcPlan([nic]))
        const enter = await vpc.enter()
        // It stands for QEMU: a program that entered the namespace and is none of the driver's.
        const machine = await startDetached(enter[0]!, [...enter.slice(1), 'sleep', '60'], {
          logPath: join(vpc.base, 'guests', 'machine.log'),
        })
        const before = await vpc.record()
        await waitFor(systemClock, () => networkInode(machine.pid) === before.networkInode || undefined, wait)
        for (const ref of [before.agent, before.dhcp, before.holder]) await endProcess(ref!, 0)
        await vpc.driver.close()
        vpc.driver = createIn(vpc.base)
        await vpc.driver.apply(vpcPlan([nic]))
        expect((await vpc.record()).networkInode).toBe(before.networkInode)
        expect(isAlive(machine)).toBe(true)
        await endProcess(machine, 0)
      })

      it('what a killed daemon started and could not record is found, or ended', async () => {
        const [guest] = await vpc.bringUp(nic)
        const before = await vpc.record()
        await vpc.driver.close()
        await rm(join(vpc.base, 'networks', vpcId, 'vpc.json'))
        vpc.driver = createIn(vpc.base)
        await vpc.driver.apply(vpcPlan([nic]))
        const after = await vpc.record()
        expect(after.networkInode).toBe(before.networkInode)
        const living = [after.holder, after.agent, after.dhcp] as ProcessRef[]
        expect(
          markedProcesses(join(vpc.base, 'networks', vpcId))
            .map(pid)
            .sort(),
        ).toEqual(living.map(pid).sort())
        await worksFor(guest!)
      })

      it('when all of it is gone, all of it is made anew', async () => {
        await vpc.driver.apply(vpcPlan([nic]))
        const before = await vpc.record()
        for (const ref of [before.agent, before.dhcp, before.holder]) await endProcess(ref!, 0)
        expect(processesInNamespace(before.networkInode!)).toEqual([])
        await vpc.driver.apply(vpcPlan([nic]))
        await vpc.bringUp(nic)
        await worksFor(vpc.guests[0]!)
      })
    })

    it('leaves nothing behind', async () => {
      const links = () => runHost(['ip', '-j', 'link', 'show'])
      const before = await links()
      await vpc.bringUp(nicPlan(10, [anywhere]), nicPlan(20, [anywhere]))
      const { networkInode: inode } = await vpc.record()
      expect(await links()).toBe(before)
      await Promise.all(vpc.guests.map((guest) => guest.end()))
      await vpc.driver.apply(vpcPlan([]))
      expect(await links()).toBe(before)
      expect(processesInNamespace(inode!)).toEqual([])
    })
  })
})

const pid = (ref: ProcessRef) => ref.pid
const lines = (text: string) => text.split('\n').length
