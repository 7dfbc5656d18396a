/** A request to S3, taken apart: which bucket, which key, which parameters. */
import { KilnError } from '../../lib/errors.ts'
import type { Guest } from '../http/guests.ts'
import type { BodyStream, ServiceRequest } from '../service.ts'
import { bucketOfHost } from './bucket-host.ts'

export interface S3Request {
  requestId: string
  method: string
  /** Empty where the request names none. */
  bucket: string
  /** Empty where the request names none. */
  key: string
  query: ReadonlyMap<string, string>
  headers: ReadonlyMap<string, string>
  stream: BodyStream
  /** An account's id, or `anonymous`. */
  requester: string
  region: string
  isRegionSigned: boolean
  /** The instance that the request comes from, if it comes from one. */
  guest?: Guest | undefined
}

export function readRequest(request: ServiceRequest): S3Request {
  const { requestId, method, headers, stream, accountId, region, isRegionSigned, guest } = request
  return {
    ...{ requestId, method, headers, region, isRegionSigned, guest },
    ...placeOf(request.path, headers.get('host')),
    query: readQuery(request.query),
    stream: stream!,
    requester: accountId,
  }
}

/** Which bucket and key a path means; both may be empty. Throws `InvalidURI`. */
export function placeOf(path: string, host: string | undefined): { bucket: string; key: string } {
  const hostBucket = bucketOfHost(host)
  const rest = path.startsWith('/') ? path.slice(1) : path
  if (hostBucket !== undefined) return { bucket: hostBucket, key: decoded(rest) }
  const slash = rest.indexOf('/')
  if (slash < 0) return { bucket: decoded(rest), key: '' }
  return { bucket: decoded(rest.slice(0, slash)), key: decoded(rest.slice(slash + 1)) }
}

/** The first value of each parameter; one without a value is empty. Throws `InvalidURI`. */
export function readQuery(query: string): Map<string, string> {
  const parameters = new Map<string, string>()
  for (const pair of query.split('&')) {
    if (pair === '') continue
    const equals = pair.indexOf('=')
    const name = decoded(equals < 0 ? pair : pair.slice(0, equals))
    if (!parameters.has(name)) parameters.set(name, equals < 0 ? '' : decoded(pair.slice(equals + 1)))
  }
  return parameters
}

/** A plus is a space, here as in what is signed. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch (cause) {
    throw new KilnError('InvalidURI', "Couldn't parse the specified URI.", { cause })
  }
}
