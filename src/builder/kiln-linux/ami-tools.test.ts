/** The AMI tools of Kiln Linux, run on this host: what they write is opened by openssl and tar, as the classic tools would. */
import { constants, createHash, createVerify, privateDecrypt, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { ProgramError, run } from '../../lib/programs.ts'

const toolsDir = fileURLToPath(new URL('rootfs/usr/bin', import.meta.url))
const partBytes = 10 * 1024 * 1024
let folder: string
let out: string
const place = (name: string) => join(folder, name)

function tool(name: string, ...words: string[]): Promise<string> {
  // As in the image: a bash script under its own name.
  return run('bash', [join(toolsDir, name), ...words], { env: { PATH: process.env.PATH }, timeoutMs: 60_000 })
}

/** What the tool said when it failed, which it must. */
async function refusal(name: string, ...words: string[]): Promise<string> {
  const failed = await tool(name, ...words).catch((error: unknown) => error)
  if (!(failed instanceof ProgramError)) return expect.fail(`${name} succeeded: ${failed}`)
  expect(failed.exitCode).toBe(1)
  return failed.stderr.trim()
}

const newCertificate = (name: string) =>
  run('openssl', [
    ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', `/CN=${name}`],
    ...['-keyout', place(`${name}.key`), '-out', place(`${name}.pem`)],
  ])

const bundleWords = () => [
  ...['-c', place('user.pem'), '-k', place('user.key'), '-u', '1234-5678-9012', '--ec2cert', place('cloud.pem')],
  ...['-i', place('disk.raw'), '-d', out, '-r', 'x86_64'],
]

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kiln-ami-tools-'))
  await Promise.all([newCertificate('user'), newCertificate('cloud')])
  // Data, a hole of 64 MiB, and data again: two parts when it is packed.
  await writeFile(place('disk.raw'), randomBytes(11 * 1024 * 1024))
  await truncate(place('disk.raw'), 75 * 1024 * 1024)
  await writeFile(place('disk.raw'), 'the end', { flag: 'a' })
})
afterAll(() => rm(folder, { recursive: true, force: true }))
beforeEach(async () => {
  out = await mkdtemp(place('out-'))
})

const sha1 = (content: Buffer) => createHash('sha1').update(content).digest('hex')
const text = (xml: string, element: string) => new RegExp(`<${element}(?: [^>]*)?>([^<]*)</${element}>`).exec(xml)?.[1]

/** The text that an element holds sealed, opened with that key. */
async function opened(xml: string, element: string, keyName: string): Promise<string> {
  const key = { key: await readFile(place(`${keyName}.key`)), padding: constants.RSA_PKCS1_PADDING }
  return privateDecrypt(key, Buffer.from(text(xml, element)!, 'hex')).toString()
}

describe('ec2-bundle-image', () => {
  test('makes parts and a signed manifest that openssl, gzip and tar open to the same image', async () => {
    await tool('ec2-bundle-image', ...bundleWords(), '-p', 'web', '-B', 'ami=sda1', '-B', 'root=/dev/sda1')
    const parts = ['web.part.00', 'web.part.01']
    expect((await readdir(out)).sort()).toEqual(['web.manifest.xml', ...parts])
    const xml = await readFile(join(out, 'web.manifest.xml'), 'utf8')
    expect(xml).toContain('<manifest><version>2007-10-10</version><bundler><name>')
    expect(xml).toContain(
      '<machine_configuration><architecture>x86_64</architecture><block_device_mapping>' +
        '<mapping><virtual>ami</virtual><device>sda1</device></mapping>' +
        '<mapping><virtual>root</virtual><device>/dev/sda1</device></mapping></block_device_mapping></machine_configuration>',
    )
    expect(xml).toContain('<image><name>web</name><user>123456789012</user><type>machine</type>')

    const contents = await Promise.all(parts.map((part) => readFile(join(out, part))))
    expect(contents.map((content) => content.length).slice(0, 1)).toEqual([partBytes])
    const listed = [
      ...xml.matchAll(/<part index="(\d)"><filename>([^<]*)<\/filename><digest algorithm="SHA1">([^<]*)</g),
    ]
    expect(listed.map((one) => one.slice(1))).toEqual(
      parts.map((part, index) => [String(index), part, sha1(contents[index]!)]),
    )
    expect(text(xml, 'bundled_size')).toBe(String(contents.reduce((sum, one) => sum + one.length, 0)))
    expect(text(xml, 'size')).toBe(String((await stat(place('disk.raw'))).size))

    // Both certificates' keys open it; the signature is the user's, over both elements as they stand.
    const key = await opened(xml, 'user_encrypted_key', 'user')
    const iv = await opened(xml, 'user_encrypted_iv', 'user')
    expect(await opened(xml, 'ec2_encrypted_key', 'cloud')).toBe(key)
    expect(await opened(xml, 'ec2_encrypted_iv', 'cloud')).toBe(iv)
    const signed =
      /<machine_configuration>.*<\/machine_configuration>/.exec(xml)![0] + /<image>.*<\/image>/.exec(xml)![0]
    const verify = createVerify('RSA-SHA1').update(signed)
    expect(verify.verify(await readFile(place('user.pem')), text(xml, 'signature')!, 'hex')).toBe(true)

    const script =
      'cat web.part.* | openssl enc -d -aes-128-cbc -K "$1" -iv "$2" | gunzip >web.tar && openssl dgst -sha1 -r web.tar &&' +
      'tar -tf web.tar && tar -xOf web.tar disk.raw | cmp - "$3"'
    const seen = await run('bash', ['-c', script, 'open', key, iv, place('disk.raw')], { cwd: out })
    expect(seen).toBe(`${text(xml, 'digest')} *web.tar\ndisk.raw\n`)
  })

  test.each([
    [['-u', '12'], '-u: an account'],
    [['-r', 'sparc'], "-r: the architecture 'sparc'"],
    [['-p', '../out'], "-p: '../out' is not a name"],
    [['-B', 'ami'], "-B: 'ami' is not VIRTUAL=DEVICE"],
    [['-i', '/nothing'], '-i: there is no file /nothing'],
    [['-d', '/nothing'], '-d: there is no directory /nothing'],
    [['--kernel', '<x>'], '--kernel:'],
    [['--productcodes', '<x>'], '--productcodes:'],
    [['--no-such'], '--no-such is not an option'],
    [['-i'], '-i needs a value'],
    [['-c', '/dev/null'], '-c: there is no file'],
  ])('refuses %j before it makes anything', async (words, reason) => {
    expect(await refusal('ec2-bundle-image', ...bundleWords(), ...words)).toContain(reason)
    expect(await readdir(out)).toEqual([])
  })

  test('refuses a key that is another one, and a certificate that is none', async () => {
    expect(await refusal('ec2-bundle-image', ...bundleWords(), '-k', place('cloud.key'))).toContain(
      'the private key is not the one of the certificate',
    )
    expect(await refusal('ec2-bundle-image', ...bundleWords(), '-k', place('user.pem'))).toContain(
      'holds no private key',
    )
    expect(await refusal('ec2-bundle-image', ...bundleWords(), '--ec2cert', place('user.key'))).toContain(
      'is not an X.509 certificate',
    )
    expect(await readdir(out)).toEqual([])
  })

  test('leaves nothing of a bundle that does not fit', async () => {
    // Files may not grow over 4 MiB here, as on a full disk.
    const script = 'ulimit -f 4096; exec bash "$@"'
    const words = ['-c', script, 'bash', join(toolsDir, 'ec2-bundle-image'), ...bundleWords()]
    await expect(run('bash', words)).rejects.toThrow('could not be written; is there room')
    expect(await readdir(out)).toEqual([])
  })
})

describe('ec2-unbundle', () => {
  let bundle: string
  beforeAll(async () => {
    bundle = place('bundle')
    await mkdir(bundle)
    await tool('ec2-bundle-image', ...bundleWords(), '-d', bundle)
  })
  beforeEach(() => run('cp', ['-r', `${bundle}/.`, out]))
  const unbundle = (...words: string[]) => ['-k', place('user.key'), '-m', join(out, 'disk.raw.manifest.xml'), ...words]

  test('gives the image back, with its holes', async () => {
    await mkdir(join(out, 'back'))
    await tool('ec2-unbundle', ...unbundle('-s', out, '-d', join(out, 'back')))
    expect(await readdir(join(out, 'back'))).toEqual(['disk.raw'])
    await run('cmp', [join(out, 'back/disk.raw'), place('disk.raw')])
    expect((await stat(join(out, 'back/disk.raw'))).blocks * 512).toBeLessThan(16 * 1024 * 1024)
  })

  test('says which part is wrong or missing, and leaves nothing', async () => {
    const back = join(out, 'back')
    await mkdir(back)
    const words = unbundle('-s', out, '-d', back)
    expect(await refusal('ec2-unbundle', ...words, '-k', place('cloud.key'))).toContain(
      'this key does not open the bundle',
    )
    const part = join(out, 'disk.raw.part.01')
    const content = await readFile(part)
    content[4321]! ^= 1
    await writeFile(part, content)
    expect(await refusal('ec2-unbundle', ...words)).toContain(
      'the part disk.raw.part.01 is not the one of the manifest',
    )
    await rm(part)
    expect(await refusal('ec2-unbundle', ...words)).toContain('the part disk.raw.part.01 is missing')
    expect(await readdir(back)).toEqual([])
  })

  test('believes no manifest of another shape', async () => {
    const path = join(out, 'disk.raw.manifest.xml')
    const xml = await readFile(path, 'utf8')
    const said = async (changed: string) => {
      await writeFile(path, changed)
      return await refusal('ec2-unbundle', ...unbundle('-s', out, '-d', out))
    }
    expect(await said(xml.replace('disk.raw.part.01', '../../etc/passwd'))).toContain('is not a name')
    expect(await said(xml.replace('<name>disk.raw', '<name>../disk'))).toContain('is not a name')
    expect(await said(xml.replace('count="2"', 'count="3"'))).toContain('says that there are 3')
    expect(await said(xml.replace('2007-10-10', '2006-01-01'))).toContain('not a manifest of version 2007-10-10')
    expect(await said(`<!DOCTYPE x [<!ENTITY a "b">]>${xml}`)).toContain('is not a manifest')
    expect(await said('x'.repeat(2 * 1024 * 1024))).toContain('larger than a manifest may be')
    // More comes out than it says: it ends there.
    expect(await said(xml.replace(/<size>\d+/, '<size>1048576'))).toContain('does not unpack')
    expect((await readdir(out)).filter((name) => !/part|manifest/.test(name))).toEqual([])
  })
})

test('each tool knows its version and its options', async () => {
  const names = (await readdir(toolsDir)).filter((name) => name !== 'ec2-metadata')
  expect(names.sort()).toEqual([
    'ec2-ami-tools-version',
    'ec2-bundle-image',
    'ec2-bundle-vol',
    'ec2-delete-bundle',
    'ec2-download-bundle',
    'ec2-unbundle',
    'ec2-upload-bundle',
  ])
  for (const name of names) {
    expect(await tool(name, '--version')).toMatch(/^\d+\.\d+\.\d+ 20071010\n$/)
    expect(await tool(name, '--help')).toMatch(new RegExp(`^Usage: ${name} OPTIONS\n.*--debug`, 's'))
  }
})
