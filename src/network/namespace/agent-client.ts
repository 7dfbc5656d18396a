/** The daemon's side of a VPC's agent. */

import { connect, type Socket } from 'node:net'
import { readLine, writeLine } from '../../lib/socket-lines.ts'
import type { GuestAnswer } from '../driver.ts'
import { spliceable } from '../splice.ts'
import type { AgentReply, AgentRequest } from './agent-protocol.ts'

/** Above the agent's own deadline, which it keeps. */
const replyMarginMs = 2000
const helloTimeoutMs = 2000

/** Why a guest could not be reached; `code` is the system's error code, as ECONNREFUSED. */
export class DialError extends Error {
  readonly code: string

  constructor(code: string, target: string) {
    super(`${target}: ${code}`)
    this.name = 'DialError'
    this.code = code
  }
}

/** A connection to a guest's TCP port, paused and half-open capable. Throws {@link DialError}, or when no agent answers. */
export async function dialGuest(socketPath: string, host: string, port: number, timeoutMs: number): Promise<Socket> {
  const { socket, reply } = await ask(socketPath, { op: 'dial', host, port, timeoutMs }, timeoutMs + replyMarginMs)
  if (reply.ok) return socket
  socket.destroy()
  throw new DialError(reply.code, `${host}:${port}`)
}

/** `silent` also when no agent answers. */
export async function probeGuest(socketPath: string, host: string, timeoutMs: number): Promise<GuestAnswer> {
  const reply = await askOnce(socketPath, { op: 'probe', host, timeoutMs }, timeoutMs + replyMarginMs)
  return (reply?.ok && reply.answer) || 'silent'
}

/** What the agent says of itself; undefined when none answers. */
export async function greetAgent(
  socketPath: string,
): Promise<{ version?: number; metadataSocketPath?: string; apiSocketPath?: string } | undefined> {
  const reply = await askOnce(socketPath, { op: 'hello' }, helloTimeoutMs)
  return reply?.ok ? reply : undefined
}

async function askOnce(socketPath: string, request: AgentRequest, timeoutMs: number): Promise<AgentReply | undefined> {
  try {
    const { socket, reply } = await ask(socketPath, request, timeoutMs)
    socket.destroy()
    return reply
  } catch {
    return undefined
  }
}

async function ask(
  socketPath: string,
  request: AgentRequest,
  timeoutMs: number,
): Promise<{ socket: Socket; reply: AgentReply }> {
  const socket = connect({ path: socketPath, ...spliceable })
  try {
    const reply = readLine<AgentReply>(socket, timeoutMs)
    writeLine(socket, request)
    return { socket, reply: await reply }
  } catch (error) {
    socket.on('error', () => {})
    socket.destroy()
    throw error
  }
}
