/** Whose a request is in open mode. */
import { type ErrorCode, KilnError } from '../../lib/errors.ts'
import type { Guest } from './guests.ts'

/** The account of every access key that is not an account id itself. */
const defaultAccountId = '000000000000'

/**
 * Nobody proves anything in open mode, so that a guest, which may run anybody's program, is held to its owner's account.
 * Throws `refusal` when the key means another.
 */
export function accountOfKey(accessKeyId: string, guest: Guest | undefined, refusal: ErrorCode): string {
  const accountId = /^\d{12}$/.test(accessKeyId) ? accessKeyId : defaultAccountId
  if (!guest || guest.accountId === accountId) return accountId
  throw new KilnError(
    refusal,
    `Requests of the instance ${guest.instanceId} must be signed with a key of its account: the access key id ${guest.accountId}.`,
  )
}
