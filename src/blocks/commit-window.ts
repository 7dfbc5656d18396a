/**
 * What makes one sync per commit safe. Objects are renamed into place without an fsync, so when the power fails a file
 * may keep its name and lose its content. A snapshot under way then is simply captured again; but a later one must not
 * mistake such a file for a block that is already stored.
 *
 * So a marker file stands, durably, from before the first write after a commit until the commit that covers all writes.
 * A writer that finds a marker from another start of the host checks every object that came since the marker, and removes
 * the damaged and the incomplete. (A marker of the same start means that only a process died: what it wrote is intact.)
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { decodeLeaf, decodeRoot } from './format.ts'
import type { LocalStore } from './local-store.ts'
import { CorruptObject, type Hash, type ObjectKind, objectKinds } from './store.ts'
import type { StoreFiles } from './store-files.ts'

/** File systems date in ticks of some milliseconds, and some in whole seconds or two. */
const clockSlackMs = 5000

export interface CommitWindowOptions {
  directory: string
  files: StoreFiles
  syncFilesystem: (path: string) => Promise<void>
  bootId?: string
}

export class CommitWindow {
  readonly #directory: string
  readonly #files: StoreFiles
  readonly #sync: (path: string) => Promise<void>
  readonly #bootId: Promise<string>
  readonly #markerPath: string
  /** The marker stands on stable storage. */
  #marked = false
  /** Setting and removing the marker, one after the other. */
  #turn: Promise<void> = Promise.resolve()
  #writesStarted = 0
  #writesUnderway = 0

  constructor(options: CommitWindowOptions) {
    this.#directory = options.directory
    this.#files = options.files
    this.#sync = options.syncFilesystem
    this.#bootId = options.bootId ? Promise.resolve(options.bootId) : hostBootId()
    this.#markerPath = join(options.directory, 'uncommitted')
  }

  /** Runs a write inside the window: the marker is on stable storage before the write begins. */
  async during<T>(write: () => Promise<T>): Promise<T> {
    this.#writesStarted++
    this.#writesUnderway++
    try {
      if (!this.#marked) await this.#mark()
      return await write()
    } finally {
      this.#writesUnderway--
    }
  }

  /** Everything written before the call is on stable storage when it resolves. */
  async commit(): Promise<void> {
    const startedBefore = this.#writesStarted
    const quiet = this.#writesUnderway === 0
    await this.#sync(this.#directory)
    await this.#inTurn(async () => {
      // With other writes since, the marker stays for their commit; it is then only older than it need be.
      if (!this.#marked || !quiet || this.#writesStarted !== startedBefore) return
      this.#marked = false
      await this.#files.remove(this.#markerPath)
    })
  }

  /** Deals with the marker of a writer that did not come to its commit. Before the first write. */
  async recover(store: LocalStore): Promise<void> {
    const left = await this.#files.read(this.#markerPath).catch(() => undefined)
    if (!left) return
    if (left.toString() === (await this.#bootId)) {
      this.#marked = true
      return
    }
    const { changedAtMs } = await this.#files.facts(this.#markerPath)
    // Blocks first, so that a leaf can be judged by what is left, and a root by its leaves.
    for (const kind of objectKinds) await discardFlawed(store, kind, changedAtMs - clockSlackMs)
    await this.#files.remove(this.#markerPath)
  }

  async #mark(): Promise<void> {
    const bootId = await this.#bootId
    await this.#inTurn(async () => {
      if (this.#marked) return
      await this.#files.writeDurably(this.#markerPath, Buffer.from(bootId))
      this.#marked = true
    })
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(work)
    this.#turn = done.catch(() => {})
    return done
  }
}

async function hostBootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
}

async function discardFlawed(store: LocalStore, kind: ObjectKind, sinceMs: number): Promise<void> {
  for await (const hash of store.list(kind)) {
    const changedAtMs = await store.changedAtMs(kind, hash)
    if (changedAtMs === undefined || changedAtMs < sinceMs) continue
    if (!(await isWhole(store, kind, hash))) await store.remove(kind, hash)
  }
}

/** True when the object is intact and everything that it names is there. */
async function isWhole(store: LocalStore, kind: ObjectKind, hash: Hash): Promise<boolean> {
  try {
    const content = await store.read(kind, hash)
    if (kind === 'leaf') {
      for (const block of decodeLeaf(content, hash, store.where).hashes())
        if (!(await store.has('block', block))) return false
    }
    if (kind === 'root') {
      for (const leaf of decodeRoot(content, hash, store.where).leaves)
        if (!(await store.has('leaf', leaf.hash))) return false
    }
    return true
  } catch (error) {
    if (error instanceof CorruptObject) return false
    throw error
  }
}
