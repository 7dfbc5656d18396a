/** Whether this host can make a VPC: by making a small one, and taking it away again. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Clock } from '../../lib/clock.ts'
import { messageOf } from '../../lib/errors.ts'
import { endProcess, isAlive } from '../../lib/programs.ts'
import type { NetworkProbe, VpcPlan } from '../driver.ts'
import { applyDhcp } from './dhcp.ts'
import { egressNetwork, hostAddresses } from './egress.ts'
import { renderFirewall } from './firewall.ts'
import { runHost } from './host-programs.ts'
import { applyLinks, prepareNamespace } from './links.ts'
import { newRecord, VpcFolder } from './vpc-folder.ts'
import { ensureNamespace, enterArgs, ownMode } from './vpc-namespace.ts'

const plan: VpcPlan = {
  id: 'vpc-00000000000000000',
  dhcp: { domainName: null, nameServers: [], ntpServers: [], netbiosNameServers: [], netbiosNodeType: null },
  borders: [],
  cidr: '172.31.0.0/16',
  nics: [
    {
      id: 'eni-00000000000000000',
      instanceId: 'i-00000000000000000',
      mac: '0a:00:00:00:00:01',
      privateIp: '172.31.0.10',
      subnetCidr: '172.31.0.0/20',
      hostname: 'ip-172-31-0-10',
      publicIp: null,
      ingress: [{ protocol: 'tcp', fromPort: 22, toPort: 22, peers: ['0.0.0.0/0'] }],
      egress: [{ protocol: 'all', fromPort: -1, toPort: -1, peers: ['0.0.0.0/0'] }],
    },
  ],
}

/** A dnsmasq that cannot run has said so and ended by then. */
const dhcpStartMs = 150

const install = 'type: sudo apt-get install iproute2 nftables dnsmasq-base util-linux'

/** What may be wrong when a step fails, and what to type. */
const advice = {
  namespace:
    ownMode() === 'root'
      ? 'this container may not make network namespaces (it needs CAP_SYS_ADMIN); or start with --network user'
      : 'user namespaces are closed; type: sudo sysctl -w kernel.unprivileged_userns_clone=1 ' +
        'kernel.apparmor_restrict_unprivileged_userns=0; or start with --network user',
  settings: '/proc/sys is read-only in this container; run it privileged, or start with --network user',
  filter: `the kernel lacks nftables (modules nf_tables, nf_conntrack, nft_ct, nft_masq), or nft is missing; ${install}`,
  tap: 'taps cannot be made; type: sudo modprobe tun; sudo chmod 666 /dev/net/tun',
  dhcp: `dnsmasq does not run; ${install}`,
}

export async function probeNamespaces(options: { clock: Clock; egress?: 'slirp' | 'none' }): Promise<NetworkProbe> {
  const base = await mkdtemp(join(tmpdir(), 'kiln-probe-'))
  const folder = new VpcFolder(base, base, plan.id)
  const record = newRecord()
  let step: keyof typeof advice = 'namespace'
  try {
    await folder.create()
    await ensureNamespace(folder, record, options.clock)
    const enter = enterArgs(record.mode, record.holder!.pid)
    step = 'settings'
    await prepareNamespace(enter, plan)
    step = 'filter'
    const ruleset = renderFirewall({ plan, egress: egressNetwork(plan.cidr), hostAddresses: hostAddresses() })
    await runHost([...enter, 'nft', '-f', '-'], { input: ruleset })
    step = 'tap'
    await applyLinks(enter, plan.nics)
    step = 'dhcp'
    record.dhcp = await applyDhcp(folder, enter, { plan, resolves: true }, null)
    await options.clock.sleep(dhcpStartMs)
    if (!isAlive(record.dhcp)) throw new Error(await folder.logTail('dhcp.log'))
    const way = await wayOut(options.egress ?? 'slirp')
    return {
      ok: true,
      detail: `made a network namespace${record.mode === 'user' ? ' as an ordinary user' : ''}, a tap and filters; ${way}`,
    }
  } catch (error) {
    return { ok: false, detail: `${step}: ${messageOf(error)}; ${advice[step]}` }
  } finally {
    for (const ref of [record.dhcp, record.holder]) if (ref) await endProcess(ref, 0)
    await rm(base, { recursive: true, force: true })
  }
}

async function wayOut(egress: 'slirp' | 'none'): Promise<string> {
  if (egress === 'none') return 'instances have no Internet, as configured'
  try {
    await runHost(['slirp4netns', '--version'])
    return 'instances reach the Internet through slirp4netns'
  } catch {
    return 'instances have no Internet: slirp4netns is missing; type: sudo apt-get install slirp4netns'
  }
}
