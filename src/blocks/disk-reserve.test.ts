import { expect, test } from 'vitest'
import { isDiskFull } from '../lib/errors.ts'
import { DiskReserve } from './disk-reserve.ts'
import { realFiles } from './store-files.ts'

const mib = 1024 ** 2

/** A disk on which only the reserve's owner writes. */
function diskOf(totalMib: number, freeMib: number) {
  const disk = { freeBytes: freeMib * mib, totalBytes: totalMib * mib, looks: 0 }
  const room = async () => {
    disk.looks++
    return { ...disk }
  }
  const reserve = new DiskReserve('/store', { ...realFiles, room })
  return {
    disk,
    async write(bytes: number) {
      await reserve.take(bytes)
      disk.freeBytes -= bytes
    },
  }
}

test.each([
  ['a small disk keeps 16 MiB', 200, 16],
  ['a larger one a hundredth', 10 * 1024, 102],
  ['a huge one a gibibyte', 10 * 1024 * 1024, 1024],
])('%s', async (_, totalMib, keptMib) => {
  const { disk, write } = diskOf(totalMib, keptMib + 50)
  const refusal = await (async () => {
    for (;;) await write(mib / 2)
  })().catch((error: unknown) => error)
  expect(isDiskFull(refusal)).toBe(true)
  expect((refusal as Error).message).toMatch(/no space left on the disk for blocks \(\d+ MiB free/)
  expect(Math.floor(disk.freeBytes / mib)).toBe(keptMib)
  expect(disk.looks).toBeLessThan(50)

  disk.freeBytes += 10 * mib
  await write(mib)
})
