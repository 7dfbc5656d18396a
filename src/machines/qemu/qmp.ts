/**
 * One connection to a QMP server: a running QEMU, or a qemu-storage-daemon. JSON objects, one a line, on a unix socket.
 *
 * A server takes one client at a time. A connection that was lost stays lost: whoever owns it decides what that means
 * and connects anew.
 */
import { createConnection, type Socket } from 'node:net'
import type { Clock } from '../../lib/clock.ts'

export interface QmpEvent {
  event: string
  data: Readonly<Record<string, unknown>>
}

/** The server understood and refused. `kind` is QMP's error class, mostly `GenericError`. */
export class QmpError extends Error {
  readonly kind: string

  constructor(command: string, kind: string, description: string) {
    super(`${command}: ${description}`)
    this.name = 'QmpError'
    this.kind = kind
  }
}

export interface QmpOptions {
  clock: Clock
  /** How long the server may take from the connection to its greeting. */
  timeoutMs: number
  onEvent?: (event: QmpEvent) => void
  /** Called once, after which every command fails. */
  onClose?: () => void
}

type Message = Readonly<Record<string, unknown>>

interface Waiter {
  command: string
  settle(reply: Message): void
  fail(error: Error): void
}

/** Far above any answer of ours; a server that sends more in one line is broken. */
const longestLineBytes = 32 * 1024 * 1024
const defaultTimeoutMs = 10_000
const greetingId = 'greeting'

export class QmpConnection {
  readonly #socket: Socket
  readonly #options: QmpOptions
  readonly #waiters = new Map<string, Waiter>()
  #unread = ''
  #lastId = 0
  #end: Error | undefined

  private constructor(socket: Socket, options: QmpOptions) {
    this.#socket = socket
    this.#options = options
  }

  /** Connects, waits for the greeting and leaves the negotiation mode: commands may follow at once. */
  static async connect(socketPath: string, options: QmpOptions): Promise<QmpConnection> {
    const connection = new QmpConnection(createConnection({ path: socketPath }), options)
    try {
      const greeted = connection.#wait(greetingId, 'greeting', options.timeoutMs)
      connection.#listen()
      await greeted
      await connection.execute('qmp_capabilities', {}, options.timeoutMs)
      return connection
    } catch (error) {
      connection.close()
      throw error
    }
  }

  get isOpen(): boolean {
    return this.#end === undefined
  }

  /**
   * What the server returns. Throws {@link QmpError} when it refuses, another error when the connection ends or no
   * answer comes in time; the command may then still take effect.
   */
  async execute<T = unknown>(command: string, args: Message = {}, timeoutMs = defaultTimeoutMs): Promise<T> {
    if (this.#end) throw this.#end
    this.#lastId += 1
    const id = String(this.#lastId)
    const reply = this.#wait(id, command, timeoutMs)
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`)
    return (await reply).return as T
  }

  /** Lets go of the server, which goes on. */
  close(): void {
    this.#finish(new Error('the QMP connection was closed'))
  }

  #listen(): void {
    this.#socket.setEncoding('utf8')
    this.#socket.on('data', (text: string) => this.#receive(text))
    this.#socket.on('error', (error) => this.#finish(error))
    this.#socket.on('close', () => this.#finish(new Error('the QMP server closed the connection')))
  }

  #wait(id: string, command: string, timeoutMs: number): Promise<Message> {
    const timer = new AbortController()
    const reply = new Promise<Message>((settle, fail) => {
      this.#waiters.set(id, { command, settle, fail })
      this.#options.clock.sleep(timeoutMs, timer.signal).then(
        () => fail(new Error(`${command}: no answer within ${timeoutMs} ms`)),
        () => {},
      )
    })
    return reply.finally(() => {
      this.#waiters.delete(id)
      timer.abort()
    })
  }

  #receive(text: string): void {
    this.#unread += text
    const lines = this.#unread.split('\n')
    this.#unread = lines.pop()!
    if (this.#unread.length > longestLineBytes) this.#finish(new Error('the QMP server sent an endless line'))
    for (const line of lines.filter((line) => line.trim() !== '')) {
      const message = parsed(line)
      if (message) this.#handle(message)
      else this.#finish(new Error('the QMP server sent what is not JSON'))
    }
  }

  #handle(message: Message): void {
    if ('event' in message) {
      this.#options.onEvent?.({ event: String(message.event), data: (message.data ?? {}) as QmpEvent['data'] })
      return
    }
    // An answer that comes after its command was given up has no waiter any more.
    const waiter = this.#waiters.get('QMP' in message ? greetingId : String(message.id))
    if (!waiter) return
    if ('error' in message) {
      const { class: kind, desc } = message.error as { class: string; desc: string }
      waiter.fail(new QmpError(waiter.command, kind, desc))
    } else {
      waiter.settle(message)
    }
  }

  #finish(error: Error): void {
    if (this.#end) return
    this.#end = error
    this.#socket.destroy()
    for (const waiter of this.#waiters.values()) waiter.fail(error)
    this.#options.onClose?.()
  }
}

function parsed(line: string): Message | undefined {
  try {
    return JSON.parse(line) as Message
  } catch {
    return undefined
  }
}
