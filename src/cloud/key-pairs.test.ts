import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openTestCloud, type TestCloud } from '../../test/support/test-cloud.ts'
import { limits } from '../lib/limits.ts'
import { run } from '../lib/programs.ts'
import type { KeyPairs } from './key-pairs.ts'

const scope = { accountId: '111122223333', region: 'eu-west-1' }
const elsewhere = { accountId: '111122223333', region: 'us-east-1' }

let testCloud: TestCloud
let keyPairs: KeyPairs
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kiln-keys-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))
beforeEach(async () => {
  testCloud = await openTestCloud()
  keyPairs = testCloud.cloud.keyPairs
})
afterEach(() => testCloud.close())

let files = 0
async function file(content: string | Buffer): Promise<string> {
  const path = join(folder, `key-${files++}`)
  await writeFile(path, content, { mode: 0o600 })
  return path
}

/** A key made by OpenSSH itself; the path of its private half. */
async function opensshKey(...options: string[]): Promise<string> {
  const path = join(folder, `key-${files++}`)
  await run('ssh-keygen', ['-q', '-N', '', '-C', 'someone@somewhere', '-f', path, ...options])
  return path
}

const publicLine = (path: string) => run('ssh-keygen', ['-y', '-f', path])
const bare = (line: string) => line.trim().split(' ').slice(0, 2).join(' ')
const openssl = (path: string, command: string) =>
  run('sh', ['-c', `openssl ${command.replaceAll('KEY', '"$1"')}`, 'sh', path]).then((text) =>
    text.trim().replace(/^.*= */, ''),
  )
const importKey = (name: string, material: string | Uint8Array) =>
  keyPairs.import(scope, { name, material: Buffer.from(material), tags: [] })

describe('a new key pair', () => {
  test('of type RSA has a private key that OpenSSH takes, and the fingerprint that openssl computes', async () => {
    const { keyPair, privateKey } = await keyPairs.create(scope, { name: 'one', type: 'rsa', tags: [] })
    expect(privateKey).toMatch(/^-----BEGIN RSA PRIVATE KEY-----\n/)
    const path = await file(privateKey)
    expect(bare(await publicLine(path))).toBe(bare(keyPair.publicKey))
    expect(await openssl(path, 'pkcs8 -in KEY -inform PEM -outform DER -topk8 -nocrypt | openssl sha1 -c')).toBe(
      keyPair.fingerprint,
    )
    expect(await run('ssh-keygen', ['-l', '-f', path])).toMatch(/^2048 /)
  })

  test('of type ED25519 has a private key and a fingerprint as OpenSSH has them', async () => {
    const { keyPair, privateKey } = await keyPairs.create(scope, { name: 'two', type: 'ed25519', tags: [] })
    expect(privateKey).toMatch(/^-----BEGIN OPENSSH PRIVATE KEY-----\n/)
    const path = await file(privateKey)
    expect(bare(await publicLine(path))).toBe(bare(keyPair.publicKey))
    const shown = (await run('ssh-keygen', ['-l', '-f', path])).split(' ')[1]
    expect(`SHA256:${keyPair.fingerprint.replace(/=+$/, '')}`).toBe(shown)
  })

  test('leaves no private key behind', async () => {
    const { privateKey } = await keyPairs.create(scope, { name: 'one', type: 'rsa', tags: [] })
    const [row] = await keyPairs.list(scope, {})
    expect(JSON.stringify(row)).not.toContain('PRIVATE')
    expect(JSON.stringify(row)).not.toContain(privateKey.split('\n')[1])
  })

  test('has a name that no other one has in its region', async () => {
    await keyPairs.create(scope, { name: 'one', type: 'ed25519', tags: [] })
    await expect(keyPairs.create(scope, { name: 'one', type: 'rsa', tags: [] })).rejects.toMatchObject({
      code: 'InvalidKeyPair.Duplicate',
      message: 'The keypair already exists',
    })
    await keyPairs.create(elsewhere, { name: 'one', type: 'ed25519', tags: [] })
    const results = await Promise.allSettled(
      ['two', 'two', 'two'].map((name) => keyPairs.create(scope, { name, type: 'ed25519', tags: [] })),
    )
    expect(results.map((result) => result.status).sort()).toEqual(['fulfilled', 'rejected', 'rejected'])
  })

  test.each(['', ' x', 'x ', 'ssh\nssh-rsa AAAA', 'é'])('is refused under the name %j', async (name) => {
    const code = 'InvalidParameterValue'
    const message = expect.stringContaining('KeyName')
    await expect(keyPairs.create(scope, { name, type: 'ed25519', tags: [] })).rejects.toMatchObject({ code, message })
    await expect(importKey(name, 'x')).rejects.toMatchObject({ code, message })
  })

  test('has a name of at most 255 characters', async () => {
    await keyPairs.create(scope, { name: 'x'.repeat(255), type: 'ed25519', tags: [] })
    const longer = keyPairs.create(scope, { name: 'x'.repeat(256), type: 'ed25519', tags: [] })
    await expect(longer).rejects.toMatchObject({ code: 'InvalidParameterValue' })
  })

  test('does not hold up other requests while it is made', async () => {
    const made = keyPairs.create(scope, { name: 'one', type: 'rsa', tags: [] }).then(() => 'made')
    const tick = new Promise<string>((resolve) => setImmediate(() => resolve('tick')))
    expect(await Promise.race([made, tick])).toBe('tick')
    await made
  })
})

describe('importing', () => {
  test('takes an OpenSSH line, and gives the fingerprint that openssl computes', async () => {
    const path = await opensshKey('-t', 'rsa', '-b', '2048', '-m', 'PEM')
    const line = await publicLine(path)
    const row = await importKey('mine', line)
    expect(row).toMatchObject({ type: 'rsa', publicKey: `${bare(line)} mine` })
    expect(row.fingerprint).toBe(await openssl(path, 'rsa -in KEY -pubout -outform DER 2>/dev/null | openssl md5 -c'))
  })

  test('takes ED25519', async () => {
    const path = await opensshKey('-t', 'ed25519')
    const row = await importKey('mine', await publicLine(path))
    expect(row.type).toBe('ed25519')
    const shown = (await run('ssh-keygen', ['-l', '-f', path])).split(' ')[1]
    expect(`SHA256:${row.fingerprint}`).toBe(`${shown}=`)
  })

  test('takes PEM, RFC 4716 and DER, and knows the same key in all of them', async () => {
    const path = await opensshKey('-t', 'rsa', '-b', '2048', '-m', 'PEM')
    const der = await run('sh', ['-c', 'openssl rsa -in "$1" -pubout -outform DER 2>/dev/null | base64', 'sh', path])
    const forms: Record<string, string | Buffer> = {
      line: await publicLine(path),
      pkcs8: await run('ssh-keygen', ['-e', '-m', 'PKCS8', '-f', path]),
      pkcs1: await run('ssh-keygen', ['-e', '-m', 'PEM', '-f', path]),
      rfc4716: await run('ssh-keygen', ['-e', '-m', 'RFC4716', '-f', path]),
      der: Buffer.from(der, 'base64'),
      base64: der,
    }
    const rows = []
    for (const [name, material] of Object.entries(forms)) rows.push(await importKey(name, material))
    expect(new Set(rows.map((row) => row.fingerprint)).size).toBe(1)
    expect(new Set(rows.map((row) => bare(row.publicKey)))).toEqual(new Set([bare(forms.line as string)]))
  })

  test.each([
    ['1024', true],
    ['2048', true],
    ['3072', false],
    ['4096', true],
  ])('an RSA key of %s bits: %s', async (bits, taken) => {
    const path = await opensshKey('-t', 'rsa', '-b', bits)
    const result = importKey('mine', await publicLine(path))
    if (taken) await result
    else
      await expect(result).rejects.toMatchObject({ code: 'InvalidKey.Format', message: expect.stringContaining(bits) })
  })

  test('refuses what is not a public key of a kind that EC2 takes, and stores nothing', async () => {
    const rsa = await opensshKey('-t', 'rsa', '-b', '2048', '-m', 'PEM')
    const line = (await publicLine(rsa)).trim()
    const pem = await run('ssh-keygen', ['-e', '-m', 'PKCS8', '-f', rsa])
    const wrong: Record<string, string | Buffer> = {
      nothing: '',
      text: 'hello',
      ecdsa: await publicLine(await opensshKey('-t', 'ecdsa')),
      'private key': await run('cat', [rsa]),
      'options before the key': `command="reboot" ${line}`,
      'two lines': `${line}\n${line}`,
      'cut off': line.slice(0, -20),
      'broken base64': line.replace('AAAA', 'A*AA'),
      'other type': line.replace('ssh-rsa', 'ssh-ed25519'),
      'broken PEM': pem.slice(0, 100),
      'PEM without end': pem.split('\n').slice(0, -2).join('\n'),
      bytes: Buffer.from([0x30, 0x82, 0xff, 0xff, 0, 1, 2]),
      'too long': `${line} ${'x'.repeat(limits.publicKeyBytes)}`,
    }
    for (const [what, material] of Object.entries(wrong)) {
      await expect(importKey('mine', material), what).rejects.toMatchObject({
        code: 'InvalidKey.Format',
        message: expect.stringContaining('PublicKeyMaterial'),
      })
    }
    expect(await keyPairs.list(scope, {})).toEqual([])
  })
})

describe('finding and deleting', () => {
  test('lists by name, by id, and by filter', async () => {
    const { keyPair: one } = await keyPairs.create(scope, {
      name: 'one',
      type: 'ed25519',
      tags: [{ key: 'a', value: 'b' }],
    })
    const { keyPair: two } = await keyPairs.create(scope, { name: 'two', type: 'ed25519', tags: [] })
    const names = async (request: Parameters<KeyPairs['list']>[1]) =>
      (await keyPairs.list(scope, request)).map((row) => row.name).sort()
    expect(await names({ names: ['one'] })).toEqual(['one'])
    expect(await names({ ids: [two.id], names: ['one'] })).toEqual(['one', 'two'])
    expect(await names({ filters: [{ name: 'tag:a', values: ['b'] }] })).toEqual(['one'])
    expect(
      await names({ names: ['one', 'two'], filters: [{ name: 'fingerprint', values: [one.fingerprint] }] }),
    ).toEqual(['one'])
  })

  test('refuses to list what is not there, which is what a launch does too', async () => {
    const code = 'InvalidKeyPair.NotFound'
    const message = "The key pair 'nope' does not exist"
    await expect(keyPairs.list(scope, { names: ['nope'] })).rejects.toMatchObject({ code, message })
    await expect(keyPairs.publicKeyOf(scope, 'nope')).rejects.toMatchObject({ code, message })
    await keyPairs.create(elsewhere, { name: 'one', type: 'ed25519', tags: [] })
    await expect(keyPairs.publicKeyOf(scope, 'one')).rejects.toMatchObject({ code })
    expect(await keyPairs.publicKeyOf(elsewhere, 'one')).toMatch(/^ssh-ed25519 [\w+/]+=* one$/)
  })

  test('deletes by name and by id, with the tags, and does not mind what is gone', async () => {
    const { keyPair } = await keyPairs.create(scope, { name: 'one', type: 'ed25519', tags: [{ key: 'a', value: 'b' }] })
    expect(await keyPairs.delete(elsewhere, { name: 'one' })).toBeUndefined()
    expect(await keyPairs.delete(scope, { id: keyPair.id })).toMatchObject({ id: keyPair.id })
    expect(await keyPairs.delete(scope, { name: 'one' })).toBeUndefined()
    expect((await testCloud.cloud.tags.list(scope, {})).items).toEqual([])
    await keyPairs.create(scope, { name: 'one', type: 'ed25519', tags: [] })
  })
})
