/** What the state promises of volumes, their layers and their modifications. Part of `state.suite.ts`. */
import { expect, test } from 'vitest'
import type { Filter } from './filters.ts'
import { account, other, region } from './snapshots.suite.ts'
import type { State } from './state.ts'
import type { VolumeModification } from './volume-modifications.ts'
import type { Volume, VolumeLayer } from './volumes.ts'

export function volumeTests(state: () => State): void {
  const add = (row: Volume) => state().volumes.insert(row, emptyLayer(row.id))

  test('one layer of a volume is made once, and layers come lowest first', async () => {
    await state().volumes.addLayer({ volumeId: 'vol-1', seq: 1, fileName: 'b', snapshotId: null, isMade: 0 })
    await state().volumes.addLayer({ volumeId: 'vol-1', seq: 0, fileName: 'a', snapshotId: 'snap-1', isMade: 0 })
    await state().volumes.addLayer({ volumeId: 'vol-1', seq: 1, fileName: 'other', snapshotId: null, isMade: 0 })
    await state().volumes.markLayersMade('vol-1', [0])
    const layers = await state().volumes.layers('vol-1')
    expect(layers.map(({ fileName, isMade }) => [fileName, isMade])).toEqual([
      ['a', 1],
      ['b', 0],
    ])
  })

  test('a volume has its newest modification, which goes with it', async () => {
    await state().volumes.insert(volume('vol-1'), {
      volumeId: 'vol-1',
      seq: 0,
      fileName: 'a',
      snapshotId: null,
      isMade: 0,
    })
    await state().volumeModifications.put(modification('vol-1', { state: 'completed', startedAt: 1 }))
    await state().volumeModifications.put(modification('vol-1', { targetSizeGib: 9 }))
    const list = async (filters: Filter[]) =>
      (await state().volumeModifications.list(region, { accountId: account, filters })).items
    expect(await list([{ name: 'target-size', values: ['9'] }])).toEqual([modification('vol-1', { targetSizeGib: 9 })])
    expect(await list([{ name: 'modification-state', values: ['completed'] }])).toEqual([])
    expect((await state().volumeModifications.list(region, { accountId: other })).items).toEqual([])
    await state().volumes.remove('vol-1')
    expect(await state().volumeModifications.get('vol-1')).toBeUndefined()
  })

  test('volumes wait for hydration, the oldest first, unless they are new, done, or on no snapshot', async () => {
    const rows = [
      volume('vol-new', { baseRoot: 'r', createdAt: 5000 }),
      volume('vol-two', { baseRoot: 'r', createdAt: 2000 }),
      volume('vol-one', { baseRoot: 'r', createdAt: 1000, state: 'in-use' }),
      volume('vol-done', { baseRoot: 'r', hydratedAt: 1500 }),
      volume('vol-empty'),
      volume('vol-leaving', { baseRoot: 'r', state: 'deleting' }),
    ]
    for (const row of rows) await add(row)
    const due = async (limit: number) => (await state().volumes.notHydrated(5000, limit)).map((row) => row.id)
    expect(await due(10)).toEqual(['vol-one', 'vol-two'])
    expect(await due(1)).toEqual(['vol-one'])
    expect(await state().volumes.hydratedOf(region, 'r', null)).toEqual(['vol-done'])
    expect(await state().volumes.hydratedOf(region, 'other', null)).toEqual([])
  })
}

export function emptyLayer(volumeId: string): VolumeLayer {
  return { volumeId, seq: 0, fileName: 'a', snapshotId: null, isMade: 0 }
}

export function volume(id: string, about: Partial<Volume> = {}): Volume {
  return {
    ...{
      id,
      accountId: account,
      region,
      zone: `${region}a`,
      sizeGib: 1,
      volumeType: 'gp2',
      iops: 100,
      throughput: null,
    },
    ...{ encrypted: 0, dataKeyId: null, snapshotId: null, baseRoot: null, baseDataKeyId: null, hydratedAt: null },
    ...{ autoEnableIo: 0, state: 'available' },
    ...{ sourceVolumeId: null, initializationRate: null, fastRestored: 0, multiAttach: 0 },
    ...{ createdAt: 1000, ...about },
  } as Volume
}

function modification(volumeId: string, about: Partial<VolumeModification> = {}): VolumeModification {
  return {
    ...{ volumeId, state: 'modifying', statusMessage: null, startedAt: 1000, endedAt: null },
    ...{ originalSizeGib: 1, originalType: 'gp2', originalIops: 100, originalThroughput: null, originalMultiAttach: 0 },
    ...{ targetSizeGib: 2, targetType: 'gp3', targetIops: 3000, targetThroughput: 125, targetMultiAttach: 0, ...about },
  } as VolumeModification
}
