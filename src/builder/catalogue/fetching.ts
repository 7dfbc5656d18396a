/** Requests to publishers and their mirrors. What fails says which host, why, and what can be done. */
import { isIP } from 'node:net'
import { messageOf } from '../../lib/errors.ts'

export interface Source {
  /** `https://cloud.debian.org`, or what stands in for it. */
  host: string
  /** What nobody has signed is fetched over HTTPS alone; on this host itself HTTP will do. */
  isSigned: boolean
}

const textTimeoutMs = 60_000
const textBytesMax = 4 * 1024 ** 2
const redirectsMax = 5

/** The host did not answer, or broke off. */
export class Unreachable extends Error {}

/** The host answered, and has no such file. */
export class NotThere extends Error {}

/** Follows redirects. Throws {@link Unreachable}, and {@link NotThere} for any answer that is not one of `wanted`. */
export async function request(
  source: Source,
  url: string,
  init: { headers?: Record<string, string>; signal: AbortSignal; wanted?: readonly number[] },
): Promise<Response> {
  const { wanted = [200], ...rest } = init
  let place = url
  for (let redirects = 0; redirects <= redirectsMax; redirects++) {
    checkPlace(source, place)
    const response = await ask(place, rest)
    const location = response.headers.get('location')
    if (response.status >= 300 && response.status < 400 && location !== null) {
      await response.body?.cancel()
      place = new URL(location, place).href
    } else if (wanted.includes(response.status)) {
      return response
    } else {
      await response.body?.cancel()
      throw new NotThere(`${place} was answered with ${response.status} ${response.statusText}`.trim())
    }
  }
  throw new NotThere(`${url} leads from one redirect to the next`)
}

/** A small file as it is, and where it lay in the end. */
export async function fetchBytes(
  source: Source,
  url: string,
  signal: AbortSignal,
): Promise<{ bytes: Buffer; url: string }> {
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(textTimeoutMs)])
  const response = await request(source, url, { signal: bounded })
  const pieces: Buffer[] = []
  let length = 0
  try {
    for await (const piece of response.body ?? []) {
      length += piece.length
      if (length > textBytesMax) throw new NotThere(`${url} is larger than ${textBytesMax} bytes: no listing is`)
      pieces.push(Buffer.from(piece))
    }
  } catch (error) {
    if (error instanceof NotThere) throw error
    signal.throwIfAborted()
    throw unreachable(url, error)
  }
  return { bytes: Buffer.concat(pieces), url: response.url || url }
}

async function ask(url: string, init: RequestInit & { signal: AbortSignal }): Promise<Response> {
  try {
    return await fetch(url, { ...init, redirect: 'manual' })
  } catch (error) {
    throw init.signal.aborted && !isTimeout(init.signal.reason) ? init.signal.reason : unreachable(url, error)
  }
}

const isTimeout = (reason: unknown) => reason instanceof DOMException && reason.name === 'TimeoutError'

function unreachable(url: string, error: unknown): Unreachable {
  const cause = messageOf((error as Error).cause ?? error)
  return new Unreachable(
    `cannot reach ${new URL(url).origin}: ${cause}; give --mirror URL, or import a file with kiln image import`,
    { cause: error },
  )
}

function checkPlace({ isSigned }: Source, place: string): void {
  const { protocol, hostname } = new URL(place)
  if (protocol === 'https:') return
  if (protocol === 'http:' && (isSigned || isLoopback(hostname))) return
  throw new NotThere(
    `${place} is not HTTPS, and nothing signs what lies there: anybody on the way could put another image in its place`,
  )
}

function isLoopback(hostname: string): boolean {
  const plain = hostname.replace(/^\[(.*)\]$/, '$1')
  return plain === 'localhost' || plain === '::1' || (isIP(plain) === 4 && plain.startsWith('127.'))
}
