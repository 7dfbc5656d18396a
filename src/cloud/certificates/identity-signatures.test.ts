/** Documents are verified as "Verify the instance identity document" of the EC2 user guide says, with OpenSSL. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createIdentity, readPrivateKey } from '../../bundles/identity.ts'
import { run } from '../../lib/programs.ts'
import type { CloudIdentity } from './certificates.ts'
import { IdentitySignatures } from './identity-signatures.ts'

const document = '{\n  "accountId" : "123456789012",\n  "instanceId" : "i-0123456789abcdef0"\n}'
const changed = document.replace('123456789012', '123456789013')

let folder: string
let identity: CloudIdentity

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kiln-identity-'))
  identity = await newIdentity()
})
afterEach(() => rm(folder, { recursive: true }))

async function newIdentity(): Promise<CloudIdentity> {
  const { certificate, privateKey } = await createIdentity({
    commonName: 'Kiln',
    serialNumber: '0a',
    nowMs: Date.now(),
  })
  return { certificate, privateKey: readPrivateKey(privateKey) }
}

const signed = () => new IdentitySignatures({ cloudIdentity: async () => identity }).of(document)
const file = async (name: string, content: string) => {
  await writeFile(join(folder, name), content)
  return join(folder, name)
}

describe('with `openssl smime -verify`', () => {
  async function contentOf(pkcs7: string, certificate: string): Promise<string> {
    const message = await file('pkcs7', `-----BEGIN PKCS7-----\n${pkcs7}\n-----END PKCS7-----\n`)
    const trusted = await file('certificate', certificate)
    const out = join(folder, 'document')
    const words = ['-verify', '-in', message, '-inform', 'PEM', '-certfile', trusted, '-noverify', '-out', out]
    await run('openssl', ['smime', '-binary', ...words])
    return readFile(out, 'utf8')
  }

  it('the message yields the document', async () => {
    expect(await contentOf((await signed()).pkcs7, identity.certificate)).toBe(document)
  })

  it("another cloud's certificate does not, nor does a changed document", async () => {
    const { pkcs7 } = await signed()
    const other = await newIdentity()
    await expect(contentOf(pkcs7, other.certificate)).rejects.toThrow()
    const bytes = Buffer.from(pkcs7, 'base64')
    const at = bytes.indexOf('123456789012')
    expect(at).toBeGreaterThan(0)
    bytes[at + 11]! ^= 1
    const message = bytes.toString('base64').replace(/.{64}/g, '$&\n')
    await expect(contentOf(message, identity.certificate)).rejects.toThrow('signature failure')
  })
})

describe('with `openssl dgst -verify`', () => {
  async function verdict(signature: string, content: string): Promise<string> {
    const certificate = await file('certificate', identity.certificate)
    const key = await file('key', await run('openssl', ['x509', '-pubkey', '-noout', '-in', certificate]))
    const encoded = await file('signature.txt', `${signature}\n`)
    const raw = join(folder, 'signature')
    await run('openssl', ['base64', '-d', '-in', encoded, '-out', raw])
    const over = await file('content', content)
    return run('openssl', ['dgst', '-sha256', '-verify', key, '-signature', raw, over])
  }

  it('the signature is that of the document and of no other', async () => {
    const { signature } = await signed()
    expect(await verdict(signature, document)).toBe('Verified OK\n')
    await expect(verdict(signature, changed)).rejects.toThrow()
  })
})

it('is the same whenever it is asked for', async () => {
  const signatures = new IdentitySignatures({ cloudIdentity: async () => identity })
  const first = await signatures.of(document)
  expect(await signatures.of(document)).toEqual(first)
  expect(await signed()).toEqual(first)
  expect((await signatures.of(changed)).signature).not.toBe(first.signature)
})
