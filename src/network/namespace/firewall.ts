/**
 * The filters of a VPC as one nftables ruleset. It is replaced whole, in one transaction, at every apply.
 *
 * A packet between two guests passes, in this order: `admit` (it carries the addresses of the interface that it came
 * from), the borders of the subnets that it leaves and enters (borders.ts), the sender's `out-…` chain (egress rules), the receiver's `in-…` chain (ingress rules). Nothing else is let in.
 *
 * Rules are stateful as EC2's are: replies pass by connection tracking. Unlike EC2, packets in the opening direction of
 * an established connection are judged again each time, so that a revoked rule also stops the connections it had let in
 * (they hang until they time out, as the filtered do). Connections whose rules remain are not touched by a replacement.
 */
import { guestApi } from '../../lib/guest-origin.ts'
import { cidrText, ipv4Peers, metadataAddress, resolverOf } from '../addresses.ts'
import type { VpcPlan } from '../driver.ts'
import { borderChains, bordersChain } from './borders.ts'
import { type EgressNetwork, resolverPort } from './egress.ts'
import { tapName } from './links.ts'
import { chain, ruleLines } from './rule-lines.ts'

export interface FirewallInput {
  plan: VpcPlan
  /** The way out, or null when there is none. */
  egress: EgressNetwork | null
  /** IPv4 addresses of this host: guests must not come back to it through the way out. */
  hostAddresses: readonly string[]
}

const table = 'inet kiln'

/** Where nobody may go through the way out: this host, link-local (a cloud host's own metadata), multicast, reserved. */
const neverOutside = ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3']

/**
 * A DHCP message names whom it is for apart from the frame's sender: 28 bytes into it, after the UDP header's 8. Without
 * this match a guest could ask in another's name, and decline its address, which DHCP servers then lend to nobody.
 */
const leaseOf = (mac: string) => `@th,288,48 0x${mac.replaceAll(':', '')}`

const toMetadata = `iifname "tap*" ip daddr ${metadataAddress} tcp dport 80`
const toApi = `iifname "tap*" ip daddr ${guestApi.address} tcp dport ${guestApi.port}`

/**
 * Marks connections that ask for a metadata session token, so that the answers travel no further than the hop limit
 * allows. A token is asked for with PUT, which begins a TCP segment: after a header of 20 bytes, or 32 with timestamps.
 */
const tokenMark = 1
const tokenRequests = ['tcp doff 5 @th,160,32 0x50555420', 'tcp doff 8 @th,256,32 0x50555420']

export function renderFirewall(input: FirewallInput): string {
  const { plan, egress } = input
  const taps = plan.nics.map((nic) => ({ nic, tap: tapName(nic.id) }))
  const trusted = egress ? `{ "lo", "${egress.ifname}" }` : '"lo"'
  const forwardTargets = [
    ...taps.map(({ tap }) => `"${tap}" : goto in-${tap}`),
    ...(egress ? [`"${egress.ifname}" : goto outside`] : []),
  ]
  return [
    // The first line makes the second valid when there is no such table yet.
    `table ${table}`,
    `delete table ${table}`,
    `table ${table} {`,
    ...set(
      'members',
      'ifname . ether_addr . ipv4_addr',
      taps.map(({ nic, tap }) => `"${tap}" . ${nic.mac} . ${nic.privateIp}`),
    ),
    ...set(
      'cards',
      'ifname . ether_addr',
      taps.map(({ nic, tap }) => `"${tap}" . ${nic.mac}`),
    ),
    ...chain('admit', 'type filter hook prerouting priority raw; policy drop;', [
      `iifname ${trusted} accept`,
      'iifname . ether saddr . ip saddr @members accept',
      'iifname . ether saddr @cards ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept',
    ]),
    ...chain('input', 'type filter hook input priority filter; policy drop;', [
      'iifname "lo" accept',
      'ct direction reply ct state established,related accept',
      'iifname "tap*" udp sport 68 udp dport 67 jump leases',
      ...tokenRequests.map((match) => `${toMetadata} ${match} ct mark set ${tokenMark}`),
      `${toMetadata} accept`,
      `${toApi} accept`,
    ]),
    ...chain(
      'leases',
      '',
      taps.map(({ nic, tap }) => `iifname "${tap}" ${leaseOf(nic.mac)} accept`),
    ),
    ...chain('hops', 'type filter hook output priority filter; policy accept;', [
      ...taps.flatMap(({ nic, tap }) =>
        nic.metadataHopLimit === undefined
          ? []
          : [`oifname "${tap}" ip saddr ${metadataAddress} ct mark ${tokenMark} ip ttl set ${nic.metadataHopLimit}`],
      ),
    ]),
    ...taps.flatMap(({ nic, tap }) => [
      ...chain(
        `in-${tap}`,
        '',
        nic.ingress.flatMap((rule) => ruleLines(rule, 'ip saddr', 'accept')),
      ),
      ...chain(
        `out-${tap}`,
        '',
        nic.egress.flatMap((rule) => ruleLines(rule, 'ip daddr', 'goto arrive')),
      ),
    ]),
    ...(egress ? outsideChains(egress, plan, input.hostAddresses) : []),
    ...chain('arrive', '', [`oifname vmap { ${forwardTargets.join(', ')} }`]),
    ...borderChains(plan.borders),
    ...chain('forward', 'type filter hook forward priority filter; policy drop;', [
      'ct state invalid drop',
      ...(egress ? resolverLines(egress) : []),
      `jump ${bordersChain}`,
      'ct direction reply ct state established,related accept',
      'ct state related accept',
      `iifname vmap { ${taps.map(({ tap }) => `"${tap}" : jump out-${tap}`).join(', ')} }`,
    ]),
    '}',
    '',
  ].join('\n')
}

/** The resolver is within the VPC, wherever it is: no border lies before it. */
function resolverLines({ ifname, resolver }: EgressNetwork): string[] {
  return [
    `iifname "tap*" oifname "${ifname}" ip daddr ${resolver} ${resolverPort} accept`,
    `iifname "${ifname}" oifname "tap*" ip saddr ${resolver} ct direction reply ct state established,related accept`,
  ]
}

function outsideChains(egress: EgressNetwork, plan: VpcPlan, hostAddresses: readonly string[]): string[] {
  const forbidden = ipv4Peers([...neverOutside, egress.cidr, ...hostAddresses.map((address) => `${address}/32`)])
  return [
    ...chain('outside', '', [
      `ip daddr { ${forbidden.map(cidrText).join(', ')} } drop`,
      ...plan.nics.flatMap(({ id, outside }) => (outside ? wayOut(tapName(id), outside) : [])),
      'accept',
    ]),
    ...chain('resolve', 'type nat hook prerouting priority dstnat; policy accept;', [
      `iifname "tap*" ip daddr ${resolverOf(plan.cidr)} ${resolverPort} dnat ip to ${egress.resolver}`,
    ]),
    ...chain('leave', 'type nat hook postrouting priority srcnat; policy accept;', [
      `oifname "${egress.ifname}" masquerade`,
    ]),
  ]
}

/** What does not go where the routes of its subnet lead goes nowhere. */
function wayOut(tap: string, destinations: readonly string[]): string[] {
  const blocks = ipv4Peers(destinations)
  if (blocks[0]?.prefix === 0) return []
  const elsewhere = blocks.length === 0 ? '' : ` ip daddr != { ${blocks.map(cidrText).join(', ')} }`
  return [`iifname "${tap}"${elsewhere} drop`]
}

function set(name: string, type: string, elements: readonly string[]): string[] {
  return [`  set ${name} {`, `    type ${type}`, `    elements = { ${elements.join(', ')} }`, '  }']
}
