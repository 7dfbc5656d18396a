/** What an account sets once for all of its instances in a region. */
import { KilnError } from '../../lib/errors.ts'
import type { AccountSettings as Settings } from '../../state/account-settings.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import { type CpuCredits, type CreditFamily, defaultCredits } from './cpu-credits.ts'

/** Null means no preference: the image decides. */
export type MetadataDefaults = Pick<
  Settings,
  'httpTokens' | 'httpEndpoint' | 'httpPutResponseHopLimit' | 'instanceMetadataTags'
>

export function metadataDefaults(settings: Settings): MetadataDefaults {
  const { httpTokens, httpEndpoint, httpPutResponseHopLimit, instanceMetadataTags } = settings
  return { httpTokens, httpEndpoint, httpPutResponseHopLimit, instanceMetadataTags }
}

export class AccountSettings {
  readonly #deps: CloudDeps

  constructor(deps: CloudDeps) {
    this.#deps = deps
  }

  get({ accountId, region }: Scope): Promise<Settings> {
    return this.#deps.state.accountSettings.get(accountId, region)
  }

  /** Source: "Configure instance metadata options for new instances" in the EC2 user guide. */
  async metadataDefaults(scope: Scope): Promise<MetadataDefaults> {
    return metadataDefaults(await this.get(scope))
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

  async serialConsoleAccess(scope: Scope): Promise<boolean> {
    return (await this.get(scope)).serialConsoleAccess === 1
  }

  async setSerialConsoleAccess({ accountId, region }: Scope, isAllowed: boolean): Promise<void> {
    await this.#deps.state.accountSettings.set(accountId, region, { serialConsoleAccess: isAllowed ? 1 : 0 })
  }

  async defaultCredits(scope: Scope, family: CreditFamily): Promise<CpuCredits> {
    return defaultCredits(await this.get(scope), family)
  }

  /** For instances that are launched from now on. */
  async setDefaultCredits({ accountId, region }: Scope, family: CreditFamily, credits: CpuCredits): Promise<void> {
    await this.#deps.state.accountSettings.set(accountId, region, { [`${family}Credits`]: credits })
  }
}
