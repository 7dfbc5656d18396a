/**
 * Takes processes of one Kiln away, at moments and in an order that a seed decides, while somebody else uses it. Only
 * processes of that Kiln's home are touched, each by its id.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { EC2Client } from '@aws-sdk/client-ec2'
import { systemClock, waitFor } from '../../src/lib/clock.ts'
import { homeAt } from '../../src/lib/home.ts'
import { isAlive, type ProcessRef, startTicksOf } from '../../src/lib/programs.ts'
import { type Random, randomInt } from '../../src/lib/random.ts'
import type { RunningKiln } from '../e2e/support/kiln.ts'

export const victims = ['daemon', 'block server', 'storage daemon'] as const
export type Victim = (typeof victims)[number]

const pauseMs = { least: 100, more: 3000 }
/** A storage daemon is there only while a frozen disk is read; so long one is waited for before another has to go. */
const victimWithinMs = 6000
const askWithinMs = 120_000

export class Killer {
  readonly killed: Record<Victim, number> = { daemon: 0, 'block server': 0, 'storage daemon': 0 }
  readonly #kiln: RunningKiln
  readonly #random: Random
  readonly #clients = new Map<string, EC2Client>()
  #restarting: Promise<void> = Promise.resolve()

  constructor(kiln: RunningKiln, random: Random) {
    this.#kiln = kiln
    this.#random = random
  }

  /** So many kills, one after the other; rejects when the daemon does not come back. */
  async run(kills: number, signal: AbortSignal): Promise<void> {
    for (let kill = 0; kill < kills; kill++) {
      await systemClock.sleep(pauseMs.least + randomInt(this.#random, pauseMs.more), signal)
      const wanted = victims[randomInt(this.#random, victims.length)]!
      if (wanted === 'daemon' || !(await this.#end(wanted))) await this.#endDaemon()
    }
  }

  async #end(victim: Exclude<Victim, 'daemon'>): Promise<boolean> {
    const find = () => (victim === 'block server' ? this.#blockServer() : this.#storageDaemon())
    const process_ = await waitFor(systemClock, find, { everyMs: 10, timeoutMs: victimWithinMs })
    if (!process_) return false
    // It is the storage daemon's work that is to be broken off, not only its start.
    await systemClock.sleep(randomInt(this.#random, 400))
    if (!isAlive(process_)) return false
    process.kill(process_.pid, 'SIGKILL')
    this.killed[victim]++
    return true
  }

  async #endDaemon(): Promise<void> {
    const restart = async () => {
      await this.#kiln.kill9()
      this.killed.daemon++
      await this.#kiln.restart()
    }
    this.#restarting = restart()
    await this.#restarting
  }

  #blockServer(): ProcessRef | undefined {
    try {
      const page = readFileSync(join(homeAt(this.#kiln.home).runDir, 'blocks.sock.pid'), 'utf8')
      const server = JSON.parse(page) as ProcessRef
      return isAlive(server) ? server : undefined
    } catch {
      return undefined
    }
  }

  #storageDaemon(): ProcessRef | undefined {
    return storageDaemonsOf(this.#kiln.home)[0]
  }

  /** Asks again for as long as it is only the daemon that is away. What is asked must bear being asked twice. */
  async ask<T>(request: () => Promise<T>): Promise<T> {
    const deadline = systemClock.now() + askWithinMs
    for (;;) {
      await this.#restarting
      try {
        return await request()
      } catch (error) {
        if (!isUnreachable(error) || systemClock.now() > deadline) throw error
        await systemClock.sleep(50)
      }
    }
  }

  /** A client of the daemon that serves now. */
  client(region: string): EC2Client {
    const key = `${this.#kiln.url} ${region}`
    const known = this.#clients.get(key)
    if (known) return known
    const credentials = { accessKeyId: '123456789012', secretAccessKey: 'any' }
    const client = new EC2Client({ endpoint: this.#kiln.url, region, credentials, maxAttempts: 1 })
    this.#clients.set(key, client)
    return client
  }

  close(): void {
    for (const client of this.#clients.values()) client.destroy()
  }
}

export function storageDaemonsOf(home: string): ProcessRef[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const line = readFileSync(`/proc/${name}/cmdline`, 'utf8')
        if (!line.startsWith('qemu-storage-daemon\0') || !line.includes(`${home}/`)) return []
        const startTicks = startTicksOf(Number(name))
        return startTicks === undefined ? [] : [{ pid: Number(name), startTicks }]
      } catch {
        return []
      }
    })
}

const lost = ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'TimeoutError']

function isUnreachable(error: unknown): boolean {
  const { code, name, message } = error as { code?: string; name?: string; message?: string }
  return lost.some((word) => word === code || word === name) || /socket hang up|aborted/.test(message ?? '')
}
