/** The table of what accounts have set for their instances. */
import type { Flag } from '../schema.ts'

/** Null means no preference. */
export interface AccountSettingsTable {
  accountId: string
  region: string
  httpTokens: 'optional' | 'required' | null
  httpEndpoint: 'enabled' | 'disabled' | null
  httpPutResponseHopLimit: number | null
  instanceMetadataTags: 'enabled' | 'disabled' | null
  serialConsoleAccess: Flag
  t2Credits: 'standard' | 'unlimited' | null
  t3Credits: 'standard' | 'unlimited' | null
  t3aCredits: 'standard' | 'unlimited' | null
  t4gCredits: 'standard' | 'unlimited' | null
}

export interface AccountSettingsTables {
  accountSettings: AccountSettingsTable
}
