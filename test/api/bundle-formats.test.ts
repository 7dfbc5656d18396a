/** Bundles of the AMI tools in Kiln Linux and Kiln's own are the same thing: each side opens what the other made. */
import { createPrivateKey, randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createBundle } from '../../src/bundles/bundle.ts'
import { openDisk } from '../../src/bundles/disk-source.ts'
import { parseManifest } from '../../src/bundles/manifest.ts'
import { openKey, signerOf } from '../../src/bundles/seals.ts'
import { openBundle } from '../../src/bundles/unbundle.ts'
import { run } from '../../src/lib/programs.ts'
import { repositoryRoot } from '../e2e/support/kiln.ts'

const toolsDir = join(repositoryRoot, 'src/builder/kiln-linux/rootfs/usr/bin')
let folder: string
const place = (name: string) => join(folder, name)
const pem = (name: string) => readFile(place(name), 'utf8')

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kiln-bundle-formats-'))
  for (const name of ['user', 'cloud']) {
    await run('openssl', [
      ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', `/CN=${name}`],
      ...['-keyout', place(`${name}.key`), '-out', place(`${name}.pem`)],
    ])
  }
  // Data, a hole, and data.
  await writeFile(place('disk.raw'), randomBytes(11 * 1024 ** 2))
  await truncate(place('disk.raw'), 40 * 1024 ** 2)
  await writeFile(place('disk.raw'), 'the end', { flag: 'a' })
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test('what ec2-bundle-image makes opens here, with the key of the cloud', async () => {
  await run('bash', [
    ...[join(toolsDir, 'ec2-bundle-image'), '-i', place('disk.raw'), '-p', 'made inside', '-d', folder],
    ...['-c', place('user.pem'), '-k', place('user.key'), '--ec2cert', place('cloud.pem'), '-u', '123456789012'],
    ...['-r', 'x86_64', '-B', 'ami=sda1,ephemeral0=sdb', '--productcodes', 'A1B2', '--kernel', 'aki-12345678'],
  ])
  const document = await pem('made inside.manifest.xml')
  const manifest = parseManifest(document)
  expect(manifest).toMatchObject({
    architecture: 'x86_64',
    blockDeviceMapping: [
      { virtual: 'ami', device: 'sda1' },
      { virtual: 'ephemeral0', device: 'sdb' },
    ],
    kernelId: 'aki-12345678',
    ramdiskId: null,
    productCodes: ['A1B2'],
    image: { name: 'made inside', user: '123456789012', type: 'machine' },
  })
  const user = await pem('user.pem')
  expect(signerOf(document, manifest.signature, [await pem('cloud.pem'), user])).toBe(user)
  const { ec2EncryptedKey, ec2EncryptedIv } = manifest.image
  const key = openKey({ key: ec2EncryptedKey, iv: ec2EncryptedIv }, createPrivateKey(await pem('cloud.key')))
  const image: Buffer[] = []
  const readPart = ({ filename }: { filename: string }) => createReadStream(place(filename))
  for await (const piece of openBundle({ manifest, key, readPart })) image.push(Buffer.from(piece))
  expect(Buffer.concat(image).equals(await readFile(place('disk.raw')))).toBe(true)
})

test('what is bundled here opens with ec2-unbundle, with the key of the user', async () => {
  const image = await readFile(place('disk.raw'))
  const disk = await openDisk(place('disk.raw'))
  const { document } = await createBundle({
    image: disk,
    name: 'made outside',
    user: '123456789012',
    bundler: { name: 'kiln', version: '1', release: '0' },
    architecture: 'x86_64',
    key: { key: randomBytes(16), iv: randomBytes(16) },
    userCertificatePem: await pem('user.pem'),
    cloudCertificatePem: await pem('cloud.pem'),
    signingKey: createPrivateKey(await pem('user.key')),
    writePart: (filename, bytes) => writeFile(place(filename), bytes),
  }).finally(() => disk.close())
  await writeFile(place('made outside.manifest.xml'), document)
  await run('bash', [
    ...[join(toolsDir, 'ec2-unbundle'), '-k', place('user.key'), '-m', place('made outside.manifest.xml')],
    ...['-s', folder, '-d', folder],
  ])
  expect((await readFile(place('made outside'))).equals(image)).toBe(true)
})
