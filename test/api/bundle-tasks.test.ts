/** Bundles that the cloud makes of running instances, through the official clients: real disks, blocks and objects. */
import { createHmac, randomBytes } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import {
  BundleInstanceCommand,
  type BundleInstanceCommandInput,
  type BundleTask,
  CancelBundleTaskCommand,
  CreateStoreImageTaskCommand,
  DescribeBundleTasksCommand,
  type EC2Client,
  RebootInstancesCommand,
  RegisterImageCommand,
  TerminateInstancesCommand,
} from '@aws-sdk/client-ec2'
import { GetObjectCommand, ListObjectsV2Command, type S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { ec2Handlers } from '../../src/api/ec2/handlers/index.ts'
import { createEc2Service } from '../../src/api/ec2/service.ts'
import type { AuthSettings } from '../../src/api/http/exchange.ts'
import { type ApiServer, createApiServer } from '../../src/api/http/server.ts'
import { sdkClient } from '../../src/api/testing/running-server.ts'
import { parseManifest } from '../../src/bundles/manifest.ts'
import { openKey, signerOf } from '../../src/bundles/seals.ts'
import { openBundle } from '../../src/bundles/unbundle.ts'
import { AccessKeys } from '../../src/cloud/access-keys.ts'
import { systemClock, waitFor } from '../../src/lib/clock.ts'
import { silentLog } from '../../src/lib/log.ts'
import { run } from '../../src/lib/programs.ts'
import { makeBundle, newIdentity, putBundle, rootImage } from '../support/bundles.ts'
import { type Caller, callerOf } from '../support/caller.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'

const account = '000000000001'
const other = '000000000009'
const region = 'eu-west-1'
const bucket = 'bundles'
const mib = 1024 ** 2
/** Half of it does not pack: two parts. */
const root = rootImage(30 * mib)

/** Holds the reading of a root back, or breaks it. */
let beforeReading = async () => {}
const served = useServedCloud({
  isLive: true,
  timing: { bootSettleMs: 0 },
  wrapBlocks: (blocks) => ({
    ...blocks,
    async *streamDisk(request, signal) {
      await beforeReading()
      yield* blocks.streamDisk(request, signal)
    },
  }),
})

let caller: Caller
let ec2: EC2Client
let s3: S3Client
let verifying: ApiServer
let verified: (key: { accessKeyId: string; secretAccessKey: string }) => EC2Client
let imageId: string
let instanceId: string
const clients: { destroy(): void }[] = []

beforeAll(async () => {
  caller = await callerOf(served(), account)
  ec2 = caller.ec2
  s3 = served().s3(account)
  const { cloud, deps } = served()
  const { clock, random } = deps
  const auth: AuthSettings = { mode: 'verify', lookupKey: (id) => deps.state.settings.accessKey(id) }
  verifying = createApiServer({
    services: [createEc2Service({ handlers: ec2Handlers, cloud, auth })],
    ...{ auth, control: async () => undefined, log: silentLog, clock, random },
  })
  const url = `http://127.0.0.1:${await verifying.listen({ port: 0, host: '127.0.0.1' })}`
  verified = (key) => {
    const client = sdkClient(url, key, region)
    clients.push(client)
    return client
  }
  const signer = await newIdentity('01')
  await cloud.certificates.upload({ accountId: account, userId: null }, signer.certificate)
  const cloudCertificate = (await cloud.certificates.cloudIdentity()).certificate
  const bundle = await makeBundle({ image: root, accountId: account, signer, cloudCertificate })
  imageId = await registered(await putBundle(s3, { bucket, prefix: 'first' }, bundle), 'first')
  instanceId = await launched()
})
afterAll(async () => {
  for (const client of clients) client.destroy()
  await verifying.close(0)
})
beforeEach(() => {
  beforeReading = async () => {}
})

async function registered(ImageLocation: string, Name: string): Promise<string> {
  const { ImageId } = await ec2.send(new RegisterImageCommand({ Name, ImageLocation }))
  expect(await caller.image(ImageId!)).toMatchObject({ State: 'available', RootDeviceType: 'instance-store' })
  return ImageId!
}

async function launched(ImageId = imageId): Promise<string> {
  const [instance] = await caller.launch({ ImageId, InstanceType: 'm1.large' })
  return instance.InstanceId!
}

async function terminate(id: string): Promise<void> {
  await ec2.send(new TerminateInstancesCommand({ InstanceIds: [id] }))
  await caller.reaches(id, 'terminated')
}

/** What the guest would write now, of which the simulated one has none. */
async function write(id: string, byte: number, offset: string): Promise<void> {
  const folder = join(served().deps.instanceStoreDir, id)
  const layers = (await readdir(folder)).filter((name) => name.startsWith('root')).sort()
  // `root.qcow2` sorts behind the layers that came later.
  const top = layers.length > 1 ? layers.at(-2)! : layers[0]!
  await run('qemu-io', ['-c', `write -P ${byte} ${offset} 512k`, join(folder, top)])
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
  const { certificate, privateKey } = await served().cloud.certificates.cloudIdentity()
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

describe('BundleInstance', () => {
  test('bundles the root as it is at that moment; the bundle registers and launches', async () => {
    const id = await launched()
    await write(id, 7, '40M')
    let isFrozen = false
    beforeReading = async () => {
      if (!isFrozen) await write(id, 9, '41M')
      isFrozen = true
    }
    const prefix = prefixOf()
    const { BundleTask: task } = await ask({ Prefix: prefix }, { InstanceId: id })
    expect(task).toMatchObject({
      InstanceId: id,
      State: 'pending',
      Progress: '0%',
      Storage: { S3: { Bucket: bucket, Prefix: prefix } },
    })
    expect(task!.BundleId).toMatch(/^bun-[0-9a-f]{17}$/)
    const done = await reaches(task!.BundleId!, 'complete', 'failed')
    expect(done).toMatchObject({ State: 'complete', Progress: '100%' })
    expect(done.BundleTaskError).toBeUndefined()
    expect(await keys(prefix)).toEqual(['manifest.xml', 'part.00', 'part.01'].map((end) => `${prefix}.${end}`))
    const { manifest, image } = await opened(prefix)
    expect(manifest).toMatchObject({ architecture: 'x86_64', image: { user: account } })
    // The root has 10 GiB; what lies behind its last data is left out.
    const expected = Buffer.concat([root, Buffer.alloc(10 * mib), Buffer.alloc(mib / 2, 7)])
    expect(image.length).toBe(expected.length)
    expect(image.equals(expected)).toBe(true)

    const again = await registered(`${bucket}/${prefix}.manifest.xml`, 'bundled')
    const copy = await launched(again)
    await terminate(copy)
    const store = new CreateStoreImageTaskCommand({ ImageId: again, Bucket: bucket })
    await expectRefusal(ec2.send(store), 'InvalidParameterValue', again)

    // A bundle of the same instance has what was written since, and the instance goes on with all of it.
    await write(id, 5, '42M')
    const second = prefixOf()
    const more = await ask({ Prefix: second }, { InstanceId: id })
    await reaches(more.BundleTask!.BundleId!, 'complete')
    const later = (await opened(second)).image
    expect([40, 41, 42].map((at) => later[at * mib])).toEqual([7, 9, 5])
    await ec2.send(new RebootInstancesCommand({ InstanceIds: [id] }))
    await caller.reaches(id, 'running')
    await terminate(id)
    expect(await readdir(served().deps.instanceStoreDir)).not.toContain(id)
  })

  test('is refused where there is nothing to bundle, and nowhere to put it', async () => {
    const [ofEbs] = await caller.launch()
    const missing = 'i-0123456789abcdef0'
    const gone = await launched()
    await terminate(gone)
    await expectRefusal(ask({}, { InstanceId: ofEbs.InstanceId }), 'UnsupportedOperation', ofEbs.InstanceId!)
    await expectRefusal(ask({}, { InstanceId: gone }), 'IncorrectInstanceState', 'terminated')
    await expectRefusal(ask({}, { InstanceId: missing }), 'InvalidInstanceID.NotFound', missing)
    await expectRefusal(ask({}, { InstanceId: 'web' }), 'InvalidInstanceID.Malformed', 'web')
    await expectRefusal(ask({ Bucket: undefined }), 'MissingParameter', 'Storage.S3.Bucket')
    await expectRefusal(ask({ Prefix: undefined }), 'MissingParameter', 'Storage.S3.Prefix')
    await expectRefusal(ask({ Bucket: 'nobody-has-this' }), 'InvalidParameterValue', 'NoSuchBucket')
    await expectRefusal(ask({ Prefix: 'ends/with/' }), 'InvalidParameterValue', 'Storage.S3.Prefix')
    await expectRefusal(ask({}, { DryRun: true }), 'DryRunOperation', '')
    await served().cloud.buckets.create({ accountId: other, region }, 'of-others', { canned: 'private' })
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
    expect([attempts, (await opened(prefix)).image.subarray(0, mib).equals(root.subarray(0, mib))]).toEqual([2, true])
  })

  test('says why it failed, and leaves nothing', async () => {
    const id = await launched()
    beforeReading = async () => {
      throw new Error('the disk is gone')
    }
    const prefix = prefixOf()
    const { BundleTask: task } = await ask({ Prefix: prefix }, { InstanceId: id })
    const failed = await reaches(task!.BundleId!, 'complete', 'failed')
    expect(failed).toMatchObject({
      State: 'failed',
      BundleTaskError: { Code: 'Server.InternalError', Message: 'the disk is gone' },
    })
    expect(await keys(prefix)).toEqual([])
    await terminate(id)
  })

  test('ends with the instance, if that is terminated before the root is read', async () => {
    const id = await launched()
    let attempts = 0
    beforeReading = async () => {
      if (attempts++ > 0) return
      await terminate(id)
      throw new Error('the connection broke')
    }
    const prefix = prefixOf()
    const { BundleTask: task } = await ask({ Prefix: prefix }, { InstanceId: id })
    expect(await reaches(task!.BundleId!, 'complete', 'failed')).toMatchObject({
      State: 'failed',
      BundleTaskError: { Message: expect.stringContaining(id) },
    })
    expect(await keys(prefix)).toEqual([])
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
    const another = await launched()
    await expectRefusal(ask({ Prefix: prefix }, { InstanceId: another }), 'BundlingInProgress', prefix)
    const cancel = new CancelBundleTaskCommand({ BundleId: id })
    await expectRefusal(served().client(other).send(cancel), 'InvalidBundleID.NotFound', id)
    expect((await ec2.send(cancel)).BundleTask).toMatchObject({ BundleId: id, State: 'cancelling' })
    held.resolve()
    expect(await reaches(id, 'complete', 'failed')).toMatchObject({
      State: 'failed',
      BundleTaskError: { Code: 'Client.Cancelled' },
    })
    expect(await keys(prefix)).toEqual([])
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
    await served().cloud.buckets.create({ accountId: other, region }, 'shared-by-policy', { canned: 'private' })
    const conditions = [{ bucket: 'shared-by-policy' }, ['starts-with', '$key', 'made/'], { acl: 'aws-exec-read' }]
    const storage = { ...signed(policyOf({ conditions })), Bucket: 'shared-by-policy', AWSAccessKeyId: other }
    const { BundleTask: task } = await ask(storage)
    await reaches(task!.BundleId!, 'complete')
    const all = { prefix: 'made/', delimiter: '', after: '', isAfterListed: false, limit: 10 }
    const listed = await served().cloud.objects.list(other, 'shared-by-policy', all)
    expect(listed.objects.length).toBe(3)
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
    const keys = new AccessKeys(served().deps)
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
