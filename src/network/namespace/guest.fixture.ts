/**
 * A guest for tests without a machine: one more network namespace, joined by a cable to the place of its tap. The VPC's
 * side sees the same interface name, so everything but the virtual hardware is as in use.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { endProcess, type ProcessRef } from '../../lib/programs.ts'
import type { NicPlan } from '../driver.ts'
import { programName, runHost, startMarked } from './host-programs.ts'
import { tapName } from './links.ts'

const program = fileURLToPath(new URL('./guest-program.fixture.ts', import.meta.url))

export class TestGuest {
  readonly nic: NicPlan
  readonly #folder: string
  readonly #holder: ProcessRef
  readonly #enter: readonly string[]
  readonly #servers: ProcessRef[] = []

  private constructor(nic: NicPlan, folder: string, holder: ProcessRef, enter: readonly string[]) {
    this.nic = nic
    this.#folder = folder
    this.#holder = holder
    this.#enter = enter
  }

  /** `enter` leads into the VPC's namespace. After it the plan must be applied once more, as to a tap that was remade. */
  static async join(nic: NicPlan, enter: readonly string[], folder: string): Promise<TestGuest> {
    // From within the VPC's, so that an ordinary user's guests share its user namespace.
    const argv = [...enter, 'unshare', '-n', '--', 'sleep', 'infinity']
    const holder = await startMarked(argv, folder, `${folder}/${nic.id}.log`)
    while (programName(holder.pid) !== 'sleep') await new Promise((resolve) => setTimeout(resolve, 2))
    const guest = new TestGuest(nic, folder, holder, entering(enter, holder))
    const tap = tapName(nic.id)
    await runHost([...enter, 'ip', '-batch', '-'], {
      input: `link delete ${tap}\nlink add ${tap} type veth peer name eth0 address ${nic.mac} netns ${holder.pid}\n`,
    })
    await guest.ip(['link set lo up', 'link set eth0 up', 'route add 255.255.255.255 dev eth0'])
    return guest
  }

  /** Takes the address and routes that DHCP would give. */
  async configure(): Promise<void> {
    const prefix = this.nic.subnetCidr.split('/')[1]
    const gateway = this.nic.subnetCidr.replace(/\.0\/.*/, '.1')
    await this.ip([`address add ${this.nic.privateIp}/${prefix} dev eth0`, `route add default via ${gateway}`])
  }

  async ip(commands: readonly string[]): Promise<void> {
    await runHost([...this.#enter, 'ip', '-batch', '-'], { input: `${commands.join('\n')}\n` })
  }

  async run<T = unknown>(...command: string[]): Promise<T> {
    return JSON.parse(await runHost([...this.#enter, process.execPath, program, ...command]))
  }

  /** Starts a command that goes on; the way to read what it has printed so far. */
  async start(...command: string[]): Promise<() => string> {
    const log = `${this.#folder}/${this.nic.id}-${this.#servers.length}.log`
    this.#servers.push(await startMarked([...this.#enter, process.execPath, program, ...command], this.#folder, log))
    return () => readFileSync(log, 'utf8')
  }

  /** A container inside the guest, one router further away: it shares the guest's address. */
  async container(): Promise<TestGuest> {
    const log = `${this.#folder}/${this.nic.id}-container.log`
    const holder = await startMarked([...this.#enter, 'unshare', '-n', '--', 'sleep', 'infinity'], this.#folder, log)
    while (programName(holder.pid) !== 'sleep') await new Promise((resolve) => setTimeout(resolve, 2))
    this.#servers.push(holder)
    await this.ip([
      `link add nat0 type veth peer name eth0 netns ${holder.pid}`,
      'address add 10.9.9.1/24 dev nat0',
      'link set nat0 up',
    ])
    await runHost([...this.#enter, 'tee', '/proc/sys/net/ipv4/ip_forward'], { input: '1' })
    await runHost([...this.#enter, 'nft', '-f', '-'], {
      input:
        'add table ip nat\nadd chain ip nat out { type nat hook postrouting priority srcnat; }\nadd rule ip nat out oifname eth0 masquerade\n',
    })
    const container = new TestGuest(this.nic, this.#folder, holder, entering(this.#enter, holder))
    await container.ip(['link set eth0 up', 'address add 10.9.9.2/24 dev eth0', 'route add default via 10.9.9.1'])
    return container
  }

  async end(): Promise<void> {
    await Promise.all([...this.#servers, this.#holder].map((ref) => endProcess(ref, 0)))
  }
}

/** The same way in, into another process's namespace. */
function entering(enter: readonly string[], target: ProcessRef): string[] {
  return enter.map((part, index) => (enter[index - 1] === '-t' ? String(target.pid) : part))
}
