/** The keys that Kiln has issued, as signatures are checked with them. */
import type { Credentials } from '../../cloud/identity/credentials.ts'
import type { KeyLookup } from '../signature/verification.ts'

export function keyLookup(credentials: Pick<Credentials, 'find'>): KeyLookup {
  return async (accessKeyId, use) => {
    const found = await credentials.find({ accessKeyId, ...use })
    return found && { ...found, accountId: found.caller.accountId }
  }
}
