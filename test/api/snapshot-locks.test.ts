/** Locks of snapshots, over days that go by. */
import {
  CreateSnapshotCommand,
  DeleteSnapshotCommand,
  DescribeLockedSnapshotsCommand,
  LockSnapshotCommand,
  type LockSnapshotCommandInput,
  UnlockSnapshotCommand,
} from '@aws-sdk/client-ec2'
import { beforeAll, expect, test } from 'vitest'
import { commandFor } from '../../src/api/testing/official-client.ts'
import type { SnapshotBlocks } from '../../src/blocks/ports.ts'
import { type Caller, callerOf } from '../support/caller.ts'
import { movingClock } from '../support/moving-clock.ts'
import { expectRefusal, useServedCloud } from '../support/served-cloud.ts'

const faults: { capture?: () => Promise<void> } = {}
const wrapBlocks = (blocks: SnapshotBlocks): SnapshotBlocks => ({
  ...blocks,
  async capture(request, progress) {
    await faults.capture?.()
    return blocks.capture(request, progress)
  },
})

const clock = movingClock()
const served = useServedCloud({ isLive: true, clock, wrapBlocks })
const hour = 3600_000
const day = 24 * hour
let caller: Caller
let volumeId: string
beforeAll(async () => {
  caller = await callerOf(served(), '000000000001')
  const [instance] = await caller.launch()
  volumeId = instance.BlockDeviceMappings![0]!.Ebs!.VolumeId!
})

async function snapshot(isAwaited = true): Promise<string> {
  const { SnapshotId: id } = await caller.ec2.send(new CreateSnapshotCommand({ VolumeId: volumeId }))
  if (isAwaited) await caller.quiet()
  return id!
}

const lock = (SnapshotId: string, more: Omit<LockSnapshotCommandInput, 'SnapshotId'>) =>
  caller.ec2.send(new LockSnapshotCommand({ SnapshotId, ...more }))
const unlock = (SnapshotId: string) => caller.ec2.send(new UnlockSnapshotCommand({ SnapshotId }))
const remove = (SnapshotId: string) => caller.ec2.send(new DeleteSnapshotCommand({ SnapshotId }))
const locked = async (more: object = {}) => (await caller.ec2.send(new DescribeLockedSnapshotsCommand(more))).Snapshots!
const stateOf = async (id: string) => (await locked({ SnapshotIds: [id] }))[0]?.LockState

test('a governance lock keeps a snapshot until it is unlocked, or its time is over', async () => {
  const id = await snapshot()
  const made = await lock(id, { LockMode: 'governance', LockDuration: 2 })
  expect(made).toMatchObject({ SnapshotId: id, LockState: 'governance', LockDuration: 2 })
  expect(made.LockExpiresOn!.getTime() - made.LockDurationStartTime!.getTime()).toBe(2 * day)
  expect(made.CoolOffPeriod).toBeUndefined()
  await expectRefusal(remove(id), 'OperationNotPermitted', id)
  await unlock(id)
  expect(await locked({ SnapshotIds: [id] })).toEqual([])
  await expectRefusal(unlock(id), 'IncorrectState', id)

  await lock(id, { LockMode: 'governance', LockDuration: 10 })
  // A governance lock may also be shortened.
  await lock(id, { LockMode: 'governance', LockDuration: 1 })
  clock.moveOn(day - 1000 * 60)
  await expectRefusal(remove(id), 'OperationNotPermitted', id)
  clock.moveOn(1000 * 60)
  expect(await stateOf(id)).toBe('expired')
  await expectRefusal(unlock(id), 'IncorrectState', id)
  await remove(id)
  await expectRefusal(locked({ SnapshotIds: [id] }), 'InvalidSnapshot.NotFound', id)
})

test('a compliance lock can be taken back while it cools off, and then only be extended', async () => {
  const id = await snapshot()
  const compliance = { LockMode: 'compliance', LockDuration: 5 } as const
  const first = await lock(id, { ...compliance, CoolOffPeriod: 3 })
  expect(first).toMatchObject({ LockState: 'compliance-cooloff', CoolOffPeriod: 3 })
  expect(first.CoolOffPeriodExpiresOn!.getTime() - first.LockCreatedOn!.getTime()).toBe(3 * hour)
  await expectRefusal(remove(id), 'OperationNotPermitted', id)
  await unlock(id)
  await lock(id, { ...compliance, CoolOffPeriod: 3 })
  await lock(id, { LockMode: 'governance', LockDuration: 1 })
  await lock(id, { ...compliance, CoolOffPeriod: 72 })
  clock.moveOn(72 * hour)
  expect(await stateOf(id)).toBe('compliance')
  await expectRefusal(unlock(id), 'OperationNotPermitted', id)
  await expectRefusal(lock(id, { LockMode: 'governance', LockDuration: 50 }), 'OperationNotPermitted', id)
  await expectRefusal(lock(id, { LockMode: 'compliance', LockDuration: 1 }), 'OperationNotPermitted', id)
  await expectRefusal(lock(id, { ...compliance, CoolOffPeriod: 1 }), 'InvalidParameterCombination', 'CoolOffPeriod')
  const extended = await lock(id, { LockMode: 'compliance', LockDuration: 30 })
  expect(extended.LockState).toBe('compliance')
  expect(extended.LockCreatedOn!.getTime()).toBeLessThan(extended.LockDurationStartTime!.getTime() - 71 * hour)
  clock.moveOn(30 * day)
  expect(await stateOf(id)).toBe('expired')
  const again = await lock(id, { LockMode: 'governance', LockDuration: 1 })
  expect(again.LockState).toBe('governance')
})

test('a lock until a date lasts until that date', async () => {
  const id = await snapshot()
  const ExpirationDate = new Date(Math.floor((clock.now() + 36 * hour) / 1000) * 1000)
  const made = await lock(id, { LockMode: 'compliance', ExpirationDate })
  expect(made).toMatchObject({ LockState: 'compliance', LockDuration: 2, LockExpiresOn: ExpirationDate })
  clock.moveOn(36 * hour)
  expect(await stateOf(id)).toBe('expired')
})

test('the lock of a snapshot in the making begins when that is completed', async () => {
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  faults.capture = () => held
  const id = await snapshot(false)
  const made = await lock(id, { LockMode: 'governance', LockDuration: 1 })
  expect(made.LockState).toBe('governance')
  expect([made.LockDurationStartTime, made.LockExpiresOn]).toEqual([undefined, undefined])
  clock.moveOn(3 * day)
  expect(await stateOf(id)).toBe('governance')
  delete faults.capture
  release()
  await caller.quiet()
  const [begun] = await locked({ SnapshotIds: [id] })
  expect(begun!.LockDurationStartTime!.getTime()).toBeGreaterThan(made.LockCreatedOn!.getTime() + 2 * day)
  await expectRefusal(remove(id), 'OperationNotPermitted', id)
})

test('locks are listed by state and in pages, to the owner alone', async () => {
  const lister = await callerOf(served(), '000000000003')
  const [instance] = await lister.launch()
  const ids: string[] = []
  for (let made = 0; made < 6; made++) {
    const request = { VolumeId: instance.BlockDeviceMappings![0]!.Ebs!.VolumeId }
    ids.push((await lister.ec2.send(new CreateSnapshotCommand(request))).SnapshotId!)
  }
  await lister.quiet()
  for (const [index, SnapshotId] of ids.entries()) {
    const LockMode = index === 0 ? 'compliance' : 'governance'
    await lister.ec2.send(new LockSnapshotCommand({ SnapshotId, LockMode, LockDuration: 1 }))
  }
  const list = (more: object) => lister.ec2.send(new DescribeLockedSnapshotsCommand(more))
  const first = await list({ MaxResults: 5 })
  const second = await list({ MaxResults: 5, NextToken: first.NextToken })
  const seen = [...first.Snapshots!, ...second.Snapshots!].map((one) => one.SnapshotId!)
  expect([first.Snapshots!.length, second.NextToken, seen.toSorted()]).toEqual([5, undefined, ids.toSorted()])
  expect(first.Snapshots![0]!.OwnerId).toBe('000000000003')
  const compliance = await list({ Filters: [{ Name: 'lock-state', Values: ['compliance'] }] })
  expect(compliance.Snapshots!.map((one) => one.SnapshotId)).toEqual([ids[0]])
  await expectRefusal(locked({ SnapshotIds: [ids[0]] }), 'InvalidSnapshot.NotFound', ids[0]!)
  await expectRefusal(lock(ids[0]!, { LockMode: 'governance', LockDuration: 1 }), 'InvalidSnapshot.NotFound', ids[0]!)
})

const good = { LockMode: 'governance', LockDuration: 1 }
test.each<[string, object, string, string]>([
  ['neither duration nor date', { LockDuration: undefined }, 'InvalidParameterCombination', 'LockDuration'],
  ['both', { ExpirationDate: new Date('2030-01-01') }, 'InvalidParameterCombination', 'ExpirationDate'],
  ['no mode', { LockMode: undefined }, 'MissingParameter', 'LockMode'],
  ['an unknown mode', { LockMode: 'soft' }, 'InvalidParameterValue', 'soft'],
  ['no days', { LockDuration: 0 }, 'InvalidParameterValue', 'LockDuration'],
  ['too many days', { LockDuration: 36_501 }, 'InvalidParameterValue', '36501'],
  [
    'a date in the past',
    { LockDuration: undefined, ExpirationDate: new Date('2020-01-01') },
    'InvalidParameterValue',
    '2020',
  ],
  [
    'a date too far off',
    { LockDuration: undefined, ExpirationDate: new Date('2200-01-01') },
    'InvalidParameterValue',
    '2200',
  ],
  ['a governance lock that cools off', { CoolOffPeriod: 1 }, 'InvalidParameterCombination', 'CoolOffPeriod'],
  ['no hours', { LockMode: 'compliance', CoolOffPeriod: 0 }, 'InvalidParameterValue', 'CoolOffPeriod'],
  ['too many hours', { LockMode: 'compliance', CoolOffPeriod: 73 }, 'InvalidParameterValue', '73'],
  ['a malformed id', { SnapshotId: 'snap-x' }, 'InvalidSnapshotID.Malformed', 'snap-x'],
  [
    'nothing of that id',
    { SnapshotId: 'snap-0123456789abcdef0' },
    'InvalidSnapshot.NotFound',
    'snap-0123456789abcdef0',
  ],
  ['a dry run', { DryRun: true }, 'DryRunOperation', 'DryRun'],
])('%s is refused', async (_, change, code, named) => {
  const id = (await caller.ec2.send(new CreateSnapshotCommand({ VolumeId: volumeId }))).SnapshotId!
  await expectRefusal(caller.ec2.send(commandFor('LockSnapshot', { SnapshotId: id, ...good, ...change })), code, named)
  expect(await locked({ SnapshotIds: [id] })).toEqual([])
})
