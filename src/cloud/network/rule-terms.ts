/**
 * What one rule of a security group says, read strictly from a request and brought to one form, so that equal rules are
 * equal rows. Sources: "IpPermission" in the EC2 API reference, "Security group rules" in the VPC user guide.
 */
import ipaddr from 'ipaddr.js'
import { KilnError } from '../../lib/errors.ts'
import type { SecurityGroupRule } from '../../state/networks.ts'

export type RuleTerms = Pick<
  SecurityGroupRule,
  'protocol' | 'fromPort' | 'toPort' | 'cidrIpv4' | 'cidrIpv6' | 'referencedGroupId' | 'prefixListId' | 'description'
>
export type Traffic = Pick<RuleTerms, 'protocol' | 'fromPort' | 'toPort'>
export type RulePeer = Pick<RuleTerms, 'cidrIpv4' | 'cidrIpv6' | 'referencedGroupId' | 'prefixListId'>

/** Traffic as a request words it. For ICMP the ports are type and code, -1 meaning any. */
export interface TrafficRequest {
  /** A name, a number as text, or `-1` for all. */
  protocol: string
  fromPort?: number
  toPort?: number
}

/** The protocols that EC2 calls by name; the others stay numbers. */
const protocolNames: Readonly<Record<string, string>> = { '1': 'icmp', '6': 'tcp', '17': 'udp', '58': 'icmpv6' }
const named: ReadonlySet<string> = new Set(Object.values(protocolNames))

const any = -1
const portMax = 65_535
const icmpMax = 255

/** Throws InvalidParameterValue, or InvalidPermission.Malformed for numbers out of their range. */
export function readTraffic({ protocol: text, fromPort, toPort }: TrafficRequest): Traffic {
  const protocol = readProtocol(text)
  if (protocol === 'tcp' || protocol === 'udp') return { protocol, ...readPorts(fromPort, toPort) }
  if (protocol === 'icmp') return { protocol, ...readIcmp(fromPort, toPort) }
  if (protocol === 'icmpv6') return { protocol, ...readIcmp(fromPort ?? any, toPort ?? any) }
  // All other protocols have no ports: what is said of ports is passed over, as EC2 does.
  return { protocol, fromPort: any, toPort: any }
}

function readProtocol(text: string): string {
  const lower = text.toLowerCase()
  if (lower === '-1' || named.has(lower)) return lower
  const number = /^\d{1,3}$/.test(lower) ? Number(lower) : Number.NaN
  if (number <= 255) return protocolNames[number] ?? String(number)
  throw new KilnError('InvalidParameterValue', `Invalid value '${text}' for IP protocol. Unknown protocol.`)
}

function readPorts(fromPort: number | undefined, toPort: number | undefined): { fromPort: number; toPort: number } {
  if (fromPort === undefined || toPort === undefined) throw incompleteRange('TCP/UDP')
  for (const port of [fromPort, toPort]) {
    if (port < 0 || port > portMax) throw malformed(`TCP/UDP port (${port}) out of range`)
  }
  if (fromPort > toPort) throw malformed(`Invalid TCP/UDP port range (${fromPort}:${toPort})`)
  return { fromPort, toPort }
}

function readIcmp(type: number | undefined, code: number | undefined): { fromPort: number; toPort: number } {
  if (type === undefined || code === undefined) throw incompleteRange('ICMP')
  if (type < any || type > icmpMax) throw malformed(`ICMP type (${type}) out of range`)
  if (code < any || code > icmpMax) throw malformed(`ICMP code (${code}) out of range`)
  if (type === any && code !== any) throw malformed(`ICMP code (${code}) must be -1 when the type is -1`)
  return { fromPort: type, toPort: code }
}

function incompleteRange(protocol: string): KilnError {
  return new KilnError(
    'InvalidParameterValue',
    `Invalid value 'Must specify both from and to ports with ${protocol}.' for portRange.`,
  )
}

const malformed = (message: string) => new KilnError('InvalidPermission.Malformed', message)

/** The block without host bits. Throws InvalidParameterValue. */
export function canonicalIpv4(text: string): string {
  return canonicalCidr(ipaddr.IPv4, /^(0|[1-9]\d{0,2})(\.(0|[1-9]\d{0,2})){3}\/(0|[1-9]\d?)$/, text)
}

export function canonicalIpv6(text: string): string {
  return canonicalCidr(ipaddr.IPv6, /^[\da-fA-F:.]{2,45}\/(0|[1-9]\d{0,2})$/, text)
}

function canonicalCidr(family: typeof ipaddr.IPv4 | typeof ipaddr.IPv6, shape: RegExp, text: string): string {
  if (!shape.test(text) || !family.isValidCIDR(text)) throw malformedCidr(text)
  return `${family.networkAddressFromCIDR(text)}/${text.split('/')[1]}`
}

export function malformedCidr(text: string): KilnError {
  return new KilnError('InvalidParameterValue', `CIDR block ${text} is malformed`)
}

/** Two rules of one direction of a group are the same when these are: the description does not count. */
export function termsKey(terms: Traffic & RulePeer): string {
  return `${terms.protocol} ${terms.fromPort} ${terms.toPort} ${peerOf(terms)}`
}

/** A rule as EC2's messages show it. */
export function termsInWords(terms: Traffic & RulePeer): string {
  return `peer: ${peerOf(terms)}, ${trafficInWords(terms)}, ALLOW`
}

const peerOf = (peer: RulePeer) => peer.cidrIpv4 ?? peer.cidrIpv6 ?? peer.referencedGroupId ?? peer.prefixListId

function trafficInWords({ protocol, fromPort, toPort }: Traffic): string {
  const orAll = (number: number) => (number === any ? 'ALL' : number)
  switch (protocol) {
    case '-1':
      return 'ALL'
    case 'tcp':
    case 'udp':
      return `${protocol.toUpperCase()}, from port: ${fromPort}, to port: ${toPort}`
    case 'icmp':
    case 'icmpv6':
      return `${protocol.toUpperCase()}, type: ${orAll(fromPort)}, code: ${orAll(toPort)}`
    default:
      return `protocol: ${protocol}`
  }
}
