/**
 * Speaks to the guest agent, a program that many images have (`qemu-guest-agent`): it can make the guest's file systems
 * quiet for a moment, so that a snapshot holds them as after a clean unmount. JSON over a serial port of the machine,
 * which QEMU shows us as a unix socket.
 *
 * Whatever comes out of that socket was written by the guest, and is bounded, parsed and never trusted: the worst that a
 * guest can do is to make us wait as long as we would for a slow one, and to get a snapshot of itself that is not quiet.
 * Source: QEMU's "QEMU Guest Agent Protocol Reference".
 */
import { createConnection, type Socket } from 'node:net'
import { type Clock, within } from '../../lib/clock.ts'

/** The name by which agents know their port, and QEMU's name for our end of it. */
export const agentPortName = 'org.qemu.guest_agent.0'
export const agentChardev = 'agent'

/** An agent that is there answers in milliseconds; a guest that boots under emulation takes its time. */
const syncTimeoutMs = 3000
/** All that the guest has not written yet goes to its disks first. */
const freezeTimeoutMs = 10_000
const thawTimeoutMs = 5000
/** Far above any answer of ours, and what a guest can make us hold. */
const longestAnswerBytes = 64 * 1024
const longestReasonLength = 200
/** Clears what an agent still holds of an earlier speaker's half request, and begins the answer to a sync. */
const delimiter = 0xff

export class GuestAgent {
  readonly #socket: Socket
  readonly #clock: Clock
  #unread: Buffer = Buffer.alloc(0)
  #end: Error | undefined
  #wake = () => {}

  private constructor(socket: Socket, clock: Clock) {
    this.#socket = socket
    this.#clock = clock
    socket.on('data', (bytes: Buffer) => {
      this.#unread = Buffer.concat([this.#unread, bytes])
      if (this.#unread.length > longestAnswerBytes) this.#finish(new Error('the guest agent sends without end'))
      this.#wake()
    })
    socket.on('error', (error) => this.#finish(error))
    socket.on('close', () => this.#finish(new Error('the connection to the guest agent ended')))
  }

  /** Resolves once an agent has answered. Throws when none does in time. */
  static async connect(socketPath: string, clock: Clock): Promise<GuestAgent> {
    const agent = new GuestAgent(createConnection({ path: socketPath }), clock)
    try {
      await within(clock, agent.#sync(), { what: 'greeting the guest agent', timeoutMs: syncTimeoutMs })
      return agent
    } catch (error) {
      agent.close()
      throw error
    }
  }

  /** How many file systems hold still now. Throws when it cannot be done or takes too long; they may hold still then. */
  async freeze(): Promise<number> {
    const count = await this.#execute('guest-fsfreeze-freeze', freezeTimeoutMs)
    if (typeof count !== 'number') throw new Error('the guest agent did not say what it froze')
    return count
  }

  async thaw(): Promise<void> {
    await this.#execute('guest-fsfreeze-thaw', thawTimeoutMs)
  }

  async isFrozen(): Promise<boolean> {
    return (await this.#execute('guest-fsfreeze-status', thawTimeoutMs)) === 'frozen'
  }

  close(): void {
    this.#finish(new Error('the connection to the guest agent was closed'))
  }

  /** Answers that were meant for an earlier speaker come before the delimiter, or carry another number. */
  async #sync(): Promise<void> {
    const id = this.#clock.now()
    this.#socket.write(Buffer.of(delimiter))
    this.#send('guest-sync-delimited', { id })
    for (;;) {
      await this.#until(() => this.#unread.includes(delimiter))
      this.#unread = this.#unread.subarray(this.#unread.indexOf(delimiter) + 1)
      if ((await this.#answer()).return === id) return
    }
  }

  async #execute(command: string, timeoutMs: number): Promise<unknown> {
    this.#send(command)
    const { return: result, error } = await within(this.#clock, this.#answer(), { what: command, timeoutMs })
    if (error !== undefined) throw new Error(`the guest agent refused ${command}: ${reasonOf(error)}`)
    return result
  }

  #send(command: string, args?: Record<string, unknown>): void {
    this.#socket.write(`${JSON.stringify({ execute: command, ...(args && { arguments: args }) })}\n`)
  }

  async #answer(): Promise<Readonly<Record<string, unknown>>> {
    await this.#until(() => this.#unread.includes('\n'))
    const end = this.#unread.indexOf('\n')
    const line = this.#unread.toString('utf8', 0, end)
    this.#unread = this.#unread.subarray(end + 1)
    return parsed(line)
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.#end) throw this.#end
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  #finish(error: Error): void {
    this.#end ??= error
    this.#socket.destroy()
    this.#wake()
  }
}

/** What is not an object says nothing. */
function parsed(line: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}

/** The guest's own words, for a log: short, and without anything that a terminal would obey. */
function reasonOf(error: unknown): string {
  const reason = typeof error === 'object' && error !== null && 'desc' in error ? String(error.desc) : 'no reason given'
  return reason.replace(/[^\x20-\x7e]/g, '?').slice(0, longestReasonLength)
}
