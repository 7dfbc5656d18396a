/**
 * Takes away what no snapshot, volume or operation needs any more, while others go on writing.
 *
 * Writers pass over what is there: a block is not stored twice, and a copy takes a leaf that it finds for proof that all of
 * the leaf's blocks are there. So what nobody needs at one moment may be needed at the next, and must not go in between.
 *
 * 1. *Survey*, beside the writers: everything that the live roots name is marked, and what is stored, unmarked and old
 *    enough is a candidate.
 * 2. *Sweep*, alone in the store (see `region-gate.ts`), a batch at a time: roots and leaves that have become live or
 *    were written since are visited, and what they name is struck off the candidates; then candidates go. First roots,
 *    then leaves, then blocks, with a commit in between: whatever is left at any moment has all that it names.
 *
 * Objects younger than the grace period count as live with all that they name. Broken off anywhere, the next collection
 * simply goes on.
 */
import { messageOf } from '../lib/errors.ts'
import { eachAtOnce } from './concurrency.ts'
import { decodeLeaf, type LeafRef } from './format.ts'
import { HashTable } from './hash-table.ts'
import type { Collected, LiveObjects, Progress } from './ports.ts'
import { StoreBusy } from './region-gate.ts'
import { readRoot } from './snapshot-objects.ts'
import { type BlockStore, CorruptObject, type Hash, MissingObject, type ObjectKind } from './store.ts'

/** Names of live blocks held at once, some 200 MB; a store with more is surveyed in several passes over its leaves. */
const markedMax = 4_000_000
/** One turn alone in the store takes about a second: so long writers wait. */
const batchObjects = 8192
const lanes = 8

export interface CollectRequest {
  store: BlockStore
  /** Everything that must stay, as of now. */
  live(): Promise<LiveObjects>
  /** Objects that came to the store after this moment stay; null when age does not count. */
  keepAfterMs: number | null
  /** Runs work while nobody else writes to the store or relies on what is in it. */
  alone<T>(work: () => Promise<T>): Promise<T>
  /** A number that stays the same while nobody but the collector has been in the store. */
  visits(): number
  /** Tests take fewer. */
  bounds?: { marked: number; batch: number }
}

export async function collect(request: CollectRequest, progress: Progress = {}): Promise<Collected> {
  return await new Collection(request, progress).run()
}

class Collection {
  readonly #request: CollectRequest
  readonly #store: BlockStore
  readonly #progress: Progress
  readonly #bounds: { marked: number; batch: number }
  readonly #candidates: Record<ObjectKind, HashTable> = {
    root: new HashTable(),
    leaf: new HashTable(),
    block: new HashTable(),
  }
  readonly #visitedRoots = new HashTable()
  /** With the number of blocks that each names. */
  readonly #visitedLeaves = new HashTable()
  readonly #collected: Collected = {
    ...{ roots: 0, leaves: 0, blocks: 0, otherFiles: 0, bytesFreed: 0 },
    stopped: null,
  }
  #total = 0
  #seenVisits = -1

  constructor(request: CollectRequest, progress: Progress) {
    this.#request = request
    this.#store = request.store
    this.#progress = progress
    this.#bounds = request.bounds ?? { marked: markedMax, batch: batchObjects }
  }

  async run(): Promise<Collected> {
    try {
      await this.#survey()
      this.#total = this.#left()
      for (const kind of ['root', 'leaf', 'block'] as const) await this.#sweep(kind)
      await this.#removeOtherFiles()
      await this.#progress.onPercent?.(100)
    } catch (error) {
      this.#collected.stopped = reasonOf(error, this.#progress.signal)
    }
    return this.#collected
  }

  async #sweep(kind: ObjectKind): Promise<void> {
    const candidates = this.#candidates[kind]
    // After a power failure no leaf may be gone while a root that names it is back, nor a block while a leaf is. What went
    // before may also have been taken by a collection that was broken off.
    if (kind !== 'root' && candidates.size > 0) await this.#store.commit()
    while (candidates.size > 0) await this.#sweepBatch(kind)
  }

  async #survey(): Promise<void> {
    const live = await this.#request.live()
    for (const root of live.roots) await this.#visitRoot(root)
    await this.#surveyKind('root', (hash) => this.#visitRoot(hash))
    await this.#surveyKind('leaf', (hash) => this.#visitLeaf(hash))
    for (const digits of this.#passes()) await this.#surveyBlocks(digits, live.blocks)
  }

  /** What was not visited is visited when it is young, and a candidate otherwise. */
  async #surveyKind(kind: 'root' | 'leaf', visit: (hash: Hash) => Promise<void>): Promise<void> {
    const visited = kind === 'root' ? this.#visitedRoots : this.#visitedLeaves
    for await (const hash of this.#store.list(kind)) {
      this.#progress.signal?.throwIfAborted()
      if (visited.has(hash)) continue
      if (await this.#isYoung(kind, hash)) {
        // One that nobody needs and that cannot be read is of no use to anybody, however young.
        const isRead = await visit(hash).then(() => true, passOver)
        if (isRead) continue
      }
      this.#candidates[kind].add(hash)
    }
  }

  /** The first two digits of the names to look at, in so many lots that the live names of each fit. */
  #passes(): string[][] {
    let blocks = 0
    for (const [, count] of this.#visitedLeaves.entries()) blocks += count
    const digits = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))
    const perPass = Math.max(1, Math.floor(256 / Math.max(1, Math.ceil(blocks / this.#bounds.marked))))
    return Array.from({ length: Math.ceil(256 / perPass) }, (_, i) => digits.slice(i * perPass, (i + 1) * perPass))
  }

  async #surveyBlocks(digits: readonly string[], liveBlocks: readonly Hash[]): Promise<void> {
    const [isOurs, marked] = [new Set(digits), new HashTable()]
    const mark = (hash: Hash) => {
      if (isOurs.has(hash.slice(0, 2))) marked.add(hash)
    }
    for (const hash of liveBlocks) mark(hash)
    const markLeaf = async (hash: Hash) => {
      for (const block of (await this.#leaf(hash)).hashes()) mark(block)
    }
    await eachAtOnce(this.#visitedLeaves.keys(), lanes, markLeaf, this.#progress.signal)
    const judge = async (hash: Hash) => {
      if (!marked.has(hash) && !(await this.#isYoung('block', hash))) this.#candidates.block.add(hash)
    }
    for (const first of digits) await eachAtOnce(this.#store.list('block', first), lanes, judge, this.#progress.signal)
  }

  async #sweepBatch(kind: ObjectKind): Promise<void> {
    await this.#request.alone(async () => {
      await this.#strikeOffWhatIsLive()
      let room = this.#bounds.batch
      const batch = function* (candidates: HashTable) {
        for (const hash of candidates.keys())
          if (room-- > 0) yield hash
          else return
      }
      await eachAtOnce(batch(this.#candidates[kind]), lanes, (hash) => this.#remove(kind, hash), this.#progress.signal)
    })
    const done = this.#total - this.#left()
    await this.#progress.onPercent?.(Math.floor((done * 99) / Math.max(1, this.#total)))
  }

  async #remove(kind: ObjectKind, hash: Hash): Promise<void> {
    const bytes = await this.#store.remove(kind, hash)
    this.#candidates[kind].delete(hash)
    this.#collected.bytesFreed += bytes
    if (bytes > 0) this.#collected[`${kind === 'leaf' ? 'leave' : kind}s`]++
  }

  /** Alone in the store: what came, or came to be needed, since the survey. */
  async #strikeOffWhatIsLive(): Promise<void> {
    const live = await this.#request.live()
    for (const root of live.roots) await this.#visitRoot(root)
    for (const block of live.blocks) this.#candidates.block.delete(block)
    const visits = this.#request.visits()
    if (visits === this.#seenVisits) return
    for await (const root of this.#store.list('root')) if (!this.#candidates.root.has(root)) await this.#visitRoot(root)
    for await (const leaf of this.#store.list('leaf')) if (!this.#candidates.leaf.has(leaf)) await this.#visitLeaf(leaf)
    this.#seenVisits = visits
  }

  async #visitRoot(hash: Hash): Promise<void> {
    if (this.#visitedRoots.has(hash)) return
    const root = await readRoot(this.#store, hash)
    await eachAtOnce(root.leaves, lanes, (leaf: LeafRef) => this.#visitLeaf(leaf.hash), this.#progress.signal)
    this.#visitedRoots.add(hash)
    this.#candidates.root.delete(hash)
  }

  async #visitLeaf(hash: Hash): Promise<void> {
    if (this.#visitedLeaves.has(hash)) return
    const leaf = await this.#leaf(hash)
    if (this.#candidates.block.size > 0) for (const block of leaf.hashes()) this.#candidates.block.delete(block)
    this.#visitedLeaves.set(hash, leaf.blockCount)
    this.#candidates.leaf.delete(hash)
  }

  async #leaf(hash: Hash) {
    return decodeLeaf(await this.#store.read('leaf', hash), hash, this.#store.where)
  }

  async #isYoung(kind: ObjectKind, hash: Hash): Promise<boolean> {
    const { keepAfterMs } = this.#request
    return keepAfterMs !== null && ((await this.#store.changedAtMs(kind, hash)) ?? 0) > keepAfterMs
  }

  /** Leftovers that are no objects; and from quarantine what is in service again, or needed by nothing any more. */
  async #removeOtherFiles(): Promise<void> {
    const { keepAfterMs, alone } = this.#request
    await alone(async () => {
      const strays = await this.#store.removeStrays(keepAfterMs ?? Number.POSITIVE_INFINITY)
      this.#collected.otherFiles += strays.files
      this.#collected.bytesFreed += strays.bytes
      const quarantined = await this.#store.quarantined()
      if (quarantined.length === 0) return
      await this.#strikeOffWhatIsLive()
      const needed = await this.#neededAmong(quarantined.map(({ hash }) => hash))
      for (const { kind, hash } of quarantined) {
        if (needed.has(hash) && !(await this.#store.has(kind, hash))) continue
        this.#collected.bytesFreed += await this.#store.forgetQuarantined(kind, hash)
        this.#collected.otherFiles++
      }
    })
  }

  async #neededAmong(hashes: readonly Hash[]): Promise<Set<Hash>> {
    const [asked, needed] = [new Set(hashes), new Set((await this.#request.live()).blocks)]
    for (const leaf of this.#visitedLeaves.keys())
      for (const block of (await this.#leaf(leaf)).hashes()) if (asked.has(block)) needed.add(block)
    return needed
  }

  #left(): number {
    const { root, leaf, block } = this.#candidates
    return root.size + leaf.size + block.size
  }
}

/** Damage is no reason to stop where nobody needs what is damaged. */
function passOver(error: unknown): boolean {
  if (error instanceof CorruptObject || error instanceof MissingObject) return false
  throw error
}

function reasonOf(error: unknown, signal: AbortSignal | undefined): Collected['stopped'] {
  const message = messageOf(error)
  if (error instanceof StoreBusy) return { reason: 'busy', message }
  if (error instanceof CorruptObject || error instanceof MissingObject) return { reason: 'damaged', message }
  if (signal?.aborted) return { reason: 'aborted', message }
  throw error
}
