/**
 * The network driver for hosts where namespaces cannot be had: QEMU's own user networking, one small network per
 * instance. Logins, metadata and Kiln's API work. What it cannot do, by its nature:
 * - instances reach neither each other nor the Internet: QEMU's networking has no way out that does not also lead, through
 *   the gateway's address, to every server on the host's loopback address, Kiln's own API among them. So it is closed;
 * - public ports are those that are open when the instance starts: a rule changed later counts from the next start.
 */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import type { Server as HttpServer } from 'node:http'
import { connect, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { messageOf } from '../../lib/errors.ts'
import { guestApi } from '../../lib/guest-origin.ts'
import type { Log } from '../../lib/log.ts'
import { run } from '../../lib/programs.ts'
import type { Random } from '../../lib/random.ts'
import { cidrText, commonCidr, gatewayOf, metadataAddress, parseCidr, resolverOf } from '../addresses.ts'
import { createApiRelay } from '../api-relay.ts'
import type { GuestAnswer, NetworkDriver, NetworkProbe, NicPlan, VpcPlan } from '../driver.ts'
import { allocateLoopback } from '../loopback-addresses.ts'
import { createMetadataRelay } from '../metadata-relay.ts'
import { borderOf, publicPorts } from '../public-ports.ts'
import { vpcFolders } from '../vpc-folders.ts'

export interface UserDriverOptions {
  /** Where each VPC has its folder. */
  networksDir: string
  /** A folder with a short path for unix sockets: with `/eni-…17 digits….imds` at most 107 bytes. */
  runDir: string
  /** The daemon's metadata service. */
  metadataSocketPath: string
  /** The daemon's API for guests. */
  apiSocketPath: string
  log: Log
  random: Random
}

/** QEMU's user networking takes no wider network than this. */
const widestPrefix = 4
const bannerTimeoutMs = 1000

interface Card {
  vpc: VpcPlan
  nic: NicPlan
  /** Ends the relays. */
  close(): Promise<unknown>
  /** The guest has asked for its metadata since it was started: its network works. */
  seen: boolean
}

/** Where QEMU's user networking brings what a guest says to the two services. */
interface RelayPaths {
  metadata: string
  api: string
}

export function createUserDriver(options: UserDriverOptions): NetworkDriver {
  return new UserDriver(options)
}

/** Whether this host can do it. */
export async function probeUserNetworking(): Promise<NetworkProbe> {
  try {
    await run('socat', ['-V'])
    const help = await run('qemu-system-x86_64', ['-netdev', 'help'])
    if (!/^user$/m.test(help)) return { ok: false, detail: 'this QEMU was built without user networking (libslirp)' }
    return {
      ok: true,
      detail:
        "QEMU's user networking: logins, metadata and Kiln's API work; instances reach neither each other nor the Internet",
    }
  } catch (error) {
    return { ok: false, detail: `${messageOf(error)}; type: sudo apt-get install qemu-system-x86 socat` }
  }
}

class UserDriver implements NetworkDriver {
  readonly kind = 'user'
  readonly #options: UserDriverOptions
  readonly #cards = new Map<string, Card>()
  #queue: Promise<unknown> = Promise.resolve()

  constructor(options: UserDriverOptions) {
    this.#options = options
  }

  probe(): Promise<NetworkProbe> {
    return probeUserNetworking()
  }

  apply(plan: VpcPlan): Promise<void> {
    const result = this.#queue.then(() => this.#apply(plan))
    this.#queue = result.catch(() => {})
    return result
  }

  async attachment(vpcId: string, nicId: string) {
    const card = this.#cards.get(nicId)
    if (card?.vpc.id !== vpcId) throw new Error(`${nicId} is not part of the network of ${vpcId}`)
    card.seen = false
    const { publicIp: ip, outside } = card.nic
    const ports = ip === null || outside?.length === 0 ? [] : await this.#freePorts(ip, portsOf(card))
    return { kind: 'user' as const, options: netdevOptions(card.vpc, card.nic, ports, this.#socketPaths(nicId)) }
  }

  /** QEMU accepts connections before the guest does, so only what the guest itself has said counts. */
  async answer(vpcId: string, privateIp: string): Promise<GuestAnswer> {
    const card = [...this.#cards.values()].find(({ vpc, nic }) => vpc.id === vpcId && nic.privateIp === privateIp)
    if (!card) return 'silent'
    const { publicIp } = card.nic
    if (publicIp !== null && portsOf(card).includes(22) && (await speaks(publicIp, 22))) return 'accepts'
    return card.seen ? 'refuses' : 'silent'
  }

  list(): Promise<string[]> {
    return vpcFolders(this.#options.networksDir)
  }

  allocatePublicIp(taken: ReadonlySet<string>): Promise<string> {
    return allocateLoopback(this.#options.networksDir, taken, this.#options.random)
  }

  async close(): Promise<void> {
    await this.#queue
    await Promise.all([...this.#cards.keys()].map((nicId) => this.#unplug(nicId)))
  }

  async #apply(plan: VpcPlan): Promise<void> {
    const folder = join(this.#options.networksDir, plan.id)
    const recordPath = join(folder, 'user-nics.json')
    const before: string[] = JSON.parse(await readFile(recordPath, 'utf8').catch(() => '[]'))
    const planned = new Set(plan.nics.map((nic) => nic.id))
    for (const nicId of before.filter((id) => !planned.has(id))) {
      await this.#unplug(nicId)
      for (const path of Object.values(this.#socketPaths(nicId))) await rm(path, { force: true })
    }
    if (plan.nics.length === 0) return rm(folder, { recursive: true, force: true })
    for (const nic of plan.nics) checkPlace(nic)
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await mkdir(this.#options.runDir, { recursive: true, mode: 0o700 })
    await writeFile(recordPath, JSON.stringify([...planned]), { mode: 0o600 })
    for (const nic of plan.nics) await this.#plug(plan, nic)
  }

  async #plug(vpc: VpcPlan, nic: NicPlan): Promise<void> {
    const known = this.#cards.get(nic.id)
    if (known) {
      Object.assign(known, { vpc, nic })
      return
    }
    const { metadataSocketPath, apiSocketPath } = this.#options
    const from = { vpcId: vpc.id, sourceOf: () => nic.privateIp }
    const metadata = createMetadataRelay({ ...from, metadataSocketPath })
    const api = createApiRelay({ ...from, apiSocketPath })
    const close = () => Promise.all([closeHttp(metadata), api.close()])
    const card: Card = { vpc, nic, close, seen: false }
    metadata.on('request', () => {
      card.seen = true
    })
    const paths = this.#socketPaths(nic.id)
    await listen(metadata, paths.metadata)
    await listen(api.server, paths.api)
    this.#cards.set(nic.id, card)
  }

  async #unplug(nicId: string): Promise<void> {
    const card = this.#cards.get(nicId)
    this.#cards.delete(nicId)
    await card?.close()
  }

  #socketPaths(nicId: string): RelayPaths {
    const path = join(this.#options.runDir, nicId)
    // QEMU and socat each have their own marks in what follows; a path without them needs no escaping in either.
    if (/[^\w./+@-]/.test(path)) throw new Error(`user networking needs a home without special characters: ${path}`)
    return { metadata: `${path}.imds`, api: `${path}.api` }
  }

  /** QEMU does not start when one of its forwards cannot listen, so those are left out, and said. */
  async #freePorts(publicIp: string, ports: readonly number[]): Promise<number[]> {
    const free: number[] = []
    const refused = new Map<string, number[]>()
    for (const port of ports) {
      const code = await refusalOf(publicIp, port)
      if (code === undefined) free.push(port)
      else refused.set(code, [...(refused.get(code) ?? []), port])
    }
    for (const [code, left] of refused) {
      const advice = code === 'EACCES' ? '; type: sudo sysctl -w net.ipv4.ip_unprivileged_port_start=0' : ''
      this.#options.log.warn(`cannot listen on ${publicIp}, ports ${left.join(', ')}: ${code}${advice}`)
    }
    return free
  }
}

const portsOf = ({ nic, vpc }: Pick<Card, 'nic' | 'vpc'>) => publicPorts(nic, borderOf(vpc.borders, nic))

/** The value of `-netdev user,id=…,`: DHCP gives exactly the planned address, metadata and API go to the relays' sockets. */
export function netdevOptions(vpc: VpcPlan, nic: NicPlan, ports: readonly number[], relays: RelayPaths): string {
  return [
    `net=${cidrText(commonNet(nic))}`,
    `host=${gatewayOf(nic.subnetCidr)}`,
    `dns=${resolverOf(vpc.cidr)}`,
    `dhcpstart=${nic.privateIp}`,
    `hostname=${nic.hostname.split('.')[0]}`,
    'ipv6=off',
    // Nothing passes but what is forwarded below.
    'restrict=on',
    `guestfwd=tcp:${metadataAddress}:80-cmd:socat - UNIX-CONNECT:${relays.metadata}`,
    `guestfwd=tcp:${guestApi.address}:${guestApi.port}-cmd:socat - UNIX-CONNECT:${relays.api}`,
    ...ports.map((port) => `hostfwd=tcp:${nic.publicIp}:${port}-${nic.privateIp}:${port}`),
  ].join(',')
}

/** QEMU forwards only addresses within the guest's own network, so that must hold the metadata address as well. */
function commonNet(nic: NicPlan) {
  return commonCidr([nic.privateIp, gatewayOf(nic.subnetCidr), metadataAddress])
}

async function listen(server: Server, socketPath: string): Promise<void> {
  await rm(socketPath, { force: true })
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(socketPath, resolve))
}

async function closeHttp(server: HttpServer): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  server.closeAllConnections()
  await closed
}

function checkPlace(nic: NicPlan): void {
  if (commonNet(nic).prefix >= widestPrefix) return
  const subnet = cidrText(parseCidr(nic.subnetCidr))
  throw new Error(`user networking cannot serve metadata to ${subnet}: only addresses in 160.0.0.0/4 can have it`)
}

function refusalOf(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'EIO'))
    server.listen({ host, port }, () => server.close(() => resolve(undefined)))
  })
}

/** True when the server says something of its own accord, as SSH servers do. */
function speaks(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host)
    const give = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(bannerTimeoutMs, () => give(false))
    socket.once('data', () => give(true))
    socket.once('error', () => give(false))
    socket.once('end', () => give(false))
  })
}
