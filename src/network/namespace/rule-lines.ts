/** Rules and chains as nftables reads them. */
import { cidrText, ipv4Peers } from '../addresses.ts'
import type { TrafficRule } from '../driver.ts'

/** A rule as nftables statements; none when it speaks of IPv6 only. */
export function ruleLines(rule: TrafficRule, address: string, verdict: string): string[] {
  const peers = ipv4Peers(rule.peers)
  if (peers.length === 0) return []
  const match = protocolMatch(rule)
  if (match === undefined) return []
  const side = peers[0]!.prefix === 0 ? '' : `${address} { ${peers.map(cidrText).join(', ')} }`
  return [[side, match, verdict].filter(Boolean).join(' ')]
}

function protocolMatch(rule: TrafficRule): string | undefined {
  switch (rule.protocol) {
    case 'all':
      return ''
    case 'tcp':
    case 6:
      return portMatch('tcp', rule)
    case 'udp':
    case 17:
      return portMatch('udp', rule)
    case 'icmp':
    case 1: {
      if (rule.fromPort < 0) return 'meta l4proto icmp'
      return `icmp type ${rule.fromPort}${rule.toPort < 0 ? '' : ` icmp code ${rule.toPort}`}`
    }
    case 'icmpv6':
    case 58:
      return undefined
    default:
      return `meta l4proto ${rule.protocol}`
  }
}

function portMatch(protocol: 'tcp' | 'udp', rule: TrafficRule): string {
  return rule.fromPort < 0 ? `meta l4proto ${protocol}` : `${protocol} dport ${rule.fromPort}-${rule.toPort}`
}

export function chain(name: string, hook: string, rules: readonly string[]): string[] {
  return [`  chain ${name} {`, ...(hook ? [`    ${hook}`] : []), ...rules.map((rule) => `    ${rule}`), '  }']
}
