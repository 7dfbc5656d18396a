/**
 * The network driver for Linux hosts that allow namespaces: a VPC is one network namespace, with a router in place of
 * the wires (see links.ts), DHCP, filters, the metadata address and a way out.
 *
 * Everything it starts outlives the daemon and is recorded in the VPC's folder; `apply` finds what is still there and
 * mends the rest. Public addresses alone live in this process.
 */
import { mkdir } from 'node:fs/promises'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Clock, waitFor } from '../../lib/clock.ts'
import { messageOf } from '../../lib/errors.ts'
import type { Log } from '../../lib/log.ts'
import { endProcess, isAlive, type ProcessRef } from '../../lib/programs.ts'
import type { Random } from '../../lib/random.ts'
import type {
  GuestAnswer,
  NetworkDriver,
  NetworkProbe,
  NicAttachment,
  NicPlan,
  SubnetBorder,
  VpcPlan,
} from '../driver.ts'
import { allocateLoopback } from '../loopback-addresses.ts'
import { borderOf, publicPorts } from '../public-ports.ts'
import { vpcFolders } from '../vpc-folders.ts'
import { dialGuest, greetAgent, probeGuest } from './agent-client.ts'
import { agentVersion } from './agent-protocol.ts'
import { applyDhcp } from './dhcp.ts'
import { type EgressNetwork, egressNetwork, hostAddresses, startEgress } from './egress.ts'
import { renderFirewall } from './firewall.ts'
import { markedProcesses, runHost, startMarked } from './host-programs.ts'
import { applyLinks, assertDistinctTaps, prepareNamespace, tapName } from './links.ts'
import { probeNamespaces } from './probe.ts'
import { type PublicEndpoint, PublicListeners } from './public-listeners.ts'
import { newRecord, VpcFolder, type VpcRecord } from './vpc-folder.ts'
import { ensureNamespace, enterArgs } from './vpc-namespace.ts'

export interface NamespaceDriverOptions {
  /** Where each VPC has its folder. */
  networksDir: string
  /** A folder with a short path for unix sockets: with `/vpc-…17 digits….agent` at most 107 bytes. */
  runDir: string
  /** The daemon's metadata service. */
  metadataSocketPath: string
  /** The daemon's API for guests. */
  apiSocketPath: string
  log: Log
  clock: Clock
  random: Random
  /** `slirp` (the default): guests reach the Internet through slirp4netns when it is installed. */
  egress?: 'slirp' | 'none'
}

const timing = { agentReadyMs: 10_000, dialMs: 10_000, probeMs: 1000 }
const agentProgram = fileURLToPath(new URL(`./agent-main${extname(import.meta.url)}`, import.meta.url))

export function createNamespaceDriver(options: NamespaceDriverOptions): NetworkDriver {
  return new NamespaceDriver(options)
}

class NamespaceDriver implements NetworkDriver {
  readonly kind = 'namespace'
  readonly #options: NamespaceDriverOptions
  readonly #listeners = new Map<string, PublicListeners>()
  /** The work in hand of each VPC: whatever is asked of one waits for what was asked before. */
  readonly #queues = new Map<string, Promise<unknown>>()
  #egressWarned = false

  constructor(options: NamespaceDriverOptions) {
    this.#options = options
  }

  probe(): Promise<NetworkProbe> {
    return probeNamespaces(this.#options)
  }

  apply(plan: VpcPlan): Promise<void> {
    return this.#serially(plan.id, () => (plan.nics.length === 0 ? this.#tearDown(plan.id) : this.#bringUp(plan)))
  }

  attachment(vpcId: string, nicId: string): Promise<NicAttachment> {
    return this.#serially(vpcId, async () => {
      const record = await this.#folder(vpcId).read()
      if (!record?.holder || !isAlive(record.holder)) throw new Error(`the network of ${vpcId} is not up`)
      if (!record.nicIds.includes(nicId)) throw new Error(`${nicId} is not part of the network of ${vpcId}`)
      return { kind: 'tap', ifname: tapName(nicId), enter: enterArgs(record.mode, record.holder.pid) }
    })
  }

  answer(vpcId: string, privateIp: string): Promise<GuestAnswer> {
    return probeGuest(this.#folder(vpcId).agentSocketPath, privateIp, timing.probeMs)
  }

  list(): Promise<string[]> {
    return vpcFolders(this.#options.networksDir)
  }

  allocatePublicIp(taken: ReadonlySet<string>): Promise<string> {
    return allocateLoopback(this.#options.networksDir, taken, this.#options.random)
  }

  async close(): Promise<void> {
    await Promise.all(this.#queues.values())
    await Promise.all([...this.#listeners.values()].map((listeners) => listeners.close()))
    this.#listeners.clear()
  }

  async #bringUp(plan: VpcPlan): Promise<void> {
    assertDistinctTaps(plan.nics)
    const folder = this.#folder(plan.id)
    await mkdir(this.#options.runDir, { recursive: true, mode: 0o700 })
    await folder.create()
    const record = (await folder.read()) ?? newRecord()
    try {
      await this.#mend(folder, record, plan)
    } finally {
      // Also after a failure: what was started must be found again.
      await folder.write(record)
    }
    await this.#listenersOf(plan.id).reconcile(
      plan.nics.flatMap((nic) => endpointsOf(nic, borderOf(plan.borders, nic))),
    )
  }

  async #mend(folder: VpcFolder, record: VpcRecord, plan: VpcPlan): Promise<void> {
    const { clock } = this.#options
    // A new namespace has none of the old one's processes inside.
    if (await ensureNamespace(folder, record, clock)) Object.assign(record, { agent: null, dhcp: null, egress: null })
    if (!this.#listeners.has(plan.id)) await endStrays(folder, record)
    await folder.write(record)
    const enter = enterArgs(record.mode, record.holder!.pid)

    await prepareNamespace(enter, plan)
    const egress = await this.#ensureEgress(folder, record, plan)
    const outcomes = await Promise.allSettled([
      this.#ensureAgent(folder, record, enter),
      connectGuests(folder, record, enter, plan, egress),
    ])
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
    if (egress && !isAlive(record.egress!)) this.#warnOfEgress(plan.id, await folder.logTail('egress.log'))
    if (!isAlive(record.dhcp!)) throw new Error(`dnsmasq of ${plan.id} ended: ${await folder.logTail('dhcp.log')}`)
  }

  /** The agent answers, is of this version, and knows where metadata service and API are; else it is replaced. */
  async #ensureAgent(folder: VpcFolder, record: VpcRecord, enter: readonly string[]): Promise<void> {
    const { clock, metadataSocketPath, apiSocketPath } = this.#options
    const program = [process.execPath, agentProgram, folder.agentSocketPath]
    const fits = async () => {
      const agent = await greetAgent(folder.agentSocketPath)
      if (agent?.version !== agentVersion) return false
      return agent.metadataSocketPath === metadataSocketPath && agent.apiSocketPath === apiSocketPath
    }
    if (record.agent && isAlive(record.agent) && (await fits())) return
    if (record.agent) await endProcess(record.agent)
    const agent = await startMarked(
      [...enter, ...program, metadataSocketPath, apiSocketPath, folder.vpcId],
      folder.path,
      folder.file('agent.log'),
    )
    record.agent = agent
    const state = await waitFor(clock, async () => (!isAlive(agent) ? 'dead' : (await fits()) ? 'ready' : undefined), {
      everyMs: 20,
      timeoutMs: timing.agentReadyMs,
    })
    if (state !== 'ready') {
      await endProcess(agent, 0)
      throw new Error(`the network agent of ${folder.vpcId} did not start: ${await folder.logTail('agent.log')}`)
    }
  }

  async #ensureEgress(folder: VpcFolder, record: VpcRecord, plan: VpcPlan): Promise<EgressNetwork | null> {
    if (this.#options.egress === 'none') {
      if (record.egress) await endProcess(record.egress)
      record.egress = null
      return null
    }
    const network = egressNetwork(plan.cidr)
    if (!record.egress || !isAlive(record.egress)) {
      record.egress = await startEgress(folder, network, record.holder!.pid).catch((error) => {
        this.#warnOfEgress(plan.id, messageOf(error))
        return null
      })
    }
    return record.egress && network
  }

  /** The way out is a convenience: without it everything else goes on. Said once. */
  #warnOfEgress(vpcId: string, cause: string): void {
    if (!this.#egressWarned)
      this.#options.log.warn({ vpcId, cause }, 'slirp4netns does not run: instances have no Internet')
    this.#egressWarned = true
  }

  async #tearDown(vpcId: string): Promise<void> {
    const folder = this.#folder(vpcId)
    await this.#listeners.get(vpcId)?.close()
    this.#listeners.delete(vpcId)
    const record = (await folder.read()) ?? newRecord()
    await endAll([...recorded(record), ...markedProcesses(folder.path)])
    await folder.remove()
  }

  #listenersOf(vpcId: string): PublicListeners {
    let listeners = this.#listeners.get(vpcId)
    if (!listeners) {
      const { agentSocketPath } = this.#folder(vpcId)
      const dial = ({ privateIp, port }: PublicEndpoint) => dialGuest(agentSocketPath, privateIp, port, timing.dialMs)
      listeners = new PublicListeners(dial, this.#options.log)
      this.#listeners.set(vpcId, listeners)
    }
    return listeners
  }

  #folder(vpcId: string): VpcFolder {
    return new VpcFolder(this.#options.networksDir, this.#options.runDir, vpcId)
  }

  #serially<T>(vpcId: string, work: () => Promise<T>): Promise<T> {
    const before = this.#queues.get(vpcId) ?? Promise.resolve()
    const result = before.then(work)
    const settled = result.then(
      () => {},
      () => {},
    )
    this.#queues.set(vpcId, settled)
    settled.then(() => {
      if (this.#queues.get(vpcId) === settled) this.#queues.delete(vpcId)
    })
    return result
  }
}

function endpointsOf(nic: NicPlan, border: SubnetBorder | undefined): PublicEndpoint[] {
  const { publicIp, privateIp, outside } = nic
  return publicIp === null || outside?.length === 0
    ? []
    : publicPorts(nic, border).map((port) => ({ publicIp, port, privateIp }))
}

/** Filters before links: there is no moment at which a guest is connected and not filtered. */
async function connectGuests(
  folder: VpcFolder,
  record: VpcRecord,
  enter: readonly string[],
  plan: VpcPlan,
  egress: EgressNetwork | null,
): Promise<void> {
  await runHost([...enter, 'nft', '-f', '-'], {
    input: renderFirewall({ plan, egress, hostAddresses: hostAddresses() }),
  })
  await applyLinks(enter, plan.nics)
  record.dhcp = await applyDhcp(folder, enter, { plan, resolves: egress !== null }, record.dhcp)
  record.nicIds = plan.nics.map((nic) => nic.id)
}

function recorded(record: VpcRecord): ProcessRef[] {
  return [record.agent, record.dhcp, record.egress, record.holder].filter((ref) => ref !== null)
}

/** Ends processes of the VPC that a daemon started but could not record before it was killed. */
async function endStrays(folder: VpcFolder, record: VpcRecord): Promise<void> {
  const known = new Set(recorded(record).map((ref) => ref.pid))
  await endAll(markedProcesses(folder.path).filter((ref) => !known.has(ref.pid)))
}

async function endAll(refs: readonly ProcessRef[]): Promise<void> {
  await Promise.all(refs.map((ref) => endProcess(ref, 1000)))
}
