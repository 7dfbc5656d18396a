/** What a VPC should be on the host, read from the state: interfaces of live instances with their resolved rules. */
import ipaddr from 'ipaddr.js'
import type { NetworkInterface, SecurityGroupRule } from '../../state/networks.ts'
import type { InstanceState } from '../../state/schema.ts'
import type { Repositories } from '../../state/state.ts'
import type { CloudDeps } from '../deps.ts'
import type { NicPlan, SubnetBorder, TrafficRule, VpcPlan } from '../ports.ts'
import { privateDnsName } from './addresses.ts'
import { dhcpPlanOf } from './dhcp-configurations.ts'
import { configurationsOf } from './dhcp-options.ts'
import { borderRules, isOpen } from './network-acl-entries.ts'
import { readWaysOut } from './ways-out.ts'

/** In these states an instance's interface exists on the host. */
const onHost: ReadonlySet<InstanceState> = new Set(['pending', 'running', 'stopping', 'shutting-down'])

/** Reads the plan and has the driver bring it about. Repeat at will. */
export async function applyVpc(deps: CloudDeps, vpcId: string): Promise<void> {
  await deps.locks.hold(`vpc:${vpcId}`, async () => {
    const plan = await readPlan(deps, vpcId)
    if (plan) await deps.network.apply(plan)
  })
}

async function readPlan({ state }: CloudDeps, vpcId: string): Promise<VpcPlan | undefined> {
  const vpc = await state.networks.vpc(vpcId)
  if (!vpc) return undefined
  const interfaces = await state.networks.interfacesInVpc(vpcId)
  const instances = await state.instances.many(interfaces.flatMap((row) => row.instanceId ?? []))
  const live = new Map(instances.filter((row) => onHost.has(row.state)).map((row) => [row.id, row]))
  const nics = interfaces.filter(({ instanceId }) => instanceId !== null && live.has(instanceId))
  const subnets = await state.networks.subnets([...new Set(nics.map((row) => row.subnetId))])
  const cidrOf = new Map(subnets.map((row) => [row.id, row.cidr]))
  const waysOut = await readWaysOut(state, vpcId)
  const groupsOf = await state.networks.groupsOfInterfaces(interfaces.map((row) => row.id))
  const rules = await state.networks.rulesOf([...new Set([...groupsOf.values()].flat())])
  const lists = await state.prefixLists.cidrsOf([...new Set(rules.flatMap((rule) => rule.prefixListId ?? []))])
  const addresses = new Map([...addressesByGroup(interfaces, groupsOf), ...lists])
  const planOf = (nic: NetworkInterface): NicPlan => {
    const { direct, translated } = waysOut(nic.subnetId)
    const own = rules.filter((rule) => groupsOf.get(nic.id)?.includes(rule.groupId))
    return {
      id: nic.id,
      instanceId: nic.instanceId!,
      mac: nic.mac,
      privateIp: nic.privateIp,
      subnetCidr: cidrOf.get(nic.subnetId)!,
      hostname: privateDnsName(nic.privateIp, vpc.region),
      // What a NAT gateway carries out brings nobody in.
      publicIp: direct.length === 0 && translated.length > 0 ? null : nic.publicIp,
      // As on EC2: without a public address of its own nothing comes back to it through the internet gateway.
      outside: [...(nic.publicIp === null ? [] : direct), ...translated],
      metadataHopLimit: live.get(nic.instanceId!)?.httpPutResponseHopLimit,
      ingress: own.filter((rule) => rule.isEgress === 0).flatMap((rule) => resolveRule(rule, addresses)),
      egress: own.filter((rule) => rule.isEgress === 1).flatMap((rule) => resolveRule(rule, addresses)),
    }
  }
  const configurations = await configurationsOf(state, [{ id: vpc.dhcpOptionsId }])
  return {
    ...{ id: vpc.id, cidr: vpc.cidr },
    dhcp: dhcpPlanOf(configurations(vpc.dhcpOptionsId)),
    borders: await readBorders(state, vpcId),
    nics: nics.map(planOf),
  }
}

async function readBorders({ networks, networkAcls }: Repositories, vpcId: string): Promise<SubnetBorder[]> {
  const ids = (await networkAcls.ofVpc(vpcId)).map((acl) => acl.id)
  const associations = await networkAcls.associationsOf(ids)
  const entries = Map.groupBy(await networkAcls.entriesOf(ids), (entry) => entry.networkAclId)
  return (await networks.subnetsOf(vpcId)).flatMap(({ id, cidr }) => {
    const acl = associations.find((one) => one.subnetId === id)!.networkAclId
    const rules = (isEgress: 0 | 1) => borderRules(entries.get(acl)!.filter((entry) => entry.isEgress === isEgress))
    const [ingress, egress] = [rules(0), rules(1)]
    return isOpen(egress) && isOpen(ingress) ? [] : [{ cidr, ingress, egress }]
  })
}

/** The private addresses of each group's members. */
function addressesByGroup(
  interfaces: readonly NetworkInterface[],
  groupsOf: ReadonlyMap<string, readonly string[]>,
): Map<string, string[]> {
  const addresses = new Map<string, string[]>()
  for (const nic of interfaces) {
    for (const group of groupsOf.get(nic.id) ?? []) {
      addresses.set(group, [...(addresses.get(group) ?? []), `${nic.privateIp}/32`])
    }
  }
  return addresses
}

/** `addresses` are those behind the ids of groups and of prefix lists. */
function resolveRule(rule: SecurityGroupRule, addresses: ReadonlyMap<string, string[]>): TrafficRule[] {
  const peers = rule.cidrIpv4
    ? [rule.cidrIpv4]
    : (addresses.get(rule.referencedGroupId ?? rule.prefixListId ?? '') ?? [])
  // IPv6 rules are kept and shown, but guests have no IPv6 here: nothing to allow.
  if (peers.length === 0 || peers.some((peer) => !ipaddr.IPv4.isValidCIDR(peer))) return []
  return [{ protocol: protocolOf(rule.protocol), fromPort: rule.fromPort, toPort: rule.toPort, peers }]
}

function protocolOf(text: string): TrafficRule['protocol'] {
  if (text === '-1') return 'all'
  if (text === 'tcp' || text === 'udp' || text === 'icmp' || text === 'icmpv6') return text
  return Number(text)
}
