/** Whose a request is in open mode. */

/** The account of every access key that is not an account id itself. */
const defaultAccountId = '000000000000'

export function accountOfKey(accessKeyId: string): string {
  return /^\d{12}$/.test(accessKeyId) ? accessKeyId : defaultAccountId
}
