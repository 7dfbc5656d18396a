/**
 * Which TCP ports of a guest its public address offers on this host.
 *
 * A public address is a loopback address, so its clients are seen as 127.0.0.1: a port is offered when an ingress rule
 * admits that peer (0.0.0.0/0 does), and the border of its subnet lets the client in and the answers out. Every offered port
 * is a listening socket of the daemon; a rule over more than {@link widestListedRange} ports therefore offers only the
 * {@link wellKnownPorts} within it.
 * UDP is not offered on public addresses: the namespace carries it between guests only.
 */
import { contains, ipv4Peers, parseCidr } from './addresses.ts'
import type { BorderRule, NicPlan, SubnetBorder, TrafficRule } from './driver.ts'

export const widestListedRange = 64

/** What people run on servers: logins, web, databases, queues, consoles and the customary development ports. */
export const wellKnownPorts: readonly number[] = [
  21, 22, 23, 25, 53, 80, 110, 143, 389, 443, 445, 465, 587, 636, 993, 995, 1433, 1521, 1883, 2181, 2222, 2375, 2376,
  2379, 3000, 3128, 3306, 3389, 4000, 4200, 4222, 4317, 4318, 5000, 5044, 5173, 5432, 5601, 5672, 5900, 5901, 5985,
  5986, 6000, 6379, 6443, 7000, 7474, 7687, 8000, 8008, 8080, 8081, 8086, 8123, 8200, 8443, 8500, 8888, 9000, 9042,
  9090, 9091, 9092, 9100, 9200, 9300, 9418, 9443, 10250, 11211, 15672, 16686, 19999, 25565, 27017, 50000, 50051,
]

const client = parseCidr('127.0.0.1/32')

/** The ports that clients on Linux answer from: what its kernel takes unless it is told otherwise. */
const clientPorts = { from: 32_768, to: 60_999 }

/** The border of the subnet that an interface lies in; undefined for one that lets everything through. */
export function borderOf(
  borders: readonly SubnetBorder[],
  { subnetCidr }: Pick<NicPlan, 'subnetCidr'>,
): SubnetBorder | undefined {
  return borders.find(({ cidr }) => cidr === subnetCidr)
}

/** The offered ports of an interface, ascending. */
export function publicPorts(nic: Pick<NicPlan, 'ingress'>, border?: SubnetBorder): number[] {
  if (border && !admitsAll(border.egress, clientPorts)) return []
  const ports = new Set<number>()
  for (const rule of nic.ingress) {
    if (!ipv4Peers(rule.peers).some((peer) => contains(peer, client))) continue
    for (const port of offeredBy(rule)) ports.add(port)
  }
  const offered = border ? [...ports].filter((port) => admits(border.ingress, port)) : [...ports]
  return offered.sort((one, other) => one - other)
}

/** Whether the first rule that speaks of that TCP port of the client, or for it, lets it pass. */
function admits(rules: readonly BorderRule[], port: number): boolean {
  return rules.find((rule) => concerns(rule, port))?.verdict === 'allow'
}

/** Nothing changes but where a range begins, or has just ended. */
function admitsAll(rules: readonly BorderRule[], { from, to }: { from: number; to: number }): boolean {
  const edges = rules.flatMap(({ fromPort, toPort }) => [fromPort, toPort + 1])
  return [from, ...edges.filter((port) => port > from && port <= to)].every((port) => admits(rules, port))
}

function concerns({ protocol, fromPort, toPort, peers }: BorderRule, port: number): boolean {
  if (!ipv4Peers(peers).some((peer) => contains(peer, client))) return false
  return protocol === 'all' || ((protocol === 'tcp' || protocol === 6) && fromPort <= port && port <= toPort)
}

function offeredBy(rule: TrafficRule): readonly number[] {
  if (rule.protocol === 'all') return wellKnownPorts
  if (rule.protocol !== 'tcp' && rule.protocol !== 6) return []
  const from = Math.max(rule.fromPort, 1)
  const to = Math.min(rule.toPort, 65_535)
  if (to - from >= widestListedRange) return wellKnownPorts.filter((port) => port >= from && port <= to)
  return Array.from({ length: Math.max(to - from + 1, 0) }, (_, index) => from + index)
}
