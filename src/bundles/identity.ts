/**
 * Who bundles, and for whom: an RSA key and a certificate around its public half. Certificates of the format are signed by
 * their own keys; nobody follows a chain, they only carry keys.
 */
import { createPrivateKey, generateKeyPair, type KeyObject, X509Certificate } from 'node:crypto'
import { promisify } from 'node:util'
import { BadBundle } from './bad-bundle.ts'

export interface Identity {
  /** PEM. */
  certificate: string
  /** PEM, PKCS #8. */
  privateKey: string
}

const modulusBits = 2048
const years = 10
const certificateMaxBytes = 16 * 1024
const leastBits = 1024

/** `serialNumber` is hexadecimal, and not that of another certificate. */
export async function createIdentity(about: {
  commonName: string
  serialNumber: string
  nowMs: number
}): Promise<Identity> {
  // Loaded when it is needed, which is once in the life of a home.
  const { default: forge } = await import('node-forge')
  const keys = await promisify(generateKeyPair)('rsa', { modulusLength: modulusBits })
  const certificate = forge.pki.createCertificate()
  certificate.serialNumber = positive(about.serialNumber)
  certificate.publicKey = forge.pki.publicKeyFromPem(String(keys.publicKey.export({ type: 'spki', format: 'pem' })))
  certificate.validity.notBefore = new Date(about.nowMs)
  certificate.validity.notAfter = new Date(about.nowMs)
  certificate.validity.notAfter.setUTCFullYear(certificate.validity.notAfter.getUTCFullYear() + years)
  const name = [{ shortName: 'CN', value: about.commonName }]
  certificate.setSubject(name)
  certificate.setIssuer(name)
  const pkcs1 = String(keys.privateKey.export({ type: 'pkcs1', format: 'pem' }))
  certificate.sign(forge.pki.privateKeyFromPem(pkcs1), forge.md.sha256.create())
  return {
    certificate: forge.pki.certificateToPem(certificate).replaceAll('\r', ''),
    privateKey: String(keys.privateKey.export({ type: 'pkcs8', format: 'pem' })),
  }
}

/**
 * The number with one byte of zeros in front, which the encoder drops where it is not needed. A first bit of 1 would make
 * it negative, which strict readers (Go's) refuse; a second byte of zeros is refused by all. Source: RFC 5280, 4.1.2.2.
 */
function positive(hex: string): string {
  const digits = BigInt(`0x${hex}`).toString(16)
  return `00${digits.padStart(digits.length + (digits.length % 2), '0')}`
}

/** Throws {@link BadBundle} with the reason when the text is no X.509 certificate in PEM with an RSA key. */
export function readCertificate(text: string): { pem: string; fingerprint: string } {
  if (Buffer.byteLength(text) > certificateMaxBytes) throw new BadBundle('the certificate is too long')
  let certificate: X509Certificate
  try {
    certificate = new X509Certificate(text)
  } catch (cause) {
    throw new BadBundle('the text is no X.509 certificate in PEM', { cause })
  }
  const { asymmetricKeyType, asymmetricKeyDetails } = certificate.publicKey
  if (asymmetricKeyType !== 'rsa' || (asymmetricKeyDetails?.modulusLength ?? 0) < leastBits) {
    throw new BadBundle(`the certificate has no RSA key of at least ${leastBits} bits`)
  }
  return { pem: certificate.toString(), fingerprint: certificate.fingerprint256.replaceAll(':', '').toLowerCase() }
}

/** Throws {@link BadBundle} when the text is no RSA private key in PEM, or not that of the certificate. */
export function readPrivateKey(text: string, certificatePem?: string): KeyObject {
  let key: KeyObject
  try {
    key = createPrivateKey(text)
  } catch (cause) {
    throw new BadBundle('the text is no private key in PEM', { cause })
  }
  if (key.asymmetricKeyType !== 'rsa') throw new BadBundle('the private key is no RSA key')
  if (certificatePem && !new X509Certificate(certificatePem).checkPrivateKey(key)) {
    throw new BadBundle('the private key is not the one of the certificate')
  }
  return key
}
