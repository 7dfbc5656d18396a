/**
 * Where a local store keeps damaged objects, and notes missing ones: `quarantine/KIND-HASH`, empty for what was missing.
 * Nothing is ever served from there.
 */
import { join } from 'node:path'
import { isHash } from './format.ts'
import { type Hash, type ObjectKind, objectKinds } from './store.ts'
import { hasCode, type StoreFiles } from './store-files.ts'

export class LocalQuarantine {
  readonly #folder: string
  readonly #files: StoreFiles

  constructor(directory: string, files: StoreFiles) {
    this.#folder = join(directory, 'quarantine')
    this.#files = files
  }

  /** Moves the object's file there; notes the object when there is none. What lay there under that name is replaced. */
  async take(kind: ObjectKind, hash: Hash, path: string): Promise<void> {
    await this.#files.makeFolder(this.#folder, { recursive: true })
    const place = this.#pathOf(kind, hash)
    try {
      await this.#files.rename(path, place)
    } catch (error) {
      if (!hasCode(error, 'ENOENT', 'ENOTDIR')) throw error
      const kept = await this.#files.facts(place).catch(() => undefined)
      if (!kept) await this.#files.writeDurably(place, Buffer.alloc(0))
    }
  }

  async list(): Promise<{ kind: ObjectKind; hash: Hash }[]> {
    const names = await this.#files.names(this.#folder).catch((error) => {
      if (hasCode(error, 'ENOENT')) return []
      throw error
    })
    return names.flatMap((name) => {
      const kind = objectKinds.find((one) => name.startsWith(`${one}-`))
      const hash = name.slice((kind?.length ?? 0) + 1)
      return kind && isHash(hash) ? [{ kind, hash }] : []
    })
  }

  async forget(kind: ObjectKind, hash: Hash): Promise<number> {
    const { sizeBytes } = await this.#files.facts(this.#pathOf(kind, hash))
    await this.#files.remove(this.#pathOf(kind, hash))
    return sizeBytes
  }

  #pathOf(kind: ObjectKind, hash: Hash): string {
    return join(this.#folder, `${kind}-${hash}`)
  }
}
