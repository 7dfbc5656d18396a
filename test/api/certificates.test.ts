/** The certificates of bundles, through the client of boto3. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createIdentity, readCertificate, readPrivateKey } from '../../src/bundles/identity.ts'
import { run } from '../../src/lib/programs.ts'
import { useServedCloud } from '../support/served-cloud.ts'

const served = useServedCloud({ isLive: true })

const hasBoto3 = await run('python3', ['-c', 'import boto3']).then(
  () => true,
  () => false,
)

const identities = () =>
  Promise.all(['01', '02', '03'].map((serialNumber) => createIdentity({ commonName: 'user', serialNumber, nowMs: 0 })))

test.skipIf(!hasBoto3)('an account has at most two, of its own, and switches them off', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'kiln-certificates-'))
  try {
    const paths = ['a', 'b', 'c'].map((name) => join(folder, name))
    const made = await identities()
    await Promise.all(paths.map((path, index) => writeFile(path, made[index]!.certificate)))
    const script = join(import.meta.dirname, 'certificates.py')
    expect(await run('python3', [script, served().url, ...paths])).toBe('certificates: as they should be\n')
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})

test('the cloud has one certificate, and trusts it beside those of the account', async () => {
  const { certificates } = served().cloud
  const { certificate, privateKey } = await certificates.cloudIdentity()
  expect(readPrivateKey(String(privateKey.export({ type: 'pkcs8', format: 'pem' })), certificate)).toBeDefined()
  const [mine] = await identities()
  const accountId = '777788889999'
  const row = await certificates.upload({ accountId, userId: null }, mine!.certificate)
  expect(await certificates.trustedFor({ accountId })).toEqual([certificate, row.body])
  await certificates.setStatus({ accountId, userId: null }, row.id, 'inactive')
  expect(await certificates.trustedFor({ accountId })).toEqual([certificate])
})

test('a certificate carries its key, and another key is told from it', async () => {
  const [mine, other] = await identities()
  expect(readCertificate(mine!.certificate).pem.trim()).toBe(mine!.certificate.trim())
  expect(readPrivateKey(mine!.privateKey, mine!.certificate).asymmetricKeyType).toBe('rsa')
  expect(() => readPrivateKey(other!.privateKey, mine!.certificate)).toThrow('not the one of the certificate')
  expect(() => readCertificate('no certificate')).toThrow('no X.509 certificate')
})
