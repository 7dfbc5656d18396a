/** Images as single objects in S3, and back, through the official clients: simulated machines, real blocks and objects. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  CopyImageCommand,
  CreateRestoreImageTaskCommand,
  CreateStoreImageTaskCommand,
  DeregisterImageCommand,
  DescribeImagesCommand,
  DescribeSnapshotsCommand,
  DescribeStoreImageTasksCommand,
  type EC2Client,
  EnableEbsEncryptionByDefaultCommand,
  type Image,
  ModifyImageAttributeCommand,
  RegisterImageCommand,
  type StoreImageTaskResult,
} from '@aws-sdk/client-ec2'
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import { beforeAll, describe, expect, test } from 'vitest'
import { systemClock, waitFor } from '../../src/lib/clock.ts'
import { type Caller, callerOf } from '../support/caller.ts'
import { DirectSnapshots, diskOf } from '../support/direct-snapshots.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'

const account = '000000000001'
const [here, there] = ['eu-west-1', 'us-west-2']
const [bucket, bucketThere] = ['stored-images', 'stored-images-there']
const timing = { everyMs: 30, timeoutMs: 20_000 }
const served = useServedCloud({ isLive: true })
const elsewhere = useServedCloud({ isLive: true })

let caller: Caller
let source: Image
beforeAll(async () => {
  caller = await callerOf(served(), account)
  await served()
    .s3(account)
    .send(new CreateBucketCommand({ Bucket: bucket }))
  await served()
    .s3(account, there)
    .send(new CreateBucketCommand({ Bucket: bucketThere }))
  source = await imageOfDisks('golden')
})

/** What these tests change in a header. */
interface StoredFacts {
  image: object
  snapshots: { blockCount: number }[]
}

const snapshotsOf = (image: Image) => image.BlockDeviceMappings!.flatMap((device) => device.Ebs?.SnapshotId ?? [])

/** An image of two disks that share a block, with tags on it and on a snapshot. */
async function imageOfDisks(name: string): Promise<Image> {
  const direct = new DirectSnapshots(served().ebs(account), caller.ec2)
  const root = await direct.make(diskOf({ 0: 'boot', 1: 'shared', 1023: 'end of a leaf', 1024: 'shared' }))
  const tags = { Tags: [{ Key: 'role', Value: 'data' }], Description: 'the data' }
  const data = await direct.make(diskOf({ 7: 'shared', 4100: 'data' }), { VolumeSize: 3, ...tags })
  const { ImageId } = await caller.ec2.send(
    new RegisterImageCommand({
      Name: name,
      Description: 'für überall',
      RootDeviceName: '/dev/xvda',
      EnaSupport: true,
      ImdsSupport: 'v2.0',
      BlockDeviceMappings: [
        { DeviceName: '/dev/xvda', Ebs: { SnapshotId: root, VolumeSize: 2, VolumeType: 'gp3', Throughput: 200 } },
        { DeviceName: '/dev/sdf', Ebs: { SnapshotId: data, DeleteOnTermination: false } },
        { DeviceName: '/dev/sdg', Ebs: { VolumeSize: 1, Encrypted: false } },
        { DeviceName: '/dev/sdh', VirtualName: 'ephemeral0' },
      ],
      TagSpecifications: [{ ResourceType: 'image', Tags: [{ Key: 'team', Value: 'blue' }] }],
    }),
  )
  return await caller.image(ImageId!)
}

async function storeTask(ec2: EC2Client, imageId: string): Promise<StoreImageTaskResult> {
  const task = await waitFor(
    systemClock,
    async () => {
      const asked = await ec2.send(new DescribeStoreImageTasksCommand({ ImageIds: [imageId] }))
      const [newest] = asked.StoreImageTaskResults!
      return newest?.StoreTaskState === 'InProgress' ? undefined : newest
    },
    timing,
  )
  if (!task) throw new Error(`storing ${imageId} came to no end`)
  return task
}

async function stored(image = source): Promise<{ key: string; content: Buffer }> {
  const key = `${image.ImageId}.bin`
  const s3 = served().s3(account)
  await s3.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }))
  await caller.ec2.send(new CreateStoreImageTaskCommand({ ImageId: image.ImageId, Bucket: bucket }))
  expect(await storeTask(caller.ec2, image.ImageId!)).toMatchObject({ StoreTaskState: 'Completed' })
  const { Body } = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: key }))
  return { key, content: Buffer.from(await Body!.transformToByteArray()) }
}

async function restored(
  by: Caller,
  place: { Bucket: string; ObjectKey: string },
  more: { Name?: string; TagSpecifications?: [] } = {},
): Promise<Image> {
  const { ImageId } = await by.ec2.send(new CreateRestoreImageTaskCommand({ ...place, ...more }))
  return await by.image(ImageId!)
}

/** What of an image must come back: all but ids, names and times. */
const lasting = (image: Image) => ({
  ...image,
  ...{ ImageId: '', Name: '', ImageLocation: '', CreationDate: '', SourceImageId: '', SourceImageRegion: '' },
  BlockDeviceMappings: image.BlockDeviceMappings!.map((device) => ({
    ...device,
    ...(device.Ebs && { Ebs: { ...device.Ebs, SnapshotId: device.Ebs.SnapshotId && 'snap' } }),
  })),
})

const blocksOf = async (of: typeof served, region: string, ec2: EC2Client, image: Image) => {
  const direct = new DirectSnapshots(of().ebs(account, region), ec2)
  return await Promise.all(snapshotsOf(image).map((id) => direct.read(id)))
}

test('an object that was stored by the first version is restored for ever', async () => {
  const Body = await readFile(join(import.meta.dirname, '../../src/cloud/stored-images/fixtures/v1.bin'))
  await served()
    .s3(account)
    .send(new PutObjectCommand({ Bucket: bucket, Key: 'fixture', Body }))
  const image = await restored(caller, { Bucket: bucket, ObjectKey: 'fixture' }, { Name: 'from long ago' })
  expect(lasting(image)).toEqual(lasting(source))
  expect(await blocksOf(served, here, caller.ec2, image)).toEqual(await blocksOf(served, here, caller.ec2, source))
  const ids = image.BlockDeviceMappings!.flatMap(({ Ebs }) => Ebs?.SnapshotId ?? [])
  for (const { dataBytes, chargedBytes, chargeParentId } of await served().deps.state.snapshots.many(ids)) {
    expect([chargedBytes, chargeParentId]).toEqual([dataBytes, null])
    expect(dataBytes).toBeGreaterThan(0)
  }
})

test('an image is stored as one object, with its facts, metadata and tags', async () => {
  const s3 = served().s3(account)
  const { ObjectKey } = await caller.ec2.send(
    new CreateStoreImageTaskCommand({
      ImageId: source.ImageId,
      Bucket: bucket,
      S3ObjectTags: [{ Key: 'cost', Value: 'center 7' }],
    }),
  )
  expect(ObjectKey).toBe(`${source.ImageId}.bin`)
  expect(await storeTask(caller.ec2, source.ImageId!)).toMatchObject({
    AmiId: source.ImageId,
    Bucket: bucket,
    S3objectKey: ObjectKey,
    ProgressPercentage: 100,
    StoreTaskState: 'Completed',
  })
  const place = { Bucket: bucket, Key: ObjectKey }
  const head = await s3.send(new HeadObjectCommand(place))
  expect(head.Metadata).toMatchObject({
    'ami-name': 'golden',
    'ami-owner-account': account,
    'ami-registration-date': source.CreationDate,
    'ami-store-date': expect.stringMatching(/^\d{4}-.*Z$/),
  })
  const { TagSet } = await s3.send(new GetObjectTaggingCommand(place))
  expect(TagSet).toEqual([{ Key: 'cost', Value: 'center 7' }])
  // Five different blocks of half a mebibyte that pack well; the shared one is there once.
  expect(head.ContentLength).toBeLessThan(10_000)
})

describe('a stored image', () => {
  let object: { key: string; content: Buffer }
  beforeAll(async () => {
    object = await stored()
  })

  test('comes back in the same region as another image with the same content, and launches', async () => {
    const image = await restored(caller, { Bucket: bucket, ObjectKey: object.key }, { Name: 'golden again' })
    expect(image).toMatchObject({ State: 'available', Name: 'golden again', OwnerId: account, Public: false })
    expect(image).toMatchObject({ SourceImageId: source.ImageId, SourceImageRegion: here })
    expect(lasting(image)).toEqual(lasting(source))
    const [mine, theirs] = [snapshotsOf(image), snapshotsOf(source)]
    expect(new Set([...mine, ...theirs]).size).toBe(4)
    expect(await blocksOf(served, here, caller.ec2, image)).toEqual(await blocksOf(served, here, caller.ec2, source))
    const { Snapshots: found } = await caller.ec2.send(new DescribeSnapshotsCommand({ SnapshotIds: [mine[1]!] }))
    expect(found![0]).toMatchObject({
      State: 'completed',
      Description: 'the data',
      Tags: [{ Key: 'role', Value: 'data' }],
    })
    const rows = await served().deps.state.snapshots.many([...mine, ...theirs])
    expect(new Set(rows.map((row) => row.rootHash)).size).toBe(2)
    await caller.launch({ ImageId: image.ImageId })
  })

  test('comes back in another region, under the tags that are asked for too', async () => {
    const s3 = served().s3(account, there)
    await s3.send(new PutObjectCommand({ Bucket: bucketThere, Key: 'a/copy.bin', Body: object.content }))
    const other = await callerOf(served(), account, there)
    const tags = [{ ResourceType: 'image' as const, Tags: [{ Key: 'stage', Value: 'prod' }] }]
    const { ImageId } = await other.ec2.send(
      new CreateRestoreImageTaskCommand({ Bucket: bucketThere, ObjectKey: 'a/copy.bin', TagSpecifications: tags }),
    )
    const image = await other.image(ImageId!)
    expect(image).toMatchObject({ State: 'available', Name: 'golden' })
    expect(image.Tags).toEqual(expect.arrayContaining([...source.Tags!, ...tags[0]!.Tags]))
    expect(await blocksOf(served, there, other.ec2, image)).toEqual(await blocksOf(served, here, caller.ec2, source))
    await other.launch({ ImageId: image.ImageId })
    await expectRefusal(
      other.ec2.send(new CreateRestoreImageTaskCommand({ Bucket: bucketThere, ObjectKey: 'a/copy.bin' })),
      'InvalidAMIName.Duplicate',
      'golden',
    )
  })

  test('comes back on another Kiln, encrypted where that is the default', async () => {
    const s3 = elsewhere().s3(account)
    await s3.send(new CreateBucketCommand({ Bucket: 'brought' }))
    await s3.send(new PutObjectCommand({ Bucket: 'brought', Key: 'image', Body: object.content }))
    const other = await callerOf(elsewhere(), account)
    const place = { Bucket: 'brought', ObjectKey: 'image' }
    const image = await restored(other, place)
    expect(lasting(image)).toEqual(lasting(source))
    const expected = await blocksOf(served, here, caller.ec2, source)
    expect(await blocksOf(elsewhere, here, other.ec2, image)).toEqual(expected)
    await other.launch({ ImageId: image.ImageId })

    await other.ec2.send(new EnableEbsEncryptionByDefaultCommand({}))
    const sealed = await restored(other, place, { Name: 'sealed' })
    expect(sealed.BlockDeviceMappings!.slice(0, 2).map((device) => device.Ebs!.Encrypted)).toEqual([true, true])
    expect(await blocksOf(elsewhere, here, other.ec2, sealed)).toEqual(expected)
    // And stored again it is opened first.
    await s3.send(new CreateBucketCommand({ Bucket: 'once-more' }))
    await other.ec2.send(new CreateStoreImageTaskCommand({ ImageId: sealed.ImageId, Bucket: 'once-more' }))
    expect(await storeTask(other.ec2, sealed.ImageId!)).toMatchObject({ StoreTaskState: 'Completed' })
    const { Body } = await s3.send(new GetObjectCommand({ Bucket: 'once-more', Key: `${sealed.ImageId}.bin` }))
    await served()
      .s3(account)
      .send(new PutObjectCommand({ Bucket: bucket, Key: 'opened', Body: await Body!.transformToByteArray() }))
    const opened = await restored(caller, { Bucket: bucket, ObjectKey: 'opened' }, { Name: 'opened' })
    expect(await blocksOf(served, here, caller.ec2, opened)).toEqual(expected)
  })
})

describe('storing', () => {
  const store = (more: object = {}, ec2 = caller.ec2) =>
    ec2.send(new CreateStoreImageTaskCommand({ ImageId: source.ImageId, Bucket: bucket, ...more }))
  const other = '000000000009'

  test('is refused where it cannot be done', async () => {
    await stored()
    await expectRefusal(store(), 'InvalidRequest', `${source.ImageId}.bin`)
    await expectRefusal(store({ Bucket: 'nobody-has-this' }), 'InvalidParameterValue', 'NoSuchBucket')
    await expectRefusal(store({ Bucket: bucketThere }), 'InvalidParameterValue', there)
    await expectRefusal(store({ ImageId: 'ami-0123456789abcdef0' }), 'InvalidAMIID.NotFound', 'ami-0123456789abcdef0')
    await expectRefusal(store({ ImageId: 'golden' }), 'InvalidAMIID.Malformed', 'golden')
    await expectRefusal(store({ DryRun: true }), 'DryRunOperation', '')
    const many = Array.from({ length: 11 }, (_, i) => ({ Key: `k${i}`, Value: '' }))
    await expectRefusal(store({ S3ObjectTags: many }), 'TagLimitExceeded', 'S3ObjectTag')
    await served().cloud.buckets.create({ accountId: other, region: here }, 'of-others', { canned: 'private' })
    await expectRefusal(store({ Bucket: 'of-others' }), 'InvalidParameterValue', 'AccessDenied')
    // Who may launch it may not have what it is made of.
    const everybody = { Add: [{ Group: 'all' as const }] }
    await caller.ec2.send(new ModifyImageAttributeCommand({ ImageId: source.ImageId, LaunchPermission: everybody }))
    await expectRefusal(store({ Bucket: 'of-others' }, served().client(other)), 'InvalidRequest', source.ImageId!)
    await caller.ec2.send(
      new ModifyImageAttributeCommand({ ImageId: source.ImageId, LaunchPermission: { Remove: everybody.Add } }),
    )
  })

  test('goes on when the image is deregistered with its snapshots meanwhile', async () => {
    const doomed = await imageOfDisks('doomed')
    const before = await blocksOf(served, here, caller.ec2, doomed)
    await store({ ImageId: doomed.ImageId })
    await caller.ec2.send(new DeregisterImageCommand({ ImageId: doomed.ImageId, DeleteAssociatedSnapshots: true }))
    expect(await storeTask(caller.ec2, doomed.ImageId!)).toMatchObject({ StoreTaskState: 'Completed' })
    const image = await restored(caller, { Bucket: bucket, ObjectKey: `${doomed.ImageId}.bin` })
    expect(await blocksOf(served, here, caller.ec2, image)).toEqual(before)
  })

  test('fails with the reason while the key of a snapshot cannot be used, and leaves no object', async () => {
    const { encryptionKeys } = served().cloud
    const scope = { accountId: account, region: here }
    const key = await encryptionKeys.create(scope, { description: '', alias: null })
    const { ImageId } = await caller.ec2.send(
      new CopyImageCommand({
        ...{ SourceImageId: source.ImageId, SourceRegion: here, Name: 'sealed' },
        ...{ Encrypted: true, KmsKeyId: key.arn },
      }),
    )
    await caller.image(ImageId!)
    await encryptionKeys.setState(key.id, 'disabled')
    await store({ ImageId })
    const failed = await storeTask(caller.ec2, ImageId!)
    expect(failed).toMatchObject({
      StoreTaskState: 'Failed',
      StoreTaskFailureReason: expect.stringContaining('CustomerKeyHasBeenRevoked'),
    })
    await expect(served().cloud.objects.head(account, { bucket, key: `${ImageId}.bin` })).rejects.toMatchObject({
      code: 'NoSuchKey',
    })
    // The place is free again.
    await encryptionKeys.setState(key.id, 'enabled')
    await store({ ImageId })
    expect(await storeTask(caller.ec2, ImageId!)).toMatchObject({ StoreTaskState: 'Completed' })
  })

  test('and restoring wait their turn when as much is under way as may be', async () => {
    const { storedImageTasks: tasks } = served().deps.state
    const { key } = await stored()
    const scope = { accountId: account, region: here }
    const task = (kind: 'store' | 'restore', sizeGib: number) => ({
      ...{ id: `stored-ami-${kind}`, kind, imageId: 'ami-1', ...scope, bucket: 'b', objectKey: kind, sizeGib },
      ...{ state: 'InProgress' as const, progress: 0, failureReason: null, createdAt: systemClock.now() },
    })
    await tasks.insert(task('store', 1199))
    await tasks.insert(task('restore', 600))
    const another = await imageOfDisks('one too many')
    await expectRefusal(store({ ImageId: another.ImageId }), 'ResourceLimitExceeded', '1199 GiB')
    const restore = new CreateRestoreImageTaskCommand({ Bucket: bucket, ObjectKey: key, Name: 'too much' })
    await expectRefusal(caller.ec2.send(restore), 'ResourceLimitExceeded', '600 GiB')
    for (const kind of ['store', 'restore']) {
      await tasks.update(`stored-ami-${kind}`, { state: 'Completed', createdAt: 0 })
    }
    await tasks.removeEndedBefore(1)
  })

  test('is told by image, state and bucket, the newest first, page by page', async () => {
    const ask = async (more: object) => {
      const page = await caller.ec2.send(new DescribeStoreImageTasksCommand(more))
      return { ids: page.StoreImageTaskResults!.map((task) => task.AmiId), next: page.NextToken }
    }
    const all = (await ask({})).ids
    const times = (await caller.ec2.send(new DescribeStoreImageTasksCommand({}))).StoreImageTaskResults!
    expect(times.map((task) => task.TaskStartTime!.getTime())).toEqual(
      times.map((task) => task.TaskStartTime!.getTime()).sort((a, b) => b - a),
    )
    expect(all.length).toBeGreaterThan(2)
    const paged: unknown[] = []
    for (let next: string | undefined, isFirst = true; isFirst || next; isFirst = false) {
      const page = await ask({ MaxResults: 1, NextToken: next })
      paged.push(...page.ids)
      next = page.next
    }
    expect(paged).toEqual(all)
    const filter = (Name: string, ...Values: string[]) => ask({ Filters: [{ Name, Values }] })
    const completed = (await filter('task-state', 'Completed')).ids
    expect([completed.length, (await filter('task-state', 'Failed')).ids.length]).toEqual([all.length - 1, 1])
    expect((await filter('task-state', 'InProgress')).ids).toEqual([])
    expect((await filter('bucket', 'another')).ids).toEqual([])
    expect((await ask({ ImageIds: [source.ImageId] })).ids.length).toBeLessThan(all.length)
    const ids = Array.from({ length: 21 }, (_, i) => `ami-${String(i).padStart(17, '0')}`)
    await expectRefusal(ask({ ImageIds: ids }), 'InvalidParameterValue', 'ImageIds')
    await expectRefusal(filter('colour', 'blue'), 'InvalidParameterValue', 'colour')
    await expectRefusal(ask({ MaxResults: 201 }), 'InvalidParameterValue', '201')
    const others = await served().client(other).send(new DescribeStoreImageTasksCommand({}))
    expect(others.StoreImageTaskResults).toEqual([])
  })
})

describe('an object that is not what it should be', () => {
  let content: Buffer
  let names = 0
  beforeAll(async () => {
    content = (await stored()).content
  })

  async function put(body: Buffer): Promise<{ Bucket: string; ObjectKey: string; Name: string }> {
    const name = `hostile-${names++}`
    await served()
      .s3(account)
      .send(new PutObjectCommand({ Bucket: bucket, Key: name, Body: body }))
    return { Bucket: bucket, ObjectKey: name, Name: name }
  }

  /** With another header, and digests that fit. */
  function withFacts(change: (facts: StoredFacts) => unknown): Buffer {
    const length = content.readUInt32BE(10)
    const facts = JSON.parse(content.toString('utf8', 14, 14 + length))
    const json = Buffer.from(JSON.stringify(change(facts) ?? facts))
    const head = Buffer.from(content.subarray(0, 14))
    head.writeUInt32BE(json.length, 10)
    const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest()
    const all = Buffer.concat([head, json, digest(json), content.subarray(14 + length + 32, -32)])
    return Buffer.concat([all, digest(all)])
  }

  const left = async () => {
    const { Snapshots: found } = await caller.ec2.send(new DescribeSnapshotsCommand({ OwnerIds: ['self'] }))
    return found!.map((snapshot) => `${snapshot.SnapshotId} ${snapshot.State}`).sort()
  }

  test('is refused at once when its header is none, or says what cannot be', async () => {
    const before = await left()
    const images = (await caller.ec2.send(new DescribeImagesCommand({ Owners: ['self'] }))).Images!.length
    const cases: [Buffer, string][] = [
      [Buffer.alloc(0), 'it ends at byte 0'],
      [Buffer.from('PK'), 'it ends at byte 2'],
      [Buffer.alloc(100_000, 'x'), 'it is no stored image'],
      [content.subarray(0, 40), 'it ends at byte 40'],
      [Buffer.concat([content.subarray(0, 9), Buffer.of(2), content.subarray(10)]), 'version 2'],
      [Buffer.concat([content.subarray(0, 10), Buffer.alloc(4, 255)]), 'claims to have 4294967295 bytes'],
      [Buffer.concat([content.subarray(0, 20), Buffer.of(1), content.subarray(21)]), 'its header is damaged'],
      [withFacts(() => []), 'its header is no object'],
      [withFacts((facts) => ({ ...facts, snapshots: undefined })), 'snapshots is not what it can be'],
      [withFacts(({ snapshots: [one] }) => ({ snapshots: Array(25).fill(one) })), 'snapshots'],
      [withFacts(({ image, ...facts }) => ({ ...facts, image: { ...image, name: '<b>' } })), 'malformed'],
      [withFacts(({ image, ...facts }) => ({ ...facts, image: { ...image, region: 'mars-1' } })), 'region'],
      [withFacts((facts) => ({ ...facts, devices: [] })), 'do not fit'],
    ]
    for (const [body, why] of cases) {
      const request = new CreateRestoreImageTaskCommand(await put(body))
      await expectRefusal(caller.ec2.send(request), 'InvalidParameterValue', why)
    }
    const arm = withFacts(({ image, ...facts }) => ({
      ...facts,
      image: { ...image, architecture: 'arm64' },
    }))
    const request = new CreateRestoreImageTaskCommand(await put(arm))
    await expectRefusal(caller.ec2.send(request), 'UnsupportedOperation', 'arm64')
    const nowhere = new CreateRestoreImageTaskCommand({ Bucket: bucket, ObjectKey: 'nothing' })
    await expectRefusal(caller.ec2.send(nowhere), 'InvalidParameterValue', 'NoSuchKey')
    expect(await left()).toEqual(before)
    expect((await caller.ec2.send(new DescribeImagesCommand({ Owners: ['self'] }))).Images!.length).toBe(images)
  })

  test('fails with the reason when its blocks are not right, and leaves no snapshot', async () => {
    const before = await left()
    const flipped = (at: number) => {
      const body = Buffer.from(content)
      body[at]! ^= 1
      return body
    }
    const blocks = 14 + content.readUInt32BE(10) + 32
    const fewer = withFacts(({ snapshots, ...facts }) => ({
      ...facts,
      snapshots: snapshots.map((row) => ({ ...row, blockCount: row.blockCount - 1 })),
    }))
    const cases: [Buffer, string][] = [
      [content.subarray(0, content.length - 1), `it ends at byte ${content.length - 1}`],
      [content.subarray(0, blocks + 10), `it ends at byte ${blocks + 10}`],
      [flipped(blocks), 'snapshot 0'],
      [flipped(blocks + 10), 'snapshot 0'],
      [flipped(blocks + 60), 'snapshot 0'],
      [flipped(content.length - 70), 'snapshot 1'],
      [flipped(content.length - 1), 'its digest is another'],
      [Buffer.concat([content, Buffer.of(0)]), `it goes on after its end at byte ${content.length}`],
      [fewer, 'not those that the image had'],
    ]
    for (const [body, why] of cases) {
      const image = await restored(caller, await put(body))
      expect(image.State).toBe('failed')
      expect(image.StateReason!.Message).toContain(why)
      // Its name is free again.
      expect(await left()).toEqual(before)
    }
    await caller.quiet()
  })
})
