/** Bundles that the cloud makes of running instances, through the official clients: real disks, blocks and objects. */
import { createHmac, randomBytes } from 'node:crypto'
import { mkdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  BundleInstanceCommand,
  type BundleInstanceCommandInput,
  type BundleTask,
  CancelBundleTaskCommand,
  DescribeBundleTasksCommand,
  DescribeImagesCommand,
  type EC2Client,
  RegisterImageCommand,
} from '@aws-sdk/client-ec2'
import { CreateBucketCommand, GetObjectCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { bundleTaskHandlers } from '../../src/api/ec2/handlers/bundle-tasks.ts'
import { ec2Handlers } from '../../src/api/ec2/handlers/index.ts'
import { createEc2Service } from '../../src/api/ec2/service.ts'
import type { AuthSettings } from '../../src/api/http/exchange.ts'
import { type ApiServer, createApiServer } from '../../src/api/http/server.ts'
import { createS3Service } from '../../src/api/s3/service.ts'
import { sdkClient } from '../../src/api/testing/running-server.ts'
import { parseManifest } from '../../src/bundles/manifest.ts'
import { openKey, signerOf } from '../../src/bundles/seals.ts'
import { openBundle } from '../../src/bundles/unbundle.ts'
import { AccessKeys } from '../../src/cloud/access-keys.ts'
import { BundleTasks } from '../../src/cloud/bundle-tasks/bundle-tasks.ts'
import type { InstanceRoots } from '../../src/cloud/bundle-tasks/ports.ts'
import { systemClock, waitFor } from '../../src/lib/clock.ts'
import { silentLog } from '../../src/lib/log.ts'
import { run } from '../../src/lib/programs.ts'
import { expectRefusal } from '../support/served-cloud.ts'
import { openTestCloud, placeInstance, type TestCloud } from '../support/test-cloud.ts'

const account = '000000000001'
const other = '000000000009'
const region = 'eu-west-1'
const bucket = 'bundles'
const mib = 1024 ** 2
const rootBytes = 64 * mib

let testCloud: TestCloud
let servers: ApiServer[]
let ec2: EC2Client
let s3: S3Client
let openUrl: string
let verified: (key: { accessKeyId: string; secretAccessKey: string }) => EC2Client
let instanceId: string
/** What each task has frozen, and how often that was let go of. */
let frozen: Map<string, string>
let released: string[]
/** Holds the reading of a root back, or breaks it. */
let beforeReading = async () => {}
const clients: { destroy(): void }[] = []

/** Roots that are real disks; a freeze only notes that it was asked for, because no guest writes. */
const roots: InstanceRoots = {
  async freeze(id, taskId) {
    frozen.set(taskId, id)
  },
  async openFrozen() {
    await beforeReading()
    const chain = { base: null, layers: [rootPath()], key: null }
    const source = await testCloud.deps.disks.openForReading(chain, rootBytes)
    return { source, sizeBytes: rootBytes, close: () => source.close() }
  },
  async release(_, taskId) {
    if (frozen.delete(taskId)) released.push(taskId)
  },
}
const rootPath = () => join(testCloud.deps.volumesDir, 'root.qcow2')

async function serve(auth: AuthSettings): Promise<string> {
  const { cloud, deps } = testCloud
  const { clock, random } = deps
  const handlers = { ...ec2Handlers, ...bundleTaskHandlers }
  const server = createApiServer({
    services: [
      createEc2Service({ handlers, cloud: { ...cloud, bundleTasks: tasks }, auth }),
      createS3Service({ cloud, auth, clock }),
    ],
    ...{ auth, control: async () => undefined, log: silentLog, clock, random },
  })
  servers.push(server)
  return `http://127.0.0.1:${await server.listen({ port: 0, host: '127.0.0.1' })}`
}

let tasks: BundleTasks
beforeAll(async () => {
  testCloud = await openTestCloud()
  servers = []
  const { cloud, deps } = testCloud
  tasks = new BundleTasks(deps, { ...cloud, roots })
  openUrl = await serve({ mode: 'open' })
  const verifying = await serve({ mode: 'verify', lookupKey: (id) => deps.state.settings.accessKey(id) })
  ec2 = sdkClient(openUrl, { accessKeyId: account, secretAccessKey: 'any' }, region)
  s3 = new S3Client({ endpoint: openUrl, region, credentials: { accessKeyId: account, secretAccessKey: 'any' } })
  verified = (key) => {
    const client = sdkClient(verifying, key, region)
    clients.push(client)
    return client
  }
  clients.push(ec2, s3)
  await deps.operations.start()
  await s3.send(new CreateBucketCommand({ Bucket: bucket }))
  await mkdir(deps.volumesDir, { recursive: true })
  await deps.disks.createLayer(rootPath(), rootBytes, null)
  // Noise, so that there is more than one part; the rest are zeros.
  const noise = join(deps.volumesDir, 'noise')
  await run('dd', ['if=/dev/urandom', `of=${noise}`, 'bs=1M', 'count=24', 'status=none'])
  await run('qemu-io', ['-c', `write -s ${noise} 1M 24M`, '-c', 'write -P 7 60M 1M', rootPath()])
  await rm(noise)
})
afterAll(async () => {
  for (const client of clients) client.destroy()
  for (const server of servers) await server.close(0)
  await testCloud.deps.operations.stop()
  await testCloud.close()
})
beforeEach(async () => {
  frozen = new Map()
  released = []
  beforeReading = async () => {}
  instanceId = await instance({ rootDeviceType: 'instance-store' })
})

let hostNumber = 10
async function instance(about: object): Promise<string> {
  const { cloud, deps } = testCloud
  const scope = { accountId: account, region }
  await cloud.enter(scope)
  const placed = await placeInstance(testCloud, scope, { groupIds: [], hostNumber: hostNumber++ })
  await deps.state.instances.update(placed.instanceId, about)
  return placed.instanceId
}

let names = 0
const prefixOf = () => `made/image ${names++}`
type Storage = NonNullable<NonNullable<BundleInstanceCommandInput['Storage']>['S3']>

const ask = (storage: Storage = {}, more: Partial<BundleInstanceCommandInput> = {}, client = ec2) =>
  client.send(
    new BundleInstanceCommand({
      InstanceId: instanceId,
      Storage: { S3: { Bucket: bucket, Prefix: prefixOf(), ...storage } },
      ...more,
    }),
  )

async function reaches(id: string, ...states: BundleTask['State'][]): Promise<BundleTask> {
  const probe = async () => {
    const { BundleTasks: found } = await ec2.send(new DescribeBundleTasksCommand({ BundleIds: [id] }))
    return states.includes(found![0]!.State) ? found![0] : undefined
  }
  const task = await waitFor(systemClock, probe, { everyMs: 20, timeoutMs: 30_000 })
  if (!task) throw new Error(`${id} came to none of ${states}`)
  return task
}

async function keys(prefix: string): Promise<string[]> {
  const { Contents: found = [] } = await s3.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix }))
  return found.map(({ Key }) => Key!)
}

async function content(key: string): Promise<Buffer> {
  const { Body } = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: key }))
  return Buffer.from(await Body!.transformToByteArray())
}

/** The image in a bundle, and what its manifest says. */
async function opened(prefix: string) {
  const { certificate, privateKey } = await testCloud.cloud.certificates.cloudIdentity()
  const document = await content(`${prefix}.manifest.xml`)
  const manifest = parseManifest(document)
  expect(signerOf(document, manifest.signature, [certificate])).toBe(certificate)
  const { ec2EncryptedKey: key, ec2EncryptedIv: iv } = manifest.image
  const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1)
  async function* readPart({ filename }: { filename: string }) {
    yield await content(folder + filename)
  }
  const pieces: Buffer[] = []
  for await (const piece of openBundle({ manifest, key: openKey({ key, iv }, privateKey), readPart }))
    pieces.push(piece)
  return { manifest, image: Buffer.concat(pieces) }
}

async function rootContent(): Promise<Buffer> {
  const raw = `${rootPath()}.raw`
  await run('qemu-img', ['convert', '-U', '-O', 'raw', rootPath(), raw])
  const bytes = await readFile(raw)
  await rm(raw)
  return bytes
}

describe('BundleInstance', () => {
  test('bundles the root of a running instance, and the bundle registers', async () => {
    const prefix = prefixOf()
    const { BundleTask: task } = await ask({ Prefix: prefix })
    expect(task).toMatchObject({
      InstanceId: instanceId,
      State: 'pending',
      Progress: '0%',
      Storage: { S3: { Bucket: bucket, Prefix: prefix } },
    })
    expect(task!.BundleId).toMatch(/^bun-[0-9a-f]{17}$/)
    const done = await reaches(task!.BundleId!, 'complete', 'failed')
    expect(done).toMatchObject({ State: 'complete', Progress: '100%' })
    expect(done.BundleTaskError).toBeUndefined()
    const parts = [0, 1, 2].map((index) => `${prefix}.part.0${index}`)
    expect(await keys(prefix)).toEqual([`${prefix}.manifest.xml`, ...parts])
    const { manifest, image } = await opened(prefix)
    expect(manifest).toMatchObject({ architecture: 'x86_64', image: { user: account, sizeBytes: rootBytes } })
    expect(image.equals(await rootContent())).toBe(true)
    expect([[...frozen.keys()], released]).toEqual([[], [task!.BundleId]])
    const location = `${bucket}/${prefix}.manifest.xml`
    const { ImageId } = await ec2.send(new RegisterImageCommand({ Name: 'bundled', ImageLocation: location }))
    const found = await waitFor(
      systemClock,
      async () => {
        const { Images: images } = await ec2.send(new DescribeImagesCommand({ ImageIds: [ImageId!] }))
        return images![0]!.State === 'pending' ? undefined : images![0]
      },
      { everyMs: 20, timeoutMs: 30_000 },
    )
    expect(found).toMatchObject({ State: 'available', RootDeviceType: 'instance-store', ImageLocation: location })
  })

  test('is refused where there is nothing to bundle, and nowhere to put it', async () => {
    const ofEbs = await instance({ rootDeviceType: 'ebs' })
    const ending = await instance({ rootDeviceType: 'instance-store', state: 'shutting-down' })
    const missing = 'i-0123456789abcdef0'
    await expectRefusal(ask({}, { InstanceId: ofEbs }), 'UnsupportedOperation', ofEbs)
    await expectRefusal(ask({}, { InstanceId: ending }), 'IncorrectInstanceState', 'shutting-down')
    await expectRefusal(ask({}, { InstanceId: missing }), 'InvalidInstanceID.NotFound', missing)
    await expectRefusal(ask({}, { InstanceId: 'web' }), 'InvalidInstanceID.Malformed', 'web')
    await expectRefusal(ask({ Bucket: undefined }), 'MissingParameter', 'Storage.S3.Bucket')
    await expectRefusal(ask({ Prefix: undefined }), 'MissingParameter', 'Storage.S3.Prefix')
    await expectRefusal(ask({ Bucket: 'nobody-has-this' }), 'InvalidParameterValue', 'NoSuchBucket')
    await expectRefusal(ask({ Prefix: 'ends/with/' }), 'InvalidParameterValue', 'Storage.S3.Prefix')
    await expectRefusal(ask({}, { DryRun: true }), 'DryRunOperation', '')
    await testCloud.cloud.buckets.create({ accountId: other, region }, 'of-others', { canned: 'private' })
    await expectRefusal(ask({ Bucket: 'of-others' }), 'InvalidParameterValue', 'AccessDenied')
  })

  test('begins again when something failed that passes', async () => {
    let attempts = 0
    beforeReading = async () => {
      if (attempts++ === 0) throw new Error('not just now')
    }
    const prefix = prefixOf()
    const { BundleTask: task } = await ask({ Prefix: prefix })
    expect(await reaches(task!.BundleId!, 'complete', 'failed')).toMatchObject({ State: 'complete' })
    expect([attempts, (await opened(prefix)).image.length]).toEqual([2, rootBytes])
  })

  test('says why it failed, and leaves nothing', async () => {
    beforeReading = async () => {
      throw new Error('the disk is gone')
    }
    const prefix = prefixOf()
    const { BundleTask: task } = await ask({ Prefix: prefix })
    const failed = await reaches(task!.BundleId!, 'complete', 'failed')
    expect(failed).toMatchObject({
      State: 'failed',
      BundleTaskError: { Code: 'Server.InternalError', Message: 'the disk is gone' },
    })
    expect(await keys(prefix)).toEqual([])
    expect([frozen.size, released]).toEqual([0, [task!.BundleId]])
  })
})

describe('a task', () => {
  test('holds its instance and its names, is called off, and leaves nothing', async () => {
    const held = Promise.withResolvers<void>()
    const going = Promise.withResolvers<void>()
    beforeReading = async () => {
      going.resolve()
      await held.promise
    }
    const prefix = prefixOf()
    const { BundleTask: task } = await ask({ Prefix: prefix })
    const id = task!.BundleId!
    await going.promise
    await expectRefusal(ask(), 'BundlingInProgress', instanceId)
    const another = await instance({ rootDeviceType: 'instance-store' })
    await expectRefusal(ask({ Prefix: prefix }, { InstanceId: another }), 'BundlingInProgress', prefix)
    const cancel = new CancelBundleTaskCommand({ BundleId: id })
    await expectRefusal(sdkOf(other).send(cancel), 'InvalidBundleID.NotFound', id)
    expect((await ec2.send(cancel)).BundleTask).toMatchObject({ BundleId: id, State: 'cancelling' })
    held.resolve()
    expect(await reaches(id, 'complete', 'failed')).toMatchObject({
      State: 'failed',
      BundleTaskError: { Code: 'Client.Cancelled' },
    })
    expect(await keys(prefix)).toEqual([])
    expect(released).toEqual([id])
    await expectRefusal(ec2.send(cancel), 'IncorrectState', id)
    // Both are free again.
    const again = await ask({ Prefix: prefix })
    await reaches(again.BundleTask!.BundleId!, 'complete')
  })

  test('is called off while it writes: parts that were written go', async () => {
    const prefix = prefixOf()
    const { BundleTask: task } = await ask({ Prefix: prefix })
    const id = task!.BundleId!
    await reaches(id, 'storing', 'complete')
    await ec2.send(new CancelBundleTaskCommand({ BundleId: id }))
    expect(await reaches(id, 'complete', 'failed')).toMatchObject({ State: 'failed' })
    expect(await keys(prefix)).toEqual([])
  })

  test('is told by its id and by the filters that EC2 documents', async () => {
    const prefix = prefixOf()
    const { BundleTask: task } = await ask({ Prefix: prefix })
    const id = task!.BundleId!
    await reaches(id, 'complete')
    const found = async (Name: string, value: string) => {
      const { BundleTasks: listed } = await ec2.send(
        new DescribeBundleTasksCommand({ Filters: [{ Name, Values: [value] }] }),
      )
      return listed!.map((one) => one.BundleId).includes(id)
    }
    for (const [name, value] of [
      ['bundle-id', id],
      ['instance-id', instanceId],
      ['progress', '100%'],
      ['s3-bucket', bucket],
      ['s3-prefix', 'made/*'],
      ['start-time', `${task!.StartTime!.toISOString().slice(0, 13)}*`],
      ['update-time', `${task!.UpdateTime!.toISOString().slice(0, 13)}*`],
      ['state', 'complete'],
    ] as const) {
      expect([name, await found(name, value)]).toEqual([name, true])
    }
    for (const name of ['error-code', 'error-message', 'state']) expect(await found(name, 'none')).toBe(false)
    const none = 'bun-0123456789abcdef0'
    const unknown = ec2.send(new DescribeBundleTasksCommand({ BundleIds: [none] }))
    await expectRefusal(unknown, 'InvalidBundleID.NotFound', none)
  })
})

function sdkOf(accountId: string): EC2Client {
  const client = sdkClient(openUrl, { accessKeyId: accountId, secretAccessKey: 'any' }, region)
  clients.push(client)
  return client
}

describe('an upload policy', () => {
  const inAnHour = () => new Date(Date.now() + 3600_000).toISOString()
  const policyOf = (about: object = {}) => ({
    expiration: inAnHour(),
    conditions: [{ bucket }, ['starts-with', '$key', 'made/'], { acl: 'ec2-bundle-read' }],
    ...about,
  })

  function signed(policy: object, secret = 'any'): Storage {
    const document = Buffer.from(JSON.stringify(policy))
    const signature = createHmac('sha1', secret).update(document.toString('base64')).digest('base64')
    return { UploadPolicy: document, UploadPolicySignature: signature, AWSAccessKeyId: account }
  }

  test('lets the cloud write for whoever signed it', async () => {
    await testCloud.cloud.buckets.create({ accountId: other, region }, 'shared-by-policy', { canned: 'private' })
    const conditions = [{ bucket: 'shared-by-policy' }, ['starts-with', '$key', 'made/'], { acl: 'aws-exec-read' }]
    const storage = { ...signed(policyOf({ conditions })), Bucket: 'shared-by-policy', AWSAccessKeyId: other }
    const { BundleTask: task } = await ask(storage)
    await reaches(task!.BundleId!, 'complete')
    const all = { prefix: 'made/', delimiter: '', after: '', isAfterListed: false, limit: 10 }
    const listed = await testCloud.cloud.objects.list(other, 'shared-by-policy', all)
    expect(listed.objects.length).toBe(4)
  })

  test('is refused when it does not allow the bundle', async () => {
    const refused = async (policy: object, why: string) =>
      expectRefusal(ask(signed(policy)), 'InvalidParameterValue', why)
    await refused(policyOf({ expiration: '2008-08-30T08:49:09Z' }), 'Storage.S3.UploadPolicy')
    await refused(policyOf({ expiration: 'never' }), 'Storage.S3.UploadPolicy')
    await refused(policyOf({ conditions: [{ bucket: 'another' }, ['starts-with', '$key', 'made/']] }), 'bucket')
    await refused(policyOf({ conditions: [{ bucket }, ['starts-with', '$key', 'elsewhere/']] }), 'key')
    await refused(
      policyOf({ conditions: [{ bucket }, ['starts-with', '$key', 'made/'], { acl: 'public-read' }] }),
      'acl',
    )
    await refused(policyOf({ conditions: 'all' }), 'Storage.S3.UploadPolicy')
    const text = { ...signed(policyOf()), UploadPolicy: randomBytes(20) }
    await expectRefusal(ask(text), 'InvalidParameterValue', 'Storage.S3.UploadPolicy')
    await expectRefusal(ask({ ...signed(policyOf()), AWSAccessKeyId: undefined }), 'MissingParameter', 'AWSAccessKeyId')
  })

  test('must be signed with its key where signatures are verified', async () => {
    const keys = new AccessKeys(testCloud.deps)
    const { id: accessKeyId, secret } = await keys.create(account, '')
    const client = verified({ accessKeyId, secretAccessKey: secret })
    const storage = { ...signed(policyOf(), secret), AWSAccessKeyId: accessKeyId }
    const wrong = { ...storage, UploadPolicySignature: signed(policyOf(), 'another').UploadPolicySignature }
    await expectRefusal(ask(wrong, {}, client), 'SignatureDoesNotMatch', 'Storage.S3.UploadPolicySignature')
    await expectRefusal(
      ask({ ...storage, AWSAccessKeyId: account }, {}, client),
      'InvalidParameterValue',
      'AWSAccessKeyId',
    )
    const { BundleTask: task } = await ask(storage, {}, client)
    await reaches(task!.BundleId!, 'complete')
  })
})
