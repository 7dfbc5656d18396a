/**
 * DHCP of a VPC: one dnsmasq inside the namespace with a fixed lease per interface. Guests come and go by a rewritten
 * host file and SIGHUP; only another set of subnets (or options) starts it anew. It answers on taps alone.
 */
import { endProcess, isAlive, type ProcessRef, signalProcess } from '../../lib/programs.ts'
import { cidrText, gatewayOf, netmask, parseCidr, resolverOf } from '../addresses.ts'
import type { VpcPlan } from '../driver.ts'
import { startMarked } from './host-programs.ts'
import { linkMtu } from './links.ts'
import type { VpcFolder } from './vpc-folder.ts'

const leaseSeconds = 3600

export interface DhcpInput {
  plan: VpcPlan
  /** Whether the VPC's resolver answers. */
  resolves: boolean
}

/** Brings dnsmasq to the plan; its process. */
export async function applyDhcp(
  folder: VpcFolder,
  enter: readonly string[],
  input: DhcpInput,
  running: ProcessRef | null,
): Promise<ProcessRef> {
  const hostsChanged = await folder.replace('dhcp-hosts', renderHosts(input.plan))
  const configChanged = await folder.replace('dnsmasq.conf', renderConfig(folder, input))
  if (running && isAlive(running) && !configChanged) {
    if (hostsChanged) signalProcess(running, 'SIGHUP')
    return running
  }
  if (running) await endProcess(running)
  return startMarked(
    [...enter, 'dnsmasq', `--conf-file=${folder.file('dnsmasq.conf')}`],
    folder.path,
    folder.file('dhcp.log'),
  )
}

export function renderHosts(plan: VpcPlan): string {
  return plan.nics.map((nic) => `${nic.mac},${nic.privateIp},${shortName(nic.hostname)},${leaseSeconds}\n`).join('')
}

export function renderConfig(folder: Pick<VpcFolder, 'file'>, { plan, resolves }: DhcpInput): string {
  const subnets = [...new Set(plan.nics.map((nic) => nic.subnetCidr))].sort()
  return [
    // No DNS server: guests ask the resolver that the way out offers.
    'port=0',
    // In the foreground, and as who it is: it could not read the home as another user, and a user namespace has no other.
    'no-daemon',
    'log-facility=-',
    'quiet-dhcp',
    'pid-file',
    'interface=tap*',
    'no-ping',
    'dhcp-authoritative',
    // A guest is its hardware address, which the filters check. Its client id it makes up, and could take another's.
    'dhcp-ignore-clid',
    `dhcp-leasefile=${folder.file('dhcp-leases')}`,
    `dhcp-hostsfile=${folder.file('dhcp-hosts')}`,
    `dhcp-option=option:mtu,${linkMtu}`,
    ...optionLines({ plan, resolves }),
    ...subnets.flatMap((subnet, index) => {
      const cidr = parseCidr(subnet)
      return [
        `# ${cidrText(cidr)}`,
        `dhcp-range=set:subnet${index},${cidrText(cidr).split('/')[0]},static,${netmask(cidr)},${leaseSeconds}`,
        `dhcp-option=tag:subnet${index},option:router,${gatewayOf(subnet)}`,
      ]
    }),
    '',
  ].join('\n')
}

/** Without servers dnsmasq would name itself as the one that resolves. */
function optionLines({ plan, resolves }: DhcpInput): string[] {
  const { domainName, nameServers, ntpServers, netbiosNameServers, netbiosNodeType } = plan.dhcp
  const servers = nameServers.flatMap((server) =>
    server !== 'resolver' ? server : resolves ? resolverOf(plan.cidr) : [],
  )
  const option = (name: string, values: readonly (string | number)[]) =>
    values.length === 0 ? [] : [`dhcp-option=option:${name},${values.join(',')}`]
  return [
    ...(domainName === null ? [] : option('domain-name', [domainName])),
    ...(servers.length === 0 ? ['dhcp-option=option:dns-server'] : option('dns-server', servers)),
    ...option('ntp-server', ntpServers),
    ...option('netbios-ns', netbiosNameServers),
    ...option('netbios-nodetype', netbiosNodeType === null ? [] : [netbiosNodeType]),
  ]
}

/** The host part: the domain goes apart. */
function shortName(hostname: string): string {
  return hostname.split('.')[0]!
}
