/**
 * Files that are sent to this host piece by piece, to be imported. What was sent so far is on the disk alone: a daemon
 * that was started anew takes the next piece.
 */
import { open, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import { flush } from '../../lib/stable-storage.ts'
import type { CloudDeps } from '../deps.ts'
import type { Staging } from './staging.ts'

const uploadName = 'upload'
const idPattern = /^upload-[0-9a-f]{24}$/

export class Uploads {
  readonly #deps: CloudDeps
  readonly #staging: Staging

  constructor(deps: CloudDeps, staging: Staging) {
    this.#deps = deps
    this.#staging = staging
  }

  /** Makes room for a file of that size; zeros need not be sent. Throws `Unavailable`, `ResourceLimitExceeded`. */
  async begin(sizeBytes: number): Promise<{ id: string; pieceBytes: number }> {
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 1) {
      throw new KilnError('InvalidParameterValue', 'bytes is the size of the file, at least 1')
    }
    const folders = await this.#staging.folders()
    if (folders.filter(({ name }) => idPattern.test(name)).length >= limits.uploadsAtOnce) {
      throw new KilnError('ResourceLimitExceeded', `${limits.uploadsAtOnce} files are being sent here already`)
    }
    // Of a sparse file only the data need room; how much that is shows as it comes.
    await this.#staging.checkRoom(0)
    const id = `upload-${this.#deps.random.bytes(12).toString('hex')}`
    const path = join(await this.#staging.folder(id), uploadName)
    await writeFile(path, '', { mode: 0o600 })
    await truncate(path, sizeBytes)
    return { id, pieceBytes: limits.transferPieceBytes }
  }

  /** Writes a piece where it belongs; the same again changes nothing. Throws `Unavailable` when the disk is full. */
  async write(id: string, offsetBytes: number, piece: Buffer): Promise<void> {
    const { path, sizeBytes } = await this.file(id)
    if (!Number.isSafeInteger(offsetBytes) || offsetBytes < 0 || offsetBytes + piece.length > sizeBytes) {
      throw new KilnError(
        'InvalidParameterValue',
        `offset ${offsetBytes} leads beyond the ${sizeBytes} bytes of the file`,
      )
    }
    await this.#staging.checkRoom(piece.length)
    const file = await open(path, 'r+')
    try {
      await file.write(piece, 0, piece.length, offsetBytes)
    } finally {
      await file.close()
    }
  }

  /** The same as {@link file}, once all that was sent is on stable storage: what an import counts on. */
  async seal(id: string): Promise<{ path: string; sizeBytes: number }> {
    const found = await this.file(id)
    await flush(found.path)
    return found
  }

  /** Where the file lies. Throws `InvalidParameterValue` when there is none of that id. */
  async file(id: string): Promise<{ path: string; sizeBytes: number }> {
    const path = idPattern.test(id) ? this.#staging.pathOf(id, uploadName) : ''
    const found = path ? await stat(path).catch(() => undefined) : undefined
    if (found) return { path, sizeBytes: found.size }
    throw new KilnError('InvalidParameterValue', `There is no upload '${id}': it was given up, or came to its end`)
  }

  /** Gives a file up, unless an import needs it. */
  async discard(id: string): Promise<void> {
    if ((await this.#deps.state.transfers.uploadsInUse()).includes(id)) return
    if (idPattern.test(id)) await this.#staging.remove(id)
  }
}
