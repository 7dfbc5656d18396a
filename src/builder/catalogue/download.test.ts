/** A download goes on where it broke off, and what is not what was promised is never kept. */
import { createHash, randomBytes, randomInt } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type DownloadRequest, download } from './download.ts'
import { type Mirror, openMirror } from './mirror.fixture.ts'

const content = randomBytes(3_000_000)
const digestOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
/** Nobody waits between tries here. */
const clock = { now: () => 0, sleep: async () => {} }

let folder: string
let mirror: Mirror
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kiln-download-'))
  mirror = await openMirror()
  mirror.files.set('/disk', content)
})
afterEach(async () => {
  await mirror.close()
  await rm(folder, { recursive: true })
})

const wish = (about: Partial<DownloadRequest> = {}): DownloadRequest => ({
  source: { host: mirror.url, isSigned: false },
  ...{ url: `${mirror.url}/disk`, path: join(folder, 'disk'), clock, signal: new AbortController().signal },
  checksum: { algorithm: 'sha256', digest: digestOf(content) },
  ...about,
})
/** Compared as wholes: what the runner does byte by byte takes seconds. */
const holdsContent = async (expected = content) => (await readFile(join(folder, 'disk'))).equals(expected)
const names = async () => (await readdir(folder)).sort()

test('a line that breaks at any byte costs nothing that has come', async () => {
  mirror.cutAfterBytes = randomInt(1, content.length)
  const shown: number[] = []
  const onProgress = (done: number) => {
    shown.push(done)
    mirror.cutAfterBytes = undefined
  }
  expect(await download(wish({ onProgress }))).toBe(content.length)
  expect(await holdsContent()).toBe(true)
  expect(await names()).toEqual(['disk'])
  expect(shown).toEqual([...shown].sort((a, b) => a - b))
  expect(mirror.asked.at(0)!.range).toBeUndefined()
  const last = { range: expect.stringMatching(/^bytes=[1-9]\d*-$/), ifRange: expect.stringMatching(/^"/) }
  expect(mirror.asked.at(-1)).toMatchObject(last)
})

test('a line that breaks again and again is given up with what came, and the next try goes on there', async () => {
  mirror.cutAfterBytes = 100_000
  await expect(download(wish())).rejects.toThrow(/broke off behind byte \d+ \(.*\); type the command again/)
  expect(await names()).toEqual(['disk.part', 'disk.part.json'])
  const kept = await readFile(join(folder, 'disk.part'))
  expect(kept.equals(content.subarray(0, kept.length))).toBe(true)
  mirror.cutAfterBytes = undefined
  await download(wish())
  expect(mirror.asked.at(-1)!.range).toBe(`bytes=${kept.length}-`)
  expect(await holdsContent()).toBe(true)
})

test('a file that was replaced meanwhile is fetched from its beginning', async () => {
  mirror.cutAfterBytes = 200_000
  await expect(download(wish())).rejects.toThrow(/broke off/)
  mirror.cutAfterBytes = undefined
  // The same length, other bytes at the beginning: going on behind the old ones would join two files.
  const other = Buffer.concat([randomBytes(1_000_000), content.subarray(1_000_000)])
  mirror.files.set('/disk', other)
  mirror.asked.length = 0
  await expect(download(wish())).rejects.toThrow(/is damaged, or was replaced/)
  expect(mirror.asked.at(-1)!.range).toBeUndefined()
  expect(await names()).toEqual([])
  await download(wish({ checksum: { algorithm: 'sha256', digest: digestOf(other) } }))
  expect(await holdsContent(other)).toBe(true)
})

test('what was kept of another build is no beginning of this one', async () => {
  await writeFile(join(folder, 'disk.part'), 'of something else')
  await writeFile(
    join(folder, 'disk.part.json'),
    JSON.stringify({ url: `${mirror.url}/disk`, digest: 'ff', etag: null }),
  )
  expect(await download(wish())).toBe(content.length)
  await writeFile(join(folder, 'disk.part.json'), '{ torn')
  expect(await download(wish())).toBe(content.length)
})

test('a file that lies here whole is not fetched again, and a damaged one is', async () => {
  await download(wish())
  mirror.asked.length = 0
  expect(await download(wish())).toBe(content.length)
  expect(mirror.asked).toEqual([])
  await writeFile(join(folder, 'disk'), content.subarray(1))
  await download(wish())
  expect(await holdsContent()).toBe(true)
})

test('a damaged file is told, and nothing of it is kept', async () => {
  const damaged = Buffer.from(content)
  damaged[randomInt(damaged.length)]! ^= 1
  mirror.files.set('/disk', damaged)
  await expect(download(wish())).rejects.toThrow(
    `its sha256 is ${digestOf(damaged)}, and ${digestOf(content)} is listed`,
  )
  expect(await names()).toEqual([])
})

test('a host that does not answer is named with the way out', async () => {
  const { url } = mirror
  await mirror.close()
  await expect(download(wish())).rejects.toThrow(
    new RegExp(`cannot reach ${url}: .*ECONNREFUSED.*; give --mirror URL, or import a file with kiln image import`),
  )
  mirror = await openMirror()
})

test('whoever stops a download keeps what came', async () => {
  const stop = new AbortController()
  const onProgress = () => stop.abort(new Error('enough'))
  await expect(download(wish({ signal: stop.signal, onProgress }))).rejects.toThrow('enough')
  const kept = (await readFile(join(folder, 'disk.part'))).length
  expect(kept).toBeGreaterThan(0)
  await download(wish())
  expect(mirror.asked.at(-1)!.range).toBe(`bytes=${kept}-`)
  expect(await holdsContent()).toBe(true)
})
