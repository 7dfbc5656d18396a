/**
 * Counts what each volume has had served from its snapshot, in one file a volume that survives the block server. A
 * volume's file is made when it is first served, and counting ends when somebody removes the file: forgetting a volume
 * is removing it.
 */
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isId } from '../lib/ids.ts'
import { blockBytes, blocksPerLeaf } from './format.ts'
import type { VolumeReads } from './ports.ts'
import type { Hash } from './store.ts'
import { hasCode } from './store-files.ts'

/** What lies in the file: JSON. */
interface Record1 {
  version: 1
  root: Hash
  bytesServed: number
  /** Bit maps of the fetched blocks, base64, by the index of the leaf that names them. */
  fetched: { [leafIndex: string]: string }
}

const bitmapBytes = blocksPerLeaf / 8

export class VolumeCounter {
  readonly volumeId: string
  readonly root: Hash
  #bytesServed = 0
  readonly #fetched = new Map<number, Buffer>()
  /** Something was counted that is not in the file yet. */
  dirty = false

  constructor(volumeId: string, root: Hash, earlier?: Record1) {
    this.volumeId = volumeId
    this.root = root
    // Another root means another volume's life under the same id.
    if (earlier?.root !== root) return
    this.#bytesServed = earlier.bytesServed
    for (const [index, bits] of Object.entries(earlier.fetched))
      this.#fetched.set(Number(index), Buffer.from(bits, 'base64'))
  }

  countServed(bytes: number): void {
    this.#bytesServed += bytes
    this.dirty = true
  }

  /** Counts a block of the snapshot once, however often it is fetched. */
  countFetched(block: number): void {
    const leafIndex = Math.floor(block / blocksPerLeaf)
    let bits = this.#fetched.get(leafIndex)
    if (!bits) {
      bits = Buffer.alloc(bitmapBytes)
      this.#fetched.set(leafIndex, bits)
    }
    const slot = block % blocksPerLeaf
    const bit = 1 << (slot & 7)
    if (bits[slot >> 3]! & bit) return
    bits[slot >> 3]! |= bit
    this.dirty = true
  }

  toRecord(): Record1 {
    const fetched = Object.fromEntries([...this.#fetched].map(([index, bits]) => [index, bits.toString('base64')]))
    return { version: 1, root: this.root, bytesServed: this.#bytesServed, fetched }
  }
}

/** The counters of one block server. */
export class VolumeCounters {
  readonly #directory: string
  readonly #open = new Map<string, { counter: Promise<VolumeCounter>; users: number }>()
  #turn: Promise<void> = Promise.resolve()

  constructor(directory: string) {
    this.#directory = directory
  }

  /** The volume's counter, one for all its connections; {@link release} when a connection ends. */
  async acquire(volumeId: string, root: Hash): Promise<VolumeCounter> {
    const entry = this.#open.get(volumeId) ?? { counter: this.#load(volumeId, root), users: 0 }
    this.#open.set(volumeId, entry)
    entry.users++
    try {
      const counter = await entry.counter
      if (counter.root !== root) throw new Error(`${volumeId} is served from another snapshot`)
      return counter
    } catch (error) {
      entry.users--
      if (entry.users === 0) this.#open.delete(volumeId)
      throw error
    }
  }

  async release(counter: VolumeCounter): Promise<void> {
    const entry = this.#open.get(counter.volumeId)!
    entry.users--
    if (entry.users > 0) return
    await this.#flush(counter)
    // Whoever came meanwhile counts on with the same counter.
    if (entry.users === 0) this.#open.delete(counter.volumeId)
  }

  /** Writes what was counted since the last time. */
  async flush(): Promise<void> {
    for (const { counter } of [...this.#open.values()]) await this.#flush(await counter)
  }

  async #load(volumeId: string, root: Hash): Promise<VolumeCounter> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 })
    const counter = new VolumeCounter(volumeId, root, await readRecord(this.#directory, volumeId))
    await writeRecord(this.#directory, counter)
    return counter
  }

  /** One write after another: two would share the temporary file. */
  #flush(counter: VolumeCounter): Promise<void> {
    const flushed = this.#turn.then(async () => {
      if (!counter.dirty || !(await isThere(recordPath(this.#directory, counter.volumeId)))) return
      counter.dirty = false
      await writeRecord(this.#directory, counter)
    })
    this.#turn = flushed.catch(() => {})
    return flushed
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false
    throw error
  }
}

/** What was counted for a volume up to about a second ago; zeros for one that was never served. */
export async function readVolumeReads(directory: string, volumeId: string): Promise<VolumeReads> {
  const record = await readRecord(directory, volumeId)
  if (!record) return { blocksFetched: 0, bytesFetched: 0, bytesServed: 0 }
  const blocksFetched = Object.values(record.fetched).reduce(
    (sum, bits) => sum + countBits(Buffer.from(bits, 'base64')),
    0,
  )
  return { blocksFetched, bytesFetched: blocksFetched * blockBytes, bytesServed: record.bytesServed }
}

export async function forgetVolumeReads(directory: string, volumeId: string): Promise<void> {
  await rm(recordPath(directory, volumeId), { force: true })
  // Left when the server died between writing its counters and giving them their name.
  await rm(`${recordPath(directory, volumeId)}.new`, { force: true })
}

/** The ids of volumes that have a file of counters. */
export async function countedVolumes(directory: string): Promise<string[]> {
  const names = await readdir(directory).catch((error) => {
    if (hasCode(error, 'ENOENT')) return []
    throw error
  })
  const ids = names.map((name) => name.replace(/\.json(\.new)?$/, '')).filter((id) => isId('volume', id))
  return [...new Set(ids)]
}

function countBits(bits: Buffer): number {
  let count = 0
  for (let byte of bits) for (; byte; byte &= byte - 1) count++
  return count
}

function recordPath(directory: string, volumeId: string): string {
  if (!isId('volume', volumeId)) throw new RangeError(`"${volumeId}" is not a volume's id`)
  return join(directory, `${volumeId}.json`)
}

async function readRecord(directory: string, volumeId: string): Promise<Record1 | undefined> {
  try {
    const record = JSON.parse(await readFile(recordPath(directory, volumeId), 'utf8')) as Record1
    return record.version === 1 ? record : undefined
  } catch (error) {
    // Counters are replaced by rename and so never torn; one that was damaged otherwise begins anew.
    if (hasCode(error, 'ENOENT') || error instanceof SyntaxError) return undefined
    throw error
  }
}

async function writeRecord(directory: string, counter: VolumeCounter): Promise<void> {
  const path = recordPath(directory, counter.volumeId)
  await writeFile(`${path}.new`, JSON.stringify(counter.toRecord()), { mode: 0o600 })
  await rename(`${path}.new`, path)
}
