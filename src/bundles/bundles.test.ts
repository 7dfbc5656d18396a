import { createHash, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { run } from '../lib/programs.ts'
import { createBundle, type ImageSource } from './bundle.ts'
import { openDisk } from './disk-source.ts'
import { type BundleManifest, parseManifest, partBytes, writeManifest } from './manifest.ts'
import { openKey, signerOf, signText } from './seals.ts'
import { openBundle } from './unbundle.ts'

interface Identity {
  certificatePem: string
  privateKey: KeyObject
}

let folder: string
let user: Identity
let cloud: Identity

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kiln-bundles-'))
  user = await identity('user')
  cloud = await identity('cloud')
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** Made by openssl, as the classic tools' users do. */
async function identity(name: string): Promise<Identity> {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const [keyPath, certificatePath] = [join(folder, `${name}.key`), join(folder, `${name}.pem`)]
  await writeFile(keyPath, privateKey.export({ type: 'pkcs8', format: 'pem' }))
  const request = ['req', '-new', '-x509', '-key', keyPath, '-subj', `/CN=${name}`, '-days', '30', '-out']
  await run('openssl', [...request, certificatePath])
  return { certificatePem: await readFile(certificatePath, 'utf8'), privateKey }
}

interface Bundle {
  manifest: BundleManifest
  document: string
  parts: Map<string, Buffer>
}

function bundleOf(image: Buffer): Promise<Bundle> {
  async function* pieces() {
    for (let at = 0; at < image.length; at += 100_000) yield image.subarray(at, at + 100_000)
  }
  return bundleFrom({ sizeBytes: image.length, bytes: pieces() })
}

/** Of a file of these bytes; with a size, the file ends with a hole. */
async function bundleOfDisk(image: Buffer, sizeBytes = image.length): Promise<Bundle> {
  const path = join(folder, 'disk.raw')
  await writeFile(path, image)
  await truncate(path, sizeBytes)
  const disk = await openDisk(path)
  return await bundleFrom(disk).finally(() => disk.close())
}

async function bundleFrom(image: ImageSource): Promise<Bundle> {
  const parts = new Map<string, Buffer>()
  const made = await createBundle({
    image,
    name: 'image',
    user: '123456789012',
    bundler: { name: 'kiln', version: '1', release: '0' },
    architecture: 'x86_64',
    blockDeviceMapping: [{ virtual: 'ami', device: 'sda1' }],
    key: { key: randomBytes(16), iv: randomBytes(16) },
    userCertificatePem: user.certificatePem,
    cloudCertificatePem: cloud.certificatePem,
    signingKey: user.privateKey,
    writePart: async (filename, bytes) => void parts.set(filename, bytes),
  })
  return { ...made, parts }
}

/** The image out of a bundle, with the cloud's key. */
async function opened({ document, parts }: Bundle, as: Identity = cloud): Promise<Buffer> {
  const manifest = parseManifest(document)
  const { ec2EncryptedKey, ec2EncryptedIv } = manifest.image
  const key = openKey({ key: ec2EncryptedKey, iv: ec2EncryptedIv }, as.privateKey)
  const pieces: Buffer[] = []
  async function* readPart({ filename }: { filename: string }) {
    const bytes = parts.get(filename)
    if (!bytes) throw new Error(`no ${filename}`)
    for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536)
  }
  for await (const piece of openBundle({ manifest, key, readPart })) pieces.push(Buffer.from(piece))
  return Buffer.concat(pieces)
}

/** Something that does not compress, with a hole in it. */
function imageBytes(bytes: number): Buffer {
  const image = randomBytes(bytes)
  image.fill(0, Math.floor(bytes / 3), Math.floor(bytes / 2))
  return image
}

/** Half of it are holes, as many as asked for, so that the archive lists them beyond its header. */
function holedImage(holes: number): Buffer {
  const pieceBytes = 256 * 1024
  const image = randomBytes(2 * holes * pieceBytes)
  for (let at = 0; at < image.length; at += 2 * pieceBytes) image.fill(0, at, at + pieceBytes)
  return image
}

describe('a bundle', () => {
  it.each([1, 511, 512, 513, 1_000_000, 25 * 1024 * 1024])('of %i bytes opens to the same image', async (bytes) => {
    const image = imageBytes(bytes)
    const bundle = await bundleOf(image)
    expect((await opened(bundle)).equals(image)).toBe(true)
    expect(parseManifest(bundle.document)).toEqual(bundle.manifest)
    for (const part of [...bundle.parts.values()].slice(0, -1)) expect(part.length).toBe(partBytes)
  })

  it.each([1, 511, 513, 1_000_000, 25 * 1024 * 1024])(
    "of a disk's file of %i bytes opens to the same image",
    async (bytes) => {
      const image = imageBytes(bytes)
      const bundle = await bundleOfDisk(image)
      expect((await opened(bundle)).equals(image)).toBe(true)
      expect(bundle.manifest.image.sizeBytes).toBe(bytes)
    },
  )

  it('holds nothing of what is zeros, in the middle of the disk and at its end', async () => {
    const image = holedImage(50)
    const sizeBytes = 2 * image.length
    const bundle = await bundleOfDisk(image, sizeBytes)
    expect(bundle.manifest.image.bundledSizeBytes).toBeLessThan(image.length / 2 + 100_000)
    const [data, end] = [await opened(bundle), Buffer.alloc(image.length)]
    expect(data.equals(Buffer.concat([image, end]))).toBe(true)
  })

  it('of nothing but zeros is a list of holes', async () => {
    const bundle = await bundleOfDisk(Buffer.alloc(0), 64 * 1024 * 1024)
    expect(bundle.manifest.image.bundledSizeBytes).toBeLessThan(1000)
    expect((await opened(bundle)).equals(Buffer.alloc(64 * 1024 * 1024))).toBe(true)
  })

  it('opens for its user too, and for nobody else', async () => {
    const bundle = await bundleOf(imageBytes(4096))
    const { userEncryptedKey, userEncryptedIv } = bundle.manifest.image
    expect(openKey({ key: userEncryptedKey, iv: userEncryptedIv }, user.privateKey).key).toHaveLength(16)
    await expect(opened(bundle, user)).rejects.toThrow('the key of the bundle is sealed for another certificate')
  })

  it('is signed by its user, over what the manifest says', async () => {
    const { document, manifest } = await bundleOf(imageBytes(4096))
    const { signature } = manifest
    const both = [cloud.certificatePem, user.certificatePem]
    expect(signerOf(document, signature, both)).toBe(user.certificatePem)
    expect(signerOf(document, signature, [cloud.certificatePem])).toBeUndefined()
    expect(signerOf(document.replace('x86_64', 'i386'), signature, both)).toBeUndefined()
    // The classic tools set every element on a line of its own; the signature is over that, then.
    const { signature: _, ...unsigned } = manifest
    let spaced = writeManifest(unsigned, () => 'SIGNATURE').replaceAll('><', '>\n  <')
    const text = spaced.slice(spaced.indexOf('<machine_configuration>'), spaced.indexOf('</image>') + 8)
    const signed = text.replace(/<\/machine_configuration>\s*<image>/, '</machine_configuration><image>')
    spaced = spaced.replace('SIGNATURE', signText(signed, user.privateKey))
    expect(signerOf(spaced, parseManifest(spaced).signature, both)).toBe(user.certificatePem)
  })
})

describe('a bundle that is not what its manifest says', () => {
  it('is refused with part, place and digest when a byte of a part is another', async () => {
    const bundle = await bundleOf(imageBytes(25 * 1024 * 1024))
    const part = bundle.parts.get('image.part.01')!
    part[5000]! ^= 1
    await expect(opened(bundle)).rejects.toThrow(
      new RegExp(
        `^part 1 \\('image.part.01', from byte ${partBytes} of the bundle on\\) has the digest [0-9a-f]{40}, and`,
      ),
    )
  })

  it('is refused when parts are short, long or exchanged', async () => {
    const bundle = await bundleOf(imageBytes(25 * 1024 * 1024))
    const [first, second] = [bundle.parts.get('image.part.00')!, bundle.parts.get('image.part.01')!]
    bundle.parts.set('image.part.00', second).set('image.part.01', first)
    await expect(opened(bundle)).rejects.toThrow(/^part 0 .* has the digest/)
    bundle.parts.set('image.part.00', first.subarray(1)).set('image.part.01', second)
    await expect(opened(bundle)).rejects.toThrow(/^part 0 .* has the digest/)
    bundle.parts.set('image.part.00', Buffer.concat([first, Buffer.alloc(30 * 1024 * 1024)]))
    await expect(opened(bundle)).rejects.toThrow(/^part 0 .* has more than the \d+ bytes/)
    bundle.parts.delete('image.part.00')
    await expect(opened(bundle)).rejects.toThrow('no image.part.00')
  })

  it('is refused when it unpacks to more than it says, without unpacking it', async () => {
    const bundle = await sealed(gzipSync(await tarOf(Buffer.alloc(100 * 1024 * 1024))), 4096)
    await expect(opened(bundle)).rejects.toThrow('holds an image of 104857600 bytes, and the manifest says 4096')
    const image = Buffer.alloc(4096, 7)
    const trailing = Buffer.concat([await tarOf(image), Buffer.alloc(20 * 1024 * 1024)])
    await expect(opened(await sealed(gzipSync(trailing), 4096))).rejects.toThrow('something follows the end')
  })

  it('is refused when it is no gzip, no archive, or not an archive of one file', async () => {
    await expect(opened(await sealed(randomBytes(5000), 4096))).rejects.toThrow('cannot be unpacked')
    await expect(opened(await sealed(gzipSync(randomBytes(5000)), 4096))).rejects.toThrow('no tar archive')
    const two = Buffer.concat([(await tarOf(Buffer.alloc(4096))).subarray(0, 4608), await tarOf(Buffer.alloc(512))])
    await expect(opened(await sealed(gzipSync(two), 4096))).rejects.toThrow('holds more than the image')
    await writeFile(join(folder, 'target'), '')
    await run('ln', ['-sf', 'target', join(folder, 'link')])
    await run('tar', ['-C', folder, '-cf', join(folder, 'link.tar'), 'link'])
    const link = gzipSync(await readFile(join(folder, 'link.tar')))
    await expect(opened(await sealed(link, 4096))).rejects.toThrow("tar type '2'")
  })
})

/** A bundle around any bytes, as its maker wants it: only digests of parts and keys are right. */
async function sealed(packed: Buffer, sizeBytes: number): Promise<Bundle> {
  const path = join(folder, 'packed')
  await writeFile(path, packed)
  return await classicBundle(path, sizeBytes, '0'.repeat(40))
}

async function tarOf(image: Buffer): Promise<Buffer> {
  await writeFile(join(folder, 'image'), image)
  await run('tar', ['-C', folder, '-cf', join(folder, 'image.tar'), 'image'])
  return await readFile(join(folder, 'image.tar'))
}

/** Encrypts, cuts and describes with the programs that the classic tools call. */
async function classicBundle(packedPath: string, sizeBytes: number, tarDigest: string): Promise<Bundle> {
  const [key, iv] = [randomBytes(16), randomBytes(16)]
  const enc = ['enc', '-e', '-aes-128-cbc', '-K', key.toString('hex'), '-iv', iv.toString('hex')]
  await run('openssl', [...enc, '-in', packedPath, '-out', `${packedPath}.enc`])
  await run('split', ['-b', String(partBytes), '-d', '-a', '2', `${packedPath}.enc`, join(folder, 'classic.part.')])
  const names = (await readdir(folder)).filter((name) => name.startsWith('classic.part.')).sort()
  const parts = new Map<string, Buffer>()
  for (const name of names) {
    parts.set(name, await readFile(join(folder, name)))
    await rm(join(folder, name))
  }
  const seal = async (secret: Buffer, who: string) => {
    await writeFile(join(folder, 'secret'), secret.toString('hex'))
    const files = ['-in', join(folder, 'secret'), '-out', join(folder, 'sealed')]
    await run('openssl', ['rsautl', '-encrypt', '-certin', '-inkey', join(folder, `${who}.pem`), ...files])
    return (await readFile(join(folder, 'sealed'))).toString('hex')
  }
  const sha1 = (bytes: Buffer) => createHash('sha1').update(bytes).digest('hex')
  const image = {
    ...{ name: 'classic', user: '123456789012', type: 'machine', digestSha1: tarDigest, sizeBytes },
    bundledSizeBytes: [...parts.values()].reduce((sum, part) => sum + part.length, 0),
    ...{ ec2EncryptedKey: await seal(key, 'cloud'), ec2EncryptedIv: await seal(iv, 'cloud') },
    ...{ userEncryptedKey: await seal(key, 'user'), userEncryptedIv: await seal(iv, 'user') },
    parts: names.map((filename, index) => ({ index, filename, digestSha1: sha1(parts.get(filename)!) })),
  }
  const bundler = { name: 'ec2-ami-tools', version: '1.5', release: '6' }
  const about = { version: '2007-10-10', bundler, architecture: 'x86_64', blockDeviceMapping: [] }
  const unsigned = { ...about, kernelId: null, ramdiskId: null, productCodes: [], image }
  const document = writeManifest(unsigned, (text) => signText(text, user.privateKey))
  return { manifest: parseManifest(document), document, parts }
}

describe('the programs of the classic tools', () => {
  it.each(['-cf', '-cSf'])('make a bundle (tar %s) that opens here', async (how) => {
    const image = imageBytes(12 * 1024 * 1024)
    // Holes enough for blocks of the sparse map beyond the header.
    for (let at = 0; at < image.length; at += 200_000) image.fill(0, at, at + 100_000)
    await writeFile(join(folder, 'dense'), image)
    await run('cp', ['--sparse=always', join(folder, 'dense'), join(folder, 'sparse')])
    await run('tar', ['-C', folder, '--format=gnu', how, join(folder, 'classic.tar'), 'sparse'])
    const tar = await readFile(join(folder, 'classic.tar'))
    await writeFile(join(folder, 'classic.tar.gz'), gzipSync(tar))
    const digest = createHash('sha1').update(tar).digest('hex')
    const bundle = await classicBundle(join(folder, 'classic.tar.gz'), image.length, digest)
    expect((await opened(bundle)).equals(image)).toBe(true)
  })

  it.each([
    ['of a stream', bundleOf],
    ["of a disk's file, its holes left out", bundleOfDisk],
  ])('open a bundle that was made here %s', async (_, bundled) => {
    const image = Buffer.concat([holedImage(30), Buffer.alloc(1024 * 1024)])
    const bundle = await bundled(image)
    const { image: about } = bundle.manifest
    await writeFile(join(folder, 'all'), Buffer.concat(about.parts.map(({ filename }) => bundle.parts.get(filename)!)))
    const unseal = async (hex: string) => {
      await writeFile(join(folder, 'sealed'), Buffer.from(hex, 'hex'))
      const files = ['-in', join(folder, 'sealed'), '-out', join(folder, 'secret')]
      await run('openssl', ['rsautl', '-decrypt', '-inkey', join(folder, 'user.key'), ...files])
      return await readFile(join(folder, 'secret'), 'utf8')
    }
    const [key, iv] = [await unseal(about.userEncryptedKey), await unseal(about.userEncryptedIv)]
    const files = ['-in', join(folder, 'all'), '-out', join(folder, 'all.tar.gz')]
    await run('openssl', ['enc', '-d', '-aes-128-cbc', '-K', key, '-iv', iv, ...files])
    await run('gunzip', ['-f', join(folder, 'all.tar.gz')])
    expect(await run('sha1sum', [join(folder, 'all.tar')])).toContain(about.digestSha1)
    await run('tar', ['-C', folder, '-xf', join(folder, 'all.tar')])
    expect((await readFile(join(folder, 'image'))).equals(image)).toBe(true)
  })
})

describe('a manifest', () => {
  const refused = (change: (document: string) => string, why: string | RegExp) => async () => {
    const { document } = await bundleOf(imageBytes(100))
    expect(() => parseManifest(change(document))).toThrow(why)
  }
  it(
    'with entities',
    refused((text) => text.replace('<manifest>', '<!DOCTYPE m [<!ENTITY a "b">]><manifest>'), /only elements/),
  )
  it(
    'with comments',
    refused((text) => text.replace('<image>', '<image><!-- -->'), /only elements/),
  )
  it(
    'that is too large',
    refused((text) => text + ' '.repeat(1024 * 1024), 'larger than 1048576 bytes'),
  )
  it(
    'of another version',
    refused((text) => text.replace('2007-10-10', '2006-10-10'), "version '2006-10-10'"),
  )
  it(
    'that is no XML',
    refused((text) => text.slice(0, -20), 'not well-formed'),
  )
  it(
    'with a second image',
    refused((text) => text.replace('<signature>', '<image></image><signature>'), 'one image element'),
  )
  it(
    'without a part',
    refused((text) => text.replace(/<part index.*<\/part>/, ''), 'lists 0 parts'),
  )
  it(
    'with a part elsewhere',
    refused((text) => text.replace('image.part.00', '../image.part.00'), 'name of a part'),
  )
  it(
    'with a part numbered wrongly',
    refused((text) => text.replace('index="0"', 'index="1"'), 'no part 0'),
  )
  it(
    'of another cipher',
    refused((text) => text.replaceAll('AES-128-CBC', 'RC4'), "for 'RC4'"),
  )
  it(
    'of a size that is none',
    refused((text) => text.replace('<size>100', '<size>-1'), "size cannot be '-1'"),
  )
})
