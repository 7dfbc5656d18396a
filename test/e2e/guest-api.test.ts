/** Programs within an instance use the API of the Kiln that runs it, with whatever they have. */
import { createHash, randomBytes } from 'node:crypto'
import { CreateBucketCommand, GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Fleet, prepareFleet } from './support/fleet.ts'
import { type RunningKiln, startKiln } from './support/kiln.ts'

const api = 'http://169.254.169.254:4566'
const owner = '111122223333'
const region = 'us-east-1'

describe.each(['namespace', 'user'])('with the network of kind %s', (network) => {
  let kiln: RunningKiln
  let fleet: Fleet
  let instance: string
  let s3: S3Client
  beforeAll(async () => {
    kiln = await startKiln({ machines: 'qemu', args: ['--network', network] })
    fleet = await prepareFleet(kiln, region, owner)
    s3 = new S3Client({ endpoint: kiln.url, region, credentials: { accessKeyId: owner, secretAccessKey: 'any' } })
    ;[instance] = (await fleet.launch({})) as [string]
  })
  afterAll(async () => {
    s3?.destroy()
    await kiln?.cleanup()
  })

  const authorization = (key: string, service: string) =>
    `Authorization: AWS4-HMAC-SHA256 Credential=${key}/20260101/${region}/${service}/aws4_request, SignedHeaders=host, Signature=0`

  test('a guest finds the API beside its metadata, and is its owner there and nobody else', async () => {
    expect(await fleet.ssh(instance, `wget -q -O - ${api}/_kiln/health`)).toContain('"status":"ready"')
    const describeInstances = (key: string) =>
      `wget -q -O - --header '${authorization(key, 'ec2')}' '${api}/?Action=DescribeInstances&Version=2016-11-15' 2>&1`
    expect(await fleet.ssh(instance, describeInstances(owner))).toContain(`<instanceId>${instance}</instanceId>`)
    expect(await fleet.ssh(instance, `${describeInstances('444455556666')} || true`)).toContain('401')
    expect(await fleet.ssh(instance, `wget -O - ${api}/_kiln/status 2>&1 || true`)).toContain('403')
  })

  test('large objects pass both ways, as bytes', async () => {
    const Bucket = 'guests'
    const Body = randomBytes(24 * 1024 * 1024)
    const digest = createHash('sha256').update(Body).digest('hex')
    await s3.send(new CreateBucketCommand({ Bucket }))
    await s3.send(new PutObjectCommand({ Bucket, Key: 'down', Body }))
    const fetched = `wget -q -O down --header '${authorization(owner, 's3')}' ${api}/${Bucket}/down && sha256sum down`
    expect(await fleet.ssh(instance, fetched)).toBe(`${digest}  down`)
    const head = [
      'PUT /guests/up HTTP/1.1',
      'Host: 169.254.169.254:4566',
      authorization(owner, 's3'),
      `Content-Length: ${Body.length}`,
      'Connection: close',
    ].join('\\r\\n')
    // A sender that closes its half is taken for one that has gone away.
    const sent = `(printf '${head}\\r\\n\\r\\n'; cat down; sleep 5) | nc 169.254.169.254 4566 | head -n 1`
    expect(await fleet.ssh(instance, sent)).toBe('HTTP/1.1 200 OK')
    const { Body: up } = await s3.send(new GetObjectCommand({ Bucket, Key: 'up' }))
    expect(
      createHash('sha256')
        .update(await up!.transformToByteArray())
        .digest('hex'),
    ).toBe(digest)
  })
})
