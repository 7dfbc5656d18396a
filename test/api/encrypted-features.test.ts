/** Encryption where it meets every other way to make a disk, through the official client. Machines are simulated, all else is real. */
import { writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import {
  CopyVolumesCommand,
  type CopyVolumesCommandInput,
  CreateReplaceRootVolumeTaskCommand,
  type CreateReplaceRootVolumeTaskCommandInput,
  CreateVolumeCommand,
  type CreateVolumeCommandInput,
  DeleteVolumeCommand,
  DescribeFastSnapshotRestoresCommand,
  DescribeImagesCommand,
  DescribeReplaceRootVolumeTasksCommand,
  DescribeSnapshotsCommand,
  DescribeVolumeStatusCommand,
  DescribeVolumesCommand,
  DisableEbsEncryptionByDefaultCommand,
  EnableEbsEncryptionByDefaultCommand,
  EnableFastSnapshotRestoresCommand,
  type ImportSnapshotCommandInput,
  type Volume,
} from '@aws-sdk/client-ec2'
import { beforeAll, describe, expect, test } from 'vitest'
import { DirectSnapshots, diskOf } from '../support/direct-snapshots.ts'
import { writeBootableDisk } from '../support/disk-images.ts'
import { encryptionOf } from '../support/encrypted-volumes.ts'
import { account, bucket, object, useTransfers } from '../support/image-transfers.ts'
import { filesHolding } from '../support/raw-search.ts'
import { expectRefusal } from '../support/served-cloud.ts'
import { byteOfVolume } from '../support/volume-bytes.ts'

const { served, caller, place, putFile, importSnapshot, importImage, imageTask, snapshotTask, expectNothingStaged } =
  useTransfers()
const zone = 'eu-west-1a'
const mib = 1024 ** 2

let direct: DirectSnapshots
let encryption: ReturnType<typeof encryptionOf>
beforeAll(() => {
  direct = new DirectSnapshots(served().ebs(account), caller().ec2)
  encryption = encryptionOf(served(), account, caller(), direct)
})

const holding = (text: string) => filesHolding(dirname(served().deps.volumesDir), [text])
const byteAt = (id: string, offset = 0) => byteOfVolume(served(), id, offset)
const codeOf = (text: string) => text.charCodeAt(0)
const rowOf = async (id: string) => (await served().deps.state.volumes.get(id))!

const volume = async (id: string): Promise<Volume> =>
  (await caller().ec2.send(new DescribeVolumesCommand({ VolumeIds: [id] }))).Volumes![0]!

/** What a guest would write at that place of an encrypted volume. */
async function writeText(id: string, text: string, offsetMib: number): Promise<void> {
  await writeFile(place('text'), text.padEnd(4096, '.'))
  await encryption.writeTo(id, `write -s ${place('text')} ${offsetMib}M 4k`)
}

async function byDefault<T>(work: () => Promise<T>): Promise<T> {
  await caller().ec2.send(new EnableEbsEncryptionByDefaultCommand({}))
  try {
    return await work()
  } finally {
    await caller().ec2.send(new DisableEbsEncryptionByDefaultCommand({}))
  }
}

describe('imports', () => {
  type Wish = Pick<ImportSnapshotCommandInput, 'Encrypted' | 'KmsKeyId'>
  const ways = ['on request', 'under a named key', 'by default'] as const

  async function wishOf(way: (typeof ways)[number]): Promise<{ wish: Wish; arn: string }> {
    if (way !== 'under a named key') {
      return { wish: way === 'on request' ? { Encrypted: true } : {}, arn: await encryption.managedArn() }
    }
    const { arn } = await encryption.newKey()
    return { wish: { Encrypted: true, KmsKeyId: arn }, arn }
  }

  /** Puts a disk that holds the mark into the bucket, has it imported, and removes the file. */
  async function imported<T>(mark: string, way: (typeof ways)[number], work: () => Promise<T>): Promise<T> {
    await writeBootableDisk(place('marked.raw'), mark)
    await putFile('marked.raw', place('marked.raw'))
    const result = way === 'by default' ? await byDefault(work) : await work()
    await expectNothingStaged()
    // The search works: the object is as it was put.
    expect(await holding(mark)).toHaveLength(1)
    await served().cloud.objects.remove(account, { bucket, key: 'marked.raw' })
    expect(await holding(mark)).toEqual([])
    return result
  }

  test.each(ways)('a snapshot is encrypted %s, and nothing of the file stays readable', async (way) => {
    const mark = `Secret of a snapshot ${way}`
    const { wish, arn } = await wishOf(way)
    const told = await imported(mark, way, async () => {
      const asked = await importSnapshot({ Format: 'RAW', UserBucket: object('marked.raw') }, wish)
      expect(asked.SnapshotTaskDetail).toMatchObject({ Encrypted: true, KmsKeyId: arn })
      return await snapshotTask(asked.ImportTaskId!)
    })
    expect(told).toMatchObject({ Status: 'completed', Encrypted: true, KmsKeyId: arn })
    expect(await direct.describe(told.SnapshotId!)).toMatchObject({ Encrypted: true, KmsKeyId: arn })
    const made = await encryption.volume({ SnapshotId: told.SnapshotId! })
    expect(made).toMatchObject({ Encrypted: true, KmsKeyId: arn })
    expect([await byteAt(made.VolumeId!), await byteAt(made.VolumeId!, 7 * mib)]).toEqual([0xeb, codeOf(mark)])
    expect(await holding(mark)).toEqual([])
  })

  test.each(ways)('an image is encrypted %s, and so are its machines', async (way) => {
    const mark = `Secret of an image ${way}`
    const { wish, arn } = await wishOf(way)
    const told = await imported(mark, way, async () => {
      const asked = await importImage([{ Format: 'RAW', UserBucket: object('marked.raw') }], wish)
      expect(asked).toMatchObject({ Encrypted: true, KmsKeyId: arn })
      return await imageTask(asked.ImportTaskId!)
    })
    expect(told).toMatchObject({ Status: 'completed', Encrypted: true, KmsKeyId: arn })
    const { Images } = await caller().ec2.send(new DescribeImagesCommand({ ImageIds: [told.ImageId!] }))
    expect(Images![0]!.BlockDeviceMappings![0]!.Ebs).toMatchObject({ Encrypted: true })
    const [instance] = await caller().launch({ ImageId: told.ImageId! })
    const root = instance.BlockDeviceMappings![0]!.Ebs!.VolumeId!
    expect(await volume(root)).toMatchObject({ Encrypted: true, KmsKeyId: arn })
    expect(await byteAt(root, 19 * mib)).toBe(codeOf(mark))
    expect(await holding(mark)).toEqual([])
  })

  test('an image that is to be encrypted takes no snapshot that is not', async () => {
    const plain = await direct.make(diskOf({ 0: 'plain' }))
    const sealed = await direct.make(diskOf({ 0: 'sealed' }), { Encrypted: true })
    await writeBootableDisk(place('root.raw'))
    await putFile('root.raw', place('root.raw'))
    const root = { Format: 'RAW', UserBucket: object('root.raw') }
    await expectRefusal(
      importImage([root, { SnapshotId: plain }], { Encrypted: true }),
      'InvalidParameterCombination',
      plain,
    )
    const { ImportTaskId } = await importImage([root, { SnapshotId: sealed }], { Encrypted: true })
    expect(await imageTask(ImportTaskId!)).toMatchObject({ Status: 'completed', Encrypted: true })
  })

  test('a key that was disabled meanwhile ends the import with the reason, and leaves nothing', async () => {
    const key = await encryption.newKey()
    await writeBootableDisk(place('root.raw'))
    await putFile('root.raw', place('root.raw'))
    await served().cloud.encryptionKeys.setState(key.id, 'disabled')
    const wish = { Encrypted: true, KmsKeyId: key.arn }
    const asked = await importSnapshot({ Format: 'RAW', UserBucket: object('root.raw') }, wish).catch((error) => error)
    if (asked.ImportTaskId) {
      const told = await snapshotTask(asked.ImportTaskId)
      expect(told).toMatchObject({ Status: 'error', StatusMessage: expect.stringContaining(`${key.arn} is disabled`) })
      expect(told.SnapshotId).toBeUndefined()
    } else {
      expect(`${asked.name}: ${asked.message}`).toContain(`${key.arn} is disabled`)
    }
    await expectNothingStaged()
  })
})

describe('CopyVolumes', () => {
  const copy = async (source: string, more: Partial<CopyVolumesCommandInput> = {}) =>
    (await caller().ec2.send(new CopyVolumesCommand({ SourceVolumeId: source, ...more }))).Volumes![0]!

  test('a copy is of the lineage of its source, and both go on from there', async () => {
    const mark = 'Secret of a volume that is copied'
    const key = await encryption.newKey()
    const { VolumeId: source } = await encryption.volume({ Encrypted: true, KmsKeyId: key.arn })
    await writeText(source!, mark, 1)
    const asked = await copy(source!)
    expect(asked).toMatchObject({ Encrypted: true, KmsKeyId: key.arn })
    const id = asked.VolumeId!
    expect(await encryption.settledVolume(id)).toMatchObject({ State: 'available', Encrypted: true, KmsKeyId: key.arn })
    await writeText(source!, 'another text of the source', 2)
    await writeText(id, 'Text of the copy', 3)
    expect([await byteAt(id, mib), await byteAt(id, 2 * mib), await byteAt(id, 3 * mib)]).toEqual([
      codeOf(mark),
      0,
      codeOf('T'),
    ])
    expect(await byteAt(source!, 3 * mib)).toBe(0)
    expect((await rowOf(id)).dataKeyId).toBe((await rowOf(source!)).dataKeyId)
    expect(await served().cloud.volumes.usage(id)).toMatchObject({ sourceVolumeId: source, kmsKeyArn: key.arn })
    await caller().ec2.send(new DeleteVolumeCommand({ VolumeId: source! }))
    await caller().quiet()
    const snapshot = await encryption.snapshotOf(id)
    expect(snapshot).toMatchObject({ State: 'completed', Encrypted: true, KmsKeyId: key.arn })
    const { VolumeId: again } = await encryption.volume({ SnapshotId: snapshot.SnapshotId! })
    expect([await byteAt(again!, mib), await byteAt(again!, 3 * mib)]).toEqual([codeOf(mark), codeOf('T')])
    expect(await holding(mark)).toEqual([])
  })

  test('a copy of what stands on a snapshot, served or on this host', async () => {
    const mark = 'Secret under a volume that is copied'
    const snapshot = await direct.make(diskOf({ 0: mark }), { Encrypted: true })
    const { VolumeId: source } = await encryption.volume({ SnapshotId: snapshot })
    const served_ = (await copy(source!)).VolumeId!
    expect(await encryption.settledVolume(served_)).toMatchObject({ State: 'available' })
    await served().cloud.hydration.hydrate(await rowOf(source!))
    await caller().quiet()
    const local = (await copy(source!)).VolumeId!
    expect(await encryption.settledVolume(local)).toMatchObject({ State: 'available' })
    expect((await served().cloud.volumes.usage(local)).isLazy).toBe(false)
    expect([await byteAt(served_), await byteAt(local)]).toEqual([codeOf(mark), codeOf(mark)])
    expect(await holding(mark)).toEqual([])
  })

  test('its files are what they are: what would encrypt them anew is refused', async () => {
    const key = await encryption.newKey()
    const { VolumeId: plain } = await encryption.volume()
    await expectRefusal(copy(plain!, { Encrypted: true }), 'UnsupportedOperation', 'Encrypted')
    await expectRefusal(
      byDefault(() => copy(plain!)),
      'UnsupportedOperation',
      'Encrypted',
    )
    const { VolumeId: sealed } = await encryption.volume({ Encrypted: true })
    const other = { Encrypted: true, KmsKeyId: key.arn }
    await expectRefusal(copy(sealed!, other), 'UnsupportedOperation', 'KmsKeyId')
    for (const more of [{ Encrypted: true }, { Encrypted: true, KmsKeyId: await encryption.managedArn() }]) {
      expect(await copy(sealed!, more)).toMatchObject({ Encrypted: true, KmsKeyId: await encryption.managedArn() })
    }
  })

  test('under a disabled key it comes to nothing, and says so', async () => {
    const key = await encryption.newKey()
    const { VolumeId: source } = await encryption.volume({ Encrypted: true, KmsKeyId: key.arn })
    await served().cloud.encryptionKeys.setState(key.id, 'disabled')
    const { VolumeId: failed } = await copy(source!)
    expect(await encryption.settledVolume(failed!)).toMatchObject({ State: 'error', KmsKeyId: key.arn })
    await served().cloud.encryptionKeys.setState(key.id, 'enabled')
    expect(await encryption.settledVolume((await copy(source!)).VolumeId!)).toMatchObject({ State: 'available' })
    await caller().ec2.send(new DeleteVolumeCommand({ VolumeId: failed! }))
  })
})

describe('CreateReplaceRootVolumeTask', () => {
  async function replaced(
    instanceId: string,
    more: Partial<CreateReplaceRootVolumeTaskCommandInput> = {},
  ): Promise<Volume> {
    const { ReplaceRootVolumeTask: task } = await caller().ec2.send(
      new CreateReplaceRootVolumeTaskCommand({ InstanceId: instanceId, ...more }),
    )
    const ids = [task!.ReplaceRootVolumeTaskId!]
    const state = async () =>
      (await caller().ec2.send(new DescribeReplaceRootVolumeTasksCommand({ ReplaceRootVolumeTaskIds: ids })))
        .ReplaceRootVolumeTasks![0]!.TaskState!
    await expect.poll(state, { timeout: 20_000 }).toMatch(/^succeeded|^failed/)
    expect(await state()).toBe('succeeded')
    const { BlockDeviceMappings: mappings } = await caller().describe(instanceId)
    return await volume(mappings!.find((mapping) => mapping.DeviceName === '/dev/xvda')!.Ebs!.VolumeId!)
  }

  test('an encrypted root is followed by an encrypted one, whatever it is made of', async () => {
    const mark = 'Secret of a root'
    const key = await encryption.newKey()
    const [instance] = await caller().launch({
      BlockDeviceMappings: [{ DeviceName: '/dev/xvda', Ebs: { Encrypted: true, KmsKeyId: key.arn } }],
      Placement: { AvailabilityZone: zone },
    })
    const id = instance.InstanceId!
    const first = instance.BlockDeviceMappings![0]!.Ebs!.VolumeId!
    await writeText(first, mark, 5)
    const snapshot = await encryption.snapshotOf(first)
    const encrypted = { Encrypted: true, KmsKeyId: key.arn, State: 'in-use' }

    const launched = await replaced(id)
    expect(launched).toMatchObject(encrypted)
    expect([await byteAt(launched.VolumeId!), await byteAt(launched.VolumeId!, 5 * mib)]).toEqual([7, 0])

    const restored = await replaced(id, { SnapshotId: snapshot.SnapshotId! })
    expect(restored).toMatchObject(encrypted)
    expect([await byteAt(restored.VolumeId!), await byteAt(restored.VolumeId!, 5 * mib)]).toEqual([7, codeOf(mark)])
    expect((await rowOf(restored.VolumeId!)).dataKeyId).toBe((await rowOf(first)).dataKeyId)

    const ofImage = await replaced(id, { ImageId: caller().seedImage })
    expect(ofImage).toMatchObject(encrypted)
    expect(await byteAt(ofImage.VolumeId!)).toBe(7)

    const { VolumeId: plain } = await encryption.volume()
    await expectRefusal(replaced(id, { VolumeId: plain! }), 'InvalidParameterValue', 'must be encrypted')
    expect((await volume(plain!)).State).toBe('available')
    const { VolumeId: own } = await encryption.volume({ SnapshotId: snapshot.SnapshotId! })
    expect((await replaced(id, { VolumeId: own! })).VolumeId).toBe(own)
    expect(await holding(mark)).toEqual([])
  })

  test('a plain root gives way to an encrypted one where the account encrypts by default', async () => {
    const [instance] = await caller().launch({ Placement: { AvailabilityZone: zone } })
    const root = await byDefault(() => replaced(instance.InstanceId!))
    expect(root).toMatchObject({ Encrypted: true, KmsKeyId: await encryption.managedArn() })
    expect(await byteAt(root.VolumeId!)).toBe(7)
  })
})

describe('fast snapshot restores and rates', () => {
  async function ready(...snapshots: string[]): Promise<void> {
    const ask = { SourceSnapshotIds: snapshots, AvailabilityZones: [zone] }
    expect((await caller().ec2.send(new EnableFastSnapshotRestoresCommand(ask))).Unsuccessful).toEqual([])
    const filters = [{ Name: 'snapshot-id', Values: snapshots }]
    const states = async () =>
      (
        await caller().ec2.send(new DescribeFastSnapshotRestoresCommand({ Filters: filters }))
      ).FastSnapshotRestores!.map((each) => each.State)
    await expect.poll(states, { timeout: 20_000 }).toEqual(snapshots.map(() => 'enabled'))
  }
  const isLazy = async (id: string) => (await served().cloud.volumes.usage(id)).isLazy
  const create = async (more: Partial<CreateVolumeCommandInput>) => (await encryption.volume(more)).VolumeId!

  test('what is kept ready of an encrypted snapshot is sealed, and serves the volumes of its lineage', async () => {
    const mark = 'Secret that is kept ready'
    const snapshot = await direct.make(diskOf({ 0: mark, 3: `${mark} too` }), { Encrypted: true })
    await ready(snapshot)
    const own = await create({ SnapshotId: snapshot })
    expect([(await volume(own)).FastRestored, await isLazy(own)]).toEqual([true, false])
    const key = await encryption.newKey()
    const other = await create({ SnapshotId: snapshot, Encrypted: true, KmsKeyId: key.arn })
    expect([(await volume(other)).FastRestored, await isLazy(other)]).toEqual([false, true])
    expect([await byteAt(own), await byteAt(other), await byteAt(own, 3 * mib)]).toEqual([
      codeOf(mark),
      codeOf(mark),
      0,
    ])
    await served().cloud.hydration.hydrate(await rowOf(other))
    await caller().quiet()
    expect([await isLazy(other), await byteAt(other)]).toEqual([false, codeOf(mark)])
    expect(await holding(mark)).toEqual([])
  })

  test('empty snapshots of different lineages are kept ready side by side', async () => {
    const key = await encryption.newKey()
    const empty = [
      await encryption.volume(),
      await encryption.volume({ Encrypted: true }),
      await encryption.volume({ Encrypted: true, KmsKeyId: key.arn }),
    ]
    const snapshots: string[] = []
    for (const { VolumeId } of empty) snapshots.push((await encryption.snapshotOf(VolumeId!)).SnapshotId!)
    for (const snapshot of snapshots) await ready(snapshot)
    for (const snapshot of snapshots) {
      const id = await create({ SnapshotId: snapshot })
      expect([(await volume(id)).FastRestored, await isLazy(id), await byteAt(id)]).toEqual([true, false, 0])
    }
  })

  test('a rate fetches an encrypted volume sealed, of its own lineage and of another', async () => {
    const mark = 'Secret that is fetched at a rate'
    const snapshot = await direct.make(diskOf({ 0: mark }), { Encrypted: true })
    const key = await encryption.newKey()
    for (const more of [{}, { Encrypted: true, KmsKeyId: key.arn }]) {
      const id = await create({ SnapshotId: snapshot, VolumeInitializationRate: 100, ...more })
      await caller().quiet()
      const status = await caller().ec2.send(new DescribeVolumeStatusCommand({ VolumeIds: [id] }))
      expect(status.VolumeStatuses![0]!.InitializationStatusDetails).toMatchObject({
        InitializationType: 'provisioned-rate',
        Progress: 100,
      })
      expect([await isLazy(id), await byteAt(id)]).toEqual([false, codeOf(mark)])
    }
    expect(await holding(mark)).toEqual([])
  })
})

describe('encryption by default', () => {
  test('meets every way in which a volume or a snapshot is born', async () => {
    const arn = await encryption.managedArn()
    const plain = await direct.make(diskOf({ 0: 'plain' }))
    await byDefault(async () => {
      const { VolumeId: empty } = await encryption.volume()
      const { VolumeId: ofPlain } = await encryption.volume({ SnapshotId: plain })
      const atRate = await caller().ec2.send(
        new CreateVolumeCommand({ AvailabilityZone: zone, SnapshotId: plain, VolumeInitializationRate: 100 }),
      )
      const [instance] = await caller().launch({
        BlockDeviceMappings: [
          { DeviceName: '/dev/sdf', Ebs: { VolumeSize: 1 } },
          { DeviceName: '/dev/sdg', Ebs: { SnapshotId: plain } },
        ],
      })
      await caller().quiet()
      const devices = instance.BlockDeviceMappings!.map((mapping) => mapping.Ebs!.VolumeId!)
      const { Volumes: copies } = await caller().ec2.send(new CopyVolumesCommand({ SourceVolumeId: ofPlain! }))
      await caller().quiet()
      const volumes = [empty!, ofPlain!, atRate.VolumeId!, ...devices, copies![0]!.VolumeId!]
      for (const id of volumes) expect(await volume(id)).toMatchObject({ Encrypted: true, KmsKeyId: arn })
      for (const id of [ofPlain!, atRate.VolumeId!, copies![0]!.VolumeId!]) expect(await byteAt(id)).toBe(codeOf('p'))

      const image = await caller().imageOf(instance.InstanceId!, 'by default')
      const snapshots = [
        (await encryption.copy(plain)).SnapshotId!,
        (await encryption.snapshotOf(empty!)).SnapshotId!,
        await direct.start(),
        ...image.BlockDeviceMappings!.map((mapping) => mapping.Ebs!.SnapshotId!),
      ]
      const { Snapshots } = await caller().ec2.send(new DescribeSnapshotsCommand({ SnapshotIds: snapshots }))
      expect(Snapshots).toHaveLength(6)
      for (const each of Snapshots!) expect(each).toMatchObject({ Encrypted: true, KmsKeyId: arn })
    })
  })
})
