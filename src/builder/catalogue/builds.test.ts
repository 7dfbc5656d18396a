/** The newest build is found where publishers lay it, and proved as they prove it. */
import { createHash } from 'node:crypto'
import { createCleartextMessage, createMessage, generateKey, readPrivateKey, sign } from 'openpgp'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type BuildRequest, newest, newestBuild } from './builds.ts'
import { bundledKey, type CatalogueImage, catalogue, closestName } from './catalogue.ts'
import { readChecksums } from './checksums.ts'
import { type Mirror, openMirror } from './mirror.fixture.ts'
import { pinnedKeys } from './signatures.ts'

let mirror: Mirror
beforeEach(async () => {
  mirror = await openMirror()
})
afterEach(() => mirror.close())

const named = (name: string) => catalogue().find((image) => image.name === name)!
const ask = (): BuildRequest => ({ mirror: mirror.url, signal: new AbortController().signal })
const sha = (algorithm: 'sha256' | 'sha512', text: string) => createHash(algorithm).update(text).digest('hex')

async function newKey(): Promise<{ armored: string; fingerprint: string; publicKey: string }> {
  const { privateKey, publicKey } = await generateKey({ userIDs: [{ name: 'Test', email: 'test@example.org' }] })
  const key = await readPrivateKey({ armoredKey: privateKey })
  return { armored: privateKey, publicKey, fingerprint: key.getFingerprint().toUpperCase() }
}

async function detached(text: string, armored: string): Promise<Buffer> {
  const signingKeys = await readPrivateKey({ armoredKey: armored })
  const message = await createMessage({ binary: new Uint8Array(Buffer.from(text)) })
  return Buffer.from((await sign({ message, signingKeys, detached: true })) as string)
}

/** The image as the catalogue has it, but for whose key signs it. */
function signedBy(name: string, { fingerprint }: { fingerprint: string }): CatalogueImage {
  const image = named(name)
  return { ...image, publisher: { ...image.publisher, keys: [{ fingerprint, path: '/key.asc' }] } }
}

describe('where publishers lay their builds', () => {
  test('Debian: the newest of dated folders', async () => {
    for (const build of ['20260901-0900', '20261006-2623', '20261006-999']) {
      const name = `debian-12-genericcloud-amd64-${build}.qcow2`
      const lines = [
        `${sha('sha512', build)}  ${name}`,
        `${sha('sha512', 'x')}  debian-12-generic-amd64-${build}.qcow2`,
      ]
      mirror.files.set(`/images/cloud/bookworm/${build}/SHA512SUMS`, Buffer.from(lines.join('\n')))
    }
    mirror.files.set('/images/cloud/bookworm/latest/SHA512SUMS', Buffer.from(''))
    expect(await newestBuild(named('debian-12'), ask())).toEqual({
      url: `${mirror.url}/images/cloud/bookworm/20261006-2623/debian-12-genericcloud-amd64-20261006-2623.qcow2`,
      fileName: 'debian-12-genericcloud-amd64-20261006-2623.qcow2',
      ...{ version: '20261006-2623', imageName: 'debian-12-amd64-20261006-2623', signedBy: null },
      checksum: { algorithm: 'sha512', digest: sha('sha512', '20261006-2623') },
    })
  })

  test('Amazon Linux: a folder that leads to the build', async () => {
    const name = 'al2023-kvm-2023.12.20260917.1-kernel-6.1-x86_64.xfs.gpt.qcow2'
    mirror.redirects.set('/al2023/os-images/latest/', '/al2023/os-images/2023.12.20260917.1/')
    const folder = '/al2023/os-images/2023.12.20260917.1/kvm'
    mirror.files.set(`${folder}/SHA256SUMS`, Buffer.from(`${sha('sha256', 'x')}  ${name}\n`))
    expect(await newestBuild(named('amazon-linux-2023'), ask())).toMatchObject({
      ...{ url: `${mirror.url}${folder}/${name}`, version: '2023.12.20260917.1' },
      imageName: 'al2023-ami-2023.12.20260917.1-kernel-6.1-x86_64',
    })
  })

  test('Alpine: a checksum beside each file', async () => {
    const name = (release: string) => `generic_alpine-${release}-x86_64-bios-cloudinit-r0.qcow2`
    for (const release of ['3.24.9', '3.24.10']) {
      mirror.files.set(`/alpine/v3.24/releases/cloud/${name(release)}`, Buffer.from('disk'))
      mirror.files.set(`/alpine/v3.24/releases/cloud/${name(release)}.sha512`, Buffer.from(sha('sha512', release)))
    }
    expect(await newestBuild(named('alpine-3.24'), ask())).toMatchObject({
      ...{ fileName: name('3.24.10'), imageName: 'alpine-3.24.10-x86_64-bios-cloudinit-r0' },
      checksum: { digest: sha('sha512', '3.24.10') },
    })
  })

  test('Rocky Linux: checksums as BSD writes them', async () => {
    const name = 'Rocky-9-GenericCloud-Base-9.7-20251123.2.x86_64.qcow2'
    const sums = `# ${name}: 1 bytes\nSHA256 (${name}) = ${sha('sha256', 'x')}\nSHA256 (other) = ${sha('sha256', 'y')}\n`
    mirror.files.set('/pub/rocky/9/images/x86_64/CHECKSUM', Buffer.from(sums))
    expect(await newestBuild(named('rocky-9'), ask())).toMatchObject({
      ...{ version: '9.7-20251123.2', imageName: 'Rocky-9-EC2-Base-9.7-20251123.2.x86_64' },
    })
  })

  test('a mirror that lacks it says so', async () => {
    await expect(newestBuild(named('debian-12'), ask())).rejects.toThrow(/bookworm\/ was answered with 404/)
    mirror.files.set('/images/cloud/bookworm/daily/SHA512SUMS', Buffer.from(''))
    await expect(newestBuild(named('debian-12'), ask())).rejects.toThrow(/lists no build of debian-12/)
    mirror.files.set('/images/cloud/bookworm/20261006-2623/SHA512SUMS', Buffer.from(`${sha('sha512', 'x')}  else\n`))
    await expect(newestBuild(named('debian-12'), ask())).rejects.toThrow(/lists no file of Debian 12/)
  })
})

describe('signatures', () => {
  const folder = '/releases/noble/release-20260725'
  const sums = `${sha('sha256', 'disk')} *ubuntu-24.04-server-cloudimg-amd64.img\n`

  test('checksums that the pinned key has signed beside them', async () => {
    const key = await newKey()
    mirror.files.set('/key.asc', Buffer.from(key.publicKey))
    mirror.files.set(`${folder}/SHA256SUMS`, Buffer.from(sums))
    mirror.files.set(`${folder}/SHA256SUMS.gpg`, await detached(sums, key.armored))
    const build = await newestBuild(signedBy('ubuntu-24.04', key), ask())
    expect(build).toMatchObject({
      ...{ signedBy: key.fingerprint, version: '20260725' },
      imageName: 'ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20260725',
    })
    // One letter more, and the signature is that of another text.
    mirror.files.set(`${folder}/SHA256SUMS`, Buffer.from(`${sums} `))
    await expect(newestBuild(signedBy('ubuntu-24.04', key), ask())).rejects.toThrow(/is not what Ubuntu has signed/)
    mirror.files.set(`${folder}/SHA256SUMS.gpg`, Buffer.from('no signature at all'))
    await expect(newestBuild(signedBy('ubuntu-24.04', key), ask())).rejects.toThrow(/the signature cannot be read/)
    mirror.files.delete(`${folder}/SHA256SUMS.gpg`)
    await expect(newestBuild(signedBy('ubuntu-24.04', key), ask())).rejects.toThrow(
      /SHA256SUMS.gpg was answered with 404/,
    )
  })

  test('a key that was replaced, and a signature by somebody else, are told', async () => {
    const [own, other] = [await newKey(), await newKey()]
    mirror.files.set('/key.asc', Buffer.from(other.publicKey))
    mirror.files.set(`${folder}/SHA256SUMS`, Buffer.from(sums))
    mirror.files.set(`${folder}/SHA256SUMS.gpg`, await detached(sums, other.armored))
    const image = signedBy('ubuntu-24.04', own)
    await expect(newestBuild(image, ask())).rejects.toThrow(`the key ${own.fingerprint} was replaced`)
    mirror.files.set('/key.asc', Buffer.from(own.publicKey))
    await expect(newestBuild(image, ask())).rejects.toThrow(/Could not find signing key/)
    await expect(newestBuild(named('ubuntu-24.04'), ask())).rejects.toThrow(/is not what Ubuntu has signed/)
  })

  test('of a text that carries its signature only what was signed counts', async () => {
    const key = await newKey()
    const file = (compose: string) => `Fedora-Cloud-Base-Generic-${compose}.x86_64.qcow2`
    const message = await createCleartextMessage({ text: `SHA256 (${file('43-1.6')}) = ${sha('sha256', 'disk')}` })
    const signed = await sign({ message, signingKeys: await readPrivateKey({ armoredKey: key.armored }) })
    const more = `SHA256 (${file('43-1.7')}) = ${sha('sha256', 'evil')}\n`
    const images = '/pub/fedora/linux/releases/43/Cloud/x86_64/images'
    mirror.files.set('/key.asc', Buffer.from(key.publicKey))
    mirror.files.set(`${images}/Fedora-Cloud-43-1.6-x86_64-CHECKSUM`, Buffer.from(`${signed}\n${more}`))
    const build = await newestBuild(signedBy('fedora-43', key), ask())
    expect(build).toMatchObject({ imageName: 'Fedora-Cloud-Base-AmazonEC2.x86_64-43-1.6', signedBy: key.fingerprint })
    const broken = String(signed).replace(sha('sha256', 'disk'), sha('sha256', 'evil'))
    mirror.files.set(`${images}/Fedora-Cloud-43-1.6-x86_64-CHECKSUM`, Buffer.from(broken))
    await expect(newestBuild(signedBy('fedora-43', key), ask())).rejects.toThrow(/is not what Fedora has signed/)
  })

  test('keys that come with Kiln are those that the catalogue pins', async () => {
    const keys = catalogue().flatMap((image) => image.publisher.keys)
    for (const key of keys) {
      if ('file' in key) expect(await pinnedKeys(bundledKey(key.file), key.fingerprint)).toHaveLength(1)
    }
  })
})

test('nothing that is not signed comes over plain HTTP from elsewhere', async () => {
  const wish = { ...ask(), mirror: 'http://mirror.example.org' }
  await expect(newestBuild(named('debian-12'), wish)).rejects.toThrow(/is not HTTPS, and nothing signs/)
  mirror.redirects.set('/images/', 'http://mirror.example.org/images/')
  await expect(newestBuild(named('debian-12'), ask())).rejects.toThrow(/is not HTTPS, and nothing signs/)
  await expect(newestBuild(named('debian-12'), { ...ask(), mirror: 'ftp://x' })).rejects.toThrow(
    /'ftp:\/\/x' is no http/,
  )
})

test('checksums are read in every form, and what is none is passed over', () => {
  const [a, b] = [sha('sha256', 'a'), sha('sha512', 'b')]
  const text = `Hash: SHA256\n${a}  one.img\n${b} *./two.img\r\nSHA512 (three img) = ${b}\nSHA256 (four) = ${b}\n${a}\n${a} \nfive`
  expect([...readChecksums(text)].map(([name, { algorithm }]) => `${name} ${algorithm}`)).toEqual([
    ...['one.img sha256', 'two.img sha512', 'three img sha512'],
  ])
  expect(readChecksums(b.toUpperCase(), 'it').get('it')).toEqual({ algorithm: 'sha512', digest: b })
})

test('numbers in names are numbers, and whoever mistypes is told what was meant', () => {
  expect(newest(['v9.9', 'v9.10', 'x9.11'], 'v(?<minor>[\\d.]+)')).toEqual({ name: 'v9.10', found: { minor: '9.10' } })
  const names = catalogue().map((image) => image.name)
  expect(closestName('debian12', names)).toBe('debian-12')
  expect(closestName('Ubunut-24.04', names)).toBe('ubuntu-24.04')
  expect(closestName('amazon', names)).toBe('amazon-linux-2023')
  expect(closestName('windows-server', names)).toBeUndefined()
})
