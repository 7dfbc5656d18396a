/** Who else may make volumes, images and copies of a snapshot. */
import { KilnError } from '../../lib/errors.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import type { Encryption } from '../encryption/encryption.ts'
import type { PublicAccess } from '../public-access.ts'
import { checkNotArchived } from './archived.ts'
import type { Snapshots } from './snapshots.ts'

export interface PermissionChange {
  operation: 'add' | 'remove'
  /** Account ids, and `all`. */
  grantees: readonly string[]
}

export class SnapshotPermissions {
  readonly #deps: CloudDeps
  readonly #snapshots: Snapshots
  readonly #publicAccess: PublicAccess
  readonly #encryption: Encryption

  constructor(deps: CloudDeps, rooms: { snapshots: Snapshots; publicAccess: PublicAccess; encryption: Encryption }) {
    this.#deps = deps
    this.#snapshots = rooms.snapshots
    this.#publicAccess = rooms.publicAccess
    this.#encryption = rooms.encryption
  }

  /** Account ids, and `all`. Throws OperationNotPermitted for another account's snapshot. */
  async list(scope: Scope, snapshotId: string): Promise<string[]> {
    await this.#snapshots.owned(scope, snapshotId)
    return this.#deps.state.snapshots.granteesOf(snapshotId)
  }

  async change(scope: Scope, snapshotId: string, { operation, grantees }: PermissionChange): Promise<void> {
    const { state, clock } = this.#deps
    const snapshot = await this.#snapshots.owned(scope, snapshotId)
    if (operation === 'remove') return state.snapshots.revoke(snapshotId, grantees)
    if (snapshot.state === 'error') {
      throw new KilnError('IncorrectState', `The snapshot '${snapshotId}' is in state 'error' and cannot be shared`)
    }
    await this.#publicAccess.checkSharing(scope, 'snapshot', grantees)
    await this.#encryption.checkSharing(`The snapshot '${snapshotId}'`, [snapshot.dataKeyId], grantees)
    await state.transaction(async (tx) => {
      await checkNotArchived(tx, clock, [snapshotId])
      await tx.snapshots.grant(snapshotId, grantees)
    })
  }

  /** Nobody but the owner may use it any more. */
  async reset(scope: Scope, snapshotId: string): Promise<void> {
    await this.#snapshots.owned(scope, snapshotId)
    await this.#deps.state.snapshots.revoke(snapshotId)
  }
}
