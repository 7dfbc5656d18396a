/** IPv4 arithmetic for the network room. Addresses are unsigned 32-bit numbers inside, dotted text outside. */
import ipaddr from 'ipaddr.js'

/** The link-local address where every guest finds its metadata. */
export const metadataAddress = '169.254.169.254'

export interface Cidr {
  /** First address. */
  base: number
  prefix: number
}

export function addressNumber(address: string): number {
  return ipaddr.IPv4.parse(address)
    .toByteArray()
    .reduce((number, byte) => number * 256 + byte, 0)
}

export function addressText(number: number): string {
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join('.')
}

/** Throws on text that is no IPv4 block; host bits are cleared, as EC2 does. */
export function parseCidr(text: string): Cidr {
  const [address, prefix] = ipaddr.IPv4.parseCIDR(text)
  return { base: (addressNumber(address.toString()) & maskNumber(prefix)) >>> 0, prefix }
}

export function cidrText(cidr: Cidr): string {
  return `${addressText(cidr.base)}/${cidr.prefix}`
}

export function netmask(cidr: Cidr): string {
  return addressText(maskNumber(cidr.prefix))
}

export function contains(outer: Cidr, inner: Cidr): boolean {
  return outer.prefix <= inner.prefix && (inner.base & maskNumber(outer.prefix)) >>> 0 === outer.base
}

export function overlaps(one: Cidr, other: Cidr): boolean {
  return contains(one, other) || contains(other, one)
}

/** The subnet's router: its second address. Source: "Subnet CIDR blocks" in the Amazon VPC user guide. */
export function gatewayOf(subnetCidr: string): string {
  return addressText(parseCidr(subnetCidr).base + 1)
}

/** The VPC's resolver: its third address. Source: "DNS attributes for your VPC" in the Amazon VPC user guide. */
export function resolverOf(vpcCidr: string): string {
  return addressText(parseCidr(vpcCidr).base + 2)
}

/** The IPv4 blocks of a rule's peers, ordered, without those that another one contains. IPv6 peers are left out. */
export function ipv4Peers(peers: readonly string[]): Cidr[] {
  const blocks = peers
    .filter((peer) => !peer.includes(':'))
    .map(parseCidr)
    .sort((one, other) => one.prefix - other.prefix || one.base - other.base)
  const kept: Cidr[] = []
  for (const block of blocks) if (!kept.some((outer) => contains(outer, block))) kept.push(block)
  return kept
}

/** The smallest block that holds all of them. */
export function commonCidr(addresses: readonly string[]): Cidr {
  const numbers = addresses.map(addressNumber)
  for (let prefix = 32; prefix > 0; prefix--) {
    const bases = new Set(numbers.map((number) => (number & maskNumber(prefix)) >>> 0))
    if (bases.size === 1) return { base: [...bases][0]!, prefix }
  }
  return { base: 0, prefix: 0 }
}

function maskNumber(prefix: number): number {
  return prefix === 0 ? 0 : (0xffffffff << (32 - prefix)) >>> 0
}
