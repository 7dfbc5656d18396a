/** What the state promises of snapshots: sharing, locks and tiers. Part of `state.suite.ts`. */
import { beforeEach, describe, expect, test } from 'vitest'
import type { Snapshot } from './snapshots.ts'
import type { State } from './state.ts'

export const account = '111122223333'
export const other = '444455556666'
export const region = 'eu-west-1'

export function snapshotTests(state: () => State): void {
  describe('shared snapshots', () => {
    const third = '777788889999'
    const readableBy = async (accountId: string, more: { restorableBy?: string[] } = {}) => {
      const { items } = await state().snapshots.list(region, { accountId, nowMs: 0, ...more })
      const ids = items.map((row) => row.id).sort()
      const all = ['snap-gone', 'snap-own', 'snap-public', 'snap-seed', 'snap-shared']
      const direct = await state().snapshots.readable(region, accountId, all)
      if (!more.restorableBy) expect(direct.map((row) => row.id).sort()).toEqual(ids)
      return ids
    }

    beforeEach(async () => {
      for (const id of ['snap-own', 'snap-shared', 'snap-public']) await state().snapshots.insert(snapshot(id))
      await state().snapshots.insert({ ...snapshot('snap-gone'), state: 'deleted' })
      await state().snapshots.insert({ ...snapshot('snap-seed'), accountId: third, ownerAlias: 'amazon' })
      await state().snapshots.grant('snap-shared', [other, other, third])
      await state().snapshots.grant('snap-shared', [other])
      await state().snapshots.grant('snap-public', ['all'])
      await state().snapshots.grant('snap-gone', ['all'])
    })

    test('are read by those who were given them, and by all where all were', async () => {
      expect(await readableBy(account)).toEqual(['snap-own', 'snap-public', 'snap-seed', 'snap-shared'])
      expect(await readableBy(other)).toEqual(['snap-public', 'snap-seed', 'snap-shared'])
      expect(await readableBy('999999999999')).toEqual(['snap-public', 'snap-seed'])
      expect(await state().snapshots.readable('us-east-1', account, ['snap-own'])).toEqual([])
    })

    test('are narrowed to whom they are given; of third parties the owner alone is told', async () => {
      expect(await readableBy(other, { restorableBy: ['all'] })).toEqual(['snap-public', 'snap-seed'])
      expect(await readableBy(other, { restorableBy: [other] })).toEqual(['snap-shared'])
      expect(await readableBy(account, { restorableBy: [account] })).toEqual(['snap-own', 'snap-public', 'snap-shared'])
      expect(await readableBy(account, { restorableBy: [other] })).toEqual(['snap-shared'])
      expect(await readableBy(other, { restorableBy: [third] })).toEqual([])
    })

    test('are public no longer while their owner blocks all sharing there', async () => {
      const key = { accountId: account, region, resourceType: 'snapshot' } as const
      expect(await state().publicAccess.get(key)).toBe('unblocked')
      await state().publicAccess.block({ ...key, state: 'block-new-sharing' })
      expect(await readableBy(other)).toEqual(['snap-public', 'snap-seed', 'snap-shared'])
      await state().publicAccess.block({ ...key, state: 'block-all-sharing' })
      expect(await state().publicAccess.get(key)).toBe('block-all-sharing')
      expect(await state().publicAccess.get({ ...key, resourceType: 'image' })).toBe('unblocked')
      expect(await readableBy(other)).toEqual(['snap-seed', 'snap-shared'])
      expect(await readableBy(other, { restorableBy: ['all'] })).toEqual(['snap-seed'])
      await state().publicAccess.unblock(key)
      expect(await readableBy(other)).toEqual(['snap-public', 'snap-seed', 'snap-shared'])
    })

    test('are taken back one by one, or all at once', async () => {
      await state().snapshots.revoke('snap-shared', [other])
      expect(await state().snapshots.granteesOf('snap-shared')).toEqual([third])
      await state().snapshots.revoke('snap-shared')
      expect(await state().snapshots.granteesOf('snap-shared')).toEqual([])
      expect(await state().snapshots.granteesOf('snap-public')).toEqual(['all'])
    })
  })

  test('locks are found by the state that they have at the time, from the completion of their snapshot on', async () => {
    const dayMs = 24 * 3600_000
    const lock = (snapshotId: string, about: object) =>
      state().snapshotLocks.put({
        ...{ snapshotId, mode: 'governance', durationDays: 1, coolOffHours: null, coolOffUntil: null },
        ...{ createdAt: 10, durationFrom: 10, expirationDate: null, ...about },
      })
    await state().snapshots.insert(snapshot('snap-1'))
    await state().snapshots.insert({ ...snapshot('snap-2'), completedAt: 1000 })
    await state().snapshots.insert({ ...snapshot('snap-3'), state: 'pending', completedAt: null })
    await state().snapshots.insert(snapshot('snap-4'))
    await state().snapshots.insert({ ...snapshot('snap-5'), accountId: other })
    await lock('snap-1', { durationDays: 100 })
    await lock('snap-1', {})
    await lock('snap-2', {})
    await lock('snap-3', { mode: 'compliance' })
    await lock('snap-4', { mode: 'compliance', coolOffUntil: 500, expirationDate: 2000 })
    await lock('snap-5', {})
    const found = async (lockState: string, nowMs: number) => {
      const filters = [{ name: 'lock-state', values: [lockState] }]
      const page = await state().snapshotLocks.list(region, { accountId: account, nowMs, filters })
      return page.items.map((row) => row.snapshotId)
    }
    expect(await found('governance', 100)).toEqual(['snap-1', 'snap-2'])
    expect(await found('compliance-*', 100)).toEqual(['snap-4'])
    expect(await found('compliance', 500)).toEqual(['snap-3', 'snap-4'])
    expect(await found('expired', 2000)).toEqual(['snap-4'])
    expect(await found('expired', dayMs + 10)).toEqual(['snap-1', 'snap-4'])
    expect(await found('expired', dayMs + 1000)).toEqual(['snap-1', 'snap-2', 'snap-4'])
    await state().snapshotLocks.remove('snap-1')
    expect(await state().snapshotLocks.get('snap-1')).toBeUndefined()
    expect(await state().snapshotLocks.get('snap-2')).toMatchObject({ completedAt: 1000, accountId: account })
  })

  test('a temporary restore is over when its time is, for every list and for what must be kept at hand', async () => {
    const tiered = (snapshotId: string, about: object) =>
      state().snapshotTiers.put({
        ...{ snapshotId, tier: 'archive', operationStatus: 'archival-completed', operationDetail: null },
        ...{ progress: 100, startedAt: 5, archivedAt: 6, restoreExpiresAt: null, ...about },
      })
    for (const id of ['snap-1', 'snap-2', 'snap-3', 'snap-4']) {
      await state().snapshots.insert({ ...snapshot(id), rootHash: `root of ${id}` })
    }
    await tiered('snap-1', {})
    await tiered('snap-2', { operationStatus: 'archival-in-progress' })
    await tiered('snap-2', { operationStatus: 'temporary-restore-completed', restoreExpiresAt: 100 })
    await tiered('snap-3', { tier: 'standard', operationStatus: 'permanent-restore-completed' })
    const inTier = async (tier: string, nowMs: number) => {
      const filters = [{ name: 'storage-tier', values: [tier] }]
      return (await state().snapshots.list(region, { accountId: account, nowMs, filters })).items.map((row) => row.id)
    }
    expect(await inTier('archive', 99)).toEqual(['snap-1'])
    expect(await inTier('standard', 99)).toEqual(['snap-2', 'snap-3', 'snap-4'])
    expect(await inTier('archive', 100)).toEqual(['snap-1', 'snap-2'])
    const after = async (status: string, nowMs: number) => {
      const filters = [{ name: 'last-tiering-operation', values: [status] }]
      const page = await state().snapshotTiers.list(region, { accountId: account, nowMs, filters })
      return page.items.map((row) => row.id)
    }
    expect(await after('temporary-restore-*', 99)).toEqual(['snap-2'])
    expect(await after('archival-completed', 100)).toEqual(['snap-1', 'snap-2'])
    const all = await state().snapshotTiers.list(region, { accountId: account, nowMs: 0 })
    expect(all.items.map((row) => [row.id, row.tier])).toEqual([
      ['snap-1', 'archive'],
      ['snap-2', 'archive'],
      ['snap-3', 'standard'],
      ['snap-4', null],
    ])
    const inUse = async (nowMs: number) => (await state().snapshots.rootsInUse(region, 'snap-4', nowMs)).sort()
    expect(await inUse(99)).toEqual(['root of snap-2', 'root of snap-3'])
    expect(await inUse(100)).toEqual(['root of snap-3'])
    expect(await state().snapshotTiers.move('snap-1', ['archival-failed'], { progress: 1 })).toBe(false)
    expect(await state().snapshotTiers.move('snap-1', ['archival-completed'], { progress: 1 })).toBe(true)
    expect((await state().snapshotTiers.of(['snap-1', 'snap-4'])).get('snap-1')).toMatchObject({ progress: 1 })
  })
}

export function snapshot(id: string): Snapshot {
  return {
    id,
    accountId: account,
    ownerAlias: null,
    region,
    volumeId: 'vol-1',
    sizeGib: 1,
    state: 'completed',
    stateMessage: null,
    progress: 100,
    description: '',
    encrypted: 0,
    dataKeyId: null,
    rootHash: null,
    dataBytes: null,
    storedBytes: null,
    chargeParentId: null,
    chargedBytes: null,
    copiedFromId: null,
    startedAt: 1,
    completedAt: 2,
  }
}
