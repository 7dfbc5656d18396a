/** What an account forbids itself in a region: sharing snapshots, or images, with everybody. */
import { KilnError } from '../lib/errors.ts'
import type { PublicAccessState } from '../state/public-access.ts'
import type { CloudDeps, Scope } from './deps.ts'

type ResourceType = 'snapshot' | 'image'

export class PublicAccess {
  readonly #deps: CloudDeps

  constructor(deps: CloudDeps) {
    this.#deps = deps
  }

  get(scope: Scope, resourceType: ResourceType): Promise<PublicAccessState> {
    return this.#deps.state.publicAccess.get({ ...scope, resourceType })
  }

  async set(scope: Scope, resourceType: ResourceType, state: PublicAccessState): Promise<void> {
    const { publicAccess } = this.#deps.state
    if (state === 'unblocked') await publicAccess.unblock({ ...scope, resourceType })
    else await publicAccess.block({ ...scope, resourceType, state })
  }

  /** Throws OperationNotPermitted when `grantees` has `all` and the account has blocked that. */
  async checkSharing(scope: Scope, resourceType: ResourceType, grantees: readonly string[]): Promise<void> {
    if (!grantees.includes('all')) return
    const state = await this.get(scope, resourceType)
    if (state === 'unblocked') return
    throw new KilnError(
      'OperationNotPermitted',
      `You can't publicly share ${resourceType === 'image' ? 'AMIs' : 'snapshots'} in this Region because block public access (${state}) is enabled.`,
    )
  }
}

export type { PublicAccessState }
