/**
 * The way out of a VPC: slirp4netns carries the namespace's traffic as this user's own sockets, without any privilege on
 * the host. Guests are masqueraded behind it. It is a convenience: when it cannot start, guests have no Internet, and
 * everything else goes on.
 */
import { networkInterfaces } from 'node:os'
import type { ProcessRef } from '../../lib/programs.ts'
import { overlaps, parseCidr } from '../addresses.ts'
import { startMarked } from './host-programs.ts'
import type { VpcFolder } from './vpc-folder.ts'

export interface EgressNetwork {
  ifname: string
  /** The small network between the namespace and slirp4netns. */
  cidr: string
  /** Answers DNS by asking the host's resolvers. */
  resolver: string
}

/** What a packet to a resolver looks like. */
export const resolverPort = 'meta l4proto { tcp, udp } th dport 53'

/** Networks for benchmarks and documentation, which nobody reaches through a VPC; the first that the VPC does not hold. */
const candidates: readonly EgressNetwork[] = ['198.18.0', '192.0.2', '203.0.113'].map((net) => ({
  ifname: 'egress0',
  cidr: `${net}.0/24`,
  resolver: `${net}.3`,
}))

export function egressNetwork(vpcCidr: string): EgressNetwork {
  const vpc = parseCidr(vpcCidr)
  const found = candidates.find((candidate) => !overlaps(parseCidr(candidate.cidr), vpc))
  if (!found) throw new Error(`no network is left for the way out of ${vpcCidr}`)
  return found
}

/** Starts slirp4netns for the namespace of `pid`; throws when it is not there. */
export function startEgress(folder: VpcFolder, network: EgressNetwork, pid: number): Promise<ProcessRef> {
  const options = ['--configure', '--mtu=65520', '--disable-host-loopback', `--cidr=${network.cidr}`]
  return startMarked(['slirp4netns', ...options, String(pid), network.ifname], folder.path, folder.file('egress.log'))
}

/** The host's own IPv4 addresses, loopback included. */
export function hostAddresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter((address) => address.family === 'IPv4')
    .map((address) => address.address)
}
