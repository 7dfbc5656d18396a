/** Encrypted volumes and snapshots through the official clients. Machines are simulated, everything else is real. */
import {
  DeregisterImageCommand,
  DescribeVolumesCommand,
  DisableEbsEncryptionByDefaultCommand,
  EnableEbsEncryptionByDefaultCommand,
  ModifySnapshotTierCommand,
  RegisterImageCommand,
  RestoreSnapshotTierCommand,
} from '@aws-sdk/client-ec2'
import { describe, expect, test } from 'vitest'
import { openDataKey } from '../../src/cloud/encryption/data-keys.ts'
import { subKey } from '../../src/lib/sealing.ts'
import { callerOf } from '../support/caller.ts'
import { blockOf, DirectSnapshots, diskOf } from '../support/direct-snapshots.ts'
import { useEncryption } from '../support/encrypted-volumes.ts'
import { filesHolding } from '../support/raw-search.ts'
import { expectRefusal } from '../support/served-cloud.ts'

const owner = '000000000001'

const { served, on } = useEncryption(owner)

describe('volumes and their snapshots', () => {
  test('an encrypted volume, its snapshots and their volumes have one key and one lineage', async () => {
    const key = await on.encryption.newKey('alias/lineage')
    const made = await on.encryption.volume({ Encrypted: true, KmsKeyId: 'alias/lineage' })
    expect(made).toMatchObject({ Encrypted: true, KmsKeyId: key.arn })
    await on.encryption.writeTo(made.VolumeId!, 'write -P 7 0 4M')
    const first = await on.encryption.snapshotOf(made.VolumeId!)
    expect(first).toMatchObject({ State: 'completed', Encrypted: true, KmsKeyId: key.arn })
    const again = await on.encryption.volume({ SnapshotId: first.SnapshotId! })
    expect(again).toMatchObject({ Encrypted: true, KmsKeyId: key.arn })
    await on.encryption.writeTo(again.VolumeId!, 'write -P 8 1M 512k')
    const second = await on.encryption.snapshotOf(again.VolumeId!)
    expect(second.DataEncryptionKeyId).toBe(first.DataEncryptionKeyId)
    // One block, a leaf and a root: the rest is the first snapshot's.
    expect(await on.encryption.storedBytes(second.SnapshotId!)).toBeLessThan(2000)
    const content = await on.direct.read(second.SnapshotId!)
    expect([...content.keys()]).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
    expect(content.get(2)).toEqual(Buffer.alloc(524_288, 8))
    expect(content.get(3)).toEqual(Buffer.alloc(524_288, 7))
    const changed = (await on.direct.changes(first.SnapshotId!, second.SnapshotId!)).blocks
    expect(changed.map((block) => block.BlockIndex)).toEqual([2])
    expect(await on.direct.get(first.SnapshotId!, 2, changed[0]!.FirstBlockToken!)).toEqual(Buffer.alloc(524_288, 7))
    const filtered = await on.caller.ec2.send(
      new DescribeVolumesCommand({ Filters: [{ Name: 'encrypted', Values: ['true'] }] }),
    )
    expect(filtered.Volumes!.map((row) => row.VolumeId)).toEqual(
      expect.arrayContaining([made.VolumeId, again.VolumeId]),
    )
  })

  test('no text that was written to one is found in any file of the home, in any state', async () => {
    const marker = 'a very secret marker that nobody may find'
    const direct_ = diskOf({ 0: marker, 5: 'harmless' })
    const plain = await on.direct.make(diskOf({ 1: 'plain text of an unencrypted snapshot' }))
    const source = await on.direct.make(direct_, { Encrypted: true })
    const made = await on.encryption.volume({ SnapshotId: source })
    await on.encryption.writeTo(made.VolumeId!, 'write -P 7 8M 64k')
    const snapshot = await on.encryption.snapshotOf(made.VolumeId!)
    await on.encryption.copy(snapshot.SnapshotId!, { Encrypted: true, KmsKeyId: (await on.encryption.newKey()).id })
    const ofPlain = await on.encryption.volume({ SnapshotId: plain, Encrypted: true })
    for (const id of [made.VolumeId!, ofPlain.VolumeId!]) {
      const row = (await served().deps.state.volumes.get(id))!
      await served().cloud.hydration.hydrate(row)
    }
    await on.caller.quiet()
    const hydrated = (await served().deps.state.volumes.get(made.VolumeId!))!
    expect(hydrated.hydratedAt).not.toBeNull()
    expect([...(await on.direct.read((await on.encryption.snapshotOf(made.VolumeId!)).SnapshotId!)).keys()]).toEqual([
      0, 5, 16,
    ])
    const home = served().deps.volumesDir.replace(/\/volumes$/, '')
    // The search works: it finds what is not encrypted, in its store and not in the volume that was made of it encrypted.
    const visible = await filesHolding(home, ['plain text of an unencrypted'])
    expect(visible.length).toBeGreaterThan(0)
    expect(visible.every((path) => path.startsWith('regions/'))).toBe(true)
    expect(await filesHolding(home, [marker.slice(0, 24)])).toEqual([])
    const { dataKeyId } = hydrated
    const data = await openDataKey(served().deps, served().deps.state, { accountId: owner, dataKeyId: dataKeyId! })
    const keys = [data, subKey(data, 'disk'), subKey(data, 'blocks')]
    const forms = keys.flatMap((key) => [key, key.toString('hex'), key.toString('base64'), key.toString('base64url')])
    expect(await filesHolding(home, forms)).toEqual([])
  })

  test('a volume that is encrypted unlike its snapshot begins a lineage, and its first snapshot is whole', async () => {
    const plain = await on.direct.make(diskOf({ 0: 'a', 1: 'b' }))
    const made = await on.encryption.volume({ SnapshotId: plain, Encrypted: true })
    expect(made).toMatchObject({ Encrypted: true, KmsKeyId: await on.encryption.managedArn() })
    await on.encryption.writeTo(made.VolumeId!, 'write -P 7 512k 512k')
    const first = await on.encryption.snapshotOf(made.VolumeId!)
    const content = await on.direct.read(first.SnapshotId!)
    expect(content.get(0)).toEqual(blockOf('a'))
    expect(content.get(1)).toEqual(Buffer.alloc(524_288, 7))
    const key = await on.encryption.newKey()
    const resealed = await on.encryption.volume({ SnapshotId: first.SnapshotId!, Encrypted: true, KmsKeyId: key.arn })
    expect(resealed.KmsKeyId).toBe(key.arn)
    const second = await on.encryption.snapshotOf(resealed.VolumeId!)
    expect(second).toMatchObject({ KmsKeyId: key.arn })
    expect(second.DataEncryptionKeyId).not.toBe(first.DataEncryptionKeyId)
    expect(await on.direct.read(second.SnapshotId!)).toEqual(content)
  })

  test.each([
    ['a key without encryption', { KmsKeyId: 'alias/aws/ebs' }, 'InvalidParameterDependency', 'KmsKeyId'],
    ['an alias of no key', { Encrypted: true, KmsKeyId: 'alias/none' }, 'InvalidParameterValue', 'KmsKeyId'],
    ['what names no key', { Encrypted: true, KmsKeyId: 'x'.repeat(500) }, 'InvalidParameterValue', 'KmsKeyId'],
  ] as const)('CreateVolume refuses %s', async (_, input, code, named) => {
    await expectRefusal(on.encryption.volume(input), code, named)
  })

  test('what is made of an encrypted snapshot cannot be made unencrypted', async () => {
    const source = await on.direct.make(diskOf({ 0: 'a' }), { Encrypted: true })
    await expectRefusal(
      on.encryption.volume({ SnapshotId: source, Encrypted: false }),
      'InvalidParameterValue',
      'Encrypted',
    )
    await expectRefusal(on.encryption.copy(source, { Encrypted: false }), 'InvalidParameterValue', 'Encrypted')
  })
})

describe('copies', () => {
  test('the same key keeps the blocks, another seals them anew, in any region', async () => {
    const disk = diskOf({ 0: 'one', 3: 'two' })
    const [first, second] = [await on.encryption.newKey(), await on.encryption.newKey()]
    const source = await on.direct.make(disk, { Encrypted: true, KmsKeyArn: first.arn })
    const same = await on.encryption.copy(source)
    expect(same).toMatchObject({ Encrypted: true, KmsKeyId: first.arn })
    expect([await on.encryption.rootOf(same.SnapshotId!), await on.encryption.storedBytes(same.SnapshotId!)]).toEqual([
      await on.encryption.rootOf(source),
      0,
    ])
    const anew = await on.encryption.copy(source, { Encrypted: true, KmsKeyId: second.arn })
    expect(anew).toMatchObject({ Encrypted: true, KmsKeyId: second.arn })
    expect(await on.encryption.rootOf(anew.SnapshotId!)).not.toBe(await on.encryption.rootOf(source))
    expect(await on.direct.read(anew.SnapshotId!)).toEqual(disk)
    // Sealed anew, it needs the first key no more.
    await served().cloud.encryptionKeys.setState(first.id, 'disabled')
    expect(await on.direct.read(anew.SnapshotId!)).toEqual(disk)
    await served().cloud.encryptionKeys.setState(first.id, 'enabled')

    const away = await callerOf(served(), owner, 'us-east-1')
    const there = new DirectSnapshots(served().ebs(owner, 'us-east-1'), away.ec2)
    const moved = await on.encryption.copy(source, {}, away)
    expect(moved).toMatchObject({
      Encrypted: true,
      KmsKeyId: await on.encryption.managedArn({ accountId: owner, region: 'us-east-1' }),
    })
    expect(await on.encryption.rootOf(moved.SnapshotId!)).toBe(await on.encryption.rootOf(source))
    expect(await there.read(moved.SnapshotId!)).toEqual(disk)
    // The region's own key opens it, whatever becomes of the other.
    await served().cloud.encryptionKeys.setState(first.id, 'disabled')
    expect(await there.read(moved.SnapshotId!)).toEqual(disk)
    await served().cloud.encryptionKeys.setState(first.id, 'enabled')
    const key = await on.encryption.newKey(null, { accountId: owner, region: 'us-east-1' })
    const named = await on.encryption.copy(source, { Encrypted: true, KmsKeyId: key.arn }, away)
    expect(await on.encryption.rootOf(named.SnapshotId!)).not.toBe(await on.encryption.rootOf(source))
    expect(await there.read(named.SnapshotId!)).toEqual(disk)
    await expectRefusal(
      on.encryption.copy(source, { Encrypted: true, KmsKeyId: first.arn }, away),
      'InvalidParameterValue',
      'KmsKeyId',
    )
  })

  test('the next snapshot of a lineage moves only what is new to a region that has the first', async () => {
    const disk = diskOf(Object.fromEntries(Array.from({ length: 20 }, (_, i) => [i, `block ${i}`])))
    const first = await on.direct.make(disk, { Encrypted: true })
    const second = await on.direct.make(diskOf({ 4: 'changed' }), { ParentSnapshotId: first, Encrypted: undefined })
    const away = await callerOf(served(), owner, 'us-west-2')
    const one = await on.encryption.copy(first, {}, away)
    const two = await on.encryption.copy(second, {}, away)
    expect(two.DataEncryptionKeyId).toBe(one.DataEncryptionKeyId)
    const [all, increment] = [
      await on.encryption.storedBytes(one.SnapshotId!),
      await on.encryption.storedBytes(two.SnapshotId!),
    ]
    expect(increment).toBeLessThan(all / 2)
  })

  test('what is not encrypted becomes so when asked, and by default', async () => {
    const disk = diskOf({ 0: 'one' })
    const source = await on.direct.make(disk)
    expect(await on.encryption.copy(source)).toMatchObject({ Encrypted: false })
    const asked = await on.encryption.copy(source, { Encrypted: true })
    expect(asked).toMatchObject({ Encrypted: true, KmsKeyId: await on.encryption.managedArn() })
    expect(await on.direct.read(asked.SnapshotId!)).toEqual(disk)
  })
})

describe('care for what is sealed', () => {
  test('differences, costs, the archive and a collection see sealed snapshots as others', async () => {
    const first = await on.direct.make(diskOf({ 0: 'one', 1: 'two' }), { Encrypted: true })
    const second = await on.direct.make(diskOf({ 1: 'changed', 2: 'new' }), { ParentSnapshotId: first })
    const { cloud } = served()
    const difference = await cloud.snapshotCosts.difference('eu-west-1', first, second)
    expect(difference.blocks).toEqual({ changed: 1, added: 1, removed: 0 })
    const image = { Name: 'sealed', RootDeviceName: '/dev/xvda', VirtualizationType: 'hvm' }
    const { ImageId } = await on.caller.ec2.send(
      new RegisterImageCommand({
        ...image,
        BlockDeviceMappings: [{ DeviceName: '/dev/xvda', Ebs: { SnapshotId: second } }],
      }),
    )
    const cost = await cloud.snapshotCosts.ofImage('eu-west-1', ImageId!)
    expect(cost.snapshots[0]).toMatchObject({ snapshotId: second, sharedWith: { snapshots: 1, volumes: 0 } })
    expect(cost.freedBytes).toBe(cost.snapshots[0]!.uniqueBytes)

    await on.caller.ec2.send(new ModifySnapshotTierCommand({ SnapshotId: first, StorageTier: 'archive' }))
    await on.caller.quiet()
    await expectRefusal(on.encryption.copy(first), 'IncorrectState', 'archived')
    await on.caller.ec2.send(new RestoreSnapshotTierCommand({ SnapshotId: first, PermanentRestore: true }))
    await on.caller.quiet()
    await on.caller.ec2.send(new DeregisterImageCommand({ ImageId: ImageId!, DeleteAssociatedSnapshots: true }))
    const [collected] = await cloud.collection.collect({ region: 'eu-west-1', graceMs: 0 })
    expect(collected).toMatchObject({ stopped: null })
    // Leaf and root: what was put a moment ago is kept for some minutes.
    expect(collected!.bytesFreed).toBeGreaterThan(0)
    expect(await on.direct.read(first)).toEqual(diskOf({ 0: 'one', 1: 'two' }))
    const [checked] = await cloud.storeCheck.check({ region: 'eu-west-1', repair: false })
    expect(checked!.flaws).toEqual([])
  })
})

describe('the EBS direct APIs', () => {
  test('a snapshot is written, completed with its checksum, and read, all in the clear for who may', async () => {
    const key = await on.encryption.newKey()
    const id = await on.direct.start({ Encrypted: true, KmsKeyArn: key.arn })
    expect(await on.direct.describe(id)).toMatchObject({ Encrypted: true, KmsKeyId: key.arn })
    const disk = diskOf({ 0: 'one', 1: 'two', 2000: 'three' })
    await on.direct.put(id, 0, blockOf('overwritten'))
    await on.direct.put(id, 7, Buffer.alloc(524_288))
    for (const [index, content] of disk) await on.direct.put(id, index, content)
    const rows = await served().deps.state.snapshotUploads.blocksAfter(id, -1, 10)
    expect(rows.map((row) => row.sealedChecksum?.length)).toEqual([122, 122, 122, 122])
    await on.direct.write(
      id,
      new Map(
        [[7, Buffer.alloc(524_288)], ...disk].sort(([a], [b]) => (a as number) - (b as number)) as [number, Buffer][],
      ),
    )
    expect(await on.direct.settled(id)).toMatchObject({ State: 'completed' })
    expect(await on.direct.read(id)).toEqual(disk)
    const child = await on.direct.make(diskOf({ 1: 'changed' }), { ParentSnapshotId: id })
    expect(await on.direct.describe(child)).toMatchObject({ Encrypted: true, KmsKeyId: key.arn })
    expect((await on.direct.changes(id, child)).blocks.map((block) => block.BlockIndex)).toEqual([1])
  })

  test('what can be asked for of encryption follows the table of outcomes', async () => {
    const invalid = (input: Parameters<DirectSnapshots['start']>[0]) =>
      expect(on.direct.start(input)).rejects.toMatchObject({
        name: 'ValidationException',
        Reason: 'INVALID_PARAMETER_VALUE',
      })
    const [plain, sealed] = [
      await on.direct.make(diskOf({ 0: 'a' })),
      await on.direct.make(diskOf({ 0: 'a' }), { Encrypted: true }),
    ]
    for (const parent of [plain, sealed]) {
      for (const wish of [{ Encrypted: true }, { Encrypted: false }, { KmsKeyArn: await on.encryption.managedArn() }])
        await invalid({ ParentSnapshotId: parent, ...wish })
    }
    await invalid({ KmsKeyArn: await on.encryption.managedArn() })
    await invalid({ Encrypted: false, KmsKeyArn: await on.encryption.managedArn() })
    await invalid({ Encrypted: true, KmsKeyArn: 'arn:aws:kms:eu-west-1:000000000001:key/none' })
    await on.caller.ec2.send(new EnableEbsEncryptionByDefaultCommand({}))
    try {
      expect(await on.direct.describe(await on.direct.start())).toMatchObject({
        Encrypted: true,
        KmsKeyId: await on.encryption.managedArn(),
      })
      await invalid({ Encrypted: false })
      await invalid({ ParentSnapshotId: plain })
      expect(await on.direct.describe(await on.direct.start({ ParentSnapshotId: sealed }))).toMatchObject({
        Encrypted: true,
      })
    } finally {
      await on.caller.ec2.send(new DisableEbsEncryptionByDefaultCommand({}))
    }
  })

  test('a disabled key denies access until it is enabled again', async () => {
    const key = await on.encryption.newKey()
    const id = await on.direct.make(diskOf({ 0: 'a' }), { Encrypted: true, KmsKeyArn: key.arn })
    const open = await on.direct.start({ Encrypted: true, KmsKeyArn: key.arn })
    await served().cloud.encryptionKeys.setState(key.id, 'disabled')
    const denied = { name: 'AccessDeniedException', Reason: 'DEPENDENCY_ACCESS_DENIED' }
    await expect(on.direct.read(id)).rejects.toMatchObject(denied)
    await expect(on.direct.put(open, 0, blockOf('b'))).rejects.toMatchObject(denied)
    await served().cloud.encryptionKeys.setState(key.id, 'enabled')
    expect(await on.direct.read(id)).toEqual(diskOf({ 0: 'a' }))
    await on.direct.put(open, 0, blockOf('b'))
  })
})
