/**
 * Borders of subnets, as nftables chains. They come before everything else that is forwarded, and know no connections:
 * answers are judged as what they answer is. Packets to and from a guest carry its address here, whatever it is outside.
 */
import type { BorderRule, SubnetBorder } from '../driver.ts'
import { chain, ruleLines } from './rule-lines.ts'

/** The chain that others jump to; a packet that comes back from it passes. */
export const bordersChain = 'borders'

export function borderChains(borders: readonly SubnetBorder[]): string[] {
  const named = borders.map((border, index) => ({ ...border, leave: `leave-${index}`, enter: `enter-${index}` }))
  return [
    ...named.flatMap(({ leave, enter, ingress, egress }) => [
      ...chain(leave, '', verdicts(egress, 'ip daddr')),
      ...chain(enter, '', verdicts(ingress, 'ip saddr')),
    ]),
    ...chain(bordersChain, '', [
      ...named.map(({ cidr, leave }) => `ip saddr ${cidr} ip daddr != ${cidr} jump ${leave}`),
      ...named.map(({ cidr, enter }) => `ip daddr ${cidr} ip saddr != ${cidr} jump ${enter}`),
    ]),
  ]
}

function verdicts(rules: readonly BorderRule[], address: string): string[] {
  return [...rules.flatMap((rule) => ruleLines(rule, address, rule.verdict === 'allow' ? 'return' : 'drop')), 'drop']
}
