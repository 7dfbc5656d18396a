/** Borders of subnets, and what guests are told by DHCP: as packets find them. */
import { describe, expect, it } from 'vitest'
import { anywhere, nicPlan, tcp, vpcDhcp, vpcPlan } from '../driver.suite.ts'
import type { BorderRule, SubnetBorder, TrafficRule } from '../driver.ts'
import { knock, listens, publiclyListens, together } from './connections.fixture.ts'
import { namespacesHere, useVpc } from './vpc.fixture.ts'

const host = await namespacesHere()

const allow = (rule: TrafficRule): BorderRule => ({ ...rule, verdict: 'allow' })
const deny = (rule: TrafficRule): BorderRule => ({ ...rule, verdict: 'deny' })
const range = (fromPort: number, toPort: number, peer: string): TrafficRule => ({
  ...{ protocol: 6, fromPort, toPort },
  peers: [peer],
})

describe.skipIf(!host.ok)(host.name, () => {
  const vpc = useVpc()
  const [near, far] = ['172.31.0.0/20', '172.31.16.0/20']
  const a = nicPlan(10, [anywhere])
  const b = nicPlan(20, [anywhere])
  const c = nicPlan(30, [anywhere], { subnet: 16 })
  const closed: SubnetBorder = { cidr: far, ingress: [deny(anywhere)], egress: [deny(anywhere)] }
  const withBorders = (...borders: SubnetBorder[]) => vpc.driver.apply(vpcPlan([a, b, c], undefined, { borders }))

  it('closes what groups open, from one packet to the next, and only between subnets', async () => {
    const [one, two, three] = await vpc.bringUp(a, b, c)
    for (const guest of [two!, three!]) await guest.start('echo', '7000')
    await three!.start('echo', '7001')
    for (const guest of [two!, three!]) await listens(one!, guest.nic.privateIp, '7000')
    const reached = () =>
      together({
        'within the subnet': one!.run('tcp', b.privateIp, '7000'),
        'into the other': one!.run('tcp', c.privateIp, '7000'),
        'its other port': one!.run('tcp', c.privateIp, '7001'),
        'out of the other': three!.run('tcp', b.privateIp, '7000'),
        'a datagram': one!.run('udp', a.privateIp, c.privateIp, '7000'),
      })
    const all = {
      ...{ 'within the subnet': 'hello', 'into the other': 'hello', 'its other port': 'hello' },
      ...{ 'out of the other': 'hello', 'a datagram': 'hello' },
    }
    expect(await reached()).toEqual(all)
    const nothing = Object.fromEntries(Object.keys(all).map((name) => [name, 'timeout']))
    await withBorders(closed)
    expect(await reached()).toEqual({ ...nothing, 'within the subnet': 'hello' })

    // The first rule that matches decides, and answers are judged like everything else.
    const ingress = [deny(range(7001, 7001, near)), allow(range(7000, 7001, near)), deny(anywhere)]
    await withBorders({ cidr: far, ingress, egress: [deny(anywhere)] })
    expect(await reached()).toEqual({ ...nothing, 'within the subnet': 'hello' })
    const answers = [allow(range(1024, 65_535, near)), deny(anywhere)]
    await withBorders({ cidr: far, ingress, egress: answers })
    expect(await reached()).toEqual({ ...nothing, 'within the subnet': 'hello', 'into the other': 'hello' })

    // A border on the way out counts as one on the way in does.
    await withBorders({
      cidr: near,
      ingress: [allow(anywhere)],
      egress: [deny(range(7000, 7000, far)), allow(anywhere)],
    })
    expect(await reached()).toEqual({ ...all, 'into the other': 'timeout' })
    await withBorders()
    expect(await reached()).toEqual(all)
  })

  it('stops a connection that is open, and lets it go on when it is opened again', async () => {
    const [one, , three] = await vpc.bringUp(a, b, c)
    await three!.start('echo', '7000')
    await listens(one!, c.privateIp, '7000')
    const said = await one!.start('chat', c.privateIp, '7000')
    await expect.poll(() => said().length, { timeout: 10_000 }).toBeGreaterThan(0)
    await withBorders(closed)
    // What was under way has come by then.
    expect(await one!.run('tcp', c.privateIp, '7000')).toBe('timeout')
    const before = said()
    expect(await one!.run('tcp', c.privateIp, '7000')).toBe('timeout')
    expect(said()).toBe(before)
    await withBorders()
    await expect.poll(() => said().length, { timeout: 20_000 }).toBeGreaterThan(before.length)
  })

  it('leaves metadata and leases alone', async () => {
    const [, , three] = await vpc.bringUp(a, b, c)
    await withBorders(closed)
    expect(await three!.run('http', 'GET', 'http://169.254.169.254/')).toEqual({ status: 503, body: '' })
    expect(await three!.run('dhcp', c.mac)).toMatchObject({ address: c.privateIp })
  })

  it('stands before public addresses too', async () => {
    const publicIp = await vpc.driver.allocatePublicIp(new Set())
    const open = nicPlan(10, [tcp(7000)], { publicIp })
    const [guest] = await vpc.bringUp(open)
    await guest!.start('echo', '7000')
    await publiclyListens(publicIp, 7000)
    const apply = (...borders: SubnetBorder[]) => vpc.driver.apply(vpcPlan([open], undefined, { borders }))
    await apply({
      cidr: near,
      ingress: [deny(range(7000, 7000, '0.0.0.0/0')), allow(anywhere)],
      egress: [allow(anywhere)],
    })
    expect(await knock(publicIp, 7000)).toBe('ECONNREFUSED')
    await apply()
    expect(await knock(publicIp, 7000)).toBe('open')
  })

  it('tells guests at their next lease what the VPC has for them', async () => {
    const [one] = await vpc.bringUp(a)
    const lease = () => one!.run('dhcp', a.mac)
    expect(await lease()).toMatchObject({ domain: 'eu-west-1.compute.internal', resolver: null, ntp: null })
    const dhcp = {
      ...vpcDhcp,
      domainName: 'lab.example',
      nameServers: ['10.2.5.1', '10.2.5.2'],
      ntpServers: ['10.2.5.3'],
    }
    await vpc.driver.apply(vpcPlan([a], undefined, { dhcp }))
    expect(await lease()).toMatchObject({
      ...{ address: a.privateIp, domain: 'lab.example', resolver: '10.2.5.1.10.2.5.2', ntp: '10.2.5.3' },
      hostname: 'ip-172-31-0-10',
    })
    await vpc.driver.apply(vpcPlan([a], undefined, { dhcp: { ...vpcDhcp, domainName: null, nameServers: [] } }))
    expect(await lease()).toMatchObject({ address: a.privateIp, domain: null, resolver: null, ntp: null })
  })
})
