/** `kiln image pull`, from a mirror on this host: the whole way from the publisher's files to an instance. */
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DescribeImagesCommand, DescribeInstancesCommand, EC2Client, RunInstancesCommand } from '@aws-sdk/client-ec2'
import { createMessage, generateKey, readPrivateKey, sign } from 'openpgp'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { type Mirror, openMirror } from '../../src/builder/catalogue/mirror.fixture.ts'
import { systemClock, waitFor } from '../../src/lib/clock.ts'
import { homeAt } from '../../src/lib/home.ts'
import { ProgramError } from '../../src/lib/programs.ts'
import { type RunningKiln, startKiln } from '../e2e/support/kiln.ts'
import { compareDisks, convertTo, writeBootableDisk } from '../support/disk-images.ts'

const debian = '136693071363'
const build = '20990201-0001'
const folderOf = (date: string) => `/images/cloud/bookworm/${date}`

let folder: string
let kiln: RunningKiln
let mirror: Mirror
let disk: Buffer
const clients: EC2Client[] = []
const place = (name: string) => join(folder, name)

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kiln-pull-'))
  await writeBootableDisk(place('disk.raw'), 'bookworm')
  await convertTo('qcow2', place('disk.raw'), place('disk.qcow2'))
  disk = await readFile(place('disk.qcow2'))
  mirror = await openMirror()
  kiln = await startKiln({ env: { KILN_IMAGE_MIRROR: mirror.url } })
})
beforeEach(() => {
  mirror.files.clear()
  mirror.asked.length = 0
  mirror.cutAfterBytes = undefined
})
afterAll(async () => {
  for (const client of clients) client.destroy()
  for (const name of kiln ? await kept() : []) await rm(join(downloadsDir(), name))
  await kiln?.cleanup()
  await mirror?.close()
  await rm(folder, { recursive: true, force: true })
})

/** A build of Debian 12 on the mirror, as Debian lays it. */
function lay(bytes: Buffer, { date = build, listed = bytes }: { date?: string; listed?: Buffer } = {}): void {
  const name = `debian-12-genericcloud-amd64-${date}.qcow2`
  const digest = createHash('sha512').update(listed).digest('hex')
  mirror.files.set(`${folderOf(date)}/${name}`, bytes)
  mirror.files.set(`${folderOf(date)}/SHA512SUMS`, Buffer.from(`${digest}  ${name}\n`))
}

function client(region = 'us-east-1'): EC2Client {
  const credentials = { accessKeyId: '111122223333', secretAccessKey: 'any' }
  clients.push(new EC2Client({ endpoint: kiln.url, region, credentials, maxAttempts: 1 }))
  return clients.at(-1)!
}

const json = async (...args: string[]) => JSON.parse(await kiln.command('image', 'pull', ...args, '--json'))

async function failure(...args: string[]): Promise<{ code: number | null; said: string }> {
  const error = await kiln.command('image', 'pull', ...args).then(
    (output) => new Error(`it succeeded: ${output}`),
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof ProgramError)) throw error
  return { code: error.exitCode, said: error.stderr }
}

/** Homes of tests share the cache of whoever runs them; no publisher builds in that year. */
const downloadsDir = () => join(homeAt(kiln.home).cacheDir, 'pulled')
const kept = async () => (await readdir(downloadsDir()).catch(() => [])).filter((name) => name.includes('-2099'))

test('what is pulled is found as on EC2, launches, and holds what the publisher has laid', async () => {
  lay(disk, { date: '20990101-0001', listed: Buffer.from('old') })
  lay(disk)
  mirror.cutAfterBytes = Math.floor(disk.length * (0.3 + 0.6 * Math.random()))
  const pulled = await json('debian-12')
  expect(mirror.asked.at(-1)!.range).toMatch(/^bytes=\d+-$/)
  expect(pulled).toMatchObject({
    ...{ imageName: `debian-12-amd64-${build}`, accountId: debian, region: 'us-east-1', wasThere: false },
    ...{ version: build, verifiedBy: 'checksum', fileBytes: disk.length, catalogueName: 'debian-12' },
  })
  expect(await kept()).toEqual([])

  const ec2 = client()
  const { Images: images } = await ec2.send(
    new DescribeImagesCommand({ Owners: [debian], Filters: [{ Name: 'name', Values: ['debian-12-amd64-*'] }] }),
  )
  expect(images).toMatchObject([
    { ImageId: pulled.imageId, Public: true, State: 'available', Description: `Debian 12 (bookworm) (${build})` },
  ])
  const { Instances: instances } = await ec2.send(
    new RunInstancesCommand({ ImageId: pulled.imageId, InstanceType: 't3.nano', MinCount: 1, MaxCount: 1 }),
  )
  const isRunning = async () => {
    const ask = new DescribeInstancesCommand({ InstanceIds: [instances![0]!.InstanceId!] })
    return (await ec2.send(ask)).Reservations![0]!.Instances![0]!.State!.Name === 'running' || undefined
  }
  expect(await waitFor(systemClock, isRunning, { everyMs: 100, timeoutMs: 60_000 })).toBe(true)
  await kiln.command('image', 'export', pulled.imageId, place('back.raw'), '--account', debian)
  await compareDisks('raw', place('back.raw'), place('disk.raw'))

  // Elsewhere it is there without being fetched again; and so it is here.
  mirror.asked.length = 0
  const elsewhere = await json('debian-12', '--region', 'eu-central-1')
  expect(elsewhere).toMatchObject({ imageName: pulled.imageName, region: 'eu-central-1', wasThere: true })
  expect(mirror.asked.some(({ path }) => path.endsWith('.qcow2'))).toBe(false)
  expect(await kiln.command('image', 'pull', 'debian-12')).toMatch(/is the newest, and in us-east-1 already\n$/)

  lay(disk, { date: '20990301-0001' })
  expect(await kiln.command('image', 'pull', 'debian-12')).toMatch(
    /^ami-\w+: debian-12-amd64-20990301-0001, of 136693071363, in us-east-1\nIts checksum was verified; .* Log in as debian\.\n$/,
  )
  const { Images: both } = await ec2.send(new DescribeImagesCommand({ Owners: [debian] }))
  expect(both!.map((image) => image.Name).sort()).toEqual([`debian-12-amd64-${build}`, 'debian-12-amd64-20990301-0001'])
  const listed = await kiln.command('image', 'pull', '--list')
  expect(listed).toMatch(/debian-12 +Debian 12 \(bookworm\) +136693071363 +checksum +20990301-0001 /)
  expect(listed).toMatch(
    new RegExp(`debian-12 .* ${build} .* eu-central-1, us-east-1|debian-12 .* ${build} .* us-east-1, eu-central-1`),
  )
  expect(listed).toMatch(/ubuntu-24\.04 +Ubuntu 24\.04 LTS \(noble\) +099720109477 +signature +- +- +- +-\n/)
})

test('a download that breaks off is carried on by the next command', async () => {
  lay(disk, { date: '20990302-0002' })
  mirror.cutAfterBytes = Math.floor(disk.length / 20)
  expect(await failure('debian-12')).toMatchObject({
    code: 1,
    said: expect.stringMatching(/broke off behind byte \d+/),
  })
  mirror.cutAfterBytes = undefined
  mirror.asked.length = 0
  expect(await json('debian-12')).toMatchObject({ version: '20990302-0002' })
  expect(mirror.asked.find(({ path }) => path.endsWith('.qcow2'))!.range).toMatch(/^bytes=\d{2,}-$/)
})

test('what is not what was promised is not taken', async () => {
  const date = '20990303-0003'
  const damaged = Buffer.from(disk)
  damaged[damaged.length - 1]! ^= 1
  lay(damaged, { date, listed: disk })
  expect(await failure('debian-12')).toMatchObject({
    code: 1,
    said: expect.stringContaining('is damaged, or was replaced'),
  })
  lay(Buffer.from('this is no disk at all'.repeat(100)), { date })
  expect(await failure('debian-12')).toMatchObject({ code: 1, said: expect.stringContaining('No valid partitions') })

  const sums = `${createHash('sha256').update(disk).digest('hex')} *ubuntu-24.04-server-cloudimg-amd64.img\n`
  const { privateKey } = await generateKey({ userIDs: [{ name: 'UEC Image Automatic Signing Key' }] })
  const signature = await sign({
    message: await createMessage({ binary: new Uint8Array(Buffer.from(sums)) }),
    signingKeys: await readPrivateKey({ armoredKey: privateKey }),
    detached: true,
  })
  mirror.files.set('/releases/noble/release-20260725/SHA256SUMS', Buffer.from(sums))
  mirror.files.set('/releases/noble/release-20260725/SHA256SUMS.gpg', Buffer.from(signature as string))
  mirror.files.set('/releases/noble/release-20260725/ubuntu-24.04-server-cloudimg-amd64.img', disk)
  const refused = await failure('ubuntu-24.04')
  expect(refused).toMatchObject({ code: 1, said: expect.stringContaining('is not what Ubuntu has signed') })
  expect(mirror.asked.some(({ path }) => path.endsWith('.img'))).toBe(false)
  const ask = new DescribeImagesCommand({ Owners: ['099720109477'] })
  expect((await client().send(ask)).Images).toEqual([])
})

test('a name that is none, and a host that does not answer, are told with the way out', async () => {
  expect(await failure('debain-12')).toEqual({
    code: 2,
    said: "kiln: there is no image 'debain-12' to pull: did you mean 'debian-12'?\n",
  })
  expect(await failure()).toMatchObject({ code: 2, said: expect.stringContaining('name an image: one of debian-11') })
  expect(await failure('debian-12', '--mirror', 'http://127.0.0.1:9')).toEqual({
    code: 1,
    said: expect.stringMatching(
      /^kiln: cannot reach http:\/\/127\.0\.0\.1:9: .*; give --mirror URL, or import a file with kiln image import\n$/,
    ),
  })
  expect(await failure('debian-12')).toMatchObject({ code: 1, said: expect.stringContaining('was answered with 404') })
  expect(await failure('debian-12', '--mirror', 'http://mirror.example.org')).toMatchObject({
    code: 1,
    said: expect.stringContaining('is not HTTPS, and nothing signs'),
  })
  lay(disk)
  expect(await failure('debian-12', '--region', 'mars-1')).toMatchObject({
    code: 1,
    said: expect.stringContaining("There is no region 'mars-1'"),
  })
})
