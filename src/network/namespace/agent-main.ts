/**
 * A VPC's agent: the one program of Kiln's that runs inside the namespace. It connects the daemon to guests, and guests
 * to the daemon's metadata service and API. It holds no state, outlives the daemon, and can be replaced at any moment.
 *
 * Arguments: the agent's unix socket, the metadata service's, the API's for guests, the VPC's id.
 */

import { chmodSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { guestApi } from '../../lib/guest-origin.ts'
import { readLine, writeLine } from '../../lib/socket-lines.ts'
import { metadataAddress } from '../addresses.ts'
import { createApiRelay } from '../api-relay.ts'
import type { GuestAnswer } from '../driver.ts'
import { createMetadataRelay } from '../metadata-relay.ts'
import { splice, spliceable } from '../splice.ts'
import { type AgentReply, type AgentRequest, agentVersion } from './agent-protocol.ts'

const requestTimeoutMs = 5000
/** A login, and the discard service that hardly anyone runs: a guest that filters one port may still answer on the other. */
const sshPort = 22
const probePorts = [sshPort, 9]
const connectionsMax = 10_000

const [socketPath, metadataSocketPath, apiSocketPath, vpcId] = process.argv.slice(2) as [string, string, string, string]

const control = createServer(spliceable, (socket) => {
  serve(socket).catch(() => socket.destroy())
})
control.maxConnections = connectionsMax
rmSync(socketPath, { force: true })
control.listen(socketPath, () => chmodSync(socketPath, 0o600))
control.on('error', stop)

const sourceOf = (socket: Socket) => socket.remoteAddress
const metadata = createMetadataRelay({ vpcId, metadataSocketPath, sourceOf })
metadata.listen(80, metadataAddress)
metadata.on('error', stop)
const { server: api } = createApiRelay({ vpcId, apiSocketPath, sourceOf })
api.listen(guestApi.port, guestApi.address)
api.on('error', stop)

/** A guest's odd bytes must not end the agent; what is wrong with the agent itself must. */
function stop(error: Error): void {
  process.stderr.write(`agent of ${vpcId}: ${error.message}\n`)
  process.exit(1)
}

async function serve(socket: Socket): Promise<void> {
  socket.on('error', () => {})
  const request = await readLine<AgentRequest>(socket, requestTimeoutMs)
  switch (request.op) {
    case 'hello':
      return finish(socket, { ok: true, version: agentVersion, metadataSocketPath, apiSocketPath })
    case 'probe':
      return finish(socket, { ok: true, answer: await answerOf(request.host, request.timeoutMs) })
    case 'dial':
      return dial(socket, request)
    default:
      return finish(socket, { ok: false, code: 'EINVAL' })
  }
}

function finish(socket: Socket, reply: AgentReply): void {
  writeLine(socket, reply)
  socket.end()
}

async function dial(socket: Socket, request: { host: string; port: number; timeoutMs: number }): Promise<void> {
  try {
    const guest = await open(request.host, request.port, request.timeoutMs)
    if (socket.destroyed) return void guest.destroy()
    writeLine(socket, { ok: true })
    splice(socket, guest)
  } catch (error) {
    finish(socket, { ok: false, code: codeOf(error) })
  }
}

/** A refusal on any of the probe's ports is heard too; silence and unreachable are no answer. */
async function answerOf(host: string, timeoutMs: number): Promise<GuestAnswer> {
  const attempts = probePorts.map(async (port): Promise<GuestAnswer> => {
    try {
      const guest = await open(host, port, timeoutMs)
      guest.destroy()
      return port === sshPort ? 'accepts' : 'refuses'
    } catch (error) {
      return codeOf(error) === 'ECONNREFUSED' ? 'refuses' : 'silent'
    }
  })
  const answers = await Promise.all(attempts)
  return answers.find((answer) => answer === 'accepts') ?? answers.find((answer) => answer === 'refuses') ?? 'silent'
}

function open(host: string, port: number, timeoutMs: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const guest = connect({ host, port, ...spliceable })
    const timer = setTimeout(
      () => guest.destroy(Object.assign(new Error('timed out'), { code: 'ETIMEDOUT' })),
      timeoutMs,
    )
    guest.once('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
    guest.once('connect', () => {
      clearTimeout(timer)
      resolve(guest)
    })
  })
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'EIO'
}
