/**
 * Snapshots as a stream of bytes, for other systems to bring back: `docs/formats/stored-image.md`, "Blocks". Blocks are
 * packed as they lie in the store; those of encrypted snapshots are opened first. Written from a store and read into one
 * as the bytes flow: nothing is kept but the names of the first blocks, so that equal ones are sent once.
 */
import type { Clock } from '../lib/clock.ts'
import type { PieceReader } from '../lib/piece-reader.ts'
import { UnusableImage } from '../lib/unusable-image.ts'
import { eachAtOnce, inOrder } from './concurrency.ts'
import { blocksIn, blocksPerLeaf, encodeLeaf, encodeRoot, hashOf, type LeafRef, type Root, zeroHash } from './format.ts'
import { HashTable } from './hash-table.ts'
import { decodeObject, encodedBytesMax, encodeObject, isSealed } from './object-codec.ts'
import type { PackedSnapshot, Progress, RootInfo, UnpackedSnapshot } from './ports.ts'
import { ProgressMeter } from './progress-meter.ts'
import { blockAccess } from './sealed-block.ts'
import { infoOf, readLeaf, readRoot } from './snapshot-objects.ts'
import { type BlockStore, CorruptObject, type Hash } from './store.ts'

const recordEnd = 0
const recordBlock = 1
const recordRepeat = 2
const hashBytes = 32

/** A record may repeat one of so many first blocks: 128 GiB of them, whose names both sides keep in memory. */
export const repeatableBlocks = 262_144

const lanes = 8

/** Throws MissingObject and CorruptObject of the store. */
export async function* packSnapshots(
  store: BlockStore,
  snapshots: readonly PackedSnapshot[],
  progress: Progress,
  clock: Clock,
): AsyncGenerator<Buffer> {
  const roots: Root[] = []
  for (const { root } of snapshots) roots.push(await readRoot(store, root))
  const total = roots.reduce((sum, root) => sum + infoOf(root).blockCount, 0)
  const meter = new ProgressMeter(Math.max(1, total), progress, clock)
  const sent = new HashTable()
  for (const [i, { sealKey }] of snapshots.entries())
    yield* new Packing(store, roots[i]!, sealKey, sent, meter).records(progress.signal)
  await meter.finish()
}

class Packing {
  readonly #store: BlockStore
  readonly #root: Root
  readonly #sealKey: Buffer | null
  readonly #sent: HashTable
  readonly #meter: ProgressMeter
  readonly #plain: PlainRoot

  constructor(store: BlockStore, root: Root, sealKey: Buffer | null, sent: HashTable, meter: ProgressMeter) {
    this.#store = store
    this.#root = root
    this.#sealKey = sealKey
    this.#sent = sent
    this.#meter = meter
    this.#plain = new PlainRoot(root.sizeBytes)
  }

  async *records(signal: AbortSignal | undefined): AsyncGenerator<Buffer> {
    for await (const { index, hash, encoded } of inOrder(this.#places(), lanes, (place) => this.#read(place))) {
      signal?.throwIfAborted()
      this.#plain.add(index, hash)
      yield* encoded && !this.#sent.has(hash) ? blockRecord(index, hash, encoded) : [repeatRecord(index, hash)]
      if (encoded && this.#sent.size < repeatableBlocks) this.#sent.add(hash)
      this.#meter.advance(1)
    }
    const { root, blockCount } = this.#plain.finish()
    yield endRecord(blockCount, root)
  }

  async *#places(): AsyncGenerator<{ index: number; name: Hash }> {
    for (const ref of this.#root.leaves) {
      const leaf = await readLeaf(this.#store, ref, this.#root.sizeBytes)
      for (let slot = 0; slot < blocksPerLeaf; slot++) {
        const name = leaf.hashAt(slot)
        if (name !== undefined) yield { index: ref.index * blocksPerLeaf + slot, name }
      }
    }
  }

  /** Null for a block that was sent before. */
  async #read({ index, name }: { index: number; name: Hash }) {
    if (this.#sealKey === null) {
      if (this.#sent.has(name)) return { index, hash: name, encoded: null }
      const encoded = await this.#store.readEncoded('block', name)
      if (!isSealed(encoded)) return { index, hash: name, encoded }
      throw new CorruptObject('block', name, this.#store.where, 'it is sealed, and its snapshot is not encrypted')
    }
    const content = await blockAccess(this.#sealKey).read(this.#store, name)
    return { index, hash: hashOf(content), encoded: await encodeObject(content) }
  }
}

/** What is wanted of a stream that somebody has brought. */
export interface UnpackRequest {
  store: BlockStore
  reader: PieceReader
  /** As the stream's header says; the records must agree. */
  snapshots: readonly { sizeBytes: number; blockCount: number }[]
  /** Seals the blocks that are stored; null leaves them as they are. */
  sealKey: Buffer | null
  /** Told of each snapshot when all of it is on stable storage. */
  onSnapshot(index: number, unpacked: UnpackedSnapshot): Promise<void>
}

/** Throws UnusableImage for a stream that is not what it should be, and StreamEnded for one that is too short. */
export async function unpackSnapshots(request: UnpackRequest, progress: Progress, clock: Clock): Promise<void> {
  const { snapshots, store, reader, sealKey } = request
  const total = snapshots.reduce((sum, { blockCount }) => sum + blockCount, 0)
  const meter = new ProgressMeter(Math.max(1, total), progress, clock)
  const keeper = new BlockKeeper(store, sealKey)
  for (const [index, { sizeBytes, blockCount }] of snapshots.entries()) {
    const section = new Section(reader, sizeBytes, `snapshot ${index}`)
    const unpacked = await unpackSection(section, keeper, meter, progress.signal)
    const end = section.end!
    if (end.blockCount !== blockCount || end.root !== unpacked.plainRoot || unpacked.blocks !== blockCount) {
      throw section.flaw(`its blocks are not those that the image had`)
    }
    await store.commit()
    const { root, info, bytesStored } = unpacked
    await request.onSnapshot(index, { root, info, bytesStored })
  }
  await meter.finish()
}

async function unpackSection(
  section: Section,
  keeper: BlockKeeper,
  meter: ProgressMeter,
  signal: AbortSignal | undefined,
): Promise<UnpackedSnapshot & { plainRoot: Hash; blocks: number }> {
  const { store } = keeper
  const plain = new PlainRoot(section.sizeBytes)
  const leaves: LeafRef[] = []
  let bytesStored = 0
  for (let leaf = await section.nextLeaf(); leaf !== null; leaf = await section.nextLeaf()) {
    const names = new Array<Hash | undefined>(blocksPerLeaf).fill(undefined)
    const keep = async (record: BlockRecord) => {
      const kept = await keeper.keep(record, section)
      names[record.index % blocksPerLeaf] = kept.name
      bytesStored += kept.storedBytes
      meter.advance(1)
    }
    const records = section.recordsOf(leaf, (record) => plain.add(record.index, record.hash))
    await eachAtOnce(records, lanes, keep, signal)
    const content = encodeLeaf(names)
    const hash = hashOf(content)
    const storedBytes = await store.write('leaf', hash, content)
    bytesStored += storedBytes
    leaves.push({ index: leaf, blockCount: names.filter((name) => name !== undefined).length, hash })
  }
  const root: Root = { sizeBytes: section.sizeBytes, leaves }
  const content = encodeRoot(root)
  const hash = hashOf(content)
  bytesStored += await store.write('root', hash, content)
  const info: RootInfo = infoOf(root)
  const { root: plainRoot, blockCount: blocks } = plain.finish()
  return { root: hash, info, bytesStored, plainRoot, blocks }
}

interface BlockRecord {
  index: number
  hash: Hash
  /** Null for a block that came before. */
  encoded: Buffer | null
}

/** The records of one snapshot, checked for order and place. */
class Section {
  readonly sizeBytes: number
  end: { blockCount: number; root: Hash } | null = null
  readonly #reader: PieceReader
  readonly #what: string
  readonly #blocks: number
  #ahead: BlockRecord | null = null
  #previous = -1

  constructor(reader: PieceReader, sizeBytes: number, what: string) {
    this.#reader = reader
    this.#what = what
    this.sizeBytes = sizeBytes
    this.#blocks = blocksIn(sizeBytes)
  }

  flaw(detail: string, cause?: unknown): UnusableImage {
    const { offsetBytes } = this.#reader
    return new UnusableImage(`the stored image is damaged in ${this.#what}, before byte ${offsetBytes}: ${detail}`, {
      cause,
    })
  }

  /** The leaf that the next record lies in; null at the section's end. */
  async nextLeaf(): Promise<number | null> {
    this.#ahead ??= await this.#read()
    return this.#ahead && Math.floor(this.#ahead.index / blocksPerLeaf)
  }

  async *recordsOf(leaf: number, onRecord: (record: BlockRecord) => void): AsyncGenerator<BlockRecord> {
    while ((await this.nextLeaf()) === leaf) {
      const record = this.#ahead!
      this.#ahead = null
      onRecord(record)
      yield record
    }
  }

  async #read(): Promise<BlockRecord | null> {
    if (this.end) return null
    const kind = (await this.#reader.take(1))[0]
    const number = (await this.#reader.take(4)).readUInt32BE()
    const hash = (await this.#reader.take(hashBytes)).toString('hex')
    if (kind === recordEnd) {
      this.end = { blockCount: number, root: hash }
      return null
    }
    if (kind !== recordBlock && kind !== recordRepeat) throw this.flaw(`there is no record of the kind ${kind}`)
    if (number <= this.#previous || number >= this.#blocks || hash === zeroHash) {
      throw this.flaw(`block ${number} follows block ${this.#previous} in a volume of ${this.#blocks} blocks`)
    }
    this.#previous = number
    return { index: number, hash, encoded: kind === recordBlock ? await this.#payload(number) : null }
  }

  async #payload(index: number): Promise<Buffer> {
    const length = (await this.#reader.take(4)).readUInt32BE()
    if (length < 2 || length > encodedBytesMax('block'))
      throw this.flaw(`block ${index} claims to have ${length} bytes`)
    return await this.#reader.take(length)
  }
}

/** Puts blocks into the store, sealed or as they are. What repeats must have come before: its name alone proves nothing. */
class BlockKeeper {
  readonly store: BlockStore
  readonly #sealKey: Buffer | null
  readonly #seen = new HashTable()
  /** Of blocks that are sealed here: their names in the store, by the numbers in {@link #seen}. */
  readonly #names: (Hash | Promise<Hash>)[] = []

  constructor(store: BlockStore, sealKey: Buffer | null) {
    this.store = store
    this.#sealKey = sealKey
  }

  async keep({ index, hash, encoded }: BlockRecord, section: Section): Promise<{ name: Hash; storedBytes: number }> {
    if (encoded === null) {
      const number = this.#seen.get(hash)
      if (number === undefined) throw section.flaw(`block ${index} repeats a block that did not come before`)
      return { name: this.#sealKey === null ? hash : await this.#names[number]!, storedBytes: 0 }
    }
    const writing = this.#write(index, hash, encoded, section)
    if (!this.#seen.has(hash) && this.#seen.size < repeatableBlocks) this.#remember(hash, writing)
    return await writing
  }

  #remember(hash: Hash, writing: Promise<{ name: Hash }>): void {
    const number = this.#seen.size
    this.#seen.set(hash, number)
    if (this.#sealKey === null) return
    const named = writing.then(({ name }) => {
      this.#names[number] = name
      return name
    })
    named.catch(() => {})
    this.#names[number] = named
  }

  async #write(index: number, hash: Hash, encoded: Buffer, section: Section) {
    if (isSealed(encoded)) throw section.flaw(`block ${index} is sealed`)
    const content = await decodeObject('block', hash, encoded, 'the stored image').catch((cause) => {
      throw section.flaw(cause.message, cause)
    })
    if (this.#sealKey === null)
      return { name: hash, storedBytes: await this.store.writeEncoded('block', hash, encoded) }
    const sealed = await blockAccess(this.#sealKey).write(this.store, content)
    return { name: sealed.hash, storedBytes: sealed.storedBytes }
  }
}

/** The root that a snapshot has, or would have, when its blocks lie in a store as they are. */
class PlainRoot {
  readonly #sizeBytes: number
  readonly #leaves: LeafRef[] = []
  #names: (Hash | undefined)[] = []
  #leaf = -1
  #blockCount = 0

  constructor(sizeBytes: number) {
    this.#sizeBytes = sizeBytes
  }

  /** In ascending order. */
  add(index: number, hash: Hash): void {
    const leaf = Math.floor(index / blocksPerLeaf)
    if (leaf !== this.#leaf) this.#close()
    this.#leaf = leaf
    this.#names[index % blocksPerLeaf] = hash
    this.#blockCount++
  }

  finish(): { root: Hash; blockCount: number } {
    this.#close()
    return {
      root: hashOf(encodeRoot({ sizeBytes: this.#sizeBytes, leaves: this.#leaves })),
      blockCount: this.#blockCount,
    }
  }

  #close(): void {
    if (this.#leaf < 0) return
    const names = Array.from(this.#names)
    const blockCount = names.filter((name) => name !== undefined).length
    if (blockCount > 0) this.#leaves.push({ index: this.#leaf, blockCount, hash: hashOf(encodeLeaf(names)) })
    this.#names = []
  }
}

function* blockRecord(index: number, hash: Hash, encoded: Buffer): Generator<Buffer> {
  const head = Buffer.alloc(1 + 4 + hashBytes + 4)
  writeStart(head, recordBlock, index, hash)
  head.writeUInt32BE(encoded.length, 1 + 4 + hashBytes)
  yield head
  yield encoded
}

const repeatRecord = (index: number, hash: Hash) =>
  writeStart(Buffer.alloc(1 + 4 + hashBytes), recordRepeat, index, hash)
const endRecord = (blockCount: number, root: Hash) =>
  writeStart(Buffer.alloc(1 + 4 + hashBytes), recordEnd, blockCount, root)

function writeStart(head: Buffer, kind: number, number: number, hash: Hash): Buffer {
  head.writeUInt8(kind)
  head.writeUInt32BE(number, 1)
  head.write(hash, 5, 'hex')
  return head
}
