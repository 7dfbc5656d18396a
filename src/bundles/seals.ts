/**
 * The cryptography of a bundle, as the format has it: AES-128-CBC under a key that travels as hexadecimal text, sealed
 * with RSA (PKCS #1 v1.5) for the user's certificate and for the cloud's; the signature is RSA with SHA-1 over the signed
 * text. SHA-1 is no proof against whoever can choose both sides of a collision; it is what the tools of the format do.
 */
import {
  constants,
  createPublicKey,
  type KeyObject,
  privateDecrypt,
  publicEncrypt,
  sign,
  verify,
  X509Certificate,
} from 'node:crypto'
import { BadBundle } from './bad-bundle.ts'
import { signedText } from './manifest.ts'

/** 16 bytes each. */
export interface BundleKey {
  key: Buffer
  iv: Buffer
}

export interface SealedKey {
  key: string
  iv: string
}

const padding = constants.RSA_PKCS1_PADDING

/** Hexadecimal, for whoever has the certificate's private key. */
export function sealKey({ key, iv }: BundleKey, certificatePem: string): SealedKey {
  const recipient = publicKeyOf(certificatePem)
  const seal = (secret: Buffer) =>
    publicEncrypt({ key: recipient, padding }, Buffer.from(secret.toString('hex'))).toString('hex')
  return { key: seal(key), iv: seal(iv) }
}

/** Throws {@link BadBundle} when it was sealed for somebody else. */
export function openKey(sealed: SealedKey, privateKey: KeyObject): BundleKey {
  return { key: openSecret(sealed.key, privateKey), iv: openSecret(sealed.iv, privateKey) }
}

function openSecret(sealed: string, privateKey: KeyObject): Buffer {
  const wrongKey = 'the key of the bundle is sealed for another certificate'
  let text: string
  try {
    text = privateDecrypt({ key: privateKey, padding }, Buffer.from(sealed, 'hex')).toString('latin1')
  } catch (cause) {
    throw new BadBundle(wrongKey, { cause })
  }
  // A wrong key gives chance bytes instead of an error (OpenSSL's implicit rejection).
  if (!/^[0-9a-fA-F]{32}$/.test(text)) throw new BadBundle(wrongKey)
  return Buffer.from(text, 'hex')
}

/** Hexadecimal. */
export function signText(text: string, privateKey: KeyObject): string {
  return sign('sha1', Buffer.from(text), privateKey).toString('hex')
}

/** The certificate whose key signed the document; undefined when none of them did. */
export function signerOf(
  document: string | Uint8Array,
  signature: string,
  certificatePems: readonly string[],
): string | undefined {
  const signed = Buffer.from(signedText(document))
  const bytes = Buffer.from(signature, 'hex')
  return certificatePems.find((pem) => verify('sha1', signed, publicKeyOf(pem), bytes))
}

function publicKeyOf(certificatePem: string): KeyObject {
  return createPublicKey(new X509Certificate(certificatePem).publicKey.export({ type: 'spki', format: 'pem' }))
}
