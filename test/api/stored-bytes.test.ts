/** What snapshots, copies and launches store and move, by the product's own counters and by the stores' files. */
import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  CopyImageCommand,
  CopySnapshotCommand,
  CreateSnapshotCommand,
  CreateVolumeCommand,
  type CreateVolumeCommandInput,
  DescribeVolumesCommand,
  RegisterImageCommand,
} from '@aws-sdk/client-ec2'
import { beforeAll, expect, test } from 'vitest'
import { writeLayer } from '../../src/blocks/testing/qemu-disks.ts'
import { systemClock, waitFor } from '../../src/lib/clock.ts'
import { type Caller, callerOf } from '../support/caller.ts'
import { blockBytes, DirectSnapshots } from '../support/direct-snapshots.ts'
import { useServedCloud } from '../support/served-cloud.ts'

const served = useServedCloud({ isLive: true })
const account = '000000000001'
const home = 'eu-west-1'
const mib = 1024 ** 2
/** Leaves, roots and a byte a block: what is stored beside the blocks. */
const besidesBytes = mib / 4
let caller: Caller
let direct: DirectSnapshots
beforeAll(async () => {
  caller = await callerOf(served(), account)
  direct = new DirectSnapshots(served().ebs(account), caller.ec2)
})

async function volume(more: Partial<CreateVolumeCommandInput>): Promise<string> {
  const { VolumeId: id } = await caller.ec2.send(new CreateVolumeCommand({ AvailabilityZone: `${home}a`, ...more }))
  const ask = new DescribeVolumesCommand({ VolumeIds: [id!] })
  const made = await waitFor(
    systemClock,
    async () => ((await caller.ec2.send(ask)).Volumes![0]!.State === 'available' ? true : undefined),
    { everyMs: 30, timeoutMs: 20_000 },
  )
  expect(made).toBe(true)
  return id!
}

/** Writes chance, which nothing makes smaller, to whole blocks of the volume. */
async function write(volumeId: string, blocks: readonly number[]): Promise<void> {
  const { deps } = served()
  const folder = join(deps.volumesDir, volumeId)
  const top = (await deps.state.volumes.layers(volumeId)).at(-1)!
  const chance = await mkdtemp(join(folder, 'chance-'))
  const commands: string[] = []
  for (const block of blocks) {
    const content = join(chance, String(block))
    await writeFile(content, randomBytes(blockBytes))
    commands.push(`write -q -s ${content} ${block * blockBytes} ${blockBytes}`)
  }
  await writeLayer([join(folder, top.fileName)], commands)
  await rm(chance, { recursive: true })
}

async function snapshotOf(volumeId: string): Promise<string> {
  const { SnapshotId: id } = await caller.ec2.send(new CreateSnapshotCommand({ VolumeId: volumeId }))
  expect(await direct.settled(id!)).toMatchObject({ State: 'completed' })
  return id!
}

async function copyTo(region: string, sourceId: string): Promise<string> {
  const there = served().client(account, region)
  const ask = new CopySnapshotCommand({ SourceRegion: home, SourceSnapshotId: sourceId })
  const { SnapshotId: id } = await there.send(ask)
  expect(await new DirectSnapshots(served().ebs(account, region), there).settled(id!)).toMatchObject({
    State: 'completed',
  })
  return id!
}

const counted = async (snapshotId: string) => (await served().deps.state.snapshots.get(snapshotId))!.storedBytes!

/** Bytes of all files of a region's store. */
async function storeBytes(region: string): Promise<number> {
  const store = join(served().deps.volumesDir, '..', 'regions', region, 'store')
  const entries = await readdir(store, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  const sizes = await Promise.all(files.map(async (file) => (await stat(join(file.parentPath, file.name))).size))
  return sizes.reduce((sum, size) => sum + size, 0)
}

/** Does something, and expects that the store grew by what is counted, which is that many blocks and little else. */
async function expectGrowth(region: string, blockCount: number, work: () => Promise<string>): Promise<string> {
  const before = await storeBytes(region)
  const id = await work()
  const grown = (await storeBytes(region)) - before
  expect(grown).toBe(await counted(id))
  expect(grown).toBeGreaterThanOrEqual(blockCount * blockBytes)
  expect(grown).toBeLessThan(blockCount * blockBytes + besidesBytes)
  return id
}

test('20 MiB of writes to 10 GiB are what the next snapshot, its copy, and the copy of its image store', async () => {
  const [there, elsewhere] = ['eu-central-1', 'us-west-2']
  for (const region of [there, elsewhere]) await callerOf(served(), account, region)
  const id = await volume({ Size: 10 })
  const first = Array.from({ length: 64 }, (_, i) => i * 200)
  await write(id, first)
  const before = await expectGrowth(home, first.length, () => snapshotOf(id))
  const changed = Array.from({ length: 40 }, (_, i) => i * 450 + 7).sort((a, b) => a - b)
  await write(id, changed)
  const after = await expectGrowth(home, changed.length, () => snapshotOf(id))
  const { blocks } = await direct.changes(before, after)
  expect(blocks.map((block) => block.BlockIndex)).toEqual(changed)

  await expectGrowth(there, first.length, () => copyTo(there, before))
  await expectGrowth(there, changed.length, () => copyTo(there, after))

  const imageOf = async (snapshotId: string) => {
    const mapping = { DeviceName: '/dev/xvda', Ebs: { SnapshotId: snapshotId } }
    const about = { Name: `of ${snapshotId}`, RootDeviceName: '/dev/xvda', BlockDeviceMappings: [mapping] }
    return (await caller.ec2.send(new RegisterImageCommand(about))).ImageId!
  }
  const visitor = await callerOf(served(), account, elsewhere)
  const copyImage = async (imageId: string) => {
    const ask = new CopyImageCommand({ SourceRegion: home, SourceImageId: imageId, Name: `copy of ${imageId}` })
    const image = await visitor.image((await visitor.ec2.send(ask)).ImageId!)
    expect(image).toMatchObject({ State: 'available' })
    return image.BlockDeviceMappings![0]!.Ebs!.SnapshotId!
  }
  const [sibling, image] = [await imageOf(before), await imageOf(after)]
  await expectGrowth(elsewhere, first.length, () => copyImage(sibling))
  await expectGrowth(elsewhere, changed.length, () => copyImage(image))
})

test('16 TiB with 100 MiB of data take and move 100 MiB, and a launch takes next to nothing', async () => {
  const there = 'eu-north-1'
  await callerOf(served(), account, there)
  const id = await volume({ Size: 16_384, VolumeType: 'gp3' })
  const last = (2 ** 44 - blockBytes) / blockBytes
  const blocks = Array.from({ length: 200 }, (_, i) => Math.floor((i * last) / 199))
  await write(id, blocks)
  // Blocks so far apart have a leaf each.
  const snapshot = await expectGrowth(home, blocks.length, () => snapshotOf(id))
  await expectGrowth(there, blocks.length, () => copyTo(there, snapshot))
  const mapping = { DeviceName: '/dev/sdf', Ebs: { SnapshotId: snapshot, VolumeType: 'gp3' as const } }
  const [instance] = await caller.launch({ BlockDeviceMappings: [mapping] })
  const disk = instance.BlockDeviceMappings!.find((device) => device.DeviceName === '/dev/sdf')!.Ebs!.VolumeId!
  const { localBytes, sizeGib } = await served().cloud.volumes.usage(disk)
  expect(sizeGib).toBe(16_384)
  expect(localBytes).toBeLessThan(4 * mib)
})
