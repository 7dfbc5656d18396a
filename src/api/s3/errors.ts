/** Errors as S3's clients read them. Source: "Error responses" in the S3 API reference. */
import { type ErrorCode, KilnError } from '../../lib/errors.ts'
import { type HttpAnswer, xmlContentType } from '../service.ts'
import { element, textElement, xmlDeclaration } from '../xml-writer.ts'

/** A refusal with more to it than a text: elements of the answer, and headers. */
export class S3Error extends KilnError {
  readonly elements: Readonly<Record<string, string>>
  readonly headers: Readonly<Record<string, string>>

  constructor(
    code: ErrorCode,
    message: string,
    more: { elements?: Readonly<Record<string, string>>; headers?: Readonly<Record<string, string>> },
  ) {
    super(code, message)
    this.elements = more.elements ?? {}
    this.headers = more.headers ?? {}
  }
}

/** Codes of the edge, in S3's words. */
const others: Partial<Record<ErrorCode, { code: string; status: number }>> = {
  AuthFailure: { code: 'AuthorizationHeaderMalformed', status: 400 },
  IncompleteSignature: { code: 'AuthorizationHeaderMalformed', status: 400 },
  MissingAuthenticationToken: { code: 'AccessDenied', status: 403 },
  RequestEntityTooLarge: { code: 'MaxMessageLengthExceeded', status: 400 },
  RequestExpired: { code: 'AccessDenied', status: 403 },
  RequestTimeout: { code: 'RequestTimeout', status: 400 },
  Unavailable: { code: 'ServiceUnavailable', status: 503 },
  UnauthorizedOperation: { code: 'AccessDenied', status: 403 },
  UnknownParameter: { code: 'InvalidArgument', status: 400 },
}

export function s3ErrorAnswer(error: KilnError, requestId: string): HttpAnswer {
  const { code, status } = others[error.code] ?? error
  const { elements = {}, headers = {} } = error instanceof S3Error ? error : {}
  const content = element(
    'Error',
    textElement('Code', code),
    textElement('Message', error.message),
    ...Object.entries(elements).map(([name, value]) => textElement(name, value)),
    textElement('RequestId', requestId),
  )
  return {
    status,
    contentType: xmlContentType,
    headers: { ...headers, 'x-amz-request-id': requestId },
    body: xmlDeclaration + content,
  }
}

export function notImplemented(what: string): KilnError {
  return new KilnError('NotImplemented', `${what} is not something that Kiln has.`)
}

export function invalidArgument(message: string): KilnError {
  return new KilnError('InvalidArgument', message)
}
