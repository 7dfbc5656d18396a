/** Programs within an instance use the API of the Kiln that runs it, with whatever they have. */
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CreateBucketCommand, GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { describe, expect, test } from 'vitest'
import { run } from '../../src/lib/programs.ts'
import { useFleet } from './support/fleet.ts'

const api = 'http://169.254.169.254:4566'
const owner = '111122223333'
const region = 'us-east-1'

describe.each(['namespace', 'user'])('with the network of kind %s', (network) => {
  const on = useFleet({ args: ['--network', network], accountId: owner })

  const authorization = (key: string, service: string) =>
    `Authorization: AWS4-HMAC-SHA256 Credential=${key}/20260101/${region}/${service}/aws4_request, SignedHeaders=host, Signature=0`

  test('a guest finds the API beside its metadata, and is its owner there and nobody else', async () => {
    expect(await on.fleet.ssh(on.instance, `wget -q -O - ${api}/_kiln/health`)).toContain('"status":"ready"')
    expect(await on.fleet.ssh(on.instance, "sh -lc 'echo $AWS_ENDPOINT_URL'")).toBe(api)
    expect(await on.fleet.ssh(on.instance, `wget -q -O - ${api}/_kiln/certificate`)).toContain('BEGIN CERTIFICATE')
    const describeInstances = (key: string) =>
      `wget -q -O - --header '${authorization(key, 'ec2')}' '${api}/?Action=DescribeInstances&Version=2016-11-15' 2>&1`
    expect(await on.fleet.ssh(on.instance, describeInstances(owner))).toContain(
      `<instanceId>${on.instance}</instanceId>`,
    )
    expect(await on.fleet.ssh(on.instance, `${describeInstances('444455556666')} || true`)).toContain('401')
    expect(await on.fleet.ssh(on.instance, `wget -O - ${api}/_kiln/status 2>&1 || true`)).toContain('403')
  })

  test('a guest reads its metadata, and with it can prove to others which instance it is', async () => {
    const read = (path: string) => on.fleet.ssh(on.instance, `wget -q -O - http://169.254.169.254/${path}`)
    expect(await read('latest/meta-data/network/interfaces/macs/')).toMatch(/^([0-9a-f]{2}:){5}[0-9a-f]{2}\/$/)
    expect(await read('latest/meta-data/placement/')).toBe('availability-zone\navailability-zone-id\nregion')
    expect(await read('2009-04-04/meta-data/placement/')).toBe('availability-zone')
    expect(await read('latest/meta-data/system')).toBe('nitro')
    await expect(read('latest/meta-data/spot/instance-action')).rejects.toThrow('404')

    const folder = await mkdtemp(join(on.kiln.home, 'identity-'))
    const file = async (name: string, text: string) => writeFile(join(folder, name), text)
    const pkcs7 = await read('latest/dynamic/instance-identity/pkcs7')
    await file('pkcs7', `-----BEGIN PKCS7-----\n${pkcs7}\n-----END PKCS7-----\n`)
    await file('certificate', await on.fleet.ssh(on.instance, `wget -q -O - ${api}/_kiln/certificate`))
    const words = ['-verify', '-in', 'pkcs7', '-inform', 'PEM', '-certfile', 'certificate', '-noverify', '-binary']
    const document = await run('openssl', ['smime', ...words], { cwd: folder })
    expect(document).toBe(await read('latest/dynamic/instance-identity/document'))
    expect(JSON.parse(document)).toMatchObject({ accountId: owner, instanceId: on.instance, region })
  })

  test('large objects pass both ways, as bytes', async () => {
    const Bucket = 'guests'
    const Body = randomBytes(24 * 1024 * 1024)
    const digest = createHash('sha256').update(Body).digest('hex')
    const credentials = { accessKeyId: owner, secretAccessKey: 'any' }
    const s3 = new S3Client({ endpoint: on.kiln.url, region, credentials })
    await s3.send(new CreateBucketCommand({ Bucket }))
    await s3.send(new PutObjectCommand({ Bucket, Key: 'down', Body }))
    const fetched = `wget -q -O down --header '${authorization(owner, 's3')}' ${api}/${Bucket}/down && sha256sum down`
    expect(await on.fleet.ssh(on.instance, fetched)).toBe(`${digest}  down`)
    const head = [
      'PUT /guests/up HTTP/1.1',
      'Host: 169.254.169.254:4566',
      authorization(owner, 's3'),
      `Content-Length: ${Body.length}`,
      'Connection: close',
    ].join('\\r\\n')
    // A sender that closes its half is taken for one that has gone away.
    const sent = `(printf '${head}\\r\\n\\r\\n'; cat down; sleep 5) | nc 169.254.169.254 4566 | head -n 1`
    expect(await on.fleet.ssh(on.instance, sent)).toBe('HTTP/1.1 200 OK')
    const { Body: up } = await s3.send(new GetObjectCommand({ Bucket, Key: 'up' }))
    expect(
      createHash('sha256')
        .update(await up!.transformToByteArray())
        .digest('hex'),
    ).toBe(digest)
    s3.destroy()
  })
})
