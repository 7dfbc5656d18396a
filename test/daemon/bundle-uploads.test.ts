/**
 * The AMI tools of Kiln Linux against S3, on this host. Signatures are verified, so each version of them proves how the
 * tools sign; what they did is looked at through the official client.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  GetBucketLocationCommand,
  GetObjectAclCommand,
  GetObjectCommand,
  HeadBucketCommand,
  ListObjectsV2Command,
  S3Client,
} from '@aws-sdk/client-s3'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ProgramError, run } from '../../src/lib/programs.ts'
import { type RunningKiln, repositoryRoot, startKiln } from '../e2e/support/kiln.ts'

const toolsDir = join(repositoryRoot, 'src/builder/kiln-linux/rootfs/usr/bin')
const files = ['image.manifest.xml', 'image.part.00', 'image.part.01']
let kiln: RunningKiln
let folder: string
let bundle: string
let keys: string[]
let s3: S3Client

const tool = (name: string, ...words: string[]) =>
  run('bash', [join(toolsDir, name), ...words], {
    env: { PATH: process.env.PATH, AWS_ENDPOINT_URL: kiln.url },
    timeoutMs: 120_000,
  })

async function refusal(name: string, ...words: string[]): Promise<string> {
  const failed = await tool(name, ...words).catch((error: unknown) => error)
  if (!(failed instanceof ProgramError)) return expect.fail(`${name} succeeded: ${failed}`)
  expect(failed.exitCode).toBe(1)
  return failed.stderr
}

const manifest = () => join(bundle, 'image.manifest.xml')
const keysIn = async (Bucket: string) =>
  ((await s3.send(new ListObjectsV2Command({ Bucket }))).Contents ?? []).map((object) => object.Key)

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kiln-uploads-'))
  kiln = await startKiln({ auth: 'verify' })
  const { id, secret } = JSON.parse(await kiln.command('key', 'create', '--account', '123456789012', '--json'))
  keys = ['-a', id, '-s', secret]
  s3 = new S3Client({
    endpoint: kiln.url,
    region: 'us-east-1',
    credentials: { accessKeyId: id, secretAccessKey: secret },
    followRegionRedirects: true,
  })
  bundle = join(folder, 'bundle')
  await mkdir(bundle)
  await writeFile(join(folder, 'image'), randomBytes(11 * 1024 ** 2))
  const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  await run('openssl', [
    ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=user'],
    ...['-keyout', key, '-out', certificate],
  ])
  // Sealed for the cloud by the certificate that it hands out.
  const mine = ['-k', key, '-c', certificate, '-u', '123456789012']
  await tool('ec2-bundle-image', ...mine, '-i', join(folder, 'image'), '-d', bundle, '-r', 'x86_64')
})
afterAll(async () => {
  s3?.destroy()
  await kiln?.cleanup()
  await rm(folder, { recursive: true, force: true })
})

test('a bundle is uploaded, found whole by others, downloaded, and deleted', async () => {
  const said = await tool('ec2-upload-bundle', '-b', 'tools-bucket', '-m', manifest(), ...keys, '--batch', '--retry')
  expect(said).toContain('Creating bucket tools-bucket')
  expect(said).toContain('Uploaded image.part.01')
  expect(await keysIn('tools-bucket')).toEqual(files)
  for (const name of files) {
    const { Body: body } = await s3.send(new GetObjectCommand({ Bucket: 'tools-bucket', Key: name }))
    expect(Buffer.from(await body!.transformToByteArray()).equals(await readFile(join(bundle, name)))).toBe(true)
  }
  const { Grants: grants } = await s3.send(new GetObjectAclCommand({ Bucket: 'tools-bucket', Key: files[0] }))
  expect(grants!.map((grant) => grant.Permission).sort()).toEqual(['FULL_CONTROL', 'READ'])

  const down = join(folder, 'down')
  await mkdir(down)
  await tool('ec2-download-bundle', '-b', 'tools-bucket', '-p', 'image', '-d', down, ...keys)
  expect((await readdir(down)).sort()).toEqual(files)
  for (const name of files) await run('cmp', [join(down, name), join(bundle, name)])

  expect(await tool('ec2-delete-bundle', '-b', 'tools-bucket', '-p', 'image', ...keys, '-y', '--clear')).toContain(
    'Deleted the bucket tools-bucket',
  )
  await expect(s3.send(new HeadBucketCommand({ Bucket: 'tools-bucket' }))).rejects.toThrow()
})

test('signatures of version 2 work as well, below a path, with parts left out', async () => {
  const words = ['-b', 'old-bucket/my images/web', '--sigv', '2', ...keys]
  await tool('ec2-upload-bundle', ...words, '-m', manifest(), '--part', '1', '--skipmanifest')
  expect(await keysIn('old-bucket')).toEqual(['my images/web/image.part.01'])
  await tool('ec2-upload-bundle', ...words, '-m', manifest(), '--acl', 'public-read')
  expect(await keysIn('old-bucket')).toEqual(files.map((name) => `my images/web/${name}`))
  await tool('ec2-delete-bundle', ...words, '-m', manifest())
  expect(await keysIn('old-bucket')).toEqual([])
})

test('a missing bucket is made in the region that is asked for', async () => {
  await tool('ec2-upload-bundle', '-b', 'far-bucket', '-m', manifest(), ...keys, '--region', 'eu-central-1')
  const { LocationConstraint: place } = await s3.send(new GetBucketLocationCommand({ Bucket: 'far-bucket' }))
  expect(place).toBe('eu-central-1')
})

test('what is refused says why', async () => {
  const upload = ['-b', 'refused-bucket', '-m', manifest()]
  expect(await refusal('ec2-upload-bundle', ...upload, keys[0]!, keys[1]!, '-s', 'wrong')).toContain('403')
  expect(await refusal('ec2-upload-bundle', ...upload)).toContain('-a is missing')
  expect(await refusal('ec2-upload-bundle', ...upload, ...keys, '--acl', 'private')).toContain('neither public-read')
  expect(await refusal('ec2-upload-bundle', ...upload, ...keys, '--url', 'ftp://x')).toContain(
    "--url: 'ftp://x' is not",
  )
  expect(await refusal('ec2-upload-bundle', ...upload, ...keys, '--url', 'http://127.0.0.1:1')).toContain(
    '127.0.0.1:1 does not answer',
  )
  expect(await refusal('ec2-download-bundle', '-b', 'no-such-bucket', ...keys, '-d', folder)).toContain('NoSuchBucket')
  await tool('ec2-upload-bundle', '-b', 'part-bucket', '-m', manifest(), ...keys, '--part', '1')
  expect(await refusal('ec2-download-bundle', '-b', 'part-bucket', ...keys, '-d', folder)).toContain(
    'image.part.00: NoSuchKey',
  )
  expect(await readdir(folder)).not.toContain('image.manifest.xml')
})

test('--retry goes on when the cloud fails for a while', async () => {
  let failures = 0
  const target = new URL(kiln.url)
  // Answers the first requests with 503, and hands the others on as they are.
  const unreliable = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray())
    if (failures < 2) {
      failures++
      response.writeHead(503).end('<Error><Code>SlowDown</Code><Message>Later.</Message></Error>')
      return
    }
    const answer = await fetch(new URL(request.url!, target), {
      method: request.method!,
      headers: Object.entries(request.headers).filter(([name]) => !/^(host|content-length|connection)$/.test(name)) as [
        string,
        string,
      ][],
      ...(body.length > 0 && { body }),
    })
    response.writeHead(answer.status).end(Buffer.from(await answer.arrayBuffer()))
  })
  await new Promise<void>((resolve) => unreliable.listen(0, '127.0.0.1', resolve))
  try {
    const url = `http://127.0.0.1:${(unreliable.address() as AddressInfo).port}`
    const words = ['-b', 'patient-bucket', '-m', manifest(), '--url', url, ...keys, '--sigv', '2']
    expect(await refusal('ec2-upload-bundle', ...words)).toContain('503')
    await tool('ec2-upload-bundle', ...words, '--retry')
    expect(failures).toBe(2)
    expect(await keysIn('patient-bucket')).toEqual(files)
  } finally {
    unreliable.closeAllConnections()
    await new Promise((resolve) => unreliable.close(resolve))
  }
})
