/** The way of one request through the API edge: {@link chain} is all of it, in order. */
import { isDiskFull, KilnError, messageOf } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import { regionNames } from '../../lib/regions.ts'
import { encodeError } from '../ec2/codec/encode.ts'
import { type HttpAnswer, xmlContentType } from '../service.ts'
import { readAuthorization, splitTarget } from '../signature/authorization.ts'
import { verifySignature } from '../signature/verification.ts'
import { readBody } from './body.ts'
import type { ChainSettings, Exchange, Incoming } from './exchange.ts'
import { checkLoopbackHost, refuseOtherPages } from './origin.ts'

type Step = (exchange: Exchange, settings: ChainSettings) => Promise<void> | void

/** The request id comes before, the audit event after; the size of line and headers and all time-outs are the server's. */
const chain: readonly Step[] = [
  checkHost,
  checkOrigin,
  serveControl,
  routeToService,
  readBoundedBody,
  identifyAccount,
  identifyRegion,
  // Decodes, validates, answers dry runs, calls the handler, encodes.
  callService,
]

const controlPrefix = '/_kiln/'
/** Files come here in pieces that are larger than any other request. */
const uploadsPrefix = '/_kiln/uploads/'

/** The account of every access key that is not an account id itself, in open mode. */
const defaultAccountId = '000000000000'

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

function checkHost(exchange: Exchange, { auth }: ChainSettings): void {
  if (auth.mode === 'open') checkLoopbackHost(exchange.headers.get('host'))
}

function checkOrigin(exchange: Exchange): void {
  refuseOtherPages(exchange.headers)
}

async function serveControl(exchange: Exchange, { control }: ChainSettings): Promise<void> {
  const { incoming, path, query, headers } = exchange
  if (!path.startsWith(controlPrefix)) return
  const isPiece = path.startsWith(uploadsPrefix)
  const body = await readBody(incoming.body, isPiece ? limits.transferPieceBytes : limits.requestBodyBytes)
  exchange.answer = (await control({ method: incoming.method, path, query, headers, body })) ?? {
    status: 404,
    contentType: 'text/plain;charset=UTF-8',
    body: `Kiln has nothing at ${path}\n`,
  }
}

/** A request is for the service that its signature is for. */
function routeToService(exchange: Exchange, { services }: ChainSettings): void {
  const authorization = readAuthorization({ ...exchange.incoming, body: undefined })
  if (!authorization) {
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

async function readBoundedBody(exchange: Exchange): Promise<void> {
  exchange.body = await readBody(exchange.incoming.body, exchange.service!.bodyLimitBytes)
}

async function identifyAccount(exchange: Exchange, { auth, clock }: ChainSettings): Promise<void> {
  const { incoming, service, body } = exchange
  const authorization = exchange.authorization!
  if (auth.mode === 'verify') {
    const request = { ...incoming, body }
    const verified = await verifySignature(request, authorization, service!.signature, auth.lookupKey, clock.now())
    exchange.accountId = verified.accountId
  } else {
    const { accessKeyId } = authorization.scope
    exchange.accountId = /^\d{12}$/.test(accessKeyId) ? accessKeyId : defaultAccountId
  }
  exchange.audit.accountId = exchange.accountId
}

function identifyRegion(exchange: Exchange): void {
  const { region } = exchange.authorization!.scope
  if (!Object.hasOwn(regionNames, region)) {
    throw new KilnError(
      'AuthFailure',
      `Credential should be scoped to a region that Kiln knows, and not to '${region}'.`,
    )
  }
  exchange.region = region
  exchange.audit.region = region
}

async function callService(exchange: Exchange, { log }: ChainSettings): Promise<void> {
  const { requestId, incoming, path, query, headers, audit } = exchange
  exchange.answer = await exchange.service!.handle({
    requestId,
    method: incoming.method,
    path,
    query,
    headers,
    body: exchange.body!,
    accountId: exchange.accountId!,
    region: exchange.region!,
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
