/** What the state promises of snapshots that are written block by block. Adopted like `state.suite.ts`. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { snapshot } from './snapshots.suite.ts'
import type { State } from './state.ts'

const account = '111122223333'
const region = 'eu-west-1'

export function snapshotUploadSuite(name: string, open: () => Promise<State>): void {
  describe(`uploads of snapshots on ${name}`, () => {
    let state: State
    beforeEach(async () => {
      state = await open()
    })
    afterEach(() => state.close())

    const id = 'snap-1'
    const write = (blockIndex: number, hash: string, nowMs = 500, storedBytes = 10) =>
      state.transaction((tx) =>
        tx.snapshotUploads.write(
          { snapshotId: id, blockIndex, hash, sealedChecksum: null },
          { nowMs, deadlineMs: nowMs + 1000, storedBytes },
        ),
      )
    const seal = (writes: number, nowMs = 500) =>
      state.snapshotUploads.seal(id, { writes, nowMs, changedBlocks: 1, checksum: 'c' })
    const written = async (after = -1, limit = 100) =>
      (await state.snapshotUploads.blocksAfter(id, after, limit)).map((row) => `${row.blockIndex} ${row.hash}`)
    beforeEach(() => state.snapshotUploads.insert(upload(id)))

    test('a block is replaced by the next that comes to its place, and every write puts the deadline off', async () => {
      for (const [index, hash] of [
        [7, 'a'],
        [134_217_727, 'b'],
        [7, 'c'],
        [0, 'd'],
      ] as const)
        expect(await write(index, hash)).toBe(true)
      expect(await written()).toEqual(['0 d', '7 c', '134217727 b'])
      expect(await written(0, 1)).toEqual(['7 c'])
      expect(await state.snapshotUploads.get(id)).toMatchObject({ deadline: 1500, writes: 4, storedBytes: 40 })
    })

    test('what was written is needed until the upload is closed, and its parent, even a deleted one', async () => {
      await write(1, 'a')
      await write(2, 'a')
      await write(3, 'b')
      const needed = async (where = region) => {
        const { hashes, parentRoots } = await state.snapshotUploads.needed(where)
        return [...hashes.sort(), ...parentRoots]
      }
      expect(await needed()).toEqual(['a', 'b'])
      expect(await needed('us-east-1')).toEqual([])
      await state.snapshots.insert({ ...snapshot('snap-parent'), state: 'deleted', rootHash: 'p' })
      await state.snapshotUploads.insert({ ...upload('snap-child'), parentSnapshotId: 'snap-parent' })
      expect(await needed()).toEqual(['a', 'b', 'p'])
      await seal(3)
      expect(await needed()).toEqual(['a', 'b', 'p'])
      await state.snapshotUploads.close(id, 'sealed')
      expect(await needed()).toEqual(['p'])
    })

    test('nothing is written after the deadline, and nothing sealed', async () => {
      expect(await write(1, 'a', 1000)).toBe(true)
      expect(await write(2, 'b', 2000)).toBe(true)
      expect(await write(3, 'c', 3001)).toBe(false)
      expect(await seal(2, 3001)).toBe(false)
      expect(await written()).toEqual(['1 a', '2 b'])
      expect((await state.snapshotUploads.overdue(3001, 10)).map((row) => row.snapshotId)).toEqual([id])
      expect(await state.snapshotUploads.overdue(3000, 10)).toEqual([])
    })

    test('an upload is sealed as it was counted, and written to no more', async () => {
      await write(1, 'a')
      expect(await seal(0)).toBe(false)
      expect(await seal(1)).toBe(true)
      expect(await seal(1)).toBe(false)
      expect(await write(2, 'b')).toBe(false)
      expect(await state.snapshotUploads.get(id)).toMatchObject({ state: 'sealed', changedBlocks: 1, checksum: 'c' })
      expect(await written()).toEqual(['1 a'])
    })

    test('a closed upload forgets its blocks; one with a new deadline is not closed for the old one', async () => {
      await write(1, 'a')
      expect(await state.snapshotUploads.close(id, 'sealed')).toBe(false)
      expect(await state.snapshotUploads.close(id, 'open', 1500)).toBe(false)
      expect(await state.snapshotUploads.countUnclosed(account, region)).toBe(1)
      expect(await state.snapshotUploads.close(id, 'open', 1501)).toBe(true)
      expect([await written(), await write(1, 'a')]).toEqual([[], false])
      expect(await state.snapshotUploads.countUnclosed(account, region)).toBe(0)
    })

    test('of writes and a seal at once, what is written is what was counted', async () => {
      const results = await Promise.all([
        ...Array.from({ length: 8 }, (_, index) => write(index, 'x')),
        seal(0),
        ...Array.from({ length: 8 }, (_, index) => write(8 + index, 'y')),
      ])
      const isSealed = (await state.snapshotUploads.get(id))!.state === 'sealed'
      expect(isSealed).toBe(results[8])
      const { writes } = (await state.snapshotUploads.get(id))!
      expect(await written()).toHaveLength(Number(writes))
      expect(results.filter(Boolean)).toHaveLength(Number(writes) + (isSealed ? 1 : 0))
      if (isSealed) expect(Number(writes)).toBe(0)
    })
  })
}

function upload(snapshotId: string) {
  return {
    ...{ snapshotId, accountId: account, region },
    state: 'open' as const,
    parentSnapshotId: null,
    timeoutMinutes: 10,
    deadline: 1000,
    writes: 0,
    storedBytes: 0,
    changedBlocks: null,
    checksum: null,
  }
}
