/** What the state promises of imports and exports. Part of `state.suite.ts`. */
import { describe, expect, test } from 'vitest'
import { account, other, region } from './snapshots.suite.ts'
import type { State } from './state.ts'
import type { TransferDisk, TransferTask } from './transfers.ts'

export function transferTests(state: () => State): void {
  describe('imports and exports', () => {
    test('change state once, and are told with their disks in order', async () => {
      const { transfers } = state()
      await transfers.insert(task('import-ami-1'), [disk('import-ami-1', 1, 0), disk('import-ami-1', 0, 0)])
      await transfers.insertDisks([disk('import-ami-1', 0, 1, { fileBytes: 5_000_000_000 })])
      await transfers.insertDisks([])
      expect(await transfers.move('import-ami-1', ['active'], { status: 'completed', endedAt: 5 })).toBe(true)
      expect(await transfers.move('import-ami-1', ['active'], { status: 'deleting' })).toBe(false)
      await transfers.updateDisk(disk('import-ami-1', 0, 1), { snapshotId: 'snap-1' })
      const disks = (await transfers.disksOf(['import-ami-1', 'import-ami-2'])).get('import-ami-1')!
      expect(disks.map((row) => [row.container, row.position, row.snapshotId, row.fileBytes])).toEqual([
        [0, 0, null, null],
        [0, 1, 'snap-1', 5_000_000_000],
        [1, 0, null, null],
      ])
    })

    test('are listed by account, region and kind, and filtered by state and tag', async () => {
      const { transfers, tags } = state()
      await transfers.insert(task('import-ami-1'), [])
      await transfers.insert(task('import-ami-2', { status: 'deleted', createdAt: 2 }), [])
      await transfers.insert(task('import-ami-3', { accountId: other }), [])
      await transfers.insert(task('import-ami-4', { region: 'us-east-1' }), [])
      await transfers.insert(task('export-ami-5', { kind: 'export-image' }), [])
      await tags.put({ id: 'import-ami-2', type: 'import-image-task', accountId: account, region }, [
        { key: 'a', value: 'b' },
      ])
      const listed = async (name: string, value: string) => {
        const filters = [{ name, values: [value] }]
        const { items } = await transfers.list(region, 'import-image', { accountId: account, filters })
        return items.map((row) => row.id)
      }
      const { items } = await transfers.list(region, 'import-image', { accountId: account })
      expect(items.map((row) => row.id)).toEqual(['import-ami-1', 'import-ami-2'])
      expect(await listed('task-state', 'active')).toEqual(['import-ami-1'])
      expect(await listed('tag:a', 'b')).toEqual(['import-ami-2'])
      expect(await transfers.countActive(account, region)).toBe(2)
    })

    test('are forgotten some time after their end; what they still need is known', async () => {
      const { transfers } = state()
      const uploadId = 'upload-1'
      await transfers.insert(task('import-ami-1'), [disk('import-ami-1', 0, 0, { uploadId })])
      await transfers.insert(task('import-ami-2', { status: 'deleted', endedAt: 10 }), [
        disk('import-ami-2', 0, 0, { uploadId: 'upload-2' }),
      ])
      await transfers.insert(task('import-ami-3', { status: 'error', endedAt: 30 }), [])
      expect(await transfers.uploadsInUse()).toEqual([uploadId])
      expect(await transfers.removeEndedBefore(20)).toEqual(['import-ami-2'])
      expect(await transfers.removeEndedBefore(20)).toEqual([])
      expect(await transfers.get('import-ami-2')).toBeUndefined()
      expect((await transfers.disksOf(['import-ami-2'])).get('import-ami-2')).toEqual([])
    })
  })
}

function task(id: string, about: Partial<TransferTask> = {}): TransferTask {
  return {
    id,
    kind: 'import-image',
    accountId: account,
    region,
    status: 'active',
    statusMessage: null,
    progress: 0,
    description: null,
    format: null,
    imageId: null,
    imageName: null,
    licenseType: null,
    bootMode: null,
    dataKeyId: null,
    bucket: null,
    prefix: null,
    createdAt: 1,
    endedAt: null,
    ...about,
  }
}

function disk(taskId: string, container: number, position: number, about: Partial<TransferDisk> = {}): TransferDisk {
  return {
    taskId,
    container,
    position,
    description: null,
    format: null,
    deviceName: null,
    url: null,
    bucket: null,
    objectKey: null,
    uploadId: null,
    sourceSnapshotId: null,
    fileBytes: null,
    progress: 0,
    snapshotId: null,
    ...about,
  }
}
