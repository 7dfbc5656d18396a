/**
 * Secrets under a key: AES-256-GCM, and sub-keys by HKDF (RFC 5869). A nonce is made of what is sealed, by HMAC under a
 * sub-key of its own: so the same secret gives the same bytes, no nonce ever serves two secrets, and sealing needs no
 * chance.
 *
 * Sealed: the version byte 1, the nonce (12 bytes), the ciphertext, the tag (16 bytes).
 */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from 'node:crypto'

export const keyBytes = 32
const version = 1
const nonceBytes = 12
const tagBytes = 16

/** What is sealed was sealed with another key, or for something else, or was changed. */
export class WrongKey extends Error {
  constructor(about: string) {
    super(`what is sealed as ${about} does not open with this key`)
    this.name = 'WrongKey'
  }
}

/** An independent key for one purpose: who has it learns nothing of the key that it comes from, nor of other sub-keys. */
export function subKey(key: Buffer, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', key, Buffer.alloc(0), `kiln ${purpose}`, keyBytes))
}

/** `about` is bound to the result: what was sealed as one thing does not open as another. */
export function seal(key: Buffer, secret: Buffer, about: string): Buffer {
  const nonce = createHmac('sha256', subKey(key, 'seal nonce')).update(about).update('\0').update(secret).digest()
  const cipher = createCipheriv('aes-256-gcm', subKey(key, 'seal'), nonce.subarray(0, nonceBytes))
  cipher.setAAD(Buffer.from(about))
  const sealed = [cipher.update(secret), cipher.final()]
  return Buffer.concat([Buffer.of(version), nonce.subarray(0, nonceBytes), ...sealed, cipher.getAuthTag()])
}

/** Throws {@link WrongKey}. */
export function unseal(key: Buffer, sealed: Buffer, about: string): Buffer {
  if (sealed.length < 1 + nonceBytes + tagBytes || sealed[0] !== version) throw new WrongKey(about)
  const decipher = createDecipheriv('aes-256-gcm', subKey(key, 'seal'), sealed.subarray(1, 1 + nonceBytes))
  decipher.setAAD(Buffer.from(about))
  decipher.setAuthTag(sealed.subarray(-tagBytes))
  const secret = decipher.update(sealed.subarray(1 + nonceBytes, -tagBytes))
  try {
    return Buffer.concat([secret, decipher.final()])
  } catch {
    throw new WrongKey(about)
  }
}
