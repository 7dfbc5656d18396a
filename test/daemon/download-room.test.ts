/** A download that a small disk has no room for says so before it fetches, and goes on once there is. */
import { createHash, randomBytes } from 'node:crypto'
import { readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { download } from '../../src/builder/catalogue/download.ts'
import { type Mirror, openMirror } from '../../src/builder/catalogue/mirror.fixture.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { SmallDisk } from '../e2e/support/small-disk.ts'

const mib = 1024 ** 2
const content = randomBytes(4 * mib)
let disk: SmallDisk | string
let mirror: Mirror
beforeAll(async () => {
  disk = await SmallDisk.make(80)
  mirror = await openMirror()
  mirror.files.set('/disk', content)
})
afterAll(async () => {
  await mirror?.close()
  if (disk instanceof SmallDisk) await disk.remove()
})

test('there is a word about the room, and no half of a file in the way', async ({ skip }) => {
  if (typeof disk === 'string') return skip(disk)
  const wish = {
    source: { host: mirror.url, isSigned: false },
    ...{ url: `${mirror.url}/disk`, path: join(disk.path, 'disk'), clock: systemClock },
    ...{ signal: new AbortController().signal },
    checksum: { algorithm: 'sha256' as const, digest: createHash('sha256').update(content).digest('hex') },
  }
  await writeFile(join(disk.path, 'other'), randomBytes(14 * mib))
  await expect(download(wish)).rejects.toThrow(
    `the disk of ${disk.path} has no room for ${mirror.url}/disk: free some space there, then type the command again`,
  )
  expect(await readdir(disk.path)).toEqual(['other'])
  await rm(join(disk.path, 'other'))
  expect(await download(wish)).toBe(content.length)
})
