/**
 * The driver that keeps a region's objects in a local folder:
 *
 *     format          one line that names this layout
 *     uncommitted     there while objects may not be on stable storage yet (see {@link CommitWindow})
 *     tmp/            objects being written
 *     block/ab/cd/abcd…   leaf/…   root/…
 *     quarantine/     damaged objects, out of service
 *     owner           the state that knows what is needed here
 *
 * An object appears by rename, whole or not at all. Any number of processes may read; one may write.
 */
import { dirname, join } from 'node:path'
import { CommitWindow } from './commit-window.ts'
import { DiskReserve } from './disk-reserve.ts'
import { isHash } from './format.ts'
import { LocalQuarantine } from './local-quarantine.ts'
import { localStrays } from './local-strays.ts'
import { decodeObject, encodedBytesMax, encodeObject, isSealed } from './object-codec.ts'
import { type BlockStore, CorruptObject, type Hash, MissingObject, type ObjectKind, objectKinds } from './store.ts'
import { hasCode, realFiles, type StoreFiles } from './store-files.ts'

/** Written last when a store is made: where it is, there is a store. */
export const formatFile = 'format'
const formatLine = 'kiln block store 1\n'

export interface LocalStoreOptions {
  directory: string
  /** Writers make the folder when it is missing, and clean up after a writer that died. */
  access: 'read' | 'write'
  /** Puts everything on the file system that holds the path on stable storage (`sync -f`). Only writers need it. */
  syncFilesystem?: (path: string) => Promise<void>
  files?: StoreFiles
  /** Tells one start of the host from the next; the kernel's own unless given. */
  bootId?: string
}

/** Throws when the folder is missing (readers only), is of a layout that this version does not know, or cannot be made. */
export async function openLocalStore(options: LocalStoreOptions): Promise<LocalStore> {
  const { directory, files = realFiles } = options
  const formatPath = join(directory, formatFile)
  if (options.access === 'write') await lay(directory, formatPath, files)
  const format = await files.read(formatPath).catch((error) => {
    throw new Error(`there is no block store in ${directory}`, { cause: error })
  })
  if (format.toString() !== formatLine) throw new Error(`the block store in ${directory} is of an unknown layout`)
  if (options.access === 'read') return new LocalStore(directory, files, null)
  for (const name of await files.names(join(directory, 'tmp'))) await files.remove(join(directory, 'tmp', name))
  const { syncFilesystem, bootId } = options
  if (!syncFilesystem) throw new Error('a store that is written needs syncFilesystem')
  const window = new CommitWindow({ directory, files, syncFilesystem, bootId })
  const store = new LocalStore(directory, files, window)
  await window.recover(store)
  return store
}

async function lay(directory: string, formatPath: string, files: StoreFiles): Promise<void> {
  for (const name of ['tmp', ...objectKinds]) await files.makeFolder(join(directory, name), { recursive: true })
  const laid = await files.facts(formatPath).catch(() => undefined)
  if (!laid) await files.writeDurably(formatPath, Buffer.from(formatLine))
}

export class LocalStore implements BlockStore {
  readonly where: string
  readonly #files: StoreFiles
  readonly #window: CommitWindow | null
  readonly #quarantine: LocalQuarantine
  readonly #reserve: DiskReserve
  /** Writes under way by object: the same block often comes twice at once. */
  readonly #writing = new Map<string, Promise<number>>()
  #temporaryCount = 0

  /** Use {@link openLocalStore}. */
  constructor(directory: string, files: StoreFiles, window: CommitWindow | null) {
    this.where = directory
    this.#files = files
    this.#window = window
    this.#quarantine = new LocalQuarantine(directory, files)
    this.#reserve = new DiskReserve(directory, files)
  }

  async has(kind: ObjectKind, hash: Hash): Promise<boolean> {
    return (await this.#facts(kind, hash)) !== undefined
  }

  async read(kind: ObjectKind, hash: Hash): Promise<Buffer> {
    return await decodeObject(kind, hash, await this.#load(kind, hash), this.where)
  }

  async readEncoded(kind: ObjectKind, hash: Hash): Promise<Buffer> {
    const encoded = await this.#load(kind, hash)
    await decodeObject(kind, hash, encoded, this.where)
    return encoded
  }

  write(kind: ObjectKind, hash: Hash, content: Buffer): Promise<number> {
    return this.#unlessThere(kind, hash, async () => this.#place(kind, hash, await encodeObject(content)))
  }

  writeEncoded(kind: ObjectKind, hash: Hash, encoded: Buffer): Promise<number> {
    return this.#unlessThere(kind, hash, () => this.#place(kind, hash, encoded))
  }

  async repack(kind: ObjectKind, hash: Hash): Promise<number> {
    this.#writer()
    const before = await this.#load(kind, hash)
    // Sealed bytes do not pack, and packing what is in them would make another object of it.
    if (isSealed(before)) return 0
    const packed = await encodeObject(await decodeObject(kind, hash, before, this.where), 'hard')
    if (packed.length >= before.length) return 0
    const temporary = this.#temporaryPath()
    try {
      // Not by the commit's sync: what it replaces was committed long ago, and must not be lost with the power.
      await this.#files.writeDurably(temporary, packed)
      await this.#files.rename(temporary, this.#path(kind, hash))
    } catch (error) {
      await this.#files.remove(temporary).catch(() => {})
      throw error
    }
    return before.length - packed.length
  }

  linkFrom(source: BlockStore, kind: ObjectKind, hash: Hash): Promise<number> {
    return this.#unlessThere(kind, hash, async () => {
      const encoded = await source.readEncoded(kind, hash)
      if (!(source instanceof LocalStore)) return await this.#place(kind, hash, encoded)
      try {
        await this.#intoFolder(kind, hash, (path) => this.#files.link(source.#path(kind, hash), path))
        return encoded.length
      } catch (error) {
        // Another file system, one that knows no links, or a file that has all the links it may have.
        if (!hasCode(error, 'EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP')) throw error
        return await this.#place(kind, hash, encoded)
      }
    })
  }

  async commit(): Promise<void> {
    await this.#writer().commit()
  }

  async settle(kind: ObjectKind, hash: Hash): Promise<void> {
    const path = this.#path(kind, hash)
    const parts = [path]
    // The file's own name, and those of the folders that may have come with it.
    for (let folder = dirname(path); folder !== this.where; folder = dirname(folder)) parts.push(folder)
    await Promise.all(parts.map((part) => this.#files.sync(part)))
  }

  async ownedBy(owner: string): Promise<string> {
    const path = join(this.where, 'owner')
    const present = await this.#files.read(path).catch((error) => {
      if (hasCode(error, 'ENOENT')) return undefined
      throw error
    })
    if (present) return present.toString().trim()
    await this.#files.writeDurably(path, Buffer.from(`${owner}\n`))
    return owner
  }

  async *list(kind: ObjectKind, firstDigits?: string): AsyncGenerator<Hash> {
    const top = join(this.where, kind)
    for (const first of firstDigits === undefined ? await this.#files.names(top) : [firstDigits])
      for (const second of await this.#namesIn(join(top, first)))
        for (const name of await this.#namesIn(join(top, first, second)))
          if (isHash(name) && name.startsWith(first + second)) yield name
  }

  async storedBytes(kind: ObjectKind, hash: Hash): Promise<number> {
    const facts = await this.#facts(kind, hash)
    if (!facts) throw new MissingObject(kind, hash, this.where)
    return facts.sizeBytes
  }

  async changedAtMs(kind: ObjectKind, hash: Hash): Promise<number | undefined> {
    return (await this.#facts(kind, hash))?.changedAtMs
  }

  async remove(kind: ObjectKind, hash: Hash): Promise<number> {
    const facts = await this.#facts(kind, hash)
    if (!facts) return 0
    const path = this.#path(kind, hash)
    await this.#files.remove(path)
    await this.#removeEmptied(dirname(path))
    return facts.sizeBytes
  }

  async quarantine(kind: ObjectKind, hash: Hash): Promise<void> {
    this.#writer()
    await this.#quarantine.take(kind, hash, this.#path(kind, hash))
  }

  quarantined(): Promise<{ kind: ObjectKind; hash: Hash }[]> {
    return this.#quarantine.list()
  }

  forgetQuarantined(kind: ObjectKind, hash: Hash): Promise<number> {
    return this.#quarantine.forget(kind, hash)
  }

  async hasGaps(): Promise<boolean> {
    for (const { kind, hash } of await this.#quarantine.list()) if (!(await this.has(kind, hash))) return true
    return false
  }

  async removeStrays(beforeMs: number): Promise<{ files: number; bytes: number }> {
    const removed = { files: 0, bytes: 0 }
    for await (const path of localStrays(this.where, this.#files)) {
      const { sizeBytes, changedAtMs } = await this.#files.facts(path)
      if (changedAtMs > beforeMs) continue
      await this.#files.remove(path)
      removed.files++
      removed.bytes += sizeBytes
    }
    return removed
  }

  /** An object's two folders go with the last object in them: thousands of empty ones would slow every listing down. */
  async #removeEmptied(folder: string): Promise<void> {
    for (const one of [folder, dirname(folder)]) {
      try {
        await this.#files.removeFolder(one)
      } catch (error) {
        if (hasCode(error, 'ENOTEMPTY', 'EEXIST', 'ENOENT')) return
        throw error
      }
    }
  }

  /** The names in a folder of objects; none when it is none, or has just gone. */
  async #namesIn(path: string): Promise<string[]> {
    try {
      return await this.#files.names(path)
    } catch (error) {
      if (hasCode(error, 'ENOENT', 'ENOTDIR')) return []
      throw error
    }
  }

  #writer(): CommitWindow {
    if (!this.#window) throw new Error(`the block store in ${this.where} was opened for reading`)
    return this.#window
  }

  #path(kind: ObjectKind, hash: Hash): string {
    if (!isHash(hash)) throw new RangeError(`"${hash}" is not an object's name`)
    return join(this.where, kind, hash.slice(0, 2), hash.slice(2, 4), hash)
  }

  async #facts(kind: ObjectKind, hash: Hash) {
    try {
      return await this.#files.facts(this.#path(kind, hash))
    } catch (error) {
      if (hasCode(error, 'ENOENT', 'ENOTDIR')) return undefined
      throw error
    }
  }

  async #load(kind: ObjectKind, hash: Hash): Promise<Buffer> {
    const sizeBytes = await this.storedBytes(kind, hash)
    if (sizeBytes > encodedBytesMax(kind))
      throw new CorruptObject(kind, hash, this.where, `its file of ${sizeBytes} bytes is too large`)
    return await this.#files.read(this.#path(kind, hash))
  }

  /** Runs `put` unless the object is there or being written by another call: then 0 bytes were written by this one. */
  async #unlessThere(kind: ObjectKind, hash: Hash, put: () => Promise<number>): Promise<number> {
    const key = `${kind} ${hash}`
    const underway = this.#writing.get(key)
    if (underway) return await underway.then(() => 0)
    const writing = this.#writer().during(async () => ((await this.has(kind, hash)) ? 0 : await put()))
    this.#writing.set(key, writing)
    try {
      return await writing
    } finally {
      this.#writing.delete(key)
    }
  }

  #temporaryPath(): string {
    return join(this.where, 'tmp', `${process.pid}-${this.#temporaryCount++}`)
  }

  async #place(kind: ObjectKind, hash: Hash, encoded: Buffer): Promise<number> {
    const temporary = this.#temporaryPath()
    try {
      await this.#reserve.take(encoded.length)
      await this.#files.write(temporary, encoded)
      await this.#intoFolder(kind, hash, (path) => this.#files.rename(temporary, path))
      return encoded.length
    } catch (error) {
      // What cannot be removed now is removed when the store is opened next.
      await this.#files.remove(temporary).catch(() => {})
      throw new Error(`${kind} ${hash} could not be written to ${this.where}: ${(error as Error).message}`, {
        cause: error,
      })
    }
  }

  /** Tries `put` and makes the object's two folders when it finds them missing. Never makes the store's own folder anew. */
  async #intoFolder(kind: ObjectKind, hash: Hash, put: (path: string) => Promise<void>): Promise<void> {
    const path = this.#path(kind, hash)
    try {
      await put(path)
      return
    } catch (error) {
      if (!hasCode(error, 'ENOENT', 'EEXIST')) throw error
      if (hasCode(error, 'EEXIST')) return
    }
    // The upper folder is there already, nearly always.
    await this.#makeFolder(dirname(path)).catch(async (error) => {
      if (!hasCode(error, 'ENOENT')) throw error
      await this.#makeFolder(dirname(dirname(path)))
      await this.#makeFolder(dirname(path))
    })
    await put(path)
  }

  async #makeFolder(path: string): Promise<void> {
    await this.#files.makeFolder(path).catch((error) => {
      if (!hasCode(error, 'EEXIST')) throw error
    })
  }
}
