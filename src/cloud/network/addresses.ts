/** Addresses of interfaces. EC2 keeps the first four addresses and the last one of each subnet for itself. */
import ipaddr from 'ipaddr.js'
import { KilnError } from '../../lib/errors.ts'
import { type Random, randomInt } from '../../lib/random.ts'

const reservedAtStart = 4
const reservedAtEnd = 1

const toNumber = (ip: string) =>
  ipaddr.IPv4.parse(ip)
    .toByteArray()
    .reduce((sum, byte) => sum * 256 + byte, 0)

const toText = (address: number) => [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join('.')

/** Of a block without host bits: its first address as a number, and how many it has. */
export function rangeOf(cidr: string): { first: number; size: number } {
  const [network, bits] = ipaddr.IPv4.parseCIDR(cidr)
  return { first: toNumber(network.toString()), size: 2 ** (32 - bits) }
}

/** How many addresses a subnet can give to interfaces. */
export function usableAddresses(cidr: string): number {
  return Math.max(0, rangeOf(cidr).size - reservedAtStart - reservedAtEnd)
}

/** A free address of the subnet. Throws InsufficientFreeAddressesInSubnet. */
export function pickPrivateIp(
  subnet: { id: string; cidr: string },
  taken: ReadonlySet<string>,
  random: Random,
): string {
  const { first } = rangeOf(subnet.cidr)
  const usable = usableAddresses(subnet.cidr)
  const start = randomInt(random, usable)
  for (let step = 0; step < usable; step++) {
    const ip = toText(first + reservedAtStart + ((start + step) % usable))
    if (!taken.has(ip)) return ip
  }
  throw new KilnError(
    'InsufficientFreeAddressesInSubnet',
    `There are not enough free addresses in subnet '${subnet.id}' to satisfy the requested number of instances`,
  )
}

/** Throws unless the address may be given to an interface of the subnet. */
export function checkPrivateIp(subnet: { id: string; cidr: string }, ip: string, taken: ReadonlySet<string>): void {
  const { first, size } = rangeOf(subnet.cidr)
  if (!ipaddr.IPv4.isValidFourPartDecimal(ip)) {
    throw new KilnError('InvalidParameterValue', `Value (${ip}) for parameter PrivateIpAddress is not an IPv4 address`)
  }
  const offset = toNumber(ip) - first
  if (offset < reservedAtStart || offset >= size - reservedAtEnd) {
    throw new KilnError(
      'InvalidParameterValue',
      `Address ${ip} does not fall within the subnet's address range (PrivateIpAddress)`,
    )
  }
  if (taken.has(ip)) throw new KilnError('InvalidIPAddress.InUse', `Address ${ip} is in use.`)
}

/** A locally administered address, as EC2's are: the second digit tells. */
export function newMac(random: Random): string {
  const bytes = random.bytes(6)
  bytes[0] = (bytes[0]! & 0xfe) | 0x02
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':')
}

/** `ip-172-31-5-6.ec2.internal`, as EC2 names instances by their address. */
export function privateDnsName(privateIp: string, region: string): string {
  return `ip-${privateIp.replaceAll('.', '-')}.${privateDomain(region)}`
}

/** The domain of instances' private names. Source: "Amazon EC2 instance hostnames". */
export const privateDomain = (region: string) =>
  region === 'us-east-1' ? 'ec2.internal' : `${region}.compute.internal`
