/** The parameters of the query protocols (EC2, STS): a URL's query, a form in the body, or both together. */
import { KilnError } from '../lib/errors.ts'
import { parseForm } from './ec2/codec/form.ts'
import type { ServiceRequest } from './service.ts'

const formType = 'application/x-www-form-urlencoded'

/** Throws `MalformedQueryString`, or `InvalidAction` for a method that the protocols do not use. */
export function queryForm(request: ServiceRequest): Map<string, string> {
  if (request.method !== 'GET' && request.method !== 'POST') {
    throw new KilnError('InvalidAction', `The method ${request.method} is not valid for this web service.`)
  }
  const form = parseForm(request.query)
  if (request.body.length === 0) return form
  const type = request.headers.get('content-type')
  if (type !== undefined && type.split(';')[0]!.trim().toLowerCase() !== formType) {
    throw new KilnError('MalformedQueryString', `The content type of the body must be ${formType}.`)
  }
  return parseForm(readUtf8(request.body), form)
}

function readUtf8(body: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body)
  } catch (cause) {
    throw new KilnError('MalformedQueryString', 'The query string is malformed: it is not UTF-8.', { cause })
  }
}
