/**
 * A service that speaks AWS Query in its common form (IAM, STS), from the form to the handler and back to XML, by AWS's own
 * model of the service. EC2 has a variety of its own.
 */
import { type ErrorCode, isKilnError, KilnError } from '../lib/errors.ts'
import { limits } from '../lib/limits.ts'
import { decodeInput, type Typed } from './ec2/codec/decode.ts'
import { encodeMembers } from './ec2/codec/encode.ts'
import { clipped } from './ec2/codec/form.ts'
import type { Model, Operation } from './ec2/model/model.ts'
import { queryAnswer, queryError } from './query-answers.ts'
import { queryForm } from './query-form.ts'
import type { ApiService, HttpAnswer, ServiceRequest } from './service.ts'

/** A handler whose operation is known only by name: the codec has made sure of its input. */
export type AnyQueryHandler<Context> = (input: never, context: Context) => Promise<object>

export interface QueryServiceSettings<Context> {
  /** As its requests are signed: `iam`. */
  name: string
  namespace: string
  model: () => Model
  /** By the names of their operations. */
  handlers: Readonly<Record<string, AnyQueryHandler<Context> | undefined>>
  contextOf(request: ServiceRequest, operation: string): Context
}

/** The codec's refusals, as these services call them: there is one word for all that does not validate. */
const validationCodes: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'InvalidParameterValue',
  'MissingParameter',
  'UnknownParameter',
])

export function createQueryService<Context>(settings: QueryServiceSettings<Context>): ApiService {
  const { name, namespace, handlers } = settings

  async function handle(request: ServiceRequest): Promise<HttpAnswer> {
    const form = queryForm(request)
    const operation = operationOf(form)
    request.audit.action = operation.name
    const handler = handlers[operation.name]!
    const input = decoded(operation, form)
    const output = await handler(input as never, settings.contextOf(request, operation.name))
    const result = operation.output && encodeMembers(operation.output, output, operation.name)
    return queryAnswer(namespace, operation.name, request.requestId, result)
  }

  function operationOf(form: ReadonlyMap<string, string>): Operation {
    const action = form.get('Action')
    if (!action) throw new KilnError('MissingAction', 'The request must contain the parameter Action')
    const model = settings.model()
    const operation = Object.hasOwn(handlers, action) ? model.operation(action) : undefined
    if (operation) return operation
    if (!model.knows(action)) {
      throw new KilnError('InvalidAction', `Could not find operation ${clipped(action)} for this service.`)
    }
    throw new KilnError(
      'UnsupportedOperation',
      `The ${action} operation is not supported by Kiln. docs/coverage.md lists the operations that are.`,
    )
  }

  return {
    name,
    signature: { unknownKeyCode: 'InvalidClientTokenId', objectStorage: false },
    bodyLimitBytes: limits.requestBodyBytes,
    handle,
    errorAnswer: (error, requestId) => queryError(namespace, error, requestId),
  }
}

function decoded(operation: Operation, form: ReadonlyMap<string, string>): Typed {
  try {
    return decodeInput(operation, form)
  } catch (error) {
    if (!isKilnError(error) || !validationCodes.has(error.code)) throw error
    throw new KilnError('ValidationError', error.message, { cause: error })
  }
}
