/** What the state promises of snapshots that are increments of others. Part of `state.suite.ts`. */
import { describe, expect, test } from 'vitest'
import { account, other, region, snapshot } from './snapshots.suite.ts'
import type { Snapshot } from './snapshots.ts'
import type { State } from './state.ts'

export function snapshotChargeTests(state: () => State): void {
  describe('snapshots that others are increments of', () => {
    const add = (id: string, about: Partial<Snapshot> = {}) =>
      state().snapshots.insert({ ...snapshot(id), rootHash: `root of ${id}`, ...about })
    const kin = { id: 'snap-new', accountId: account, region, dataKeyId: null }
    const livingParent = async (id: string, of: Partial<typeof kin> | { dataKeyId: string } = {}) =>
      (await state().snapshotCharges.livingParent(id, { ...kin, ...of }))?.id

    test('live in the same account and region, under the same key, completed and not archived', async () => {
      await add('snap-1')
      await add('snap-2', { dataKeyId: 'key-1', encrypted: 1 })
      expect(await livingParent('snap-1')).toBe('snap-1')
      expect(await livingParent('snap-1', { id: 'snap-1' })).toBeUndefined()
      expect(await livingParent('snap-1', { accountId: other })).toBeUndefined()
      expect(await livingParent('snap-1', { region: 'us-east-1' })).toBeUndefined()
      expect(await livingParent('snap-1', { dataKeyId: 'key-1' })).toBeUndefined()
      expect(await livingParent('snap-2')).toBeUndefined()
      expect(await livingParent('snap-2', { dataKeyId: 'key-1' })).toBe('snap-2')
      for (const gone of ['pending', 'error', 'deleted'] as const) {
        await state().snapshots.update('snap-1', { state: gone })
        expect(await livingParent('snap-1')).toBeUndefined()
      }
      await state().snapshots.update('snap-1', { state: 'completed' })
      const tier = { snapshotId: 'snap-1', operationDetail: null, progress: 0, startedAt: 1, archivedAt: null }
      const put = (about: Parameters<State['snapshotTiers']['put']>[0]) => state().snapshotTiers.put(about)
      const underWay = { tier: 'standard', operationStatus: 'archival-in-progress', restoreExpiresAt: null } as const
      await put({ ...tier, ...underWay })
      expect(await livingParent('snap-1')).toBe('snap-1')
      // Also while it is restored for a time: what was charged against it then would have to be told when that is over.
      const archived = { tier: 'archive', operationStatus: 'temporary-restore-completed' } as const
      await put({ ...tier, ...archived, restoreExpiresAt: Number.MAX_SAFE_INTEGER })
      expect(await livingParent('snap-1')).toBeUndefined()
    })

    test('the one before of a volume is found by time, then by id, also when it is deleted', async () => {
      const ids = ['snap-4', 'snap-1', 'snap-3', 'snap-2', 'snap-5']
      for (const [at, id] of ids.entries()) await add(id, { startedAt: 10 + Math.floor(at / 2) })
      await add('snap-6', { startedAt: 12, volumeId: 'vol-2' })
      await add('snap-7', { startedAt: 12, state: 'pending', completedAt: null, rootHash: null })
      await state().snapshots.update('snap-2', { state: 'deleted' })
      const line: string[] = []
      for (let one = await state().snapshots.get('snap-5'); one; ) {
        one = await state().snapshotCharges.previousOfVolume(one)
        line.push(one?.id ?? 'none')
      }
      expect(line).toEqual(['snap-3', 'snap-2', 'snap-4', 'snap-1', 'none'])
    })

    test('the newest living copy of any of many sources', async () => {
      await add('snap-1', { copiedFromId: 'snap-a', startedAt: 5 })
      await add('snap-2', { copiedFromId: 'snap-b', startedAt: 7 })
      await add('snap-3', { copiedFromId: 'snap-b', startedAt: 9, state: 'deleted' })
      await add('snap-4', { copiedFromId: 'snap-c', startedAt: 9 })
      const sources = ['snap-a', 'snap-b', ...Array.from({ length: 1000 }, (_, index) => `snap-x${index}`)]
      const newest = async (ids: string[]) => (await state().snapshotCharges.newestCopy(ids, kin))?.id
      expect(await newest(sources)).toBe('snap-2')
      expect(await newest(['snap-a'])).toBe('snap-1')
      expect(await newest(['snap-x1'])).toBeUndefined()
      expect(await newest([])).toBeUndefined()
    })

    test('may be overtaken by later ones of their volume that are charged against the same', async () => {
      await add('snap-2', { startedAt: 5, chargeParentId: 'snap-0' })
      await add('snap-3', { startedAt: 6, chargeParentId: 'snap-0' })
      await add('snap-4', { startedAt: 6, chargeParentId: 'snap-3' })
      await add('snap-5', { startedAt: 6, chargeParentId: 'snap-0', state: 'deleted' })
      await add('snap-6', { startedAt: 6, chargeParentId: 'snap-0', volumeId: 'vol-2' })
      await add('snap-7', { startedAt: 6 })
      await add('snap-8', { startedAt: 6 })
      const about = { tier: 'standard', operationStatus: 'permanent-restore-completed', operationDetail: null } as const
      const times = { startedAt: 7, archivedAt: null, restoreExpiresAt: null }
      await state().snapshotTiers.put({ snapshotId: 'snap-8', ...about, progress: 100, ...times })
      const overtaking = async (id: string, startedAt: number, chargeParentId: string | null) => {
        const completed = { ...snapshot(id), startedAt, chargeParentId }
        return (await state().snapshotCharges.overtaking(completed)).map((row) => row.id)
      }
      expect(await overtaking('snap-1', 5, 'snap-0')).toEqual(['snap-2', 'snap-3'])
      expect(await overtaking('snap-9', 5, 'snap-0')).toEqual(['snap-3'])
      expect(await overtaking('snap-9', 5, null)).toEqual(['snap-7'])
      expect(await overtaking('snap-9', 6, 'snap-0')).toEqual([])
    })

    test('have increments as long as these are there; large figures keep every byte', async () => {
      const chargedBytes = 64 * 1024 ** 4 + 1
      await add('snap-2', { chargeParentId: 'snap-1', chargedBytes })
      await add('snap-3', { chargeParentId: 'snap-1', chargedBytes: 0 })
      await add('snap-4', { chargeParentId: 'snap-2' })
      const increments = async () =>
        (await state().snapshotCharges.increments('snap-1')).map((row) => [row.id, row.chargedBytes])
      expect(await increments()).toEqual([
        ['snap-2', chargedBytes],
        ['snap-3', 0],
      ])
      await state().snapshots.update('snap-2', { state: 'deleted' })
      expect(await increments()).toEqual([['snap-3', 0]])
    })
  })
}
