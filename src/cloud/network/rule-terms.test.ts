import { describe, expect, test } from 'vitest'
import { isKilnError, type KilnError } from '../../lib/errors.ts'
import { canonicalIpv4, canonicalIpv6, readTraffic, type TrafficRequest, termsInWords } from './rule-terms.ts'

function refusal(work: () => unknown): KilnError {
  try {
    work()
  } catch (error) {
    if (isKilnError(error)) return error
    throw error
  }
  throw new Error('nothing was refused')
}

describe('traffic', () => {
  test.each<[TrafficRequest, string]>([
    [{ protocol: 'tcp', fromPort: 22, toPort: 22 }, 'tcp 22 22'],
    [{ protocol: 'TCP', fromPort: 0, toPort: 65_535 }, 'tcp 0 65535'],
    [{ protocol: '6', fromPort: 80, toPort: 81 }, 'tcp 80 81'],
    [{ protocol: '17', fromPort: 53, toPort: 53 }, 'udp 53 53'],
    [{ protocol: '1', fromPort: 8, toPort: -1 }, 'icmp 8 -1'],
    [{ protocol: 'icmp', fromPort: -1, toPort: -1 }, 'icmp -1 -1'],
    [{ protocol: 'icmpv6' }, 'icmpv6 -1 -1'],
    [{ protocol: '58', fromPort: 128, toPort: 0 }, 'icmpv6 128 0'],
    [{ protocol: '-1' }, '-1 -1 -1'],
    [{ protocol: '-1', fromPort: 0, toPort: 0 }, '-1 -1 -1'],
    [{ protocol: '050', fromPort: 22, toPort: 22 }, '50 -1 -1'],
    [{ protocol: '0' }, '0 -1 -1'],
    [{ protocol: '255' }, '255 -1 -1'],
  ])('%j is kept as %s', (request, kept) => {
    const { protocol, fromPort, toPort } = readTraffic(request)
    expect(`${protocol} ${fromPort} ${toPort}`).toBe(kept)
  })

  test.each<[TrafficRequest, string, string]>([
    [{ protocol: 'tpc' }, 'InvalidParameterValue', "Invalid value 'tpc' for IP protocol"],
    [{ protocol: '256' }, 'InvalidParameterValue', "'256' for IP protocol"],
    [{ protocol: '-2' }, 'InvalidParameterValue', "'-2' for IP protocol"],
    [{ protocol: '' }, 'InvalidParameterValue', 'IP protocol'],
    [{ protocol: 'constructor' }, 'InvalidParameterValue', 'IP protocol'],
    [{ protocol: 'tcp' }, 'InvalidParameterValue', 'from and to ports with TCP/UDP'],
    [{ protocol: 'udp', fromPort: 53 }, 'InvalidParameterValue', 'from and to ports with TCP/UDP'],
    [{ protocol: 'icmp', fromPort: 8 }, 'InvalidParameterValue', 'from and to ports with ICMP'],
    [{ protocol: 'tcp', fromPort: -1, toPort: -1 }, 'InvalidPermission.Malformed', 'TCP/UDP port (-1) out of range'],
    [{ protocol: 'tcp', fromPort: 1, toPort: 65_536 }, 'InvalidPermission.Malformed', 'port (65536) out of range'],
    [{ protocol: 'tcp', fromPort: 443, toPort: 80 }, 'InvalidPermission.Malformed', 'port range (443:80)'],
    [{ protocol: 'icmp', fromPort: 256, toPort: 0 }, 'InvalidPermission.Malformed', 'ICMP type (256)'],
    [{ protocol: 'icmp', fromPort: 8, toPort: -2 }, 'InvalidPermission.Malformed', 'ICMP code (-2)'],
    [{ protocol: 'icmp', fromPort: -1, toPort: 0 }, 'InvalidPermission.Malformed', 'ICMP code (0)'],
  ])('%j is refused: %s, %s', (request, code, message) => {
    const error = refusal(() => readTraffic(request))
    expect(error.code).toBe(code)
    expect(error.message).toContain(message)
  })
})

describe('CIDR blocks', () => {
  test.each([
    ['10.0.0.0/8', '10.0.0.0/8'],
    ['195.1.1.1/26', '195.1.1.0/26'],
    ['1.2.3.4/0', '0.0.0.0/0'],
    ['1.2.3.4/32', '1.2.3.4/32'],
  ])('IPv4 %s is kept as %s', (given, kept) => expect(canonicalIpv4(given)).toBe(kept))

  test.each([
    ['::/0', '::/0'],
    ['2001:DB8::1/64', '2001:db8::/64'],
    ['0123:0:0:0:0:0:0:1/128', '123::1/128'],
  ])('IPv6 %s is kept as %s', (given, kept) => expect(canonicalIpv6(given)).toBe(kept))

  test.each([
    '',
    '0.0.0.0',
    '10.0.0.0/33',
    '10.0.0.0/08',
    '10.0.0/8',
    '010.0.0.0/8',
    '256.0.0.0/8',
    '10.0.0.0/8 ',
    '::/0',
  ])('%j is no IPv4 block', (given) => {
    const error = refusal(() => canonicalIpv4(given))
    expect([error.code, error.message]).toEqual(['InvalidParameterValue', `CIDR block ${given} is malformed`])
  })

  test.each(['', '::', '::/129', '2001:db8:::/32', 'fe80::1%eth0/64', '10.0.0.0/8'])('%j is no IPv6 block', (given) => {
    expect(refusal(() => canonicalIpv6(given)).code).toBe('InvalidParameterValue')
  })
})

test('rules in words are those of EC2', () => {
  const anywhere = { cidrIpv4: '0.0.0.0/0', cidrIpv6: null, referencedGroupId: null, prefixListId: null }
  const words = (request: TrafficRequest) => termsInWords({ ...readTraffic(request), ...anywhere })
  expect(words({ protocol: 'tcp', fromPort: 22, toPort: 23 })).toBe(
    'peer: 0.0.0.0/0, TCP, from port: 22, to port: 23, ALLOW',
  )
  expect(words({ protocol: '-1' })).toBe('peer: 0.0.0.0/0, ALL, ALLOW')
  expect(words({ protocol: 'icmp', fromPort: 8, toPort: -1 })).toBe('peer: 0.0.0.0/0, ICMP, type: 8, code: ALL, ALLOW')
})
