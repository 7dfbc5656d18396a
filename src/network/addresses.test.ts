import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  addressNumber,
  addressText,
  cidrText,
  commonCidr,
  contains,
  gatewayOf,
  ipv4Peers,
  netmask,
  parseCidr,
  resolverOf,
} from './addresses.ts'

const address = fc.integer({ min: 0, max: 0xffffffff })
const block = fc
  .tuple(address, fc.integer({ min: 0, max: 32 }))
  .map(([base, prefix]) => `${addressText(base)}/${prefix}`)
const holds = (peers: readonly string[], number: number) =>
  peers.map(parseCidr).some((peer) => contains(peer, { base: number, prefix: 32 }))

describe('IPv4 addresses', () => {
  it('read back as they were written', () => {
    fc.assert(fc.property(address, (number) => addressNumber(addressText(number)) === number))
    expect(() => parseCidr('172.31.0.0/33')).toThrow()
    expect(() => parseCidr('nonsense')).toThrow()
  })

  it('blocks lose their host bits', () => {
    expect(cidrText(parseCidr('172.31.77.5/20'))).toBe('172.31.64.0/20')
    expect(cidrText(parseCidr('255.255.255.255/0'))).toBe('0.0.0.0/0')
    expect(netmask(parseCidr('172.31.64.0/20'))).toBe('255.255.240.0')
  })

  it('a subnet has its router second, a VPC its resolver third', () => {
    expect(gatewayOf('172.31.16.0/20')).toBe('172.31.16.1')
    expect(resolverOf('10.0.0.0/16')).toBe('10.0.0.2')
  })

  it('reduced peers hold the same addresses, and none overlaps another', () => {
    fc.assert(
      fc.property(fc.array(block, { maxLength: 8 }), fc.array(address, { minLength: 1 }), (peers, samples) => {
        const reduced = ipv4Peers(peers)
        for (const number of [...samples, ...peers.map((peer) => parseCidr(peer).base)]) {
          expect(holds(reduced.map(cidrText), number)).toBe(holds(peers, number))
        }
        for (const one of reduced) expect(reduced.filter((other) => contains(other, one))).toEqual([one])
      }),
    )
    expect(ipv4Peers(['::/0', '2001:db8::/32'])).toEqual([])
  })

  it('the common block holds all, and its halves do not', () => {
    expect(cidrText(commonCidr(['172.31.0.10', '169.254.169.254']))).toBe('168.0.0.0/5')
    expect(cidrText(commonCidr(['10.0.0.1']))).toBe('10.0.0.1/32')
    expect(cidrText(commonCidr(['10.0.0.1', '192.0.2.1']))).toBe('0.0.0.0/0')
  })
})
