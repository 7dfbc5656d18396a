/** A part of a file as if it were all of it: a disk image inside an archive is read like one that lies alone. */
import type { FileHandle } from 'node:fs/promises'
import { UnusableImage } from '../../lib/unusable-image.ts'

export interface WindowPlace {
  offsetBytes: number
  lengthBytes: number
}

export class FileWindow {
  readonly lengthBytes: number
  readonly #file: FileHandle
  readonly #offsetBytes: number

  constructor(file: FileHandle, { offsetBytes, lengthBytes }: WindowPlace) {
    this.#file = file
    this.#offsetBytes = offsetBytes
    this.lengthBytes = lengthBytes
  }

  /** Exactly that many bytes. Throws {@link UnusableImage} where the window ends before them. */
  async read(offsetBytes: number, lengthBytes: number): Promise<Buffer> {
    const bytes = await this.readUpTo(offsetBytes, lengthBytes)
    if (bytes.length === lengthBytes) return bytes
    throw new UnusableImage(`the file ends at byte ${this.lengthBytes}, in the middle of what its headers announce`)
  }

  /** What there is from that offset on, at most that many bytes. */
  async readUpTo(offsetBytes: number, lengthBytes: number): Promise<Buffer> {
    const length = Math.max(0, Math.min(lengthBytes, this.lengthBytes - offsetBytes))
    if (length === 0) return Buffer.alloc(0)
    const bytes = Buffer.alloc(length)
    const { bytesRead } = await this.#file.read(bytes, 0, length, this.#offsetBytes + offsetBytes)
    return bytes.subarray(0, bytesRead)
  }
}
