/**
 * The tokens of the EBS direct APIs: one for each block that was listed, and one for the next page of a list. A token
 * says when it expires and which block is meant, and holds a checksum that binds it to everything it was given for: one
 * that was changed, or carried elsewhere, is refused. It is no secret and grants nothing: who may read a snapshot is
 * decided anew each time. So it needs no key, and any server can read what any other has given out.
 *
 * Source of the times: "Frequently asked questions for EBS direct APIs" in the EBS user guide.
 */
import { hash } from 'node:crypto'

export const blockTokenLivesMs = 7 * 24 * 3600_000
export const pageTokenLivesMs = 60 * 60_000

export interface TokenClaim {
  expiresAtMs: number
  blockIndex: number
}

const headBytes = 6 + 4
/** Makes a token of 36 bytes, 48 characters in base64. */
const checksumBytes = 26

/** `bound` is what the token is given for: the kind first, then region, snapshots and whatever else it must not leave. */
export function writeToken(bound: readonly string[], { expiresAtMs, blockIndex }: TokenClaim): string {
  const head = Buffer.alloc(headBytes)
  head.writeUIntBE(expiresAtMs, 0, 6)
  head.writeUInt32BE(blockIndex, 6)
  const checksum = hash('sha256', JSON.stringify([...bound, expiresAtMs, blockIndex]), 'buffer')
  return Buffer.concat([head, checksum.subarray(0, checksumBytes)]).toString('base64')
}

/** Undefined when it is no token, was not given for this, or has expired. */
export function readToken(bound: readonly string[], token: string, nowMs: number): TokenClaim | undefined {
  const bytes = Buffer.from(token, 'base64')
  if (bytes.length !== headBytes + checksumBytes) return undefined
  const claim = { expiresAtMs: bytes.readUIntBE(0, 6), blockIndex: bytes.readUInt32BE(6) }
  return writeToken(bound, claim) === token && nowMs <= claim.expiresAtMs ? claim : undefined
}
