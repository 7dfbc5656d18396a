/**
 * What the daemon and a VPC's agent say to each other on the agent's unix socket: one JSON line each way. After a
 * successful `dial` the connection is the guest's, byte for byte.
 */
import type { GuestAnswer } from '../driver.ts'

/** Raised whenever agent and protocol change: a daemon replaces an agent of another version. */
export const agentVersion = 4

export type AgentRequest =
  /** Who is there? */
  | { op: 'hello' }
  /** Connects to a guest's TCP port. */
  | { op: 'dial'; host: string; port: number; timeoutMs: number }
  /** What a guest says to somebody who asks for its SSH port. */
  | { op: 'probe'; host: string; timeoutMs: number }

export type AgentReply =
  | { ok: true; version?: number; metadataSocketPath?: string; apiSocketPath?: string; answer?: GuestAnswer }
  /** `code` is the system's error code, as ECONNREFUSED. */
  | { ok: false; code: string }
