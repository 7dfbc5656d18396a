/**
 * Contents of objects between the region's store and the state. A content counts once a row names it, and is litter once
 * none does; whoever writes or reads one has it in use meanwhile, and nothing that is in use is removed.
 */
import { createHash } from 'node:crypto'
import { messageOf } from '../../lib/errors.ts'
import type { CloudDeps } from '../deps.ts'

export interface NewContent {
  /** Null when there were no bytes: then nothing is stored. */
  name: string | null
  sizeBytes: number
  /** In hexadecimal: the ETag of what comes in one piece. */
  md5: string
}

/** Some bytes of a stored content. */
export interface ContentSlice {
  name: string
  start: number
  /** Not included. */
  end: number
}

type ContentDeps = Pick<CloudDeps, 'state' | 'objects' | 'log'>

export class Contents {
  readonly #deps: ContentDeps
  readonly #inUse = new Map<string, number>()
  /** Litter that is removed as soon as nobody uses it any more: its region, by name. */
  readonly #doomed = new Map<string, string>()

  constructor(deps: ContentDeps) {
    this.#deps = deps
  }

  /**
   * Stores what the source gives; then `record` must name it in the state. When that or the source fails, nothing is left.
   */
  async bring<T>(
    region: string,
    source: AsyncIterable<Uint8Array>,
    record: (content: NewContent) => Promise<T>,
  ): Promise<T> {
    const { objects } = this.#deps
    const name = objects.newName()
    const digest = createHash('md5')
    this.#use(name)
    try {
      const { sizeBytes } = await objects.write(region, name, digesting(source, digest))
      const md5 = digest.digest('hex')
      try {
        return await record({ name: sizeBytes > 0 ? name : null, sizeBytes, md5 })
      } finally {
        // Also after a failure: whether the state has the name is asked there.
        this.#doomed.set(name, region)
      }
    } finally {
      await this.#leave([name])
    }
  }

  /** Keeps the contents from being removed until the function that it gives is called. */
  hold(names: readonly string[]): () => Promise<void> {
    for (const name of names) this.#use(name)
    let isHeld = true
    return async () => {
      if (!isHeld) return
      isHeld = false
      await this.#leave(names)
    }
  }

  async *read(region: string, slices: readonly ContentSlice[]): AsyncGenerator<Buffer> {
    for (const { name, start, end } of slices) yield* this.#deps.objects.read(region, name, { start, end })
  }

  /** Removes those of the contents that nothing names any more, at once or when their last reader has gone. */
  async discard(region: string, names: readonly string[]): Promise<void> {
    if (names.length === 0) return
    for (const name of names) this.#doomed.set(name, region)
    await this.#removeDoomed(names)
  }

  /** Removes what no row names: what a crash left behind. Never rejects for one region that is away. */
  async sweep(): Promise<void> {
    const { objects, log } = this.#deps
    for (const region of await objects.regions()) {
      try {
        // Who is in use when it is listed is skipped. Any other is named by now, or never will be.
        for await (const names of objects.list(region)) {
          await this.discard(
            region,
            names.filter((name) => !this.#inUse.has(name)),
          )
        }
      } catch (error) {
        log.warn({ err: error, region }, `litter in the object store of ${region} was not swept: ${messageOf(error)}`)
      }
    }
  }

  #use(name: string): void {
    this.#inUse.set(name, (this.#inUse.get(name) ?? 0) + 1)
  }

  async #leave(names: readonly string[]): Promise<void> {
    for (const name of names) {
      const others = (this.#inUse.get(name) ?? 1) - 1
      if (others > 0) this.#inUse.set(name, others)
      else this.#inUse.delete(name)
    }
    await this.#removeDoomed(names.filter((name) => this.#doomed.has(name)))
  }

  /** What cannot be removed now is swept later. */
  async #removeDoomed(names: readonly string[]): Promise<void> {
    const { objects, state, log } = this.#deps
    const free = names.filter((name) => !this.#inUse.has(name))
    if (free.length === 0) return
    const regions = new Map(free.map((name) => [name, this.#doomed.get(name)]))
    for (const name of free) this.#doomed.delete(name)
    try {
      for (const name of await state.objects.unnamed(free)) await objects.remove(regions.get(name)!, name)
    } catch (error) {
      log.warn({ err: error }, `contents of objects were not removed: ${messageOf(error)}`)
    }
  }
}

async function* digesting(source: AsyncIterable<Uint8Array>, digest: { update(piece: Uint8Array): unknown }) {
  for await (const piece of source) {
    digest.update(piece)
    yield piece
  }
}
