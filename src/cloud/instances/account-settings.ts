/** What an account sets once for all of its instances in a region. */
import { KilnError } from '../../lib/errors.ts'
import type { AccountSettings as Settings } from '../../state/account-settings.ts'
import type { CloudDeps, Scope } from '../deps.ts'

/** Null means no preference: the image decides. */
export type MetadataDefaults = Omit<Settings, 'serialConsoleAccess'>

export class AccountSettings {
  readonly #deps: CloudDeps

  constructor(deps: CloudDeps) {
    this.#deps = deps
  }

  /** Source: "Configure instance metadata options for new instances" in the EC2 user guide. */
  async metadataDefaults({ accountId, region }: Scope): Promise<MetadataDefaults> {
    const { serialConsoleAccess: _, ...defaults } = await this.#deps.state.accountSettings.get(accountId, region)
    return defaults
  }

  /** What `patch` has not stays. Throws InvalidParameterValue for a hop limit that is none. */
  async setMetadataDefaults({ accountId, region }: Scope, patch: Partial<MetadataDefaults>): Promise<void> {
    const hops = patch.httpPutResponseHopLimit
    if (hops !== undefined && hops !== null && (hops < 1 || hops > 64)) {
      throw new KilnError(
        'InvalidParameterValue',
        `HttpPutResponseHopLimit is ${hops}: it must be from 1 to 64, or -1 for no preference`,
      )
    }
    if (Object.keys(patch).length > 0) await this.#deps.state.accountSettings.set(accountId, region, patch)
  }

  async serialConsoleAccess({ accountId, region }: Scope): Promise<boolean> {
    return (await this.#deps.state.accountSettings.get(accountId, region)).serialConsoleAccess === 1
  }

  async setSerialConsoleAccess({ accountId, region }: Scope, isAllowed: boolean): Promise<void> {
    await this.#deps.state.accountSettings.set(accountId, region, { serialConsoleAccess: isAllowed ? 1 : 0 })
  }
}
