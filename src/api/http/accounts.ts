/** Whose a request is in open mode. */
import { accountCaller, type Caller } from '../../cloud/identity/callers.ts'
import { type ErrorCode, KilnError } from '../../lib/errors.ts'
import type { KeyLookup, KeyUse } from '../signature/verification.ts'
import type { Guest } from './guests.ts'

/** The account of every access key that is neither an account id itself nor one that Kiln has issued. */
const defaultAccountId = '000000000000'

/**
 * Nobody proves anything in open mode, so that a guest, which may run anybody's program, is held to its owner's account.
 * Throws `refusal` when the key means another, and `ExpiredToken`.
 */
export async function callerOfKey(
  accessKeyId: string,
  use: KeyUse,
  { lookupKey }: { lookupKey?: KeyLookup },
  { guest, refusal }: { guest: Guest | undefined; refusal: ErrorCode },
): Promise<Caller> {
  const caller = /^\d{12}$/.test(accessKeyId)
    ? accountCaller(accessKeyId)
    : ((await lookupKey?.(accessKeyId, use))?.caller ?? accountCaller(defaultAccountId))
  if (!guest || guest.accountId === caller.accountId) return caller
  throw new KilnError(
    refusal,
    `Requests of the instance ${guest.instanceId} must be signed with a key of its account: the access key id ${guest.accountId}.`,
  )
}
