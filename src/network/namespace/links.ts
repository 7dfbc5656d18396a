/**
 * Interfaces, addresses and routes of a VPC's namespace.
 *
 * Guests are routed, not bridged: each tap is a link of its own between one guest and the namespace, which answers ARP
 * for every address beyond it (proxy ARP) and forwards. It is how EC2's own network behaves (no guest hears another's
 * frames), it leaves nothing of ARP to forge, and filters are plain IP filters with connection tracking. On a bridge
 * they would need CONFIG_NF_CONNTRACK_BRIDGE and CONFIG_NFT_BRIDGE_META, or the br_netfilter module, which many kernels
 * lack and ordinary users cannot load.
 */
import { gatewayOf, metadataAddress, resolverOf } from '../addresses.ts'
import type { NicPlan, VpcPlan } from '../driver.ts'
import { runHost } from './host-programs.ts'

/** All taps carry one hardware address, so that a guest whose tap is made anew finds its router unchanged. */
const routerMac = '0a:fe:a9:fe:a9:fe'

/** Bytes. */
export const linkMtu = 1500

const namePrefix = 'tap'
/** The kernel's bound on interface names is 15 characters. */
const nameDigits = 12

/** A tap's name: the last 12 digits of the interface's id. */
export function tapName(nicId: string): string {
  return (
    namePrefix +
    nicId
      .replace(/^eni-/, '')
      .replace(/[^0-9a-z]/g, '')
      .slice(-nameDigits)
  )
}

/** Throws when two interfaces would share a tap (ids that end alike: never by chance). */
export function assertDistinctTaps(nics: readonly NicPlan[]): void {
  const owners = new Map<string, string>()
  for (const { id } of nics) {
    const owner = owners.get(tapName(id))
    if (owner !== undefined) throw new Error(`the interfaces ${owner} and ${id} would share the tap ${tapName(id)}`)
    owners.set(tapName(id), id)
  }
}

/** What every namespace has, whatever is in it. */
export async function prepareNamespace(enter: readonly string[], plan: Pick<VpcPlan, 'cidr'>): Promise<void> {
  await setKernel(enter, '1', [
    'net/ipv4/ip_forward',
    'net/ipv4/conf/default/proxy_arp',
    // Strict: a request of ARP in the name of an address that is not the guest's is not even heard. Each would become an
    // entry in the kernel's table of neighbours, whose bound all namespaces and the host itself share.
    'net/ipv4/conf/all/rp_filter',
    'net/ipv6/conf/default/disable_ipv6',
    'net/ipv6/conf/all/disable_ipv6',
  ])
  await setKernel(enter, '0', ['net/ipv4/conf/all/send_redirects', 'net/ipv4/conf/default/send_redirects'])
  await batch(enter, [
    'link set dev lo up',
    `address replace ${metadataAddress}/32 dev lo`,
    `address replace ${resolverOf(plan.cidr)}/32 dev lo`,
    // Addresses of the VPC that nobody has must not leave by the default route.
    `route replace unreachable ${plan.cidr}`,
  ])
}

/** Brings the taps to the plan: missing ones are made, those that are no longer planned go. */
export async function applyLinks(enter: readonly string[], nics: readonly NicPlan[]): Promise<void> {
  const links: { ifname: string }[] = JSON.parse(await runHost([...enter, 'ip', '-j', 'link', 'show']))
  const present = new Set(links.map((link) => link.ifname))
  const planned = new Set(nics.map((nic) => tapName(nic.id)))
  const stale = [...present].filter((name) => name.startsWith(namePrefix) && !planned.has(name))
  await batch(enter, [
    ...stale.map((name) => `link delete dev ${name}`),
    ...nics.flatMap((nic) => linkCommands(nic, present.has(tapName(nic.id)))),
  ])
}

/** Every command but the first can be repeated. */
function linkCommands(nic: NicPlan, present: boolean): string[] {
  const tap = tapName(nic.id)
  const gateway = gatewayOf(nic.subnetCidr)
  return [
    ...(present ? [] : [`tuntap add dev ${tap} mode tap`]),
    `link set dev ${tap} address ${routerMac} mtu ${linkMtu} up`,
    // Proxied ARP answers wait up to 0.8 s by default.
    `ntable change name arp_cache dev ${tap} proxy_delay 0`,
    `address replace ${gateway}/32 dev ${tap}`,
    `neighbour replace ${nic.privateIp} lladdr ${nic.mac} nud permanent dev ${tap}`,
    `route replace ${nic.privateIp}/32 dev ${tap} src ${gateway}`,
  ]
}

async function batch(enter: readonly string[], commands: readonly string[]): Promise<void> {
  if (commands.length > 0) await runHost([...enter, 'ip', '-batch', '-'], { input: `${commands.join('\n')}\n` })
}

/** `tee` writes the settings because a process sees the /proc/sys/net of the namespace that it is in. */
async function setKernel(enter: readonly string[], value: string, settings: readonly string[]): Promise<void> {
  await runHost([...enter, 'tee', ...settings.map((setting) => `/proc/sys/${setting}`)], { input: value })
}
