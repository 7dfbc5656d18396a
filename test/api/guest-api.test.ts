/** The API as programs within an instance use it: over the network's relay, by the official clients. */
import { createHash, randomBytes } from 'node:crypto'
import { Agent, request as httpRequest, type RequestOptions } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { CreateVolumeCommand, DescribeInstancesCommand, DescribeVolumesCommand, EC2Client } from '@aws-sdk/client-ec2'
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ApiRelay, createApiRelay } from '../../src/network/api-relay.ts'
import { useServedCloud } from '../support/served-cloud.ts'
import { placeInstance } from '../support/test-cloud.ts'

const owner = '000000000021'
const other = '000000000022'
const region = 'eu-west-1'
const endpoint = 'http://169.254.169.254:4566'

const served = useServedCloud()
let instanceId: string
let relay: ApiRelay
let agent: Agent

beforeAll(async () => {
  const cloud = served()
  const scope = { accountId: owner, region }
  // On their first request accounts get what every account has.
  await cloud.client(owner).send(new DescribeInstancesCommand({}))
  const placed = await placeInstance(cloud, scope, { groupIds: [], hostNumber: 10 })
  instanceId = placed.instanceId
  const { id: vpcId } = await cloud.cloud.vpcs.openDefault(scope)
  const { guestApiSocketPath: apiSocketPath } = cloud
  relay = createApiRelay({ vpcId, apiSocketPath, sourceOf: () => placed.privateIp })
  await new Promise<void>((resolve) => relay.server.listen(0, '127.0.0.1', resolve))
  agent = guestAgent((relay.server.address() as AddressInfo).port)
})
afterAll(async () => {
  agent?.destroy()
  await relay?.close()
})

/** Connects to the relay where a guest's kernel would connect to the metadata address. */
function guestAgent(port: number): Agent {
  const to = new Agent({ keepAlive: true })
  to.createConnection = () => connect(port, '127.0.0.1')
  return to
}

const settings = (accessKeyId: string) => ({
  endpoint,
  region,
  maxAttempts: 1,
  credentials: { accessKeyId, secretAccessKey: 'any' },
  requestHandler: { httpAgent: agent },
})
const ec2 = (accessKeyId = owner) => new EC2Client(settings(accessKeyId))
const s3 = (accessKeyId = owner) => new S3Client(settings(accessKeyId))
const refusal = (asked: Promise<unknown>) =>
  asked.then(
    () => 'accepted',
    (error: Error) => error.name,
  )

function ask(options: RequestOptions, body?: string | Buffer): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(endpoint, { agent, ...options }, async (answer) => {
      let text = ''
      for await (const piece of answer) text += piece
      resolve({ status: answer.statusCode!, body: text })
    })
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

describe('EC2 from within an instance', () => {
  test('answers as to its owner', async () => {
    const { Reservations } = await ec2().send(new DescribeInstancesCommand({}))
    expect(Reservations!.flatMap(({ Instances }) => Instances!.map((one) => one.InstanceId))).toEqual([instanceId])
    const { VolumeId } = await ec2().send(new CreateVolumeCommand({ AvailabilityZone: `${region}a`, Size: 1 }))
    const { Volumes } = await served()
      .client(owner)
      .send(new DescribeVolumesCommand({ VolumeIds: [VolumeId!] }))
    expect(Volumes).toHaveLength(1)
  })

  test('is nobody else’s', async () => {
    expect(await refusal(ec2(other).send(new DescribeInstancesCommand({})))).toBe('AuthFailure')
    expect(await refusal(ec2('AKIAEXAMPLE').send(new DescribeInstancesCommand({})))).toBe('AuthFailure')
  })
})

describe('S3 from within an instance', () => {
  const Bucket = 'from-within'
  const content = randomBytes(12 * 1024 * 1024)
  const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
  beforeAll(() =>
    s3()
      .send(new CreateBucketCommand({ Bucket }))
      .then(() => {}),
  )

  test('takes and gives large objects whole, in ranges, and tells of them', async () => {
    // The client waits for the server's word before it sends so much.
    await s3().send(new PutObjectCommand({ Bucket, Key: 'image', Body: content }))
    const { Body } = await s3().send(new GetObjectCommand({ Bucket, Key: 'image' }))
    expect(sha256(await Body!.transformToByteArray())).toBe(sha256(content))
    const part = await s3().send(new GetObjectCommand({ Bucket, Key: 'image', Range: 'bytes=5000000-5000099' }))
    expect(Buffer.from(await part.Body!.transformToByteArray())).toEqual(content.subarray(5_000_000, 5_000_100))
    const head = await s3().send(new HeadObjectCommand({ Bucket, Key: 'image' }))
    expect(head.ContentLength).toBe(content.length)
  })

  test('takes bodies of unknown length, and those whose senders wait to be asked', async () => {
    const authorization = `AWS4-HMAC-SHA256 Credential=${owner}/20260101/${region}/s3/aws4_request, SignedHeaders=host, Signature=0`
    const put = (headers: Record<string, string>) =>
      ask({ method: 'PUT', path: `/${Bucket}/raw`, headers: { authorization, ...headers } }, content)
    expect(await put({ expect: '100-continue', 'content-length': `${content.length}` })).toMatchObject({ status: 200 })
    const { Body } = await s3().send(new GetObjectCommand({ Bucket, Key: 'raw' }))
    expect(sha256(await Body!.transformToByteArray())).toBe(sha256(content))
    const chunked = await put({ 'transfer-encoding': 'chunked' })
    expect([chunked.status, chunked.body.includes('MissingContentLength')]).toEqual([411, true])
  })

  test('gives to anybody what is public, and nobody else’s things to a key that is made up', async () => {
    const theirs = served().s3(other)
    await theirs.send(new CreateBucketCommand({ Bucket: 'theirs' }))
    await theirs.send(new PutObjectCommand({ Bucket: 'theirs', Key: 'secret', Body: 'secret' }))
    await theirs.send(new PutObjectCommand({ Bucket: 'theirs', Key: 'news', Body: 'news', ACL: 'public-read' }))
    expect(await ask({ path: '/theirs/news' })).toEqual({ status: 200, body: 'news' })
    expect(await ask({ path: '/theirs/secret' })).toMatchObject({ status: 403 })
    for (const key of [owner, other, 'AKIAEXAMPLE']) {
      const [get, remove] = [GetObjectCommand, DeleteObjectCommand]
      expect([key, await refusal(s3(key).send(new get({ Bucket: 'theirs', Key: 'secret' })))]).toEqual([
        key,
        'AccessDenied',
      ])
      expect(await refusal(s3(key).send(new remove({ Bucket: 'theirs', Key: 'secret' })))).toBe('AccessDenied')
    }
  })

  test.each(['x-amz-credential', 'awsaccesskeyid'])(
    'takes no form that names another account’s key as %s',
    async (field) => {
      const policy = (bucket: string) =>
        Buffer.from(
          JSON.stringify({
            expiration: '2099-01-01T00:00:00Z',
            conditions: [{ bucket }, ['starts-with', '$key', ''], ['starts-with', `$${field}`, '']],
          }),
        ).toString('base64')
      const post = (bucket: string, account: string) => {
        const key = field === 'awsaccesskeyid' ? account : `${account}/20260101/${region}/s3/aws4_request`
        const fields = { key: 'posted', policy: policy(bucket), [field]: key }
        const parts = Object.entries(fields).map(
          ([name, value]) => `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
        )
        const file = '--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\ncontent\r\n--b--\r\n'
        const headers = { 'content-type': 'multipart/form-data; boundary=b' }
        return ask({ method: 'POST', path: `/${bucket}`, headers }, parts.join('') + file)
      }
      expect(await post(Bucket, owner)).toMatchObject({ status: 204 })
      const refused = await post('theirs', other)
      expect([refused.status, /<Code>(.*)<\/Code>/.exec(refused.body)?.[1]]).toEqual([403, 'AccessDenied'])
      expect(refused.body).toContain(instanceId)
    },
  )
})
