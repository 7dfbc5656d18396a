/** EC2 behind the HTTP edge: from the query form to the handler, and from what it gives to XML. */
import type { Cloud } from '../../cloud/cloud.ts'
import { KilnError } from '../../lib/errors.ts'
import { limits } from '../../lib/limits.ts'
import type { AuthSettings } from '../http/exchange.ts'
import { queryForm } from '../query-form.ts'
import { type ApiService, type HttpAnswer, type ServiceRequest, xmlContentType } from '../service.ts'
import { decodeInput } from './codec/decode.ts'
import { encodeError, encodeOutput } from './codec/encode.ts'
import { clipped } from './codec/form.ts'
import type { Ec2Handlers, RequestContext } from './handler.ts'
import { ec2Model, type Operation } from './model/model.ts'

/** What the service itself asks of the cloud; the handlers ask more. */
type EnterableCloud = Pick<Cloud, 'enter'>

export interface Ec2ServiceSettings<C extends EnterableCloud> {
  handlers: Ec2Handlers<C>
  cloud: C
  /** For what is signed inside a request. */
  auth: AuthSettings
}

/** A handler whose operation is known only by name: the codec has made sure of its input. */
type AnyHandler<C> = (input: object, context: RequestContext<C>) => Promise<object>

export function createEc2Service<C extends EnterableCloud>({
  handlers,
  cloud,
  auth,
}: Ec2ServiceSettings<C>): ApiService {
  const model = ec2Model()

  function handlerOf(operation: Operation): AnyHandler<C> {
    const known = Object.hasOwn(handlers, operation.name)
    if (known) return (handlers as Readonly<Record<string, unknown>>)[operation.name] as AnyHandler<C>
    throw new KilnError(
      'UnsupportedOperation',
      `The ${operation.name} operation is not supported by Kiln. docs/coverage.md lists the operations that are.`,
    )
  }

  async function handle(request: ServiceRequest): Promise<HttpAnswer> {
    const form = queryForm(request)
    const operation = requestedOperation(form)
    request.audit.action = operation.name
    const handler = handlerOf(operation)
    const input = decodeInput(operation, form)
    if (input.DryRun === true) {
      throw new KilnError('DryRunOperation', 'Request would have succeeded, but DryRun flag is set.')
    }
    const { requestId, accountId, region, log, guest } = request
    await cloud.enter({ accountId, region })
    const output = await handler(input, { requestId, accountId, region, cloud, auth, guest, log })
    return { status: 200, contentType: xmlContentType, body: encodeOutput(operation, output, requestId) }
  }

  function requestedOperation(form: ReadonlyMap<string, string>): Operation {
    const action = form.get('Action')
    if (!action) throw new KilnError('MissingAction', 'The request must contain the parameter Action')
    const version = form.get('Version')
    if (version !== undefined && !/^\d{4}-\d\d-\d\d$/.test(version)) {
      throw new KilnError(
        'NoSuchVersion',
        `The requested version (${clipped(version)}) of service AmazonEC2 does not exist`,
      )
    }
    const operation = model.operation(action)
    if (operation) return operation
    throw new KilnError('InvalidAction', `The action ${clipped(action)} is not valid for this web service.`)
  }

  return {
    name: 'ec2',
    // Source: RequestExpired in "Error codes for the Amazon EC2 API".
    signature: { unknownKeyCode: 'AuthFailure', expiredTokenCode: 'RequestExpired', objectStorage: false },
    bodyLimitBytes: limits.requestBodyBytes,
    handle,
    errorAnswer: (error, requestId) => ({
      status: error.status,
      contentType: xmlContentType,
      body: encodeError(error, requestId),
    }),
  }
}
