/** The filters of a VPC as the kernel takes them: read back from a network namespace of the test's own. */
import { expect, test } from 'vitest'
import { anywhere, nicPlan, vpcPlan } from '../driver.suite.ts'
import type { NicPlan } from '../driver.ts'
import { egressNetwork } from './egress.ts'
import { renderFirewall } from './firewall.ts'
import { runHost } from './host-programs.ts'
import { tapName } from './links.ts'
import { namespacesHere } from './vpc.fixture.ts'

/** The rules of a chain as the kernel has taken them. */
async function rulesOf(nics: readonly NicPlan[], chain: string): Promise<string[]> {
  const plan = vpcPlan(nics)
  const input = renderFirewall({ plan, egress: egressNetwork(plan.cidr), hostAddresses: ['192.0.2.1'] })
  const output = await runHost(['unshare', '--map-root-user', '--net', 'nft', '--echo', '-f', '-'], { input })
  const rule = new RegExp(`^add rule inet kiln ${chain} (?:handle \\d+ )?(.*)$`)
  return output.split('\n').flatMap((line) => rule.exec(line)?.[1] ?? [])
}

const host = await namespacesHere()

test.skipIf(!host.ok)(
  'a subnet that has no way out has none, one with some routes has those, and all others go everywhere',
  async () => {
    const [free, closed, some, full] = [
      nicPlan(10, [anywhere]),
      nicPlan(11, [anywhere], { outside: [] }),
      nicPlan(12, [anywhere], { outside: ['198.51.100.0/24', '203.0.114.0/24'] }),
      nicPlan(13, [anywhere], { outside: ['0.0.0.0/0'] }),
    ]
    const lines = await rulesOf([free, closed, some, full], 'outside')
    const about = (nic: NicPlan) => lines.filter((line) => line.includes(`"${tapName(nic.id)}"`))
    expect(about(free)).toEqual([])
    expect(about(full)).toEqual([])
    expect(about(closed)).toEqual([`iifname "${tapName(closed.id)}" drop`])
    expect(about(some)).toEqual([`iifname "${tapName(some.id)}" ip daddr != { 198.51.100.0/24, 203.0.114.0/24 } drop`])
    // This host is nowhere that a guest may go, whatever its routes.
    expect(lines.findIndex((line) => line.includes('192.0.2.1'))).toBeLessThan(lines.indexOf(about(closed)[0]!))
    expect(lines.at(-1)).toBe('accept')
  },
)
