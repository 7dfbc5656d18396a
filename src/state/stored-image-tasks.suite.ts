/** What the state promises of images that are stored and restored. Part of `state.suite.ts`. */
import { describe, expect, test } from 'vitest'
import { account, other, region } from './snapshots.suite.ts'
import type { State } from './state.ts'
import type { StoredImageTask } from './stored-image-tasks.ts'

export function storedImageTaskTests(state: () => State): void {
  describe('stored images', () => {
    test('are listed by account and region, the newest first, page by page', async () => {
      const { storedImageTasks: tasks } = state()
      for (const createdAt of [1, 2, 3]) await tasks.insert(task(`t-${createdAt}`, { createdAt }))
      await tasks.insert(task('t-4', { createdAt: 3, imageId: 'ami-2', bucket: 'b2' }))
      await tasks.insert(task('of-another', { accountId: other }))
      await tasks.insert(task('elsewhere', { region: 'us-east-1' }))
      await tasks.insert(task('a-restore', { kind: 'restore' }))
      const listed = async (more: object = {}) => {
        const { items, next } = await tasks.listStores(region, { accountId: account, sinceMs: 0, ...more })
        return { ids: items.map((row) => row.id), next }
      }
      expect((await listed()).ids).toEqual(['t-4', 't-3', 't-2', 't-1'])
      const first = await listed({ page: { limit: 2 } })
      expect(first.ids).toEqual(['t-4', 't-3'])
      expect(await listed({ page: { limit: 2, after: first.next! } })).toEqual({ ids: ['t-2', 't-1'], next: null })
      expect((await listed({ sinceMs: 3 })).ids).toEqual(['t-4', 't-3'])
      expect((await listed({ imageIds: ['ami-2', 'ami-3'] })).ids).toEqual(['t-4'])
      expect((await listed({ filters: [{ name: 'bucket', values: ['b?'] }] })).ids).toEqual(['t-4'])
    })

    test('count while they are in progress, and change no more once they have ended', async () => {
      const { storedImageTasks: tasks } = state()
      await tasks.insert(task('t-1', { sizeGib: 700 }))
      await tasks.insert(task('t-2', { sizeGib: 500, objectKey: 'other.bin' }))
      await tasks.insert(task('t-3', { kind: 'restore', sizeGib: 9 }))
      const gibs = async () => [
        await tasks.gibInProgress(account, region, 'store'),
        await tasks.gibInProgress(account, region, 'restore'),
        await tasks.gibInProgress(other, region, 'store'),
      ]
      expect(await gibs()).toEqual([1200, 9, 0])
      expect(await tasks.isBeingStored('b', 'a.bin')).toBe(true)
      await tasks.update('t-1', { state: 'Completed', progress: 100 })
      await tasks.update('t-1', { state: 'Failed', failureReason: 'too late' })
      expect(await tasks.get('t-1')).toMatchObject({ state: 'Completed', failureReason: null })
      expect(await tasks.isBeingStored('b', 'a.bin')).toBe(false)
      expect(await gibs()).toEqual([500, 9, 0])
      await tasks.removeEndedBefore(100)
      expect([await tasks.get('t-1'), (await tasks.get('t-2'))?.id]).toEqual([undefined, 't-2'])
    })
  })
}

function task(id: string, about: Partial<StoredImageTask> = {}): StoredImageTask {
  return {
    id,
    kind: 'store',
    imageId: 'ami-1',
    accountId: account,
    region,
    bucket: 'b',
    objectKey: 'a.bin',
    sizeGib: 1,
    state: 'InProgress',
    progress: 0,
    failureReason: null,
    createdAt: 1,
    ...about,
  }
}
