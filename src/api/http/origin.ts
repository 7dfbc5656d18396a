/**
 * Keeps web pages out. A page of any site can make its visitor's browser send requests to 127.0.0.1, and in open mode
 * nothing else would stop it: a presigned URL with an invented key is as good as any.
 */
import { isIP } from 'node:net'
import { KilnError } from '../../lib/errors.ts'

/**
 * Open mode answers to loopback names and addresses only: a name that an attacker's DNS points at 127.0.0.1 would make
 * the attacker's page ours in the eyes of the browser. Throws `InvalidHostHeader`.
 */
export function checkLoopbackHost(host: string | undefined): void {
  const name = hostname(host ?? '')
  const isLoopback =
    name === 'localhost' ||
    name.endsWith('.localhost') ||
    name === '[::1]' ||
    (isIP(name) === 4 && name.startsWith('127.'))
  if (!isLoopback) {
    throw new KilnError('InvalidHostHeader', 'The Host header must be localhost or a loopback address.')
  }
}

/** Browsers tell where a request comes from, and pages cannot forge it. Throws `UnauthorizedOperation`. */
export function refuseOtherPages(headers: ReadonlyMap<string, string>): void {
  const site = headers.get('sec-fetch-site')
  const origin = headers.get('origin')
  const fromOtherSite = site !== undefined && site !== 'same-origin' && site !== 'none'
  const fromOtherOrigin = origin !== undefined && origin.replace(/^https?:\/\//, '') !== headers.get('host')
  if (fromOtherSite || fromOtherOrigin) {
    throw new KilnError('UnauthorizedOperation', 'Requests made by web pages of other origins are not served.')
  }
}

function hostname(host: string): string {
  return host.replace(/:\d{1,5}$/, '').toLowerCase()
}
