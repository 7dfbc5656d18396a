/**
 * What the daemon and a VPC's agent say to each other on the agent's unix socket: one JSON line each way. After a
 * successful `dial` the connection is the guest's, byte for byte.
 */
import type { Socket } from 'node:net'
import type { GuestAnswer } from '../driver.ts'

/** Raised whenever agent and protocol change: a daemon replaces an agent of another version. */
export const agentVersion = 3

export type AgentRequest =
  /** Who is there? */
  | { op: 'hello' }
  /** Connects to a guest's TCP port. */
  | { op: 'dial'; host: string; port: number; timeoutMs: number }
  /** What a guest says to somebody who asks for its SSH port. */
  | { op: 'probe'; host: string; timeoutMs: number }

export type AgentReply =
  | { ok: true; version?: number; metadataSocketPath?: string; answer?: GuestAnswer }
  /** `code` is the system's error code, as ECONNREFUSED. */
  | { ok: false; code: string }

const lineBytesMax = 1024

export function writeLine(socket: Socket, message: AgentRequest | AgentReply): void {
  socket.write(`${JSON.stringify(message)}\n`)
}

/** Reads the first line; what follows it stays in the socket, which is left paused. */
export function readLine<T>(socket: Socket, timeoutMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0)
    const finish = (act: () => void) => {
      clearTimeout(timer)
      socket.off('readable', read).off('error', fail).off('close', closed).off('end', closed)
      act()
    }
    const fail = (error: Error) => finish(() => reject(error))
    const closed = () => fail(new Error('the other side closed the connection'))
    const timer = setTimeout(() => fail(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
    const read = () => {
      const chunk = socket.read() as Buffer | null
      if (chunk === null) return
      received = Buffer.concat([received, chunk])
      const end = received.indexOf(10)
      if (end < 0 && received.length <= lineBytesMax) return
      if (end < 0 || end > lineBytesMax) return fail(new Error('the line is too long'))
      finish(() => {
        if (received.length > end + 1) socket.unshift(received.subarray(end + 1))
        try {
          resolve(JSON.parse(received.subarray(0, end).toString('utf8')))
        } catch (error) {
          reject(error)
        }
      })
    }
    socket.on('readable', read).on('error', fail).on('close', closed).on('end', closed)
  })
}
