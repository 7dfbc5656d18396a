/** `kiln bundle` and `kiln cert` as they are typed, on simulated machines. */
import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  DescribeImagesCommand,
  EC2Client,
  RegisterImageCommand,
  RunInstancesCommand,
  waitUntilImageAvailable,
  waitUntilInstanceRunning,
} from '@aws-sdk/client-ec2'
import { ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ProgramError, run } from '../../src/lib/programs.ts'
import { cleanEnvironment, kilnProgram, type RunningKiln, startKiln } from '../e2e/support/kiln.ts'

const account = '111122223333'
const waiting = { minDelay: 0.1, maxDelay: 0.3, maxWaitTime: 120 }
let kiln: RunningKiln
let folder: string
let ec2: EC2Client
let s3: S3Client

beforeAll(async () => {
  kiln = await startKiln()
  folder = await mkdtemp(join(tmpdir(), 'kiln-bundles-'))
  const about = {
    endpoint: kiln.url,
    region: 'us-east-1',
    credentials: { accessKeyId: account, secretAccessKey: 'any' },
  }
  ec2 = new EC2Client(about)
  s3 = new S3Client(about)
})
afterAll(async () => {
  ec2?.destroy()
  s3?.destroy()
  await kiln?.cleanup()
  await rm(folder, { recursive: true, force: true })
})

const typed = async (...words: string[]) => {
  const env = { ...cleanEnvironment(), XDG_CONFIG_HOME: join(folder, 'config') }
  return await run(kilnProgram, [...words, '--home', kiln.home, '--account', account], { env, timeoutMs: 120_000 })
}

async function refusal(...words: string[]): Promise<string> {
  const error = await typed(...words).catch((thrown: unknown) => thrown)
  if (!(error instanceof ProgramError)) return expect.fail(`it succeeded: ${error}`)
  return error.stderr
}

test('a disk is bundled, uploaded, launched, downloaded and unbundled to the same bytes; a running root is bundled too', async () => {
  const disk = join(folder, 'disk.raw')
  await writeFile(disk, randomBytes(11 * 1024 * 1024))
  const place = join(folder, 'bundle')
  await typed('bundle', 'image', disk, '--destination', place)
  expect((await readdir(place)).sort()).toEqual(['disk.manifest.xml', 'disk.part.00', 'disk.part.01'])
  const key = join(folder, 'config', 'kiln', 'bundles', `${account}-key.pem`)
  expect((await stat(key)).mode & 0o777).toBe(0o600)
  expect(JSON.parse(await typed('cert', 'list', '--json'))).toHaveLength(1)
  expect(await typed('cert', 'show')).toMatch(/^-----BEGIN CERTIFICATE-----\n/)

  const said = await typed('bundle', 'upload', join(place, 'disk.manifest.xml'), 'my-bundles/a')
  expect(said).toContain('my-bundles/a/disk.manifest.xml')
  const words = ['image', 'register', 'my-bundles/a/disk.manifest.xml', '--name', 'mine', '--json']
  const { imageId: ImageId } = JSON.parse(await typed(...words))
  expect(await typed('image', 'list', '--owner', 'self')).toMatch(/ mine +available +111122223333 +instance-store +- /)
  const { Images } = await ec2.send(new DescribeImagesCommand({ ImageIds: [ImageId!] }))
  expect(Images![0]!.RootDeviceType).toBe('instance-store')
  const launch = { ImageId: ImageId!, InstanceType: 'm1.small', MinCount: 1, MaxCount: 1 } as const
  const { Instances } = await ec2.send(new RunInstancesCommand(launch))
  const instanceId = Instances![0]!.InstanceId!
  await waitUntilInstanceRunning({ client: ec2, ...waiting }, { InstanceIds: [instanceId] })

  await typed('bundle', 'download', 'my-bundles/a/disk.manifest.xml', '--destination', join(folder, 'fetched'))
  const out = join(folder, 'out.raw')
  await typed('bundle', 'unbundle', join(folder, 'fetched', 'disk.manifest.xml'), out)
  expect((await readFile(out)).equals(await readFile(disk))).toBe(true)

  const { location } = JSON.parse(
    await typed('bundle', 'instance', instanceId, 'my-bundles', '--prefix', 'b/root', '--json'),
  )
  const { ImageId: second } = await ec2.send(new RegisterImageCommand({ Name: 'again', ImageLocation: location }))
  await waitUntilImageAvailable({ client: ec2, ...waiting }, { ImageIds: [second!] })

  await typed('bundle', 'delete', 'my-bundles/a/disk.manifest.xml')
  await typed('bundle', 'delete', location)
  const { KeyCount } = await s3.send(new ListObjectsV2Command({ Bucket: 'my-bundles' }))
  expect(KeyCount).toBe(0)
})

test('what cannot be bundled or opened is told, with what to do', async () => {
  const qcow2 = join(folder, 'disk.qcow2')
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', qcow2, '1M'])
  expect(await refusal('bundle', 'image', qcow2)).toContain('qemu-img convert -O raw')
  expect(await refusal('bundle', 'download', 'no-such-bucket/x.manifest.xml')).toContain('NoSuchBucket')
  expect(await refusal('bundle', 'upload', qcow2, 'my-bundles')).toContain('the manifest')
  expect(await refusal('image', 'register', 'no-such-bucket/x.manifest.xml')).toContain('InvalidAMIName.Malformed')
  const named = ['--name', 'nothing there']
  expect(await refusal('image', 'register', 'no-such-bucket/x.manifest.xml', ...named)).toContain('HTTP 404')
  expect(await refusal('cert', 'add', qcow2)).toContain('parameter CertificateBody is invalid')
  expect(await refusal('bundle', 'instance', `i-${'0'.repeat(17)}`, 'my-bundles')).toContain(
    'InvalidInstanceID.NotFound',
  )
})
