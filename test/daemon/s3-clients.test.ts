/**
 * The tools that people have: AWS CLI, boto3, s3cmd, curl. Signatures are verified, so each of them also proves how it signs.
 */
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { homeAt } from '../../src/lib/home.ts'
import { run } from '../../src/lib/programs.ts'
import { type RunningKiln, startKiln } from '../e2e/support/kiln.ts'

const works = (program: string, ...args: string[]) =>
  run(program, args).then(
    () => true,
    () => false,
  )
const [hasAws, hasBoto3, hasS3cmd, hasCurl] = await Promise.all([
  works('aws', '--version'),
  works('python3', '-c', 'import boto3'),
  works('s3cmd', '--version'),
  works('curl', '--version'),
])
const named = (name: string, isThere: boolean, debian: string) =>
  isThere ? name : `${name} (skipped: it is not installed; Debian: ${debian})`
const sha256 = (content: Buffer) => createHash('sha256').update(content).digest('hex')

let kiln: RunningKiln
let folder: string
let env: NodeJS.ProcessEnv
const timeoutMs = 120_000
const aws = (...words: string[]) => run('aws', words, { env, timeoutMs })
const curl = (...words: string[]) => run('curl', ['-sS', '--noproxy', '*', ...words], { timeoutMs })

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kiln-s3-'))
  kiln = await startKiln({ auth: 'verify' })
  const { id, secret } = JSON.parse(await kiln.command('key', 'create', '--account', '123456789012', '--json'))
  env = { ...kiln.env, AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: secret, HOME: folder }
})
afterAll(async () => {
  await kiln.cleanup()
  await rm(folder, { recursive: true, force: true })
})

describe.skipIf(!hasAws)(named('the AWS CLI', hasAws, 'awscli'), () => {
  test('copies, synchronises, lists and removes', async () => {
    const tree = join(folder, 'tree')
    await mkdir(join(tree, 'below'), { recursive: true })
    const large = randomBytes(20 * 1024 ** 2 + 5)
    await writeFile(join(tree, 'large.bin'), large)
    await writeFile(join(tree, 'below', 'small & odd + name.txt'), 'small')
    await aws('s3', 'mb', 's3://cli-bucket')
    await aws('s3', 'cp', join(tree, 'large.bin'), 's3://cli-bucket/copied/large.bin', '--quiet')
    expect(await aws('s3', 'ls', 's3://cli-bucket')).toMatch(/PRE copied\//)
    expect(await aws('s3', 'ls', 's3://cli-bucket/copied/')).toMatch(/ 20971525 large\.bin/)
    await aws('s3', 'cp', 's3://cli-bucket/copied/large.bin', join(folder, 'back.bin'), '--quiet')
    expect(sha256(await readFile(join(folder, 'back.bin')))).toBe(sha256(large))

    await aws('s3', 'sync', tree, 's3://cli-bucket/synced', '--quiet')
    expect(await aws('s3', 'sync', tree, 's3://cli-bucket/synced')).toBe('')
    await aws('s3', 'cp', 's3://cli-bucket/synced', 's3://cli-bucket/again', '--recursive', '--quiet')
    await aws('s3', 'sync', 's3://cli-bucket/again', join(folder, 'down'), '--quiet')
    expect(sha256(await readFile(join(folder, 'down', 'large.bin')))).toBe(sha256(large))
    expect(await readFile(join(folder, 'down', 'below', 'small & odd + name.txt'), 'utf8')).toBe('small')
    const head = JSON.parse(await aws('s3api', 'head-object', '--bucket', 'cli-bucket', '--key', 'synced/large.bin'))
    expect(head.ETag).toMatch(/^"[0-9a-f]{32}-3"$/)

    await aws('s3', 'rm', 's3://cli-bucket/copied/large.bin')
    await aws('s3', 'mv', 's3://cli-bucket/again/large.bin', 's3://cli-bucket/moved', '--quiet')
    await aws('s3', 'rm', 's3://cli-bucket', '--recursive', '--quiet')
    expect(await aws('s3', 'ls', 's3://cli-bucket')).toBe('')
    await aws('s3', 'rb', 's3://cli-bucket')
    expect(await aws('s3', 'ls')).toBe('')
  })

  test('finds a bucket of another region', async () => {
    await aws('s3', 'mb', 's3://cli-frankfurt', '--region', 'eu-central-1')
    await writeFile(join(folder, 'far.txt'), 'far away')
    await aws('s3', 'cp', join(folder, 'far.txt'), 's3://cli-frankfurt/far.txt', '--region', 'us-east-1', '--quiet')
    expect(await aws('s3', 'cp', 's3://cli-frankfurt/far.txt', '-', '--region', 'us-west-2')).toBe('far away')
  })

  test.skipIf(!hasCurl)('signs URLs that curl reads, until they are changed', async () => {
    await aws('s3', 'mb', 's3://cli-presigned')
    await writeFile(join(folder, 'page.txt'), 'for curl')
    await aws('s3', 'cp', join(folder, 'page.txt'), 's3://cli-presigned/a page.txt', '--quiet')
    const url = (await aws('s3', 'presign', 's3://cli-presigned/a page.txt')).trim()
    expect(await curl(url)).toBe('for curl')
    expect(await curl('-r', '4-7', url)).toBe('curl')
    expect(await curl(url.replace('page.txt', 'other.txt'))).toContain('<Code>SignatureDoesNotMatch</Code>')
    expect(await curl(url.split('?')[0]!)).toContain('<Code>AccessDenied</Code>')
    const { hostname, port, pathname, search } = new URL(url)
    const host = `cli-presigned.s3.localhost:${port}`
    const resolve = ['--resolve', `${host}:${hostname}`]
    // A signature of version 2 is of the bucket and the key, wherever they stand; one of version 4 is of the host too.
    const isOld = search.includes('AWSAccessKeyId')
    const sameObject = `http://${host}${pathname.replace('/cli-presigned', '')}${search}`
    expect(await curl(...resolve, sameObject)).toContain(isOld ? 'for curl' : '<Code>SignatureDoesNotMatch</Code>')
  })
})

describe.skipIf(!hasBoto3)(named('boto3', hasBoto3, 'python3-boto3'), () => {
  test('sends parts of 8 MiB, reads ranges, signs in all its ways', async () => {
    const script = fileURLToPath(new URL('./s3_clients.py', import.meta.url))
    const output = await run('python3', [script, kiln.url], { env, timeoutMs })
    const form = JSON.parse(output.trim().split('\n').at(-1)!) as { url: string; fields: Record<string, string> }
    if (!hasCurl) return
    await writeFile(join(folder, 'form.txt'), 'sent by a form')
    const fields = Object.entries(form.fields).flatMap(([name, value]) => ['-F', `${name}=${value}`])
    const post = (more: string[] = []) =>
      curl('-w', '%{http_code}', ...fields, ...more, '-F', `file=@${join(folder, 'form.txt')}`, form.url)
    expect(await post()).toBe('204')
    expect(await post(['-F', 'acl=public-read'])).toContain('<Code>AccessDenied</Code>')
    const tampered = fields.map((field) =>
      field.replace(/^(x-amz-signature=.)./, '$10').replace(/^policy=e/, 'policy=f'),
    )
    expect(await curl(...tampered, '-F', `file=@${join(folder, 'form.txt')}`, form.url)).toMatch(/<Code>/)
  })
})

describe.skipIf(!hasS3cmd)(named('s3cmd', hasS3cmd, 's3cmd'), () => {
  test.each([['--no-encrypt'], ['--signature-v2']])('puts, gets, lists and removes (%s)', async (mode) => {
    const { host } = new URL(kiln.url)
    const settings = ['--config=/dev/null', '--no-ssl', `--host=${host}`, `--host-bucket=${host}`, mode]
    const keys = [`--access_key=${env.AWS_ACCESS_KEY_ID}`, `--secret_key=${env.AWS_SECRET_ACCESS_KEY}`]
    const s3cmd = (...words: string[]) => run('s3cmd', [...settings, ...keys, ...words], { env, timeoutMs })
    const bucket = `s3://s3cmd${mode.replace('--', '-')}`
    const content = randomBytes(17 * 1024 ** 2)
    await writeFile(join(folder, 's3cmd.bin'), content)
    await s3cmd('mb', bucket)
    await s3cmd(
      'put',
      '--quiet',
      '--multipart-chunk-size-mb=5',
      join(folder, 's3cmd.bin'),
      `${bucket}/a folder/file.bin`,
    )
    expect(await s3cmd('ls', `${bucket}/a folder/`)).toContain('17825792')
    await s3cmd('get', '--quiet', '--force', `${bucket}/a folder/file.bin`, join(folder, 's3cmd.back'))
    expect(sha256(await readFile(join(folder, 's3cmd.back')))).toBe(sha256(content))
    await s3cmd('setacl', '--acl-public', `${bucket}/a folder/file.bin`)
    await s3cmd('cp', `${bucket}/a folder/file.bin`, `${bucket}/copy`)
    await s3cmd('del', '--recursive', '--force', bucket)
    await s3cmd('rb', bucket)
  })
})

test.skipIf(!hasCurl || !hasAws)('an object of half a gigabyte goes in and out, and is never in memory', async () => {
  const half = 512 * 1024 ** 2
  const page = JSON.parse(await readFile(homeAt(kiln.home).daemonPath, 'utf8')) as { pid: number }
  const peakBytes = async () =>
    1024 * Number(/VmHWM:\s+(\d+) kB/.exec(await readFile(`/proc/${page.pid}/status`, 'utf8'))![1])
  const file = join(folder, 'half.bin')
  await writeFile(file, '')
  await truncate(file, half)
  await aws('s3', 'mb', 's3://cli-large')
  const before = await peakBytes()
  await aws('s3api', 'put-object', '--bucket', 'cli-large', '--key', 'half', '--body', file)
  const url = (await aws('s3', 'presign', 's3://cli-large/half')).trim()
  expect(await curl('-o', '/dev/null', '-w', '%{size_download}', url)).toBe(String(half))
  expect((await peakBytes()) - before).toBeLessThan(half / 2)
})

test.skipIf(!hasCurl)('without a signature nothing is written, and nothing private is read', async () => {
  const { host } = new URL(kiln.url)
  expect(await curl(`http://${host}/cli-frankfurt/far.txt`)).toMatch(/<Code>(AccessDenied|NoSuchBucket)<\/Code>/)
  expect(await curl('-X', 'PUT', '-d', 'x', `http://${host}/cli-frankfurt/far.txt`)).toContain('<Code>')
})
