/** What the state promises of bundle tasks. Part of `state.suite.ts`. */
import { describe, expect, test } from 'vitest'
import type { BundleTask } from './bundle-tasks.ts'
import { account, other, region } from './snapshots.suite.ts'
import type { State } from './state.ts'

export function bundleTaskTests(state: () => State): void {
  describe('bundle tasks', () => {
    test('are listed by account and region, and filtered as EC2 documents it', async () => {
      const { bundleTasks: tasks } = state()
      await tasks.insert(task('bun-1', { progress: 20 }))
      await tasks.insert(
        task('bun-2', { state: 'failed', errorCode: 'Client.Cancelled', createdAt: 2, updatedAt: 90_000 }),
      )
      await tasks.insert(task('bun-3', { accountId: other }))
      await tasks.insert(task('bun-4', { region: 'us-east-1' }))
      const listed = async (name?: string, value = '') => {
        const filters = name ? [{ name, values: [value] }] : []
        const { items } = await tasks.list(region, { accountId: account, filters })
        return items.map((row) => row.id)
      }
      expect(await listed()).toEqual(['bun-1', 'bun-2'])
      expect(await listed('progress', '20%')).toEqual(['bun-1'])
      expect(await listed('state', 'failed')).toEqual(['bun-2'])
      expect(await listed('error-code', 'Client.*')).toEqual(['bun-2'])
      expect(await listed('s3-prefix', 'images/*')).toEqual(['bun-1', 'bun-2'])
      expect(await listed('update-time', '1970-01-01T00:01:30*')).toEqual(['bun-2'])
    })

    test('hold their instance and their place in the bucket until they have ended', async () => {
      const { bundleTasks: tasks } = state()
      await tasks.insert(task('bun-1'))
      expect((await tasks.underway('i-1'))?.id).toBe('bun-1')
      expect((await tasks.writing('b', 'images/web'))?.id).toBe('bun-1')
      expect(await tasks.move('bun-1', ['pending'], { state: 'storing' })).toBe(true)
      expect(await tasks.move('bun-1', ['pending'], { state: 'cancelling' })).toBe(false)
      expect(await tasks.move('bun-1', ['storing'], { state: 'complete', updatedAt: 5 })).toBe(true)
      expect([await tasks.underway('i-1'), await tasks.writing('b', 'images/web')]).toEqual([undefined, undefined])
      await tasks.removeEndedBefore(5)
      expect((await tasks.get('bun-1'))?.state).toBe('complete')
      await tasks.removeEndedBefore(6)
      expect(await tasks.get('bun-1')).toBeUndefined()
    })
  })
}

function task(id: string, about: Partial<BundleTask> = {}): BundleTask {
  return {
    id,
    accountId: account,
    region,
    instanceId: 'i-1',
    writerId: account,
    bucket: 'b',
    prefix: 'images/web',
    policyExpiresAt: null,
    state: 'pending',
    progress: 0,
    partsBegun: 0,
    errorCode: null,
    errorMessage: null,
    createdAt: 1,
    updatedAt: 1,
    ...about,
  }
}
