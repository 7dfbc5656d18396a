/**
 * Entries of network ACLs as requests word them, and as the network is told them. Source: CreateNetworkAclEntry in the EC2
 * API reference.
 */
import { KilnError } from '../../lib/errors.ts'
import type { NetworkAclEntry } from '../../state/network-acls.ts'
import type { BorderRule } from '../ports.ts'
import { canonicalIpv4, canonicalIpv6 } from './rule-terms.ts'

export interface EntryRequest {
  isEgress: boolean
  ruleNumber: number
  /** A number as text, one of EC2's names, or `-1`. */
  protocol: string
  action: 'allow' | 'deny'
  cidrIpv4: string | undefined
  cidrIpv6: string | undefined
  ports: { from: number | undefined; to: number | undefined } | undefined
  icmp: { type: number | undefined; code: number | undefined } | undefined
}

/** The number of the entry that denies all that no other speaks of. */
export const lastRuleNumber = 32_767

const protocols: Readonly<Record<string, string>> = { all: '-1', icmp: '1', tcp: '6', udp: '17', icmpv6: '58' }
const [icmp, icmpv6] = ['1', '58']
const withPorts: ReadonlySet<string> = new Set(['6', '17'])
const portMax = 65_535
const icmpMax = 255
const any = -1

/** Throws InvalidParameterValue, InvalidParameterCombination or MissingParameter, naming the parameter. */
export function readEntry(request: EntryRequest): Omit<NetworkAclEntry, 'networkAclId'> {
  checkRuleNumber(request.ruleNumber)
  const protocol = readProtocol(request.protocol)
  return {
    isEgress: request.isEgress ? 1 : 0,
    ruleNumber: request.ruleNumber,
    protocol,
    action: request.action,
    ...readPeer(request),
    ...(withPorts.has(protocol) ? readPorts(request.ports) : { fromPort: null, toPort: null }),
    ...(protocol === icmp || protocol === icmpv6 ? readIcmp(request.icmp) : { icmpType: null, icmpCode: null }),
  }
}

export function checkRuleNumber(ruleNumber: number): void {
  if (ruleNumber >= 1 && ruleNumber < lastRuleNumber) return
  throw new KilnError(
    'InvalidParameterValue',
    `Value (${ruleNumber}) for parameter ruleNumber is invalid. It must be from 1 to ${lastRuleNumber - 1}.`,
  )
}

function readProtocol(text: string): string {
  const protocol = protocols[text.toLowerCase()] ?? text
  if (protocol === '-1') return protocol
  if (/^\d{1,3}$/.test(protocol) && Number(protocol) <= 255) return String(Number(protocol))
  throw new KilnError('InvalidParameterValue', `Value (${text.slice(0, 100)}) for parameter protocol is invalid.`)
}

function readPeer({ cidrIpv4, cidrIpv6 }: EntryRequest): Pick<NetworkAclEntry, 'cidrIpv4' | 'cidrIpv6'> {
  if (cidrIpv4 !== undefined && cidrIpv6 !== undefined) {
    throw new KilnError(
      'InvalidParameterCombination',
      'The parameter cidrBlock may not be used in combination with ipv6CidrBlock',
    )
  }
  if (cidrIpv4 !== undefined) return { cidrIpv4: canonicalIpv4(cidrIpv4), cidrIpv6: null }
  if (cidrIpv6 !== undefined) return { cidrIpv4: null, cidrIpv6: canonicalIpv6(cidrIpv6) }
  throw new KilnError('MissingParameter', 'The request must contain the parameter cidrBlock or ipv6CidrBlock')
}

function readPorts(ports: EntryRequest['ports']): { fromPort: number; toPort: number } {
  const { from, to } = ports ?? {}
  if (from === undefined || to === undefined) {
    throw new KilnError('MissingParameter', 'The request must contain the parameter portRange.from and portRange.to')
  }
  if (from >= 0 && from <= to && to <= portMax) return { fromPort: from, toPort: to }
  throw new KilnError('InvalidParameterValue', `Value (${from}-${to}) for parameter portRange is invalid.`)
}

function readIcmp(given: EntryRequest['icmp']): { icmpType: number; icmpCode: number } {
  const { type, code } = given ?? {}
  if (type === undefined || code === undefined) {
    throw new KilnError('MissingParameter', 'The request must contain the parameter icmp.type and icmp.code')
  }
  const isValid = (number: number) => number >= any && number <= icmpMax
  if (isValid(type) && isValid(code)) return { icmpType: type, icmpCode: code }
  throw new KilnError('InvalidParameterValue', `Value (${type}, ${code}) for parameter icmp is invalid.`)
}

/** What the network is told; entries about IPv6 are kept and shown, but guests have none here. */
export function borderRules(entries: readonly NetworkAclEntry[]): BorderRule[] {
  return entries.flatMap(({ protocol, action, cidrIpv4, fromPort, toPort, icmpType, icmpCode }) =>
    cidrIpv4 === null
      ? []
      : [
          {
            verdict: action,
            protocol: protocol === '-1' ? ('all' as const) : Number(protocol),
            fromPort: fromPort ?? icmpType ?? any,
            toPort: toPort ?? icmpCode ?? any,
            peers: [cidrIpv4],
          },
        ],
  )
}

/** Whether everything passes: the first rule says so. */
export function isOpen([first]: readonly BorderRule[]): boolean {
  return first?.verdict === 'allow' && first.protocol === 'all' && first.peers[0] === '0.0.0.0/0'
}
