/** Answers of the services that speak AWS Query in its common form: STS and IAM. EC2 has an envelope of its own. */
import type { KilnError } from '../lib/errors.ts'
import { type HttpAnswer, xmlContentType } from './service.ts'
import { element, escapeXml, textElement, xmlDeclaration } from './xml-writer.ts'

/** `result` is the content of the operation's result element; undefined where it answers none. */
export function queryAnswer(
  namespace: string,
  action: string,
  requestId: string,
  result: string | undefined,
): HttpAnswer {
  const content = result === undefined ? '' : element(`${action}Result`, result)
  const metadata = element('ResponseMetadata', textElement('RequestId', requestId))
  return document(namespace, `${action}Response`, 200, content + metadata)
}

export function queryError(namespace: string, error: KilnError, requestId: string): HttpAnswer {
  const detail = element(
    'Error',
    textElement('Type', error.status < 500 ? 'Sender' : 'Receiver'),
    textElement('Code', error.code),
    textElement('Message', error.message),
  )
  return document(namespace, 'ErrorResponse', error.status, detail + textElement('RequestId', requestId))
}

function document(namespace: string, root: string, status: number, content: string): HttpAnswer {
  const body = `${xmlDeclaration}<${root} xmlns="${escapeXml(namespace)}">${content}</${root}>`
  return { status, contentType: xmlContentType, body }
}
