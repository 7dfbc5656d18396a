/** The bytes of a snapshot's volume, read a block at a time as they are asked for. */
import { LRUCache } from 'lru-cache'
import type { SnapshotBlocks } from '../ports.ts'

/** Where a file system's bytes come from. */
export interface ByteSource {
  readonly sizeBytes: number
  /** Exactly that many bytes. Throws {@link UnreadableFileSystem} beyond the end. */
  read(offsetBytes: number, lengthBytes: number): Promise<Buffer>
}

/** What is read makes no sense, or is of a kind that is not read. The message is for people. */
export class UnreadableFileSystem extends Error {
  override name = 'UnreadableFileSystem'
}

export interface SnapshotSource {
  region: string
  root: string
  /** Opens its blocks; null when they are not sealed. */
  sealKey: Buffer | null
}

/** Of 512 KiB each. */
const blocksKept = 64

export class DiskBytes implements ByteSource {
  readonly sizeBytes: number
  readonly #blocks: SnapshotBlocks
  readonly #snapshot: SnapshotSource
  /** Null for a block of zeros. */
  readonly #kept = new LRUCache<number, { content: Buffer | null }>({ max: blocksKept })

  constructor(blocks: SnapshotBlocks, snapshot: SnapshotSource, sizeBytes: number) {
    this.#blocks = blocks
    this.#snapshot = snapshot
    this.sizeBytes = sizeBytes
  }

  async read(offsetBytes: number, lengthBytes: number): Promise<Buffer> {
    if (!(offsetBytes >= 0 && offsetBytes + lengthBytes <= this.sizeBytes)) {
      throw new UnreadableFileSystem(`it refers to byte ${offsetBytes}, beyond the end of the disk`)
    }
    const { blockBytes } = this.#blocks.contents
    const target = Buffer.alloc(lengthBytes)
    for (let at = 0; at < lengthBytes; ) {
      const [index, inside] = [Math.floor((offsetBytes + at) / blockBytes), (offsetBytes + at) % blockBytes]
      const length = Math.min(lengthBytes - at, blockBytes - inside)
      const content = await this.#block(index)
      content?.copy(target, at, inside, inside + length)
      at += length
    }
    return target
  }

  async #block(index: number): Promise<Buffer | null> {
    const kept = this.#kept.get(index)
    if (kept) return kept.content
    const { contents } = this.#blocks
    const { region, root, sealKey } = this.#snapshot
    const hash = await contents.hashAt(region, root, index)
    const isZero = hash === undefined || hash === contents.zeroHash
    const content = isZero ? null : await contents.read(region, hash, sealKey)
    this.#kept.set(index, { content })
    return content
  }
}

/** A part of another source, with its own zero. */
export function partOf(source: ByteSource, offsetBytes: number, sizeBytes: number): ByteSource {
  return {
    sizeBytes,
    async read(at, lengthBytes) {
      if (!(at >= 0 && at + lengthBytes <= sizeBytes)) {
        throw new UnreadableFileSystem(`it refers to byte ${at}, beyond its own end`)
      }
      return await source.read(offsetBytes + at, lengthBytes)
    },
  }
}
