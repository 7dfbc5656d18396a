/**
 * IMDSv2 session tokens. A token says when it expires and carries a MAC over that and its instance, so nothing needs to
 * be kept, tokens survive a restart, and one instance's token is worth nothing to another.
 *
 * Layout, in base64: version (1 byte), expiry in Unix seconds (6 bytes), HMAC-SHA-256 (32 bytes).
 */
import { createHmac, timingSafeEqual } from 'node:crypto'

/** Source: "Use the Instance Metadata Service to access instance metadata" in the Amazon EC2 user guide. */
export const tokenTtlSecondsMax = 21_600

const version = 1
const claimBytes = 7
const macBytes = 32

export function issueToken(secret: Buffer, instanceId: string, ttlSeconds: number, nowMs: number): string {
  const claim = Buffer.alloc(claimBytes)
  claim.writeUInt8(version, 0)
  claim.writeUIntBE(Math.floor(nowMs / 1000) + ttlSeconds, 1, 6)
  return Buffer.concat([claim, macOf(secret, instanceId, claim)]).toString('base64')
}

/** Seconds that the token is still good for on that instance; 0 when it is forged, expired or another's. */
export function tokenSecondsLeft(secret: Buffer, instanceId: string, token: string, nowMs: number): number {
  const bytes = Buffer.from(token, 'base64')
  if (bytes.length !== claimBytes + macBytes || bytes[0] !== version) return 0
  const claim = bytes.subarray(0, claimBytes)
  if (!timingSafeEqual(bytes.subarray(claimBytes), macOf(secret, instanceId, claim))) return 0
  return Math.max(0, claim.readUIntBE(1, 6) - Math.floor(nowMs / 1000))
}

function macOf(secret: Buffer, instanceId: string, claim: Buffer): Buffer {
  return createHmac('sha256', secret).update('kiln imds token\n').update(`${instanceId}\n`).update(claim).digest()
}
