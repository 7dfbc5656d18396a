/**
 * The driver that keeps contents in local folders:
 *
 *     REGIONS/REGION/objects/format      one line that names this layout
 *     REGIONS/REGION/objects/ab/abcd…    a content, by its name of 32 hexadecimal digits
 *
 * What is being written has its name from the start: only the state says which content is whole, and it learns of a
 * content when that is on stable storage. What no row names is litter.
 */
import { access, type FileHandle, mkdir, open, readdir, unlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Random } from '../lib/random.ts'
import { flush } from '../lib/stable-storage.ts'
import { type ByteRange, ContentDamaged, type ContentStore, type StoredContent } from './store.ts'

const formatLine = 'kiln object store 1\n'
const folderCount = 256
const readBytes = 256 * 1024
/** So that the end of a large content does not wait for gigabytes, nor memory fills with them. */
const flushEveryBytes = 256 * 1024 ** 2

export interface LocalContentsOptions {
  regionsDir: string
  random: Random
}

export function createLocalContents({ regionsDir, random }: LocalContentsOptions): ContentStore {
  const storeOf = (region: string) => {
    if (!isRegion(region)) throw new RangeError(`"${region}" is not a region's name`)
    return join(regionsDir, region, 'objects')
  }
  const isThere = (region: string) =>
    access(join(storeOf(region), 'format')).then(
      () => true,
      () => false,
    )
  const pathOf = (region: string, name: string) => {
    if (!isName(name)) throw new RangeError(`"${name}" is not a content's name`)
    return join(storeOf(region), name.slice(0, 2), name)
  }

  return {
    async open(region) {
      const store = storeOf(region)
      const formatPath = join(store, 'format')
      if (await isThere(region)) return
      // The region's own folder may lie on a disk that is not mounted: it is never made here.
      await makeFolder(store)
      for (let i = 0; i < folderCount; i++) await makeFolder(join(store, folderName(i)))
      await writeFile(formatPath, formatLine, { mode: 0o600, flush: true })
      await flush(store)
      await flush(dirname(store))
    },

    async regions() {
      const names = await readdir(regionsDir).catch((error) => {
        if (error.code === 'ENOENT') return []
        throw error
      })
      const found: string[] = []
      for (const region of names.filter(isRegion).sort()) if (await isThere(region)) found.push(region)
      return found
    },

    newName: () => random.bytes(16).toString('hex'),

    async write(region, name, source) {
      const path = pathOf(region, name)
      const file = await open(path, 'wx', 0o600)
      try {
        const sizeBytes = await writeAll(file, source)
        await file.sync()
        await file.close()
        await flush(dirname(path))
        return { name, sizeBytes } satisfies StoredContent
      } catch (error) {
        await file.close().catch(() => {})
        // What cannot be removed now is litter, and swept.
        await unlink(path).catch(() => {})
        throw error
      }
    },

    read: (region, name, range) => readRange(pathOf(region, name), range, { region, name }),

    async remove(region, name) {
      await unlink(pathOf(region, name)).catch((error) => {
        if (error.code !== 'ENOENT') throw error
      })
    },

    async *list(region) {
      const store = storeOf(region)
      await access(join(store, 'format'))
      for (let i = 0; i < folderCount; i++) {
        const folder = folderName(i)
        const names = await readdir(join(store, folder))
        yield names.filter((name) => isName(name) && name.startsWith(folder))
      }
    },
  }
}

const isRegion = (text: string) => /^[a-z0-9-]{1,32}$/.test(text)
const isName = (text: string) => /^[0-9a-f]{32}$/.test(text)
const folderName = (index: number) => index.toString(16).padStart(2, '0')

async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { mode: 0o700 }).catch((error) => {
    if (error.code !== 'EEXIST') throw error
  })
}

async function writeAll(file: FileHandle, source: AsyncIterable<Uint8Array>): Promise<number> {
  let sizeBytes = 0
  let unflushedBytes = 0
  for await (const piece of source) {
    for (let done = 0; done < piece.length; ) {
      const { bytesWritten } = await file.write(piece, done, piece.length - done)
      done += bytesWritten
    }
    sizeBytes += piece.length
    unflushedBytes += piece.length
    if (unflushedBytes < flushEveryBytes) continue
    await file.datasync()
    unflushedBytes = 0
  }
  return sizeBytes
}

async function* readRange(
  path: string,
  { start, end }: ByteRange,
  of: { region: string; name: string },
): AsyncGenerator<Buffer> {
  const file = await open(path, 'r').catch((cause) => {
    throw new ContentDamaged(of.region, of.name, 'it cannot be opened', { cause })
  })
  try {
    for (let at = start; at < end; ) {
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(Math.min(readBytes, end - at)), 0, null, at)
      if (bytesRead === 0) throw new ContentDamaged(of.region, of.name, `it ends at byte ${at}`)
      yield buffer.subarray(0, bytesRead)
      at += bytesRead
    }
  } finally {
    await file.close()
  }
}
