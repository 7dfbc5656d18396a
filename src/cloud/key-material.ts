/**
 * SSH keys in the forms that EC2 gives and takes, with EC2's fingerprints. Sources: "Create a key pair" and "Verify the
 * fingerprint of your key pair" in the EC2 user guide. Public keys are kept without comment or options: what is stored
 * ends up in a guest's authorized_keys.
 */
import { createHash, createPublicKey, generateKeyPair, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import sshpk from 'sshpk'
import { KilnError } from '../lib/errors.ts'
import { limits } from '../lib/limits.ts'

export type KeyType = 'rsa' | 'ed25519'

export interface PublicKey {
  type: KeyType
  fingerprint: string
  /** `ssh-rsa AAAA…`: algorithm and base64, no comment. */
  openssh: string
}

export interface NewKey extends PublicKey {
  /** As `ssh -i` takes it: PEM (PKCS #1) for RSA, OpenSSH's own form for ED25519. */
  privateKey: string
}

const generate = promisify(generateKeyPair)
const rsaBits = 2048
/** The lengths of RSA keys that can be imported. */
const importedRsaBits: ReadonlySet<number> = new Set([1024, 2048, 4096])

export function generateKey(type: KeyType): Promise<NewKey> {
  return type === 'rsa' ? generateRsa() : generateEd25519()
}

async function generateRsa(): Promise<NewKey> {
  const { privateKey, publicKey } = await generate('rsa', { modulusLength: rsaBits })
  return {
    type: 'rsa',
    fingerprint: colonHex('sha1', privateKey.export({ type: 'pkcs8', format: 'der' })),
    openssh: opensshOf(sshKeyOf(publicKey)),
    privateKey: privateKey.export({ type: 'pkcs1', format: 'pem' }) as string,
  }
}

async function generateEd25519(): Promise<NewKey> {
  const { privateKey, publicKey } = await generate('ed25519')
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
  const key = sshpk.parsePrivateKey(pem, 'pem')
  key.comment = ''
  return { ...ed25519Of(sshKeyOf(publicKey)), privateKey: key.toString('openssh') }
}

/** Reads an OpenSSH line, PEM, an RFC 4716 file, or DER, raw or in base64. Throws InvalidKey.Format. */
export function readPublicKey(bytes: Uint8Array): PublicKey {
  if (bytes.length > limits.publicKeyBytes) throw invalid(`it is longer than ${limits.publicKeyBytes} bytes`)
  const key = parse(Buffer.from(bytes))
  if (key.type === 'ed25519') return ed25519Of(key)
  if (key.type !== 'rsa') throw invalid(`its type ${key.type} is neither rsa nor ed25519`)
  if (!importedRsaBits.has(key.size)) {
    throw invalid(`an RSA key of ${key.size} bits is none of ${[...importedRsaBits].join(', ')}`)
  }
  const der = createPublicKey(key.toString('pkcs8')).export({ type: 'spki', format: 'der' })
  return { type: 'rsa', fingerprint: colonHex('md5', der), openssh: opensshOf(key) }
}

function parse(bytes: Buffer): sshpk.Key {
  const text = bytes.toString('latin1').trim()
  if (text.includes('PRIVATE KEY')) throw invalid('it is a private key')
  try {
    if (text.startsWith('----')) return sshpk.parseKey(text, 'pem')
    const line = /^(ssh-rsa|ssh-ed25519)[ \t]+([A-Za-z0-9+/]+={0,2})([ \t][^\r\n]*)?$/.exec(text)
    if (line) return sshpk.parseKey(`${line[1]} ${line[2]}`, 'ssh')
    return sshKeyOf(readDer(/^[A-Za-z0-9+/\r\n]+={0,2}$/.test(text) ? Buffer.from(text, 'base64') : bytes))
  } catch (cause) {
    throw invalid('it is not in PEM, RFC 4716 or DER form either', cause)
  }
}

function readDer(key: Buffer): KeyObject {
  try {
    return createPublicKey({ key, format: 'der', type: 'spki' })
  } catch {
    return createPublicKey({ key, format: 'der', type: 'pkcs1' })
  }
}

function sshKeyOf(key: KeyObject): sshpk.Key {
  return sshpk.parseKey(key.export({ type: 'spki', format: 'pem' }) as string, 'pem')
}

function ed25519Of(key: sshpk.Key): PublicKey {
  const fingerprint = createHash('sha256').update(key.toBuffer('rfc4253')).digest('base64')
  return { type: 'ed25519', fingerprint, openssh: opensshOf(key) }
}

function opensshOf(key: sshpk.Key): string {
  return key.toString('ssh').split(' ').slice(0, 2).join(' ')
}

function colonHex(algorithm: 'md5' | 'sha1', bytes: Buffer): string {
  return createHash(algorithm)
    .update(bytes)
    .digest('hex')
    .replace(/..(?!$)/g, '$&:')
}

function invalid(why: string, cause?: unknown): KilnError {
  const text = `Key is not in valid OpenSSH public key format (PublicKeyMaterial: ${why})`
  return new KilnError('InvalidKey.Format', text, { cause })
}
