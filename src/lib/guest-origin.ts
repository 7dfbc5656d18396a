/**
 * How guests reach the API, and how the daemon knows them. A relay of the network opens a connection to the daemon for each
 * connection of a guest, and says first, in one line, whose it is; everything after that line is the guest's own. So
 * nothing that a guest can send is ever read as a statement about the guest.
 */
import type { Socket } from 'node:net'
import { readLine, writeLine } from './socket-lines.ts'

/** Where guests find the API: beside their metadata, on the port that Kiln has by default. */
export const guestApi = { address: '169.254.169.254', port: 4566 } as const

export interface GuestOrigin {
  vpcId: string
  /** The guest's private address. */
  sourceIp: string
}

export function sendOrigin(socket: Socket, { vpcId, sourceIp }: GuestOrigin): void {
  writeLine(socket, { vpcId, sourceIp })
}

/** Leaves the guest's bytes in the socket, paused. Throws when something else comes, or nothing. */
export async function readOrigin(socket: Socket, timeoutMs: number): Promise<GuestOrigin> {
  const { vpcId, sourceIp } = await readLine<Partial<GuestOrigin>>(socket, timeoutMs)
  if (typeof vpcId === 'string' && typeof sourceIp === 'string') return { vpcId, sourceIp }
  throw new Error('a connection did not say which guest it is of')
}
