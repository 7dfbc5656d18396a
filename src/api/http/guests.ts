/**
 * What a request that comes from within an instance may be. The network tells which instance it is; whose key the request
 * names only counts where it was proved.
 */
import { KilnError } from '../../lib/errors.ts'
import { guestApi } from '../../lib/guest-origin.ts'

/** The instance that a request comes from. */
export interface Guest {
  instanceId: string
  /** The instance's owner. */
  accountId: string
}

/** Asked anew for each request: whoever has the address now. Null when nobody has. */
export type GuestLookup = () => Promise<Guest | null>

const hosts: readonly string[] = [guestApi.address, `${guestApi.address}:${guestApi.port}`]

/** Of Kiln's own requests, what anybody may know. */
const openPaths: readonly string[] = ['/_kiln/health', '/_kiln/certificate']

/** Throws `InvalidHostHeader`: guests know the API by one name, so that no other can be put in its place. */
export function checkGuestHost(host: string | undefined): void {
  if (hosts.includes(host ?? '')) return
  throw new KilnError('InvalidHostHeader', `The Host header must be ${guestApi.address}:${guestApi.port}.`)
}

/** Throws `UnauthorizedOperation` for all that is for whoever runs this Kiln. */
export function checkGuestPath(method: string, path: string): void {
  if ((method === 'GET' || method === 'HEAD') && openPaths.includes(path)) return
  throw new KilnError('UnauthorizedOperation', 'Instances may not use the control requests of the Kiln that runs them.')
}
