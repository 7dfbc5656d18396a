import { appendFile, mkdtemp, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { limits } from '../lib/limits.ts'
import { readConsole, trimConsole } from './console-file.ts'

let folder: string
let path: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kiln-console-'))
  path = join(folder, 'console.log')
})
afterEach(() => rm(folder, { recursive: true, force: true }))

it('is nothing before the first byte', async () => {
  expect(await readConsole(path, 100)).toBeNull()
  await writeFile(path, '')
  expect(await readConsole(path, 100)).toBeNull()
  await trimConsole(path)
})

it('gives the newest bytes and the time of the last', async () => {
  await writeFile(path, 'one two three')
  await utimes(path, 5, 1_700_000_000)
  expect(await readConsole(path, 5)).toEqual({ text: 'three', atMs: 1_700_000_000_000 })
  expect((await readConsole(path, 100))?.text).toBe('one two three')
})

it('does not begin within a character', async () => {
  await writeFile(path, 'aé€😀z')
  const texts = await Promise.all([1, 2, 4, 5, 6, 8, 10].map(async (bytes) => (await readConsole(path, bytes))?.text))
  expect(texts).toEqual(['z', 'z', 'z', '😀z', '😀z', '€😀z', 'é€😀z'])
})

it('survives bytes that are no text', async () => {
  await writeFile(path, Buffer.from([0x41, 0xff, 0x42]))
  expect((await readConsole(path, 100))?.text).toBe('A\ufffdB')
})

it('is cut when it has grown too long, which the reader does not notice', async () => {
  const line = (number: number) => `${String(number).padStart(9)}\n`
  const lines = 200_000
  await writeFile(path, Array.from({ length: lines }, (_, number) => line(number)).join(''))
  await utimes(path, 5, 1_700_000_000)
  const before = await readConsole(path, limits.consoleBytes)
  await trimConsole(path)
  expect((await stat(path)).size).toBe(0)
  expect(await readConsole(path, limits.consoleBytes)).toEqual(before)

  await appendFile(path, line(lines))
  const after = (await readConsole(path, 20))?.text
  expect(after).toBe(line(lines - 1) + line(lines))
  await trimConsole(path)
  expect((await readConsole(path, 20))?.text).toBe(after)
})
