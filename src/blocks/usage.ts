/** How much of a store snapshots take, what of that is theirs alone, and what would go with them: to the byte. */
import { eachAtOnce } from './concurrency.ts'
import { decodeLeaf } from './format.ts'
import { HashTable } from './hash-table.ts'
import type { LiveObjects, Progress, RootUsage } from './ports.ts'
import { infoOf, readRoot } from './snapshot-objects.ts'
import { type BlockStore, type Hash, MissingObject, type ObjectKind } from './store.ts'

const lanes = 8
/** One bit of an object's mark for each root that is measured, and one for everything else. */
export const measuredRootsMax = 31
const elsewhere = 2 ** 31

export interface UsageRequest {
  store: BlockStore
  roots: readonly Hash[]
  /** Indexes of those that would go. */
  leaving: readonly number[]
  /** What else there is in the store, and stays. */
  staying: LiveObjects
}

export async function measureUsage(
  request: UsageRequest,
  progress: Progress,
): Promise<{ roots: RootUsage[]; freedBytes: number }> {
  if (request.roots.length > measuredRootsMax) throw new RangeError(`at most ${measuredRootsMax} roots at once`)
  return await new Measurement(request, progress.signal).run()
}

class Measurement {
  readonly #request: UsageRequest
  readonly #signal: AbortSignal | undefined
  /** Every object that a measured root needs, with a bit for each of those that do. */
  readonly #marks: Record<ObjectKind, HashTable> = {
    root: new HashTable(),
    leaf: new HashTable(),
    block: new HashTable(),
  }
  readonly #usages: RootUsage[] = []
  /** Leaves of other roots, with the bits of the measured ones that they share something with. */
  readonly #others = new HashTable()

  constructor(request: UsageRequest, signal: AbortSignal | undefined) {
    this.#request = request
    this.#signal = signal
  }

  async run(): Promise<{ roots: RootUsage[]; freedBytes: number }> {
    const { roots, staying, leaving } = this.#request
    for (const [index, root] of roots.entries()) await this.#mark(root, index)
    for (const [index, root] of staying.roots.entries()) await this.#compare(root, roots.length + index)
    for (const block of staying.blocks) this.#share('block', block)
    const leavingBits = leaving.reduce((bits, index) => bits + 2 ** index, 0)
    const freedBytes = await this.#sum(leavingBits)
    return { roots: this.#usages, freedBytes }
  }

  async #mark(rootHash: Hash, index: number): Promise<void> {
    const root = await readRoot(this.#request.store, rootHash)
    const { dataBytes } = infoOf(root)
    this.#usages.push({ dataBytes, storedBytes: 0, uniqueBytes: 0, sharedWith: [] })
    const add = (kind: ObjectKind, hash: Hash) => {
      const bits = this.#marks[kind].get(hash) ?? 0
      this.#marks[kind].set(hash, (bits | (1 << index)) >>> 0)
    }
    add('root', rootHash)
    const markLeaf = async (hash: Hash) => {
      for (const block of await this.#blocksOf(hash)) add('block', block)
      add('leaf', hash)
    }
    await eachAtOnce(new Set(root.leaves.map((leaf) => leaf.hash)), lanes, markLeaf, this.#signal)
  }

  /** Marks what a root that stays shares with the measured ones. */
  async #compare(rootHash: Hash, index: number): Promise<void> {
    let shared = this.#share('root', rootHash)
    const root = await readRoot(this.#request.store, rootHash)
    const compareLeaf = async (hash: Hash) => {
      const bits = this.#others.get(hash) ?? (await this.#shareLeaf(hash))
      this.#others.set(hash, bits)
      shared |= bits
    }
    await eachAtOnce(new Set(root.leaves.map((leaf) => leaf.hash)), lanes, compareLeaf, this.#signal)
    this.#tell(shared, index)
  }

  async #shareLeaf(hash: Hash): Promise<number> {
    let shared = this.#share('leaf', hash)
    for (const block of await this.#blocksOf(hash)) shared |= this.#share('block', block)
    return shared >>> 0
  }

  /** Says of an object that something else needs it too; the bits of the measured roots that do. */
  #share(kind: ObjectKind, hash: Hash): number {
    const bits = this.#marks[kind].get(hash)
    if (bits === undefined) return 0
    this.#marks[kind].set(hash, (bits | elsewhere) >>> 0)
    return bits & (elsewhere - 1)
  }

  #tell(bits: number, index: number): void {
    for (const [i, usage] of this.#usages.entries()) if (bits & (1 << i)) usage.sharedWith.push(index)
  }

  async #sum(leavingBits: number): Promise<number> {
    let freedBytes = 0
    /** Which roots need an object, for every combination that comes. */
    const combinations = new Set<number>()
    const add = async (kind: ObjectKind, hash: Hash, bits: number) => {
      const bytes = await this.#bytesOf(kind, hash)
      const own = bits & (elsewhere - 1)
      combinations.add(own)
      for (const [i, usage] of this.#usages.entries()) {
        if (own & (1 << i)) usage.storedBytes += bytes
        if (bits === 1 << i) usage.uniqueBytes += bytes
      }
      if (bits < elsewhere && (own & ~leavingBits) === 0) freedBytes += bytes
    }
    for (const kind of ['root', 'leaf', 'block'] as const)
      await eachAtOnce(this.#marks[kind].entries(), lanes, ([hash, bits]) => add(kind, hash, bits), this.#signal)
    for (const i of this.#usages.keys()) this.#tellOfEachOther(i, [...combinations])
    return freedBytes
  }

  #tellOfEachOther(i: number, combinations: readonly number[]): void {
    const together = combinations.filter((bits) => bits & (1 << i)).reduce((all, bits) => all | bits, 0)
    const others = [...this.#usages.keys()].filter((j) => j !== i && together & (1 << j))
    this.#usages[i]!.sharedWith.unshift(...others)
  }

  async #blocksOf(leaf: Hash): Promise<Iterable<Hash>> {
    const { store } = this.#request
    return decodeLeaf(await store.read('leaf', leaf), leaf, store.where).hashes()
  }

  /** What is missing takes nothing. */
  async #bytesOf(kind: ObjectKind, hash: Hash): Promise<number> {
    try {
      return await this.#request.store.storedBytes(kind, hash)
    } catch (error) {
      if (error instanceof MissingObject) return 0
      throw error
    }
  }
}
