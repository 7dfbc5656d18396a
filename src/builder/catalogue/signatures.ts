/** OpenPGP signatures of checksums, by keys whose fingerprints the catalogue pins. */
import { createMessage, readCleartextMessage, readKeys, readSignature, verify } from 'openpgp'
import { messageOf } from '../../lib/errors.ts'

type Keys = Awaited<ReturnType<typeof readKeys>>

/** A text that a pinned key has signed. */
export interface SignedText {
  text: string
  fingerprint: string
}

/** Checksums that nobody of the publisher's has signed. */
export class WrongSignature extends Error {}

/** The keys of the text that the fingerprint names. Throws when there is none. */
export async function pinnedKeys(armored: string, fingerprint: string): Promise<Keys> {
  const keys = await readKeys({ armoredKeys: armored }).catch((error) => {
    throw new WrongSignature(`the key ${fingerprint} cannot be read: ${messageOf(error)}`, { cause: error })
  })
  const named = keys.filter((key) => key.getFingerprint().toUpperCase() === fingerprint)
  if (named.length > 0) return named
  const others = keys.map((key) => key.getFingerprint().toUpperCase()).join(', ')
  throw new WrongSignature(`the key ${fingerprint} was replaced: its file has ${others}`)
}

/** Bytes with their signature in another file. */
export async function verifyDetached(bytes: Buffer, signature: Buffer, keys: Keys): Promise<SignedText> {
  const verified = await readable('the signature', async () => {
    const message = await createMessage({ binary: new Uint8Array(bytes) })
    return await verify({ message, signature: await signatureOf(signature), verificationKeys: keys })
  })
  return { text: bytes.toString('utf8'), fingerprint: await signerOf(verified.signatures, keys) }
}

/** A text that carries its signature. Only what was signed comes back, not what stands around it. */
export async function verifyInline(bytes: Buffer, keys: Keys): Promise<SignedText> {
  const verified = await readable('the signed text', async () => {
    const message = await readCleartextMessage({ cleartextMessage: bytes.toString('utf8') })
    return await verify({ message, verificationKeys: keys })
  })
  return { text: verified.data, fingerprint: await signerOf(verified.signatures, keys) }
}

function signatureOf(bytes: Buffer) {
  const text = bytes.toString('latin1')
  return text.includes('-----BEGIN PGP SIGNATURE-----')
    ? readSignature({ armoredSignature: text })
    : readSignature({ binarySignature: new Uint8Array(bytes) })
}

async function readable<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw new WrongSignature(`${what} cannot be read: ${messageOf(error)}`, { cause: error })
  }
}

/** One good signature by a pinned key is enough; others may be there, as when a publisher changes keys. */
async function signerOf(
  signatures: readonly { keyID: { toHex(): string }; verified: Promise<true> }[],
  keys: Keys,
): Promise<string> {
  const reasons: string[] = []
  for (const { keyID, verified } of signatures) {
    try {
      await verified
      const signer = keys.find((key) => key.getKeys(keyID as never).length > 0)
      if (signer) return signer.getFingerprint().toUpperCase()
    } catch (error) {
      reasons.push(messageOf(error))
    }
  }
  throw new WrongSignature(reasons.join('; ') || 'it has no signature')
}
