import { randomBytes } from 'node:crypto'
import { readdir, readFile, rename, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { blockBytes, encodeLeaf, encodeRoot, hashOf } from './format.ts'
import { openLocalStore } from './local-store.ts'
import { storeSuite } from './store.suite.ts'
import { type Hash, MissingObject, type ObjectKind } from './store.ts'
import { failingFiles, vanish } from './testing/failing-files.ts'
import { openStore, patternBlock, putSnapshot, wordyBlock } from './testing/stores.ts'
import { temporaryFolder } from './testing/temporary-folder.ts'

function pathOf(directory: string, kind: ObjectKind, hash: Hash): string {
  return join(directory, kind, hash.slice(0, 2), hash.slice(2, 4), hash)
}

storeSuite('local folder', async () => {
  const directory = join(await temporaryFolder(), 'store')
  return {
    store: await openStore(directory),
    reopen: () => openStore(directory),
    damage: async (kind, hash, change) => {
      const path = pathOf(directory, kind, hash)
      await writeFile(path, change(await readFile(path)))
    },
  }
})

describe('a disk that fails', () => {
  // A first object takes seven changes: marker, file, rename (no folder there), folder (no upper one), both, rename.
  test.each([
    ['ENOSPC', 'nothing'],
    ['ENOSPC', 'half'],
    ['EIO', 'nothing'],
  ] as const)(
    '%s at any call, leaving %s: the object is whole or absent, and a second try succeeds',
    async (code, leaving) => {
      const content = randomBytes(blockBytes)
      let failed = 0
      for (let calls = 0; calls < 9; calls++) {
        const directory = join(await temporaryFolder(), 'store')
        const files = failingFiles()
        const store = await openStore(directory, { files })
        files.failAfter(calls, code, leaving)
        const outcome = await store.write('block', hashOf(content), content).catch((error: Error) => error)
        if (outcome instanceof Error) {
          failed++
          expect(outcome.message).toContain(code)
          expect(await store.has('block', hashOf(content))).toBe(false)
        }
        expect(await readdir(join(directory, 'tmp'))).toEqual([])
        await store.write('block', hashOf(content), content)
        expect((await store.read('block', hashOf(content))).equals(content)).toBe(true)
      }
      expect(failed).toBe(7)
    },
  )

  test.each([0, 1])('after %i calls of packing harder: the object is what it was', async (calls) => {
    const directory = join(await temporaryFolder(), 'store')
    const files = failingFiles()
    const store = await openStore(directory, { files })
    const content = wordyBlock('x')
    const bytes = await store.write('block', hashOf(content), content)
    await store.commit()
    files.failAfter(calls, 'EIO')
    await expect(store.repack('block', hashOf(content))).rejects.toThrow('EIO')
    expect(await store.storedBytes('block', hashOf(content))).toBe(bytes)
    expect((await store.read('block', hashOf(content))).equals(content)).toBe(true)
    expect(await readdir(join(directory, 'tmp'))).toEqual([])
    expect(await store.repack('block', hashOf(content))).toBeGreaterThan(0)
  })

  test('that vanished is reported, and nothing is made in its place', async () => {
    const directory = join(await temporaryFolder(), 'store')
    const store = await openStore(directory)
    const content = patternBlock('x')
    await store.write('block', hashOf(content), content)
    await vanish(directory)
    await expect(store.write('block', hashOf(patternBlock('y')), patternBlock('y'))).rejects.toThrow(/ENOENT/)
    await expect(store.read('block', hashOf(content))).rejects.toThrow(MissingObject)
    await expect(stat(directory)).rejects.toThrow(/ENOENT/)
  })
})

describe('opening', () => {
  test('clears away what a writer left unfinished, and keeps what it finished', async () => {
    const directory = join(await temporaryFolder(), 'store')
    const content = patternBlock('x')
    await (await openStore(directory)).write('block', hashOf(content), content)
    await writeFile(join(directory, 'tmp', '4711-3'), 'half of a block')
    const store = await openStore(directory)
    expect(await readdir(join(directory, 'tmp'))).toEqual([])
    expect(await store.has('block', hashOf(content))).toBe(true)
  })

  test('for reading changes nothing, needs a store, and cannot write', async () => {
    const folder = await temporaryFolder()
    const directory = join(folder, 'store')
    await expect(openLocalStore({ directory, access: 'read' })).rejects.toThrow('there is no block store in')
    expect(await readdir(folder)).toEqual([])
    await openStore(directory)
    await writeFile(join(directory, 'tmp', '4711-3'), 'a writer is at this')
    const reader = await openLocalStore({ directory, access: 'read' })
    expect(await readdir(join(directory, 'tmp'))).toEqual(['4711-3'])
    await expect(reader.write('block', hashOf(patternBlock('x')), patternBlock('x'))).rejects.toThrow(
      'opened for reading',
    )
    await expect(reader.commit()).rejects.toThrow('opened for reading')
  })

  test('refuses a layout of the future', async () => {
    const directory = join(await temporaryFolder(), 'store')
    await openStore(directory)
    await writeFile(join(directory, 'format'), 'kiln block store 2\n')
    await expect(openStore(directory)).rejects.toThrow('unknown layout')
  })
})

describe('commit', () => {
  test('syncs once, however many objects were written, and closes the window', async () => {
    const directory = join(await temporaryFolder(), 'store')
    const synced: string[] = []
    const store = await openStore(directory, { syncFilesystem: async (path) => void synced.push(path) })
    for (let i = 0; i < 20; i++) await store.write('block', hashOf(patternBlock(`${i}`)), patternBlock(`${i}`))
    expect(await readdir(directory)).toContain('uncommitted')
    await store.commit()
    expect(synced).toEqual([directory])
    expect(await readdir(directory)).not.toContain('uncommitted')
  })

  test('leaves the window open for a write that began meanwhile', async () => {
    const directory = join(await temporaryFolder(), 'store')
    const content = patternBlock('late')
    const store = await openStore(directory, {
      syncFilesystem: async () => void (await store.write('block', hashOf(content), content)),
    })
    await store.write('block', hashOf(patternBlock('early')), patternBlock('early'))
    await store.commit()
    expect(await readdir(directory)).toContain('uncommitted')
  })

  test('that fails is reported', async () => {
    const store = await openStore(join(await temporaryFolder(), 'store'), {
      syncFilesystem: () => Promise.reject(new Error('EIO on sync')),
    })
    await expect(store.commit()).rejects.toThrow('EIO on sync')
  })
})

describe('after a power failure', () => {
  const sizeBytes = 64 * blockBytes

  /** A store whose writer came to a commit once, then wrote a second snapshot and lost power. */
  async function interrupted() {
    const directory = join(await temporaryFolder(), 'store')
    const store = await openStore(directory, { bootId: 'first start' })
    const committed = await putSnapshot(store, sizeBytes, new Map([[0, patternBlock('old')]]))
    const lost = patternBlock('lost')
    const kept = patternBlock('kept')
    for (const block of [lost, kept]) await store.write('block', hashOf(block), block)
    const leaf = encodeLeaf([hashOf(lost), hashOf(kept)])
    await store.write('leaf', hashOf(leaf), leaf)
    const root = encodeRoot({ sizeBytes, leaves: [{ index: 0, blockCount: 2, hash: hashOf(leaf) }] })
    await store.write('root', hashOf(root), root)
    // File systems keep the name and lose the data of a file that was not synced.
    await truncate(pathOf(directory, 'block', hashOf(lost)), 0)
    return { directory, committed, lost: hashOf(lost), kept: hashOf(kept), leaf: hashOf(leaf), root: hashOf(root) }
  }

  test('torn blocks, and what names them, are not taken for stored', async () => {
    const { directory, committed, lost, kept, leaf, root } = await interrupted()
    const store = await openStore(directory, { bootId: 'second start' })
    expect(await store.has('block', lost)).toBe(false)
    expect(await store.has('leaf', leaf)).toBe(false)
    expect(await store.has('root', root)).toBe(false)
    expect(await store.has('block', kept)).toBe(true)
    expect(await store.has('root', committed)).toBe(true)
    expect(await readdir(directory)).not.toContain('uncommitted')
  })

  test('a writer that was only killed finds all its blocks again', async () => {
    const { directory, root, leaf } = await interrupted()
    const store = await openStore(directory, { bootId: 'first start' })
    expect(await store.has('root', root)).toBe(true)
    expect(await store.has('leaf', leaf)).toBe(true)
    expect(await readdir(directory)).toContain('uncommitted')
    await store.commit()
    expect(await readdir(directory)).not.toContain('uncommitted')
  })
})

describe('linking', () => {
  test('shares the file, and outlives the source', async () => {
    const folder = await temporaryFolder()
    const [source, target] = [await openStore(join(folder, 'a')), await openStore(join(folder, 'b'))]
    const content = patternBlock('shared')
    const hash = hashOf(content)
    const bytes = await source.write('block', hash, content)
    expect(await target.linkFrom(source, 'block', hash)).toBe(bytes)
    expect((await stat(pathOf(target.where, 'block', hash))).nlink).toBe(2)
    await rename(source.where, join(folder, 'elsewhere'))
    expect((await target.read('block', hash)).equals(content)).toBe(true)
  })

  test.each(['EXDEV', 'EPERM', 'EMLINK'])('copies where links end with %s', async (code) => {
    const folder = await temporaryFolder()
    const files = { ...failingFiles(), link: () => Promise.reject(Object.assign(new Error(code), { code })) }
    const [source, target] = [await openStore(join(folder, 'a')), await openStore(join(folder, 'b'), { files })]
    const content = patternBlock('shared')
    await source.write('block', hashOf(content), content)
    await target.linkFrom(source, 'block', hashOf(content))
    expect((await stat(pathOf(target.where, 'block', hashOf(content)))).nlink).toBe(1)
    expect((await target.read('block', hashOf(content))).equals(content)).toBe(true)
  })
})

test('a settled block is synced by itself: its file, and the names that lead to it', async () => {
  const synced: string[] = []
  const real = failingFiles()
  const files = {
    ...real,
    sync: async (path: string) => {
      await real.sync(path)
      synced.push(path)
    },
  }
  const store = await openStore(join(await temporaryFolder(), 'store'), { files })
  const content = patternBlock('settled')
  const hash = hashOf(content)
  await store.write('block', hash, content)
  synced.length = 0
  await store.settle('block', hash)
  const [first, second] = [hash.slice(0, 2), hash.slice(2, 4)]
  const parts = [['block'], ['block', first], ['block', first, second], ['block', first, second, hash]]
  expect(synced.sort()).toEqual(parts.map((part) => join(store.where, ...part)).sort())
  await expect(store.settle('block', hashOf(patternBlock('missing')))).rejects.toThrow('ENOENT')
})
