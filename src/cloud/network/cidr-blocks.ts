/** Which blocks VPCs and subnets may have. Source: "VPC CIDR blocks" and "Subnet CIDR blocks" in the Amazon VPC user guide. */
import ipaddr from 'ipaddr.js'
import { KilnError } from '../../lib/errors.ts'
import { rangeOf } from './addresses.ts'

const largest = 16
const smallest = 28

/** What never is a VPC's: this network, loopback, link-local, multicast and above. */
const never = ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3']

function overlap(one: string, other: string): boolean {
  const [a, b] = [rangeOf(one), rangeOf(other)]
  return a.first < b.first + b.size && b.first < a.first + a.size
}

function holds(outer: string, inner: string): boolean {
  const [a, b] = [rangeOf(outer), rangeOf(inner)]
  return a.first <= b.first && b.first + b.size <= a.first + a.size
}

/** The block with its host bits cleared, as EC2 does it. Throws InvalidParameterValue. */
export function canonicalCidr(cidr: string, parameter: string): string {
  if (!/^\d+\.\d+\.\d+\.\d+\/\d+$/.test(cidr) || !ipaddr.IPv4.isValidCIDR(cidr)) {
    throw new KilnError(
      'InvalidParameterValue',
      `Value (${cidr.slice(0, 100)}) for parameter ${parameter} is invalid. This is not a valid CIDR block.`,
    )
  }
  return `${ipaddr.IPv4.networkAddressFromCIDR(cidr)}/${cidr.split('/')[1]}`
}

/** Throws InvalidParameterValue, InvalidVpc.Range. */
export function checkVpcCidr(given: string): string {
  const cidr = canonicalCidr(given, 'cidrBlock')
  const prefix = Number(cidr.split('/')[1])
  if (prefix < largest || prefix > smallest || never.some((block) => overlap(block, cidr))) {
    throw new KilnError('InvalidVpc.Range', `The CIDR '${cidr}' is invalid.`)
  }
  return cidr
}

/** Throws InvalidParameterValue, InvalidSubnet.Range, InvalidSubnet.Conflict. */
export function checkSubnetCidr(given: string, vpcCidr: string, others: readonly string[]): string {
  const cidr = canonicalCidr(given, 'cidrBlock')
  const prefix = Number(cidr.split('/')[1])
  if (prefix < largest || prefix > smallest || !holds(vpcCidr, cidr)) {
    throw new KilnError('InvalidSubnet.Range', `The CIDR '${cidr}' is invalid.`)
  }
  if (others.some((other) => overlap(other, cidr))) {
    throw new KilnError('InvalidSubnet.Conflict', `The CIDR '${cidr}' conflicts with another subnet`)
  }
  return cidr
}
