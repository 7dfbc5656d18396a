/** The way of one request through the API edge: {@link chain} is all of it, in order. */
import { anonymous } from '../../cloud/buckets/acl.ts'
import { accountCaller } from '../../cloud/identity/callers.ts'
import { isDiskFull, isKilnError, KilnError, messageOf } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import { regionNames } from '../../lib/regions.ts'
import { encodeError } from '../ec2/codec/encode.ts'
import { bucketOfHost } from '../s3/bucket-host.ts'
import { type HttpAnswer, xmlContentType } from '../service.ts'
import { readAuthorization, splitTarget } from '../signature/authorization.ts'
import {
  declaredHash,
  type KeyLookup,
  keyUseOf,
  type SignaturePolicy,
  verifySignature,
} from '../signature/verification.ts'
import { verifyVersion2 } from '../signature/version2.ts'
import { callerOfKey } from './accounts.ts'
import { readBody } from './body.ts'
import type { ChainSettings, Exchange, Incoming } from './exchange.ts'
import { checkGuestHost, checkGuestPath } from './guests.ts'
import { checkLoopbackHost, refuseOtherPages } from './origin.ts'

type Step = (exchange: Exchange, settings: ChainSettings) => Promise<void> | void

/** The request id comes before, the audit event after; the size of line and headers and all time-outs are the server's. */
const chain: readonly Step[] = [
  identifyGuest,
  checkHost,
  checkOrigin,
  serveControl,
  routeToService,
  readBoundedBody,
  identifyCaller,
  identifyRegion,
  // Decodes, validates, answers dry runs, calls the handler, encodes.
  callService,
]

const controlPrefix = '/_kiln/'
/** Files come here in pieces that are larger than any other request. */
const uploadsPrefix = '/_kiln/uploads/'

/** Where a signature names no region. */
const defaultRegion = 'us-east-1'

/** Never throws: whatever goes wrong becomes an answer in the form of the service that was asked. */
export async function answerRequest(
  incoming: Incoming,
  settings: ChainSettings,
): Promise<HttpAnswer & { requestId: string }> {
  const startedAtMs = settings.clock.now()
  const exchange = openExchange(incoming, settings)
  let code: string | null = null
  let answer: HttpAnswer
  try {
    for (const step of chain) {
      await step(exchange, settings)
      if (exchange.answer) break
    }
    if (!exchange.answer) throw new Error('no step of the chain gave an answer')
    answer = exchange.answer
  } catch (thrown) {
    const error = publicError(thrown, exchange, settings)
    code = error.code
    answer = exchange.service?.errorAnswer(error, exchange.requestId) ?? plainError(error, exchange.requestId)
  }
  settings.log.info(
    {
      event: 'request',
      requestId: exchange.requestId,
      service: exchange.service?.name ?? null,
      ...exchange.audit,
      code,
      status: answer.status,
      ms: settings.clock.now() - startedAtMs,
    },
    exchange.audit.action ?? exchange.path,
  )
  return { ...answer, requestId: exchange.requestId }
}

function openExchange(incoming: Incoming, settings: ChainSettings): Exchange {
  const headers = new Map<string, string>()
  for (const [name, value] of incoming.headers) {
    const key = name.toLowerCase()
    if (!headers.has(key)) headers.set(key, value)
  }
  const audit = { action: null, accountId: null, region: null }
  return { requestId: newRequestId(settings), incoming, headers, ...splitTarget(incoming.target), audit }
}

function newRequestId(settings: ChainSettings): string {
  const hex = settings.random.bytes(16).toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

async function identifyGuest(exchange: Exchange): Promise<void> {
  const lookup = exchange.incoming.guest
  if (!lookup) return
  const guest = await lookup()
  if (!guest) throw new KilnError('UnauthorizedOperation', 'No instance has the address that the request comes from.')
  exchange.guest = guest
  exchange.audit.instanceId = guest.instanceId
}

function checkHost(exchange: Exchange, { auth }: ChainSettings): void {
  if (exchange.guest) checkGuestHost(exchange.headers.get('host'))
  else if (auth.mode === 'open') checkLoopbackHost(exchange.headers.get('host'))
}

function checkOrigin(exchange: Exchange): void {
  refuseOtherPages(exchange.headers)
}

async function serveControl(exchange: Exchange, { control, clock }: ChainSettings): Promise<void> {
  const { incoming, path, query, headers, guest } = exchange
  if (!path.startsWith(controlPrefix)) return
  if (guest) checkGuestPath(incoming.method, path)
  const isPiece = path.startsWith(uploadsPrefix)
  const body = await readBody(incoming.body, isPiece ? limits.transferPieceBytes : limits.requestBodyBytes, clock)
  exchange.answer = (await control({ method: incoming.method, path, query, headers, body })) ?? {
    status: 404,
    contentType: 'text/plain;charset=UTF-8',
    body: `Kiln has nothing at ${path}\n`,
  }
}

/** A request is for the service that its signature is for; some services take some requests without. */
function routeToService(exchange: Exchange, { services }: ChainSettings): void {
  const authorization = readAuthorization({ ...exchange.incoming, body: undefined })
  if (!authorization) {
    const { path, query, headers, incoming } = exchange
    const request = { method: incoming.method, path, query, headers }
    exchange.service = services.find((candidate) => candidate.takesUnsigned?.(request))
    if (exchange.service) return
    throw new KilnError('MissingAuthenticationToken', 'Request is missing Authentication Token')
  }
  const name = authorization.scope.service
  const service = services.find((candidate) => candidate.name === name)
  if (!service) {
    const served = services.map((candidate) => candidate.name).join(', ')
    throw new KilnError('UnsupportedOperation', `Kiln does not serve the service '${name}'. It serves: ${served}.`)
  }
  exchange.authorization = authorization
  exchange.service = service
}

async function readBoundedBody(exchange: Exchange, { clock }: ChainSettings): Promise<void> {
  const { service, incoming } = exchange
  if (service!.isStreaming) return
  exchange.body = await readBody(incoming.body, service!.bodyLimitBytes, clock)
}

async function identifyCaller(exchange: Exchange, { auth, clock }: ChainSettings): Promise<void> {
  const { incoming, headers, service, body, authorization, guest } = exchange
  exchange.payloadHash = declaredHash(incoming, authorization)
  if (!authorization) {
    exchange.caller = accountCaller(anonymous)
  } else {
    const policy = service!.signature
    const lookupKey = auth.lookupKey && inWordsOf(policy, auth.lookupKey)
    if (auth.mode === 'open') {
      const { accessKeyId } = authorization.scope
      const refusal = policy.objectStorage ? 'AccessDenied' : 'AuthFailure'
      const use = keyUseOf(incoming, authorization)
      exchange.caller = await callerOfKey(accessKeyId, use, { ...(lookupKey && { lookupKey }) }, { guest, refusal })
    } else {
      const request = { ...incoming, body }
      const now = clock.now()
      if (authorization.version === 2) {
        const bucket = bucketOfHost(headers.get('host'))
        const key = await verifyVersion2(request, authorization, bucket, policy, lookupKey!, now)
        exchange.caller = key.caller ?? accountCaller(key.accountId)
      } else {
        const verified = await verifySignature(request, authorization, policy, lookupKey!, now)
        exchange.caller = verified.caller ?? accountCaller(verified.accountId)
        exchange.payloadHash = verified.payloadHash
        exchange.seed = verified.seed
      }
    }
  }
  exchange.audit.accountId = exchange.caller.accountId
}

/** Services differ in what they call a token that is past its time. */
function inWordsOf({ expiredTokenCode: code }: SignaturePolicy, lookupKey: KeyLookup): KeyLookup {
  return async (accessKeyId, use) => {
    try {
      return await lookupKey(accessKeyId, use)
    } catch (error) {
      if (code && isKilnError(error, 'ExpiredToken')) throw new KilnError(code, 'Request has expired.')
      throw error
    }
  }
}

function identifyRegion(exchange: Exchange): void {
  const region = exchange.authorization?.scope.region || defaultRegion
  // S3's clients learn the right region from its own refusal.
  if (!Object.hasOwn(regionNames, region) && !exchange.service!.signature.objectStorage) {
    throw new KilnError(
      'AuthFailure',
      `Credential should be scoped to a region that Kiln knows, and not to '${region}'.`,
    )
  }
  exchange.region = region
  exchange.audit.region = region
}

async function callService(exchange: Exchange, { log }: ChainSettings): Promise<void> {
  const { requestId, incoming, path, query, headers, audit, service, payloadHash, seed, authorization } = exchange
  const caller = exchange.caller!
  exchange.answer = await service!.handle({
    requestId,
    method: incoming.method,
    path,
    query,
    headers,
    body: exchange.body ?? Buffer.alloc(0),
    ...(service!.isStreaming ? { stream: { source: incoming.body, payloadHash, seed } } : {}),
    accountId: caller.accountId,
    caller,
    region: exchange.region!,
    isRegionSigned: Boolean(authorization?.scope.region),
    guest: exchange.guest,
    log: log.child({ requestId }),
    audit,
  })
}

/** What the caller may know. The cause of a fault of ours goes to the log alone. */
function publicError(thrown: unknown, { requestId, audit }: Exchange, { log }: ChainSettings): KilnError {
  if (thrown instanceof KilnError && thrown.code !== 'InternalError') return thrown
  log.error({ err: thrown, requestId, action: audit.action }, `request failed: ${messageOf(thrown)}`)
  if (isDiskFull(thrown)) {
    return new KilnError('Unavailable', 'The disk of the host is full: free some space there, then ask again.')
  }
  return new KilnError(
    'InternalError',
    `An internal error has occurred. The log has its cause under the request id ${requestId}.`,
  )
}

/** Before it is known which service was asked: in EC2's form, which people and most clients can read. */
function plainError(error: KilnError, requestId: string): HttpAnswer {
  return { status: error.status, contentType: xmlContentType, body: encodeError(error, requestId) }
}
