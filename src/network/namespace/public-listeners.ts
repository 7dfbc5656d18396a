/**
 * Public addresses: the daemon listens on 127.x.y.z for each port that an instance offers, and carries every connection
 * into the VPC. The listeners are reconciled to what is wanted; one that is no longer wanted closes with all its
 * connections.
 */
import { createServer, type Server, type Socket } from 'node:net'
import type { Log } from '../../lib/log.ts'
import { abort, splice, spliceable } from '../splice.ts'

export interface PublicEndpoint {
  publicIp: string
  port: number
  privateIp: string
}

export type Dial = (endpoint: PublicEndpoint) => Promise<Socket>

const connectionsPerPortMax = 2000

interface Listener {
  endpoint: PublicEndpoint
  server: Server
  connections: Set<Socket>
}

export class PublicListeners {
  readonly #dial: Dial
  readonly #log: Log
  readonly #listeners = new Map<string, Listener>()
  /** What was said already: a port that stays busy is not said at every reconciliation. */
  readonly #warned = new Set<string>()

  constructor(dial: Dial, log: Log) {
    this.#dial = dial
    this.#log = log
  }

  /** Listens on exactly these endpoints, as far as the host allows; what it does not allow is logged. */
  async reconcile(wanted: readonly PublicEndpoint[]): Promise<void> {
    const keys = new Map(wanted.map((endpoint) => [keyOf(endpoint), endpoint]))
    for (const [key, listener] of this.#listeners) {
      if (!keys.has(key)) this.#close(key, listener)
    }
    await Promise.all(
      [...keys].filter(([key]) => !this.#listeners.has(key)).map(([key, endpoint]) => this.#open(key, endpoint)),
    )
  }

  /** The endpoints that are served now. */
  endpoints(): PublicEndpoint[] {
    return [...this.#listeners.values()].map((listener) => listener.endpoint)
  }

  close(): Promise<void> {
    return this.reconcile([])
  }

  #open(key: string, endpoint: PublicEndpoint): Promise<void> {
    const connections = new Set<Socket>()
    const server = createServer({ ...spliceable, pauseOnConnect: true }, (client) => {
      connections.add(client)
      client.once('close', () => connections.delete(client))
      this.#carry(client, endpoint)
    })
    server.maxConnections = connectionsPerPortMax
    return new Promise((resolve) => {
      server.once('error', (error: NodeJS.ErrnoException) => {
        this.#warn(key, endpoint, error)
        resolve()
      })
      server.listen({ host: endpoint.publicIp, port: endpoint.port }, () => {
        server.on('error', (error) => this.#log.warn({ endpoint, error }, 'a public port failed'))
        this.#listeners.set(key, { endpoint, server, connections })
        this.#warned.delete(key)
        resolve()
      })
    })
  }

  async #carry(client: Socket, endpoint: PublicEndpoint): Promise<void> {
    client.on('error', () => {})
    try {
      const guest = await this.#dial(endpoint)
      if (client.destroyed) return abort(guest)
      splice(client, guest)
      client.resume()
    } catch (error) {
      this.#log.debug({ endpoint, error }, 'an instance did not accept a connection to its public address')
      abort(client)
    }
  }

  #close(key: string, listener: Listener): void {
    this.#listeners.delete(key)
    listener.server.close()
    for (const connection of listener.connections) abort(connection)
  }

  #warn(key: string, endpoint: PublicEndpoint, error: NodeJS.ErrnoException): void {
    const refusal = error.code === 'EACCES' ? 'EACCES' : key
    if (this.#warned.has(refusal)) return
    this.#warned.add(refusal)
    this.#log.warn({ endpoint, code: error.code }, explain(endpoint, error))
  }
}

function keyOf(endpoint: PublicEndpoint): string {
  return `${endpoint.publicIp}:${endpoint.port}>${endpoint.privateIp}`
}

function explain({ publicIp, port }: PublicEndpoint, error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case 'EACCES':
      return (
        `ports below 1024 of public addresses (as ${publicIp}:${port}) are closed, because this user may not listen ` +
        'there; to open them, type: sudo sysctl -w net.ipv4.ip_unprivileged_port_start=0'
      )
    case 'EADDRINUSE':
      return (
        `${publicIp}:${port} is taken by another program, so the instance cannot be reached there; a server that listens ` +
        `on all addresses (0.0.0.0:${port}) takes the public ones too: give it an address of its own, as ListenAddress in sshd_config`
      )
    default:
      return `cannot listen on ${publicIp}:${port}: ${error.message}`
  }
}
