/** What the state promises of accounts' settings. Part of `state.suite.ts`. */
import { expect, test } from 'vitest'
import { account, other, region } from './snapshots.suite.ts'
import type { State } from './state.ts'

export function accountSettingsTests(state: () => State): void {
  test('settings of an account change one by one, and are its own in each region', async () => {
    const { accountSettings: settings } = state()
    const unset = await settings.get(account, region)
    expect(unset).toMatchObject({ httpTokens: null, serialConsoleAccess: 0 })
    await settings.set(account, region, { httpTokens: 'required', httpPutResponseHopLimit: 3 })
    await settings.set(account, region, { serialConsoleAccess: 1 })
    await settings.set(account, region, { httpPutResponseHopLimit: null })
    expect(await settings.get(account, region)).toEqual({ ...unset, httpTokens: 'required', serialConsoleAccess: 1 })
    expect(await settings.get(account, 'us-east-1')).toEqual(unset)
    expect(await settings.get(other, region)).toEqual(unset)
  })
}
