/**
 * Reads everything that must be in a store and compares it with its name. What is wrong is told with every root that it
 * touches; repairing takes it out of service and puts another store's intact copy in its place.
 */
import type { Clock } from '../lib/clock.ts'
import { eachAtOnce } from './concurrency.ts'
import { checkLeafInRoot, decodeLeaf, decodeRoot, type Leaf, type LeafRef, type Root } from './format.ts'
import { HashTable } from './hash-table.ts'
import type { CheckResult, Flaw, LiveObjects, Progress } from './ports.ts'
import { ProgressMeter } from './progress-meter.ts'
import { type BlockStore, CorruptObject, type Hash, MissingObject, type ObjectKind } from './store.ts'

const lanes = 8
/** One region with more flaws than this has lost its disk: naming each would help nobody. */
const flawsMax = 100_000

export interface CheckRequest {
  store: BlockStore
  live: LiveObjects
  /** Where intact copies may be; null when nothing is to be repaired. */
  sources: readonly { region: string; store: BlockStore }[] | null
}

export async function check(request: CheckRequest, progress: Progress, clock: Clock): Promise<CheckResult> {
  const { store, sources } = request
  const result = await new Survey(request, progress, clock).run()
  if (!sources || result.flaws.length === 0) return result
  const known = new Map(result.flaws.map((flaw) => [flaw.hash, flaw]))
  for (let found = result.flaws; found.length > 0; ) {
    const mended = await repairAll(store, sources, found, progress.signal)
    // Below a root or a leaf that came back, nobody has looked yet.
    const roots = mended.filter((flaw) => flaw.kind !== 'block').flatMap((flaw) => flaw.roots)
    const below = await new Survey({ ...request, live: { roots, blocks: [] } }, progress, clock).run()
    found = below.flaws.filter((flaw) => !known.has(flaw.hash))
    for (const flaw of below.flaws) {
      const earlier = known.get(flaw.hash)
      if (earlier) earlier.roots = [...new Set([...earlier.roots, ...flaw.roots])]
      else known.set(flaw.hash, flaw)
    }
    result.objects += below.objects
    result.bytes += below.bytes
  }
  await store.commit()
  return { ...result, flaws: [...known.values()] }
}

class Survey {
  readonly #store: BlockStore
  readonly #live: LiveObjects
  readonly #progress: Progress
  readonly #clock: Clock
  readonly #flaws = new Map<string, Flaw>()
  readonly #roots = new Map<Hash, Root>()
  /** Distinct leaves and blocks that were read or are to be read. */
  readonly #leaves = new HashTable()
  readonly #blocks = new HashTable()
  #bytes = 0

  constructor({ store, live }: CheckRequest, progress: Progress, clock: Clock) {
    this.#store = store
    this.#live = live
    this.#progress = progress
    this.#clock = clock
  }

  async run(): Promise<CheckResult> {
    const { signal } = this.#progress
    await eachAtOnce(new Set(this.#live.roots), lanes, (hash) => this.#readRoot(hash), signal)
    for (const root of this.#roots.values())
      await eachAtOnce(root.leaves, lanes, (ref) => this.#readLeafOnce(ref, root), signal)
    for (const block of this.#live.blocks) this.#blocks.add(block)
    const meter = new ProgressMeter(this.#blocks.size, this.#progress, this.#clock)
    await eachAtOnce(this.#blocks.keys(), lanes, (hash) => this.#readBlock(hash, meter), signal)
    await meter.finish()
    if (this.#flaws.size > 0) await this.#tellRoots()
    const objects = new Set(this.#live.roots).size + this.#leaves.size + this.#blocks.size
    return { objects, bytes: this.#bytes, flaws: [...this.#flaws.values()] }
  }

  async #readRoot(hash: Hash): Promise<void> {
    const content = await this.#read('root', hash)
    if (content) this.#roots.set(hash, decodeRoot(content, hash, this.#store.where))
  }

  async #readLeafOnce(ref: LeafRef, root: Root): Promise<void> {
    if (!this.#leaves.add(ref.hash)) return
    const content = await this.#read('leaf', ref.hash)
    if (!content) return
    const leaf = this.#decodeInPlace(content, ref, root)
    for (const block of leaf?.hashes() ?? []) this.#blocks.add(block)
  }

  /** A leaf that has its name and yet contradicts its root: whoever wrote them was wrong. */
  #decodeInPlace(content: Buffer, ref: LeafRef, root: Root): Leaf | undefined {
    try {
      const leaf = decodeLeaf(content, ref.hash, this.#store.where)
      checkLeafInRoot(leaf, ref, root.sizeBytes, this.#store.where)
      return leaf
    } catch (error) {
      this.#note('leaf', ref.hash, error)
      return undefined
    }
  }

  async #readBlock(hash: Hash, meter: ProgressMeter): Promise<void> {
    await this.#read('block', hash)
    meter.advance(1)
  }

  async #read(kind: ObjectKind, hash: Hash): Promise<Buffer | undefined> {
    try {
      const content = await this.#store.read(kind, hash)
      this.#bytes += content.length
      return content
    } catch (error) {
      this.#note(kind, hash, error)
      return undefined
    }
  }

  #note(kind: ObjectKind, hash: Hash, error: unknown): void {
    const problem = problemOf(error)
    if (this.#flaws.size === flawsMax) throw new Error(`more than ${flawsMax} objects of ${this.#store.where} are lost`)
    this.#flaws.set(hash, { kind, hash, problem, detail: (error as Error).message, roots: [], repairedFrom: null })
  }

  /** Goes through roots and leaves once more, for what each flaw touches. */
  async #tellRoots(): Promise<void> {
    const inLeaf = new Map<Hash, Flaw[]>()
    for (const [hash, root] of this.#roots)
      for (const ref of root.leaves) {
        const flaws = inLeaf.get(ref.hash) ?? (await this.#flawsOf(ref.hash))
        if (flaws.length > 0) inLeaf.set(ref.hash, flaws)
        for (const flaw of flaws) if (!flaw.roots.includes(hash)) flaw.roots.push(hash)
      }
    for (const hash of this.#live.roots) this.#flaws.get(hash)?.roots.push(hash)
  }

  async #flawsOf(leafHash: Hash): Promise<Flaw[]> {
    const own = this.#flaws.get(leafHash)
    if (own) return [own]
    const leaf = decodeLeaf(await this.#store.read('leaf', leafHash), leafHash, this.#store.where)
    return [...new Set(leaf.hashes())].flatMap((block) => this.#flaws.get(block) ?? [])
  }
}

/** Throws what is no fault of the object's. */
export function problemOf(error: unknown): Flaw['problem'] {
  if (error instanceof MissingObject) return 'missing'
  // A disk that cannot read a file has damaged it as well.
  if (error instanceof CorruptObject || (error as NodeJS.ErrnoException).code === 'EIO') return 'damaged'
  throw error
}

/** Takes each flaw out of service and puts an intact copy in its place; those for which there is one. */
async function repairAll(
  store: BlockStore,
  sources: readonly { region: string; store: BlockStore }[],
  flaws: readonly Flaw[],
  signal: AbortSignal | undefined,
): Promise<Flaw[]> {
  const mended: Flaw[] = []
  for (const flaw of flaws) {
    signal?.throwIfAborted()
    // Written anew since it was read, or a leaf that is as it was written and contradicts its root.
    if (await intactCopy(store, flaw)) continue
    await store.quarantine(flaw.kind, flaw.hash)
    if (await restore(store, sources, flaw)) mended.push(flaw)
  }
  return mended
}

async function restore(
  store: BlockStore,
  sources: readonly { region: string; store: BlockStore }[],
  flaw: Flaw,
): Promise<boolean> {
  for (const source of sources) {
    const encoded = await intactCopy(source.store, flaw)
    if (!encoded) continue
    await store.writeEncoded(flaw.kind, flaw.hash, encoded)
    flaw.repairedFrom = source.region
    return true
  }
  return false
}

/** The object as that store holds it; undefined when it has none, or a damaged one. */
async function intactCopy(store: BlockStore, { kind, hash }: Flaw): Promise<Buffer | undefined> {
  try {
    return await store.readEncoded(kind, hash)
  } catch (error) {
    problemOf(error)
    return undefined
  }
}
