/** What the state promises of copies, shared volumes, replaced roots and snapshots kept ready. Part of `state.suite.ts`. */
import { expect, test } from 'vitest'
import type { FastSnapshotRestore } from './fast-snapshot-restores.ts'
import type { ReplaceRootVolumeTask } from './replace-root-volume-tasks.ts'
import { account, other, region } from './snapshots.suite.ts'
import type { State } from './state.ts'
import { emptyLayer, volume } from './volumes.suite.ts'

export function volumeFeatureTests(state: () => State): void {
  test('a volume is being read as long as a copy of it is being made, which takes over its layers', async () => {
    const source = { sourceVolumeId: 'vol-1' }
    for (const row of [volume('vol-1'), volume('vol-2', { ...source, state: 'creating', baseRoot: 'r' })]) {
      await state().volumes.insert(row, emptyLayer(row.id))
    }
    expect(await state().volumes.readerOf('vol-1')).toBe('vol-2')
    expect(await state().volumes.readerOf('vol-2')).toBeUndefined()
    const layers = [0, 1].map((seq) => ({ ...emptyLayer('vol-2'), seq, fileName: `layer-${seq}` }))
    await state().volumes.replaceLayers('vol-2', layers)
    expect(await state().volumes.layers('vol-2')).toEqual(layers)
    await state().volumes.move('vol-2', ['creating'], 'available')
    expect(await state().volumes.readerOf('vol-1')).toBeUndefined()
    // A copy need not be old to be fetched.
    expect((await state().volumes.notHydrated(0, 10)).map((row) => row.id)).toEqual(['vol-2'])
  })

  test('shared volumes are those that may be, and are', async () => {
    const rows = [
      volume('vol-1', { multiAttach: 1, state: 'in-use' }),
      volume('vol-2', { multiAttach: 1 }),
      volume('vol-3', { state: 'in-use', fastRestored: 1 }),
    ]
    for (const row of rows) await state().volumes.insert(row, emptyLayer(row.id))
    expect((await state().volumes.sharedInUse()).map((row) => row.id)).toEqual(['vol-1'])
    const found = async (name: string) => {
      const request = { accountId: account, filters: [{ name, values: ['true'] }] }
      return (await state().volumes.list(region, request)).items.map((row) => row.id)
    }
    expect(await found('multi-attach-enabled')).toEqual(['vol-1', 'vol-2'])
    expect(await found('fast-restored')).toEqual(['vol-3'])
  })

  test('tasks that replace a root are listed by instance, and move only from a state that is named', async () => {
    const tasks = state().replaceRootVolumeTasks
    await tasks.insert(task('replacevol-2', { startedAt: 2000 }))
    await tasks.insert(task('replacevol-1', { startedAt: 1000 }))
    await tasks.insert(task('replacevol-3', { instanceId: 'i-2', accountId: other }))
    expect((await tasks.ofInstance('i-1')).map((row) => row.id)).toEqual(['replacevol-1', 'replacevol-2'])
    expect(await tasks.move('replacevol-1', ['in-progress'], { state: 'succeeded' })).toBe(false)
    expect(await tasks.move('replacevol-1', ['pending'], { state: 'failed', completedAt: 3000 })).toBe(true)
    expect(await tasks.get('replacevol-1')).toEqual(
      task('replacevol-1', { startedAt: 1000, state: 'failed', completedAt: 3000 }),
    )
    const page = await tasks.list(region, { accountId: account, page: { limit: 1 } })
    expect(page.items.map((row) => row.id)).toEqual(['replacevol-1'])
    const rest = await tasks.list(region, { accountId: account, page: { limit: 1, after: page.next! } })
    expect(rest.items.map((row) => row.id)).toEqual(['replacevol-2'])
  })

  test('a snapshot is ready for an account in a zone once, and wanted as long as anybody wants it', async () => {
    const restores = state().fastSnapshotRestores
    await restores.put(restore('fsr-0', { state: 'disabled', disabledAt: 5 }))
    await restores.put(restore('fsr-1'))
    await restores.put(restore('fsr-2', { zone: `${region}b`, state: 'enabling' }))
    await restores.put(restore('fsr-3', { accountId: other, state: 'disabled', disabledAt: 5 }))
    expect(await restores.of(account, 'snap-1', `${region}a`)).toEqual(restore('fsr-1'))
    expect(await restores.enabledOf(account, ['snap-1', 'snap-2'], `${region}a`)).toEqual(['snap-1'])
    expect(await restores.enabledOf(account, ['snap-1'], `${region}b`)).toEqual([])
    expect(await restores.snapshotsOn(account, region)).toEqual(['snap-1'])
    expect((await restores.allOn()).map((row) => row.id)).toEqual(['fsr-1', 'fsr-2'])
    for (const id of ['fsr-1', 'fsr-2']) {
      expect(await restores.isRootWanted(region, 'root')).toBe(true)
      await restores.move(id, ['enabled', 'enabling'], { state: 'disabled', disabledAt: 10 })
    }
    expect(await restores.isRootWanted(region, 'root')).toBe(false)
    await restores.removeDisabledBefore(10)
    const left = await restores.list(region, { accountId: account })
    expect(left.items.map((row) => row.id)).toEqual(['fsr-1', 'fsr-2'])
    expect((await restores.list(region, { accountId: other })).items).toEqual([])
  })
}

function task(id: string, about: Partial<ReplaceRootVolumeTask> = {}): ReplaceRootVolumeTask {
  return {
    ...{ id, accountId: account, region, instanceId: 'i-1', state: 'pending', imageId: null, snapshotId: null },
    ...{ oldVolumeId: 'vol-1', newVolumeId: 'vol-2', isVolumeMade: 1, deletesOld: 0, startedAt: 1000 },
    ...{ completedAt: null, ...about },
  }
}

function restore(id: string, about: Partial<FastSnapshotRestore> = {}): FastSnapshotRestore {
  return {
    ...{ id, accountId: account, snapshotId: 'snap-1', zone: `${region}a`, region, rootHash: 'root' },
    ...{ state: 'enabled', reason: 'test', enablingAt: 1, optimizingAt: 2, enabledAt: 3 },
    ...{ disablingAt: null, disabledAt: null, ...about },
  }
}
