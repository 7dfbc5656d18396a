/**
 * The pair that a user's bundles are signed with: made on first use below the user's configuration, for that account, and
 * known to the cloud.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { createIdentity, type Identity, readCertificate, readPrivateKey } from '../bundles/identity.ts'
import { systemClock } from '../lib/clock.ts'
import type { Services } from './services.ts'

export function signerFiles(accountId: string, env: NodeJS.ProcessEnv = process.env): Identity {
  const folder = join(env.XDG_CONFIG_HOME || join(homedir(), '.config'), 'kiln', 'bundles')
  return { certificate: join(folder, `${accountId}-cert.pem`), privateKey: join(folder, `${accountId}-key.pem`) }
}

/** The pair of that account, made when there is none; the cloud knows its certificate when this resolves. */
export async function signerOf(accountId: string, services: Services, tell: (line: string) => void): Promise<Identity> {
  const files = signerFiles(accountId)
  const present = await readPair(files)
  const pair = present ?? (await makePair(accountId, files))
  if (!present) tell(`made a key and a certificate to sign bundles with: ${files.certificate}`)
  const { fingerprint } = readCertificate(pair.certificate)
  const known = await services.certificates()
  if (!known.some(({ body }) => readCertificate(body).fingerprint === fingerprint)) {
    await services.addCertificate(pair.certificate)
  }
  return pair
}

export async function readPair(files: Identity): Promise<Identity | undefined> {
  try {
    const certificate = await readFile(files.certificate, 'utf8')
    const privateKey = await readFile(files.privateKey, 'utf8')
    readPrivateKey(privateKey, certificate)
    return { certificate, privateKey }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

async function makePair(accountId: string, files: Identity): Promise<Identity> {
  const serialNumber = `0${randomBytes(8).toString('hex').slice(1)}`
  const pair = await createIdentity({ commonName: accountId, serialNumber, nowMs: systemClock.now() })
  await mkdir(dirname(files.certificate), { recursive: true, mode: 0o700 })
  // A pair whose other half is missing is not replaced: somebody may have bundles that it opens.
  await writeFile(files.privateKey, pair.privateKey, { mode: 0o600, flag: 'wx' })
  await writeFile(files.certificate, pair.certificate, { mode: 0o600, flag: 'wx' })
  return pair
}
