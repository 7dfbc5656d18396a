/** Packets that leave a VPC are counted where they do: those of a guest whose routes lead out, and of no other. */
import { describe, expect, it } from 'vitest'
import { systemClock, waitFor } from '../../lib/clock.ts'
import { anywhere, nicPlan, vpcPlan } from '../driver.suite.ts'
import { wait } from './connections.fixture.ts'
import { runHost } from './host-programs.ts'
import { createIn, namespacesHere, useVpc } from './vpc.fixture.ts'

const host = await namespacesHere()

describe.skipIf(!host.ok)(host.name, () => {
  const vpc = useVpc()

  it('lets a guest without a public address out where its routes lead, and nowhere else', async () => {
    await vpc.driver.close()
    vpc.driver = createIn(vpc.base, 'slirp')
    const nic = (outside: readonly string[]) => nicPlan(10, [anywhere], { outside })
    const [guest] = await vpc.bringUp(nic([]))
    const out = await vpc.enter()
    const routed = async () => (await runHost([...out, 'ip', 'route'])).includes('default via') || undefined
    expect(await waitFor(systemClock, routed, wait)).toBe(true)
    const left = async () => {
      const [link] = JSON.parse(await runHost([...out, 'ip', '-s', '-j', 'link', 'show', 'dev', 'egress0']))
      return link.stats64.tx.packets as number
    }
    const leavesFor = async (address: string) => {
      const before = await left()
      await guest!.run('udp', guest!.nic.privateIp, address, '9')
      return (await left()) - before
    }
    expect(await leavesFor('198.51.100.9')).toBe(0)
    await vpc.driver.apply(vpcPlan([nic(['198.51.100.0/24'])]))
    // With it the question where the next router is.
    expect(await leavesFor('198.51.100.9')).toBeGreaterThan(0)
    expect(await leavesFor('203.0.114.9')).toBe(0)
    await vpc.driver.apply(vpcPlan([nic([])]))
    expect(await leavesFor('198.51.100.9')).toBe(0)
  })
})
