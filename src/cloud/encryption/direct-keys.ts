/** Keys as the EBS direct APIs use them: what they cannot use is an AccessDeniedException there. */
import { isKilnError, KilnError } from '../../lib/errors.ts'
import { seal, unseal } from '../../lib/sealing.ts'
import type { CloudDeps } from '../deps.ts'
import { blockKeyOf, checksumKeyOf } from './data-keys.ts'

type Using = Pick<CloudDeps, 'state' | 'masterKey'>

/** As {@link blockKeyOf}. */
export async function directBlockKey(deps: Using, accountId: string, dataKeyId: string | null): Promise<Buffer | null> {
  return await accessible(blockKeyOf(deps, accountId, dataKeyId))
}

/**
 * Keeps the checksums of what is written to a snapshot. Those of an encrypted one are sealed, for a checksum tells
 * everybody who has a guess at a block whether it is right. The same checksum is sealed the same way each time.
 */
export class ChecksumKeeper {
  readonly #snapshotId: string
  readonly #key: Buffer | null

  constructor(snapshotId: string, key: Buffer | null) {
    this.#snapshotId = snapshotId
    this.#key = key
  }

  ofBlock(index: number, checksum: string): string | null {
    return this.#key && this.#seal(`block ${index}`, checksum)
  }

  readBlock({ index, hash, sealed }: { index: number; hash: string; sealed: string | null }): string {
    if (!this.#key || sealed === null) return hash
    return unseal(this.#key, Buffer.from(sealed, 'hex'), this.#label(`block ${index}`)).toString('hex')
  }

  /** Of all of them; compared with another one as it is kept. */
  ofAll(checksum: string): string {
    return this.#key ? this.#seal('all', checksum) : checksum
  }

  #seal(what: string, checksum: string): string {
    return seal(this.#key!, Buffer.from(checksum, 'hex'), this.#label(what)).toString('hex')
  }

  #label(what: string): string {
    return `checksum ${this.#snapshotId} ${what}`
  }
}

export async function checksumKeeper(
  deps: Using,
  accountId: string,
  snapshot: { id: string; dataKeyId: string | null },
): Promise<ChecksumKeeper> {
  return new ChecksumKeeper(snapshot.id, await accessible(checksumKeyOf(deps, accountId, snapshot.dataKeyId)))
}

async function accessible<T>(opening: Promise<T>): Promise<T> {
  try {
    return await opening
  } catch (error) {
    if (!isKilnError(error, 'CustomerKeyHasBeenRevoked')) throw error
    throw new KilnError('AccessDeniedException.DependencyAccessDenied', error.message, { cause: error })
  }
}
