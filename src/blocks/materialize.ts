/**
 * Writes a whole snapshot into a file of this host: what a volume stands on once it needs no store any more. Zeros take
 * no room.
 *
 * The file appears whole, by rename. While it is being written it is called `….part`, and `….leaves` says durably how
 * many leaves of the root are in it: whoever comes after a crash goes on there.
 */
import { access, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Clock } from '../lib/clock.ts'
import { isDiskFull } from '../lib/errors.ts'
import { flush } from '../lib/stable-storage.ts'
import { eachAtOnce } from './concurrency.ts'
import { type DiskFile, openRawFile, openSealedFile, type SealedDisks } from './disk-file.ts'
import { blockBytes, blocksPerLeaf, type LeafRef, type Root } from './format.ts'
import { Pace } from './pace.ts'
import type { Progress } from './ports.ts'
import { ProgressMeter } from './progress-meter.ts'
import { blockAccess } from './sealed-block.ts'
import { infoOf, readLeaf, readRoot } from './snapshot-objects.ts'
import type { BlockStore, Hash } from './store.ts'

/** Few: guests that read from the same disk and the same store come first. */
const lanes = 4

export interface MaterializeRequest {
  store: BlockStore
  root: Hash
  /** Its folder must be there. */
  path: string
  /** Opens the snapshot's blocks; null when they are not sealed. */
  sealKey?: Buffer | null
  /** With it the file is sealed. */
  seal: { disks: SealedDisks; key: Buffer } | null
  /** Of the volume's content; without it as fast as the host can. */
  bytesPerSecond?: number
}

/** Throws MissingObject and CorruptObject of the store, and what the file system says. Nothing is done when the file is there. */
export async function materialize(request: MaterializeRequest, progress: Progress, clock: Clock): Promise<void> {
  const { store, path, seal } = request
  const { signal } = progress
  if (await isThere(path)) return
  const root = await readRoot(store, request.root)
  const access = blockAccess(request.sealKey ?? null)
  const readBlock = (hash: Hash) => access.read(store, hash)
  const meter = new ProgressMeter(infoOf(root).blockCount, progress, clock)
  const pace = new Pace(request.bytesPerSecond ?? null, clock)
  const marks = new Marks(`${path}.leaves`, request.root)
  const finished = (await isThere(`${path}.part`)) ? await marks.read() : 0
  try {
    const writing = { store, root, readBlock, meter, pace, signal }
    await writeLeaves(writing, { path: `${path}.part`, marks, finished, seal })
  } catch (error) {
    // Half a snapshot helps nobody, and guests may be waiting for the room that it takes.
    if (isDiskFull(error)) for (const left of [`${path}.part`, marks.path]) await rm(left, { force: true })
    throw error
  }
  await flush(`${path}.part`)
  await rename(`${path}.part`, path)
  await flush(dirname(path))
  await rm(marks.path, { force: true })
  await meter.finish()
}

interface Writing {
  store: BlockStore
  root: Root
  readBlock: (hash: Hash) => Promise<Buffer>
  meter: ProgressMeter
  pace: Pace
  signal: AbortSignal | undefined
}

async function writeLeaves(
  writing: Writing,
  target: { path: string; marks: Marks; finished: number; seal: MaterializeRequest['seal'] },
): Promise<void> {
  const { marks, finished, seal } = target
  const { root, meter, signal } = writing
  const request = { path: target.path, sizeBytes: root.sizeBytes, goesOn: finished > 0 }
  const file = seal ? await openSealedFile(request, { ...seal, signal }) : await openRawFile(request)
  // While one leaf goes to stable storage, the next one is fetched already.
  let noted = Promise.resolve()
  try {
    for (const [index, ref] of root.leaves.entries()) {
      if (index < finished) {
        meter.advance(ref.blockCount)
        continue
      }
      await writeLeaf(writing, ref, file)
      await noted
      noted = file.flush().then(() => marks.write(index + 1))
      noted.catch(() => {})
    }
    await noted
  } finally {
    await noted.catch(() => {})
    await file.close()
  }
}

async function writeLeaf(writing: Writing, ref: LeafRef, file: DiskFile): Promise<void> {
  const { store, root, readBlock, meter, pace, signal } = writing
  const leaf = await readLeaf(store, ref, root.sizeBytes)
  const slots = Array.from({ length: blocksPerLeaf }, (_, slot) => slot).filter((slot) => leaf.has(slot))
  const write = async (slot: number) => {
    await pace.take(blockBytes, signal)
    const offset = (ref.index * blocksPerLeaf + slot) * blockBytes
    const block = await readBlock(leaf.hashAt(slot)!)
    // The volume's last block may be longer than what is left of the volume.
    await file.write(block.subarray(0, root.sizeBytes - offset), offset)
    meter.advance(1)
  }
  await eachAtOnce(slots, lanes, write, signal)
}

/** How far the file has got, for that root and no other. */
class Marks {
  readonly path: string
  readonly #root: Hash

  constructor(path: string, root: Hash) {
    this.path = path
    this.#root = root
  }

  async read(): Promise<number> {
    const [root, count] = (await readFile(this.path, 'utf8').catch(() => '')).trim().split(' ')
    return root === this.#root && /^\d+$/.test(count ?? '') ? Number(count) : 0
  }

  async write(count: number): Promise<void> {
    await writeFile(`${this.path}.new`, `${this.#root} ${count}\n`, { mode: 0o600, flush: true })
    await rename(`${this.path}.new`, this.path)
  }
}

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  )
}
