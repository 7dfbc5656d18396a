/**
 * A guest whose file systems hold still for a moment, by its own agent. Whatever happens, it is let go on: a guest that
 * was told to hold still, or may have been, is asked until it says that it does not.
 */
import type { Clock } from '../../lib/clock.ts'
import { messageOf } from '../../lib/errors.ts'
import type { Log } from '../../lib/log.ts'
import { agentChardev, GuestAgent } from './guest-agent.ts'
import { runState } from './machine-status.ts'
import type { QmpConnection } from './qmp.ts'

interface Chardev {
  label: string
  /** Whether a program in the guest has the port open. */
  'frontend-open': boolean
}

const firstPauseMs = 5000
const longestPauseMs = 300_000

export class QuietGuest {
  readonly #agentSocket: string
  readonly #clock: Clock
  readonly #log: Log
  /** It was told to hold still, and has not said since that it goes on; or an earlier daemon may have told it. */
  #mayBeHeld = false
  /** When it is asked next to go on, and how long after that the time after next. */
  #askAtMs = 0
  #askAgainAfterMs = firstPauseMs

  constructor(agentSocket: string, clock: Clock, log: Log) {
    this.#agentSocket = agentSocket
    this.#clock = clock
    this.#log = log
  }

  /** Whether it is time to call {@link upkeep}. */
  get isDue(): boolean {
    return this.#mayBeHeld && this.#clock.now() >= this.#askAtMs
  }

  /** An earlier daemon may have been killed at the wrong moment: to be called when its machine was found. */
  suspectHeld(): void {
    this.#mayBeHeld = true
    this.#askAtMs = 0
  }

  /** Does the work while the guest holds still, or all the same when it does not; whether it did. */
  async during(qmp: QmpConnection, work: () => Promise<void>): Promise<boolean> {
    const agent = await this.#hold(qmp)
    try {
      await work()
    } finally {
      if (agent) await this.#letGo(agent)
    }
    return agent !== undefined
  }

  /** Lets a guest go on that may still hold still. One that never answers is asked more and more seldom. */
  async upkeep(qmp: QmpConnection): Promise<void> {
    if (!this.isDue) return
    this.#askAtMs = this.#clock.now() + this.#askAgainAfterMs
    this.#askAgainAfterMs = Math.min(this.#askAgainAfterMs * 2, longestPauseMs)
    if (await listens(qmp)) await this.#askToGoOn()
  }

  /** Undefined when the guest does not hold still. */
  async #hold(qmp: QmpConnection): Promise<GuestAgent | undefined> {
    if (!(await listens(qmp))) return undefined
    let agent: GuestAgent | undefined
    try {
      agent = await GuestAgent.connect(this.#agentSocket, this.#clock)
      this.suspectHeld()
      await agent.freeze()
      return agent
    } catch (error) {
      this.#log.warn({ error: messageOf(error) }, 'the guest does not hold still: its snapshot is taken all the same')
      agent?.close()
      // It may still do what it was told when nobody waits any more.
      if (agent) await this.#askToGoOn().catch((reason) => this.#warnOfHeld(reason))
      return undefined
    }
  }

  async #letGo(agent: GuestAgent): Promise<void> {
    try {
      await agent.thaw()
      this.#goesOn()
    } catch (error) {
      this.#warnOfHeld(error)
    } finally {
      agent.close()
    }
  }

  /** Speaks to the agent anew, so that an answer which comes late is not taken for another one. */
  async #askToGoOn(): Promise<void> {
    const agent = await GuestAgent.connect(this.#agentSocket, this.#clock)
    try {
      // What the guest's own people made hold still, by other ways, is no matter of ours.
      if (await agent.isFrozen()) await agent.thaw()
      this.#goesOn()
    } finally {
      agent.close()
    }
  }

  #goesOn(): void {
    this.#mayBeHeld = false
    this.#askAgainAfterMs = firstPauseMs
  }

  #warnOfHeld(error: unknown): void {
    this.#log.warn({ error: messageOf(error) }, 'the guest was not heard to go on: it is asked again')
  }
}

/** Without it nobody would answer, and only time would tell. */
async function listens(qmp: QmpConnection): Promise<boolean> {
  const devices = await qmp.execute<Chardev[]>('query-chardev')
  const isOpen = devices.some((device) => device.label === agentChardev && device['frontend-open'])
  return isOpen && (await runState(qmp)) === 'running'
}
