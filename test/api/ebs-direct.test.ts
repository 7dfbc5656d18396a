/** The EBS direct APIs on a real block store, through the official client. */
import { ListSnapshotBlocksCommand, StartSnapshotCommand } from '@aws-sdk/client-ebs'
import {
  CopySnapshotCommand,
  DeleteSnapshotCommand,
  DescribeImagesCommand,
  RegisterImageCommand,
} from '@aws-sdk/client-ec2'
import { beforeAll, describe, expect, test } from 'vitest'
import type { SnapshotBlocks } from '../../src/blocks/ports.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { callerOf } from '../support/caller.ts'
import { blockBytes, blockOf, DirectSnapshots, diskOf, sha256 } from '../support/direct-snapshots.ts'
import { useServedCloud } from '../support/served-cloud.ts'

const account = '000000000001'
const stranger = '000000000002'
const minutes = 60_000

/** Real time, and as much more as a test says. */
let laterMs = 0
const clock = { ...systemClock, now: () => systemClock.now() + laterMs }

/** Faults that a test puts before the block store. */
const faults: { assemble?: () => void } = {}
const wrapBlocks = (blocks: SnapshotBlocks): SnapshotBlocks => ({
  ...blocks,
  contents: {
    ...blocks.contents,
    async assemble(request, progress) {
      faults.assemble?.()
      return blocks.contents.assemble(request, progress)
    },
  },
})

const served = useServedCloud({ isLive: true, clock, wrapBlocks })
let own: DirectSnapshots
let others: DirectSnapshots
beforeAll(() => {
  own = new DirectSnapshots(served().ebs(account), served().client(account))
  others = new DirectSnapshots(served().ebs(stranger), served().client(stranger))
})

/** The error that a request ends with, as the client reads it. */
async function refusal(request: Promise<unknown>): Promise<{ name: string; Reason?: string; message: string }> {
  return await request.then(
    () => ({ name: 'accepted', message: '' }),
    (error) => error,
  )
}

async function expectRefusal(request: Promise<unknown>, name: string, reason?: string): Promise<void> {
  const { name: given, Reason: why } = await refusal(request)
  expect([given, why]).toEqual([name, reason])
}

const invalid = (request: Promise<unknown>, reason: string) => expectRefusal(request, 'ValidationException', reason)

describe('a snapshot written block by block', () => {
  test('is pending, then completed, and reads as it was written', async () => {
    const tags = [{ Key: 'made', Value: 'by hand' }]
    const started = await own.ebs.send(
      new StartSnapshotCommand({ VolumeSize: 3, Description: 'from outside', Tags: tags, Timeout: 10 }),
    )
    const id = started.SnapshotId!
    expect(started).toMatchObject({
      OwnerId: account,
      Status: 'pending',
      VolumeSize: 3,
      BlockSize: blockBytes,
      Description: 'from outside',
      Tags: tags,
    })
    expect(Math.abs(started.StartTime!.getTime() - Date.now())).toBeLessThan(60_000)
    expect(await own.describe(id)).toMatchObject({
      State: 'pending',
      VolumeSize: 3,
      Description: 'from outside',
      Tags: tags,
      VolumeId: 'vol-ffffffff',
      StartTime: started.StartTime,
    })
    const disk = diskOf({ 0: 'first', 1: 'second', 1023: 'c', 1024: 'd', 6143: 'last' })
    await own.put(id, 0, blockOf('will be written over'), { Progress: 20 })
    expect((await own.describe(id)).Progress).toBe('20%')
    await own.write(id, disk)
    expect(await own.settled(id)).toMatchObject({
      State: 'completed',
      Progress: '100%',
      FullSnapshotSizeInBytes: 5 * blockBytes,
    })
    expect(await own.read(id)).toEqual(disk)
    const { pages } = await own.list(id)
    expect(pages).toHaveLength(1)
    expect(pages[0]).toMatchObject({ VolumeSize: 3, BlockSize: blockBytes })
    const sevenDays = 7 * 24 * 60 * minutes
    expect(Math.abs(pages[0]!.ExpiryTime!.getTime() - clock.now() - sevenDays)).toBeLessThan(60_000)
  })

  test('stands on its parent: the same but for what was written, which may be zeros and more room', async () => {
    const parent = await own.make(diskOf({ 0: 'a', 1: 'b', 2000: 'c' }))
    const child = await own.make(new Map([...diskOf({ 1: 'B', 4000: 'new' }), [2000, Buffer.alloc(blockBytes)]]), {
      ParentSnapshotId: parent,
      VolumeSize: 2,
    })
    expect(await own.read(child)).toEqual(diskOf({ 0: 'a', 1: 'B', 4000: 'new' }))
    expect(await own.read(parent)).toEqual(diskOf({ 0: 'a', 1: 'b', 2000: 'c' }))
    const { blocks } = await own.changes(parent, child)
    expect(blocks.map((block) => block.BlockIndex)).toEqual([1, 2000, 4000])
    const [changed, zeroed, added] = blocks
    expect(await own.get(parent, 1, changed!.FirstBlockToken!)).toEqual(blockOf('b'))
    expect(await own.get(child, 1, changed!.SecondBlockToken!)).toEqual(blockOf('B'))
    // What is not in a list of changes is taken for unchanged: a block that became zeros must be in it.
    expect(await own.get(child, 2000, zeroed!.SecondBlockToken!)).toEqual(Buffer.alloc(blockBytes))
    expect(added!.FirstBlockToken).toBeUndefined()
  })

  test('is launched like any other', async () => {
    const caller = await callerOf(served(), account)
    const id = await own.make(diskOf({ 0: 'boots' }), { Description: 'root' })
    const { ImageId: imageId } = await own.ec2.send(
      new RegisterImageCommand({
        Name: 'of written blocks',
        RootDeviceName: '/dev/xvda',
        VirtualizationType: 'hvm',
        Architecture: 'x86_64',
        BlockDeviceMappings: [{ DeviceName: '/dev/xvda', Ebs: { SnapshotId: id } }],
      }),
    )
    const { Images: images } = await own.ec2.send(new DescribeImagesCommand({ ImageIds: [imageId!] }))
    expect(images![0]!.State).toBe('available')
    const [instance] = await caller.launch({ ImageId: imageId })
    expect(instance.State!.Name).toBe('running')
  })

  test('stands on its parent also when that is deleted meanwhile', async () => {
    const parent = await own.make(diskOf({ 0: 'a', 1: 'b' }))
    const child = await own.start({ ParentSnapshotId: parent })
    await own.put(child, 1, blockOf('B'))
    await own.ec2.send(new DeleteSnapshotCommand({ SnapshotId: parent }))
    await own.complete(child, 1)
    await own.settled(child)
    expect(await own.read(child)).toEqual(diskOf({ 0: 'a', 1: 'B' }))
  })

  test('is put together again when that failed, and in the end fails with the reason', async () => {
    let failures = 1
    faults.assemble = () => {
      if (failures-- > 0) throw new Error('the disk has no room')
    }
    const id = await own.make(diskOf({ 0: 'in the second attempt' }))
    expect(await own.read(id)).toEqual(diskOf({ 0: 'in the second attempt' }))
    failures = Number.POSITIVE_INFINITY
    const lost = await own.start()
    await own.write(lost, diskOf({ 0: 'never' }))
    expect(await own.settled(lost)).toMatchObject({
      State: 'error',
      StateMessage: expect.stringContaining('the disk has no room'),
    })
    faults.assemble = undefined
    expect((await own.complete(lost, 1)).Status).toBe('error')
    await invalid(own.put(lost, 0, blockOf('x')), 'INVALID_SNAPSHOT_ID')
  })

  test('may be empty', async () => {
    const id = await own.make(new Map())
    expect((await own.list(id)).blocks).toEqual([])
    expect(await own.describe(id)).toMatchObject({ State: 'completed' })
  })
})

describe('lists', () => {
  test('come in pages of a hundred and more, each block once and in order', async () => {
    const texts = Object.fromEntries(Array.from({ length: 130 }, (_, i) => [i * 8, i % 2 ? 'odd' : 'even']))
    const id = await own.make(diskOf(texts))
    const empty = await own.make(new Map(), { ParentSnapshotId: id })
    const all = Object.keys(texts).map(Number)
    const indexes = (blocks: { BlockIndex?: number }[]) => blocks.map((block) => block.BlockIndex)
    const pagesOf = async (more: object) => (await own.list(id, more)).pages.map((page) => page.Blocks!.length)
    expect(await pagesOf({ MaxResults: 100 })).toEqual([100, 30])
    expect(await pagesOf({ MaxResults: 5 })).toEqual([100, 30])
    expect(await pagesOf({})).toEqual([130])
    expect(indexes((await own.list(id, { MaxResults: 100 })).blocks)).toEqual(all)
    expect(indexes((await own.list(id, { StartingBlockIndex: 1033 })).blocks)).toEqual([])
    expect(indexes((await own.list(id, { StartingBlockIndex: 1025 })).blocks)).toEqual([1032])
    const { pages, blocks } = await own.changes(empty, id, { MaxResults: 100 })
    expect([pages.length, blocks]).toEqual([1, []])
    const blank = await own.make(new Map([...Array(105).keys()].map((i) => [i * 8, Buffer.alloc(blockBytes)])), {
      ParentSnapshotId: id,
    })
    const wiped = await own.changes(id, blank, { MaxResults: 100 })
    expect(wiped.pages.map((page) => page.ChangedBlocks!.length)).toEqual([100, 5])
    expect(indexes(wiped.blocks)).toEqual(all.slice(0, 105))
    expect(indexes((await own.changes(id, blank, { StartingBlockIndex: 800 })).blocks)).toEqual(
      all.slice(0, 105).filter((index) => index >= 800),
    )
  })

  test('a page token is for its list, and for an hour', async () => {
    const disk = diskOf(Object.fromEntries(Array.from({ length: 101 }, (_, i) => [i, 'x'])))
    const one = await own.make(disk)
    const other = await own.make(new Map(), { ParentSnapshotId: one })
    const page = (snapshotId: string, token?: string) =>
      own.ebs.send(new ListSnapshotBlocksCommand({ SnapshotId: snapshotId, MaxResults: 100, NextToken: token }))
    const { NextToken: token } = await page(one)
    expect((await page(one, token)).Blocks!.map((block) => block.BlockIndex)).toEqual([100])
    await invalid(page(other, token), 'INVALID_PAGE_TOKEN')
    await invalid(page(one, `B${token!.slice(1)}`), 'INVALID_PAGE_TOKEN')
    await invalid(page(one, 'nonsense'), 'INVALID_PAGE_TOKEN')
    laterMs += 61 * minutes
    await invalid(page(one, token), 'INVALID_PAGE_TOKEN')
  })

  test('a block token is for its block, and for seven days', async () => {
    const id = await own.make(diskOf({ 0: 'same', 1: 'same', 2: 'other' }))
    const twin = await own.make(diskOf({ 0: 'same' }))
    const [first] = (await own.list(id)).blocks
    const token = first!.BlockToken!
    expect(await own.get(id, 0, token)).toEqual(blockOf('same'))
    await invalid(own.get(id, 1, token), 'INVALID_BLOCK_TOKEN')
    await invalid(own.get(twin, 0, token), 'INVALID_BLOCK_TOKEN')
    const changed = token.endsWith('A') ? 'B' : 'A'
    await invalid(own.get(id, 0, token.slice(0, -1) + changed), 'INVALID_BLOCK_TOKEN')
    await invalid(own.get(id, 2048, token), 'INVALID_BLOCK')
    laterMs += 8 * 24 * 60 * minutes
    await invalid(own.get(id, 0, token), 'INVALID_BLOCK_TOKEN')
    const [again] = (await own.list(id)).blocks
    expect(await own.get(id, 0, again!.BlockToken!)).toEqual(blockOf('same'))
  })

  test('only what has a common origin is compared; of a copy nothing is known to the contrary', async () => {
    const [one, other] = [await own.make(diskOf({ 0: 'a' })), await own.make(diskOf({ 0: 'b' }))]
    await invalid(own.changes(one, other), 'UNRELATED_SNAPSHOTS')
    const grandchild = await own.make(diskOf({ 1: 'c' }), {
      ParentSnapshotId: await own.make(new Map(), { ParentSnapshotId: one }),
    })
    expect((await own.changes(one, grandchild)).blocks).toHaveLength(1)
    const { SnapshotId: copy } = await own.ec2.send(
      new CopySnapshotCommand({ SourceRegion: 'eu-west-1', SourceSnapshotId: other }),
    )
    await own.settled(copy!)
    expect((await own.changes(one, copy!)).blocks).toHaveLength(1)
  })
})

describe('what is refused', () => {
  test('blocks that are not what they are said to be, or belong nowhere', async () => {
    const id = await own.start()
    const block = blockOf('x')
    const wrong = sha256(blockOf('y')).toString('base64')
    await invalid(own.put(id, 0, block, { Checksum: wrong }), 'INVALID_BLOCK')
    await invalid(own.put(id, 0, block, { Checksum: 'short' }), 'INVALID_PARAMETER_VALUE')
    await invalid(own.put(id, 0, block.subarray(1)), 'INVALID_BLOCK')
    await invalid(own.put(id, 0, Buffer.alloc(blockBytes + 1)), 'INVALID_BLOCK')
    await invalid(own.put(id, 0, Buffer.alloc(2 * 1024 * 1024)), 'INVALID_PARAMETER_VALUE')
    await invalid(own.put(id, 0, block, { DataLength: 4096 }), 'INVALID_PARAMETER_VALUE')
    await invalid(own.put(id, 0, block, { ChecksumAlgorithm: 'MD5' as 'SHA256' }), 'INVALID_PARAMETER_VALUE')
    await invalid(own.put(id, 0, block, { Progress: 101 }), 'INVALID_PARAMETER_VALUE')
    await invalid(own.put(id, 2048, block), 'INVALID_BLOCK')
    await invalid(own.put(id, -1, block), 'INVALID_PARAMETER_VALUE')
    await invalid(own.put('snap-XYZ', 0, block), 'INVALID_SNAPSHOT_ID')
    await own.put(id, 2047, block)
    await own.write(id, diskOf({ 2047: 'kept' }))
    await own.settled(id)
    expect(await own.read(id)).toEqual(diskOf({ 2047: 'kept' }))
  })

  test('a completion that does not know what was written', async () => {
    const id = await own.start()
    await own.put(id, 3, blockOf('three'))
    await own.put(id, 1, blockOf('one'))
    await own.put(id, 1, blockOf('one'))
    const aggregate = (...texts: string[]) => ({
      Checksum: sha256(...texts.map((text) => sha256(blockOf(text)))).toString('base64'),
      ChecksumAlgorithm: 'SHA256' as const,
      ChecksumAggregationMethod: 'LINEAR' as const,
    })
    await invalid(own.complete(id, 3), 'INVALID_PARAMETER_VALUE')
    await invalid(own.complete(id, 2, aggregate('three', 'one')), 'INVALID_PARAMETER_VALUE')
    await invalid(
      own.complete(id, 2, { ...aggregate('one', 'three'), ChecksumAlgorithm: undefined }),
      'INVALID_PARAMETER_VALUE',
    )
    expect((await own.describe(id)).State).toBe('pending')
    const right = aggregate('one', 'three')
    expect((await own.complete(id, 2, right)).Status).toBe('pending')
    await own.settled(id)
    // Asked again, as a client does whose answer was lost, it tells what became of it.
    expect((await own.complete(id, 2, right)).Status).toBe('completed')
    await invalid(own.complete(id, 1), 'INVALID_PARAMETER_VALUE')
    await invalid(own.put(id, 5, blockOf('late')), 'INVALID_SNAPSHOT_ID')
  })

  test('a start that asks for what cannot be', async () => {
    const start = (input: object) => own.start(input)
    await invalid(start({ VolumeSize: 0 }), 'INVALID_VOLUME_SIZE')
    await invalid(start({ VolumeSize: 65_537 }), 'INVALID_VOLUME_SIZE')
    await invalid(start({ Timeout: 9 }), 'INVALID_PARAMETER_VALUE')
    await invalid(start({ Timeout: 4321 }), 'INVALID_PARAMETER_VALUE')
    await invalid(start({ Description: 'x'.repeat(256) }), 'INVALID_PARAMETER_VALUE')
    await invalid(start({ KmsKeyArn: 'alias/aws/ebs' }), 'INVALID_PARAMETER_VALUE')
    await invalid(start({ Tags: [{ Key: 'aws:x', Value: '' }] }), 'INVALID_TAG')
    await invalid(start({ Tags: Array.from({ length: 51 }, (_, i) => ({ Key: `k${i}` })) }), 'INVALID_TAG')
    const parent = await own.make(new Map(), { VolumeSize: 2 })
    await invalid(start({ ParentSnapshotId: parent }), 'INVALID_VOLUME_SIZE')
    await invalid(start({ ParentSnapshotId: parent, VolumeSize: 2, Encrypted: false }), 'INVALID_PARAMETER_VALUE')
    await invalid(start({ ParentSnapshotId: await own.start() }), 'INVALID_SNAPSHOT_ID')
  })

  test('reading what is not completed', async () => {
    const id = await own.start()
    await invalid(own.list(id), 'INVALID_SNAPSHOT_ID')
    await own.ec2.send(new DeleteSnapshotCommand({ SnapshotId: id }))
    await expectRefusal(own.list(id), 'ResourceNotFoundException', 'SNAPSHOT_NOT_FOUND')
    await expectRefusal(own.put(id, 0, blockOf('x')), 'ResourceNotFoundException', 'SNAPSHOT_NOT_FOUND')
  })

  test("other accounts' snapshots, whatever is asked of them, and public ones", async () => {
    const theirs = await others.make(diskOf({ 0: 'secret' }))
    const open = await others.start()
    const [block] = (await others.list(theirs)).blocks
    const attempts = [
      () => own.list(theirs),
      () => own.get(theirs, 0, block!.BlockToken!),
      () => own.changes(theirs, theirs),
      () => own.put(open, 0, blockOf('x')),
      () => own.complete(open, 0),
      () => own.start({ ParentSnapshotId: theirs }),
      () => own.list('snap-00000000000000000'),
    ]
    for (const attempt of attempts) await expectRefusal(attempt(), 'ResourceNotFoundException', 'SNAPSHOT_NOT_FOUND')
    const abroad = new DirectSnapshots(served().ebs(stranger, 'us-west-2'), others.ec2)
    await expectRefusal(abroad.list(theirs), 'ResourceNotFoundException', 'SNAPSHOT_NOT_FOUND')
    const { Images: images } = await own.ec2.send(new DescribeImagesCommand({ Owners: ['amazon'] }))
    const seed = images![0]!.BlockDeviceMappings![0]!.Ebs!.SnapshotId!
    await expectRefusal(own.list(seed), 'AccessDeniedException', 'UNAUTHORIZED_ACCOUNT')
    const { SnapshotId: copy } = await own.ec2.send(
      new CopySnapshotCommand({ SourceRegion: 'eu-west-1', SourceSnapshotId: seed }),
    )
    await own.settled(copy!)
    expect([...(await own.read(copy!)).keys()]).toEqual([0])
  })
})

test('a start with a token that was used gives the first answer, and refuses another request', async () => {
  const token = { ClientToken: 'once' }
  const first = await own.ebs.send(new StartSnapshotCommand({ VolumeSize: 1, Description: 'one', ...token }))
  const again = await own.ebs.send(new StartSnapshotCommand({ VolumeSize: 1, Description: 'one', ...token }))
  expect({ ...again, $metadata: {} }).toEqual({ ...first, $metadata: {} })
  await expectRefusal(own.start({ Description: 'two', ...token }), 'ConflictException')
  expect(await others.start({ Description: 'two', ...token })).not.toBe(first.SnapshotId)
})

test('an upload that is neither written to nor completed in time fails, and says so', async () => {
  const id = await own.start({ Timeout: 10 })
  const later = await own.start({ Timeout: 30 })
  laterMs += 9 * minutes
  await own.put(id, 0, blockOf('a'))
  laterMs += 9 * minutes
  await own.put(id, 1, blockOf('b'))
  laterMs += 11 * minutes
  await invalid(own.put(id, 2, blockOf('c')), 'INVALID_SNAPSHOT_ID')
  await invalid(own.complete(id, 2), 'INVALID_SNAPSHOT_ID')
  await served().cloud.directUploads.expire()
  expect(await own.describe(id)).toMatchObject({ State: 'error', StateMessage: expect.stringContaining('10 minutes') })
  expect((await own.describe(later)).State).toBe('pending')
  await own.ec2.send(new DeleteSnapshotCommand({ SnapshotId: id }))
})

test('an account has a hundred snapshots under way, and no more until one is done', async () => {
  const busy = new DirectSnapshots(served().ebs('000000000003'), served().client('000000000003'))
  const ids = await Promise.all(Array.from({ length: 100 }, () => busy.start()))
  await expectRefusal(busy.start(), 'ConcurrentLimitExceededException')
  await busy.ec2.send(new DeleteSnapshotCommand({ SnapshotId: ids[0]! }))
  await busy.start()
})
